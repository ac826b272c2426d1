"""How good attribute predictions are, task by task: counts, accuracy, macro precision, balanced accuracy.

Everything starts from matrices of codes, one row an image, one column a task. A true code of -1 means "not
annotated": that entry counts nowhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bruna.dataset.schema import UNKNOWN, Task

Codes = npt.NDArray[np.integer]

METRICS: tuple[str, ...] = ("accuracy", "precision", "balanced_accuracy", "majority")
"""The numbers of a task, in the order of Table 1's columns (the majority share is ours)."""
_NAN = float("nan")


@dataclass(frozen=True, eq=False)
class TaskMetrics:
    """What one task's predictions are worth. The shares are NaN where no entry is annotated.

    Attributes:
        task: which task.
        confusion: K x K int64 counts; the row is the true value, the column the predicted one.
        accuracy: share of the entries that are right.
        precision: macro precision over the values that occur; one that is never predicted counts 0.
        balanced_accuracy: mean share found of each value that occurs (macro recall).
    """

    task: Task
    confusion: npt.NDArray[np.int64]
    accuracy: float
    precision: float
    balanced_accuracy: float

    @property
    def count(self) -> int:
        """Number of annotated entries."""
        return int(self.confusion.sum())

    @property
    def majority(self) -> float:
        """Share of the most frequent true value: the accuracy of always predicting it."""
        return float(self.confusion.sum(axis=1).max()) / self.count if self.count else _NAN

    @property
    def chance(self) -> float:
        """Balanced accuracy of any constant prediction: 1 / number of values that occur."""
        return 1 / int(self.confusion.any(axis=1).sum()) if self.count else _NAN


def task_metrics(truth: Codes, predicted: Codes, tasks: Sequence[Task]) -> tuple[TaskMetrics, ...]:
    """Measure tasks by scikit-learn.

    Args:
        truth: N x T codes, a column a task, -1 = not annotated.
        predicted: N x T codes.
        tasks: T tasks.

    Returns:
        T results in the order of `tasks`.

    Raises:
        ValueError: a shape is not N x T, or the code of an annotated entry is none of the task's.

    >>> hat = Task("hat", ("no", "yes"))
    >>> truth, predicted = np.array([[0], [0], [0], [1], [-1]]), np.array([[0], [0], [1], [1], [1]])
    >>> found = task_metrics(truth, predicted, [hat])[0]
    >>> found.confusion.tolist()
    [[2, 1], [0, 1]]
    >>> round(found.accuracy, 3), round(found.precision, 3), round(found.balanced_accuracy, 3), found.majority
    (0.75, 0.75, 0.833, 0.75)
    """
    expected = (len(truth), len(tasks))
    if truth.shape != expected or predicted.shape != expected:
        raise ValueError(f"truth has shape {truth.shape}, predicted {predicted.shape}: expected {expected} for both")
    return tuple(_measure(task, truth[:, i], predicted[:, i]) for i, task in enumerate(tasks))


def _measure(task: Task, truth: Codes, predicted: Codes) -> TaskMetrics:
    # scikit-learn takes 2 s to import: only what measures is to wait for it.
    from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support  # noqa: PLC0415

    known = truth != UNKNOWN
    true, guess = truth[known], predicted[known]
    for name, codes in (("true", true), ("predicted", guess)):
        if codes.size and (codes.min() < 0 or codes.max() >= len(task.values)):
            last = len(task.values) - 1
            raise ValueError(f"{task.name}: {name} codes run from {codes.min()} to {codes.max()}, expected 0 to {last}")
    count = len(task.values)
    if not len(true):  # scikit-learn refuses to measure nothing
        return TaskMetrics(task, np.zeros((count, count), dtype=np.int64), _NAN, _NAN, _NAN)
    precision, recall, _, _ = precision_recall_fscore_support(
        true, guess, labels=np.unique(true), average="macro", zero_division=0
    )
    return TaskMetrics(
        task=task,
        confusion=confusion_matrix(true, guess, labels=range(count)),
        accuracy=float(accuracy_score(true, guess)),
        precision=float(precision),
        balanced_accuracy=float(recall),
    )


def mean_metrics(results: Sequence[TaskMetrics]) -> dict[str, float]:
    """Mean of each of `METRICS` over tasks, those without an annotated entry left out (NaN if all are)."""
    used = [result for result in results if result.count]
    if not used:
        return dict.fromkeys(METRICS, _NAN)
    return {metric: float(np.mean([getattr(result, metric) for result in used])) for metric in METRICS}


def scores(results: Sequence[TaskMetrics]) -> dict[str, float]:
    """Flat names and values for a metrics file or a tracker, without the undefined ones.

    Returns:
        `backpack/accuracy` and so on for every task, `overall/...` (mean of all, the paper's last row) and
        `attributes/...` (mean of the attributes, without the classes that Task 1 adds).
    """
    groups: dict[str, dict[str, float]] = {
        result.task.name: {metric: getattr(result, metric) for metric in METRICS} for result in results
    }
    groups["overall"] = mean_metrics(results)
    groups["attributes"] = mean_metrics([r for r in results if not r.task.added])
    return {
        f"{group}/{metric}": value
        for group, values in groups.items()
        for metric, value in values.items()
        if not np.isnan(value)
    }
