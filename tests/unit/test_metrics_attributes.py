"""Attribute metrics: a case by hand, numpy as an independent oracle, and what is left out of means."""

import doctest
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.schema import Task, task1_tasks
from bruna.metrics import attributes as metrics
from bruna.metrics.attributes import mean_metrics, scores, task_metrics
from course_schema import TASK_NAMES, TASKS

FIVE = Task("five", ("a", "b", "c", "d", "e"))


def _codes(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    widths = [len(task.values) for task in TASKS]
    truth = np.stack([random.integers(-1, width, rows) for width in widths], axis=1)
    predicted = np.stack([random.integers(0, width, rows) for width in widths], axis=1)
    return truth, predicted


def test_doctests() -> None:
    outcome = doctest.testmod(metrics)
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_hand_worked_task() -> None:
    age = next(task for task in TASKS if task.name == "age")
    truth = np.array([1, 1, 1, 2, 3, -1])  # the value 0 (young) never occurs, the last is not annotated
    predicted = np.array([1, 1, 2, 2, 1, 3])  # old (3) is never predicted where it counts
    found = task_metrics(truth[:, None], predicted[:, None], [age])[0]
    assert found.confusion.tolist() == [[0, 0, 0, 0], [0, 2, 1, 0], [0, 0, 1, 0], [0, 1, 0, 0]]
    assert found.count == 5
    assert found.accuracy == pytest.approx(3 / 5)
    assert found.balanced_accuracy == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert found.precision == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert found.majority == pytest.approx(3 / 5)
    assert found.chance == pytest.approx(1 / 3)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 4)), max_size=40), st.sampled_from([np.int8, np.int64]))
def test_equals_shares_of_counts_to_the_bit(pairs: list[tuple[int, int]], dtype: type[np.integer]) -> None:
    codes = np.array(pairs, dtype=dtype).reshape(-1, 2)
    found = task_metrics(codes[:, :1], codes[:, 1:], [FIVE])[0]
    counts = np.zeros((5, 5), dtype=np.int64)
    for true, guess in pairs:
        if true >= 0:
            counts[true, guess] += 1
    assert np.array_equal(found.confusion, counts)
    if not counts.any():
        assert all(math.isnan(getattr(found, name)) for name in (*metrics.METRICS, "chance"))
        return
    right, occurs = np.diag(counts), counts.any(axis=1)
    assert found.accuracy == right.sum() / counts.sum()
    assert found.balanced_accuracy == (right / np.maximum(counts.sum(axis=1), 1))[occurs].mean()
    assert found.precision == (right / np.maximum(counts.sum(axis=0), 1))[occurs].mean()
    assert found.majority == counts.sum(axis=1).max() / counts.sum()
    assert found.chance == 1 / occurs.sum()


def test_unannotated_task_is_undefined_and_left_out_of_means() -> None:
    truth, predicted = _codes(50, 0)
    truth[:, TASK_NAMES.index("junk")] = -1
    results = task_metrics(truth, predicted, TASKS)
    assert math.isnan(results[TASK_NAMES.index("junk")].accuracy)
    rest = [r.accuracy for r in results if r.task.name != "junk"]
    assert mean_metrics(results)["accuracy"] == pytest.approx(sum(rest) / (len(TASKS) - 1))
    flat = scores(results)
    assert "junk/accuracy" not in flat
    assert not any(math.isnan(value) for value in flat.values())
    attributes = task_metrics(truth[:, : len(ATTRIBUTES)], predicted[:, : len(ATTRIBUTES)], ATTRIBUTES)
    assert flat["attributes/balanced_accuracy"] == mean_metrics(attributes)["balanced_accuracy"]


def test_impossible_codes_and_shapes_are_refused() -> None:
    truth, predicted = _codes(4, 0)
    with pytest.raises(ValueError, match=r"\(4, 12\)"):
        task_metrics(truth[:, :12], predicted, TASKS)
    truth[:, 1], predicted[0, 1] = 0, 2
    with pytest.raises(ValueError, match="backpack: predicted codes run from"):
        task_metrics(truth, predicted, TASKS)


def test_the_mean_of_the_attributes_of_another_schema_leaves_out_what_task_1_adds() -> None:
    tasks = task1_tasks((FIVE, Task("camera", ("indoors", "outdoors"))), (2,))  # an attribute, for all its name
    truth = np.array([[0, 0, 0, 0], [4, 1, 1, 1]])
    found = scores(task_metrics(truth, np.array([[0, 1, 1, 1], [4, 1, 0, 0]]), tasks))
    accuracy = {name: found[f"{name}/accuracy"] for name in ("five", "camera", "camera2", "junk")}
    assert accuracy == {"five": 1, "camera": 1 / 2, "camera2": 0, "junk": 0}
    assert (found["attributes/accuracy"], found["overall/accuracy"]) == (3 / 4, 3 / 8)
