"""Attribute metrics: hand-worked cases and scikit-learn as an independent oracle."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, precision_score, recall_score

from bruna.metrics.attributes import TASKS, TaskMetrics, mean_metrics, scores, task_metrics
from bruna.metrics.attributes import confusion_matrix as ours
from bruna.report.tables import ATTRIBUTES_ONLY, OVERALL, pivot_metrics, table1

NAMES = [task.name for task in TASKS]


def _codes(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    widths = [len(task.values) for task in TASKS]
    truth = np.stack([random.integers(-1, width, rows) for width in widths], axis=1)
    predicted = np.stack([random.integers(0, width, rows) for width in widths], axis=1)
    return truth, predicted


def test_hand_worked_task() -> None:
    truth, predicted = np.zeros((6, 15), dtype=int), np.zeros((6, 15), dtype=int)
    column = NAMES.index("age")
    truth[:, column] = [1, 1, 1, 2, 3, -1]  # the value 0 (young) never occurs, the last is not annotated
    predicted[:, column] = [1, 1, 2, 2, 1, 3]  # old (3) is never predicted where it counts
    age = task_metrics(truth, predicted)[column]
    assert age.confusion.tolist() == [[0, 0, 0, 0], [0, 2, 1, 0], [0, 0, 1, 0], [0, 1, 0, 0]]
    assert age.count == 5
    assert age.accuracy == pytest.approx(3 / 5)
    assert age.recall == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert age.precision == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert age.majority == pytest.approx(3 / 5)
    assert age.chance == pytest.approx(1 / 3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 4)), min_size=1, max_size=40).filter(
        lambda pairs: any(true >= 0 for true, _ in pairs)
    )
)
def test_agrees_with_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = np.array(pairs).T
    result = TaskMetrics(TASKS[0], ours(truth, predicted, 5))
    known = truth >= 0
    true, guess = truth[known], predicted[known]
    macro = {"labels": np.unique(true), "average": "macro", "zero_division": 0}
    assert np.array_equal(result.confusion, confusion_matrix(true, guess, labels=range(5)))
    assert result.accuracy == pytest.approx(accuracy_score(true, guess))
    assert result.precision == pytest.approx(precision_score(true, guess, **macro))
    assert result.recall == pytest.approx(recall_score(true, guess, **macro))


def test_unannotated_task_is_undefined_and_left_out_of_means() -> None:
    truth, predicted = _codes(50, 0)
    truth[:, NAMES.index("junk")] = -1
    results = task_metrics(truth, predicted)
    assert math.isnan(results[NAMES.index("junk")].accuracy)
    rest = [r.accuracy for r in results if r.task.name != "junk"]
    assert mean_metrics(results)["accuracy"] == pytest.approx(sum(rest) / 14)
    flat = scores(results)
    assert "junk/accuracy" not in flat
    assert not any(math.isnan(value) for value in flat.values())


def test_impossible_codes_and_shapes_are_refused() -> None:
    truth, predicted = _codes(4, 0)
    with pytest.raises(ValueError, match=r"\(4, 12\)"):
        task_metrics(truth[:, :12], predicted)
    truth[:, 1], predicted[0, 1] = 0, 2
    with pytest.raises(ValueError, match="predicted codes run from"):
        task_metrics(truth, predicted)


def test_table1_has_the_papers_rows_and_the_two_means() -> None:
    train, validation = task_metrics(*_codes(300, 1)), task_metrics(*_codes(100, 2))
    table = table1({"train": train, "validation": validation})
    paper = "Camera4 Camera6 Junk Backpack Bag Handbag Clothes Down Up Hair Hat Gender Up-color Down-color Age"
    assert table["task"].tolist() == [*paper.split(), OVERALL, ATTRIBUTES_ONLY]
    kinds = ("acc", "prec", "rec", "majority")
    assert list(table.columns) == ["task", *(f"{p}/{k}" for p in ("train", "validation") for k in kinds)]
    table = table.set_index("task")
    assert table.loc["Bag", "validation/rec"] == validation[NAMES.index("bag")].recall
    column = table["train/acc"]
    assert column[OVERALL] == pytest.approx(column.iloc[:15].mean())
    assert column[ATTRIBUTES_ONLY] == pytest.approx(column.iloc[3:15].mean())
    assert scores(train)["overall/accuracy"] == pytest.approx(column[OVERALL])
    assert scores(train)["attributes/accuracy"] == pytest.approx(column[ATTRIBUTES_ONLY])


def test_pivot_metrics() -> None:
    values = {"market1501/map": 0.6, "course/map": 0.7, "course/rank1": 0.9, "loss": 3.0}
    columns, rows = {"map": "mAP", "rank1": "rank 1", "minp": "mINP"}, {"market1501": "M", "course": "C", "x": "X"}
    table = pivot_metrics(values, columns, rows, "protocol")
    assert list(table.columns) == ["protocol", "mAP", "rank 1"]
    assert table["protocol"].tolist() == ["M", "C"]
    assert table["mAP"].tolist() == [0.6, 0.7]
    assert math.isnan(table["rank 1"][0])
