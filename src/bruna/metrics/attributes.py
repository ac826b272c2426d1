"""How good attribute predictions are, task by task: counts, accuracy, macro precision and recall.

Everything starts from N x 15 matrices of codes: the twelve attributes in the order of `ATTRIBUTES`, then
camera4, camera6 and junk. A true code of -1 means "not annotated": that entry counts nowhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bruna.dataset.attributes import ATTRIBUTES, EXTRA_CLASSES, UNKNOWN

Codes = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Task:
    """One thing that Task 1 predicts: its column name, its row title in Table 1, its values in code order."""

    name: str
    title: str
    values: tuple[str, ...]


TASKS: tuple[Task, ...] = (
    *(Task(attribute.name, attribute.title, attribute.values) for attribute in ATTRIBUTES),
    *(Task(name, name.capitalize(), ("no", "yes")) for name in EXTRA_CLASSES),
)
"""The 15 tasks in the order of the code matrices' columns."""

METRICS: tuple[str, ...] = ("accuracy", "precision", "recall", "majority")
"""The numbers of a task, in the order of Table 1's columns (the majority share is ours)."""


@dataclass(frozen=True, eq=False)
class TaskMetrics:
    """What one task's predictions are worth.

    Attributes:
        task: which task.
        confusion: K x K int64 counts; the row is the true value, the column the predicted one.

    The shares are NaN where no entry is annotated. A value that never occurs in the truth is left out of
    the macro means (scikit-learn's `labels=np.unique(truth)`).
    """

    task: Task
    confusion: npt.NDArray[np.int64]

    @cached_property
    def count(self) -> int:
        """Number of annotated entries."""
        return int(self.confusion.sum())

    @cached_property
    def accuracy(self) -> float:
        """Share of the entries that are right."""
        return float(np.trace(self.confusion)) / self.count if self.count else float("nan")

    @cached_property
    def recall(self) -> float:
        """Macro recall, which is the balanced accuracy: mean share found of each value that occurs."""
        truth = self.confusion.sum(axis=1)
        occurs = truth > 0
        if not occurs.any():
            return float("nan")
        return float((np.diag(self.confusion)[occurs] / truth[occurs]).mean())

    @cached_property
    def precision(self) -> float:
        """Macro precision over the values that occur; one that is never predicted counts 0."""
        occurs = self.confusion.sum(axis=1) > 0
        if not occurs.any():
            return float("nan")
        predicted = self.confusion.sum(axis=0)[occurs]
        return float((np.diag(self.confusion)[occurs] / np.maximum(predicted, 1)).mean())

    @cached_property
    def majority(self) -> float:
        """Share of the most frequent true value: the accuracy of always answering it."""
        return float(self.confusion.sum(axis=1).max()) / self.count if self.count else float("nan")

    @cached_property
    def chance(self) -> float:
        """Balanced accuracy of any constant answer: 1 / number of values that occur."""
        occurs = int((self.confusion.sum(axis=1) > 0).sum())
        return 1 / occurs if occurs else float("nan")


def confusion_matrix(truth: Codes, predicted: Codes, values: int) -> npt.NDArray[np.int64]:
    """Count pairs of true and predicted codes.

    Args:
        truth: N codes, -1 = not annotated.
        predicted: N codes.
        values: K, number of values.

    Returns:
        K x K counts, truth in rows.

    Raises:
        ValueError: the lengths differ or an annotated entry has a code outside 0..K-1.
    """
    if truth.shape != predicted.shape or truth.ndim != 1:
        raise ValueError(f"truth has shape {truth.shape}, predicted {predicted.shape}: expected two equal vectors")
    known = truth != UNKNOWN
    rows, columns = truth[known].astype(np.int64), predicted[known].astype(np.int64)
    for name, codes in (("true", rows), ("predicted", columns)):
        if codes.size and (codes.min() < 0 or codes.max() >= values):
            raise ValueError(f"{name} codes run from {codes.min()} to {codes.max()}, expected 0 to {values - 1}")
    return np.bincount(rows * values + columns, minlength=values * values).reshape(values, values)


def task_metrics(truth: Codes, predicted: Codes) -> tuple[TaskMetrics, ...]:
    """Measure all tasks.

    Args:
        truth: N x 15 codes (see the module), -1 = not annotated.
        predicted: N x 15 codes.

    Returns:
        15 results in the order of `TASKS`.

    Raises:
        ValueError: a shape is not N x 15, or a code is out of range.
    """
    expected = (len(truth), len(TASKS))
    if truth.shape != expected or predicted.shape != expected:
        raise ValueError(f"truth has shape {truth.shape}, predicted {predicted.shape}: expected {expected} for both")
    return tuple(
        TaskMetrics(task, confusion_matrix(truth[:, i], predicted[:, i], len(task.values)))
        for i, task in enumerate(TASKS)
    )


def mean_metrics(results: Sequence[TaskMetrics]) -> dict[str, float]:
    """Mean of each of `METRICS` over tasks, those without an annotated entry left out (NaN if all are)."""
    used = [result for result in results if result.count]
    if not used:
        return dict.fromkeys(METRICS, float("nan"))
    return {metric: float(np.mean([getattr(result, metric) for result in used])) for metric in METRICS}


def scores(results: Sequence[TaskMetrics]) -> dict[str, float]:
    """Flat names and values for a metrics file or a tracker, without the undefined ones.

    Returns:
        `backpack/accuracy` and so on for every task, `overall/...` (mean of the 15, the paper's last row) and
        `attributes/...` (mean of the 12 real attributes).
    """
    groups: dict[str, dict[str, float]] = {
        result.task.name: {metric: getattr(result, metric) for metric in METRICS} for result in results
    }
    groups["overall"] = mean_metrics(results)
    groups["attributes"] = mean_metrics([r for r in results if r.task.name not in EXTRA_CLASSES])
    return {
        f"{group}/{metric}": value
        for group, values in groups.items()
        for metric, value in values.items()
        if not np.isnan(value)
    }
