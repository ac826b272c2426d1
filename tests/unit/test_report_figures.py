"""Charts: the right panels with the right numbers, and equal bytes for equal input."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from bruna.dataset.schema import JUNK_TASK, Task
from bruna.metrics.attributes import TaskMetrics, task_metrics
from bruna.report.confusion import confusion_grid, row_shares
from bruna.report.figures import BRUNA_CURVES, ap_profile, attribute_bars, cmc_curves, curves
from bruna.report.operating_points import operating_chart
from bruna.report.style import png_bytes
from course_schema import TASKS


def _results() -> tuple[TaskMetrics, ...]:
    random = np.random.default_rng(0)
    truth = np.stack([random.integers(0, len(task.values), 200) for task in TASKS], axis=1)
    return task_metrics(truth, np.roll(truth, 1, axis=0), TASKS)


def _epochs() -> pd.DataFrame:
    names = {f"{part}/{key}": np.arange(5.0) for key in BRUNA_CURVES for part in ("train", "validation")}
    sparse = [np.nan, 0.2, np.nan, np.nan, 0.5]
    return pd.DataFrame({"epoch": range(1, 6), **names, "validation/market1501/rank1": sparse})


def _titles(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


def test_curves_draw_every_quantity_of_figure_8() -> None:
    figure = curves(_epochs(), BRUNA_CURVES)
    assert _titles(figure) == list(BRUNA_CURVES.values())
    last = figure.axes[list(BRUNA_CURVES).index("market1501/rank1")].lines[-1]
    assert last.get_xdata().tolist() == [2, 5]  # epochs without a measurement leave no point
    assert last.get_ydata().tolist() == [0.2, 0.5]


def test_curves_without_names_take_the_columns() -> None:
    table = pd.DataFrame({"epoch": [1, 2], "train/loss": [2.0, 1.0], "validation/iou": [0.1, 0.2], "lr": [1, 1]})
    figure = curves(table)
    assert _titles(figure) == ["Loss", "IoU"]
    assert [len(axes.lines) for axes in figure.axes] == [1, 1]
    with pytest.raises(ValueError, match="no curve to draw"):
        curves(table[["epoch", "lr"]])


def test_confusion_grid_shows_all_tasks_and_counts() -> None:
    results = _results()
    figure = confusion_grid(results, "Confusion")
    assert len(figure.axes) == 15
    binary = [task.title for task in TASKS if task.binary]
    assert _titles(figure) == [*binary, "Age", "Upcolor", "Downcolor"]
    assert binary[:2] == ["Backpack", "Bag"] and binary[-3:] == ["Camera4", "Camera6", "Junk"]
    hat = next(r for r in results if r.task.name == "hat")
    axes = figure.axes[_titles(figure).index("Hat")]
    drawn = {text.get_text() for text in axes.texts}
    assert {str(count) for count in hat.confusion.ravel()} <= drawn
    assert np.allclose(axes.images[0].get_array(), hat.confusion / hat.confusion.sum(axis=1, keepdims=True))


def test_confusion_grid_of_other_tasks() -> None:
    for tasks in ((Task("size", ("a", "b", "c")), Task("glasses", ("no", "yes"))), (JUNK_TASK,)):
        truth = np.tile(np.arange(4)[:, None] % 2, (1, len(tasks)))
        titles = _titles(confusion_grid(task_metrics(truth, truth, tasks), "t"))
        assert titles == (["Glasses", "Size"] if len(tasks) == 2 else ["Junk"])


def test_confusion_labels_do_not_overlap() -> None:
    truth = np.zeros((20_000, 15), dtype=int)
    truth[::2] = 1
    figure = confusion_grid(task_metrics(truth, truth, TASKS), "Confusion matrices, validation")  # "100%": the widest
    figure.canvas.draw()
    for axes in figure.axes:
        left, right = axes._left_title, axes._right_title
        assert left.get_window_extent().x1 < right.get_window_extent().x0, left.get_text()


def test_row_shares_of_a_value_that_never_occurs() -> None:
    assert row_shares(np.array([[3, 1], [0, 0]])).tolist() == [[0.75, 0.25], [0, 0]]


def test_unannotated_task_says_so() -> None:
    truth = np.zeros((3, 15), dtype=int)
    truth[:, -1] = -1
    results = task_metrics(truth, np.zeros_like(truth), TASKS)
    figure = confusion_grid(results, "t")
    junk = figure.axes[_titles(figure).index("Junk")]
    assert [text.get_text() for text in junk.texts] == ["not annotated"]


def _table() -> pd.DataFrame:
    columns = ("accuracy", "majority", "balanced_accuracy", "chance")
    rows = [{"task": task, **{c: 0.1 * i for i, c in enumerate(columns, start=row)}} for row, task in enumerate("AB")]
    return pd.DataFrame(rows).assign(**{"dot/accuracy": 0.9, "dot/balanced_accuracy": 0.8})


def test_attribute_bars_have_the_values_their_marks_and_dots() -> None:
    table = _table()
    panels = attribute_bars(table, dot="Task 1 alone").axes
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["A", "B"]
    for place, metric, mark in zip(panels, ("accuracy", "balanced_accuracy"), ("majority", "chance"), strict=True):
        assert [bar.get_width() for bar in place.patches] == pytest.approx(table[metric].tolist())
        assert [line[0][0] for line in place.collections[0].get_segments()] == pytest.approx(table[mark].tolist())
        assert place.lines[0].get_xdata().tolist() == table[f"dot/{metric}"].tolist()
    assert not attribute_bars(table).axes[0].lines


def test_retrieval_charts() -> None:
    figure = cmc_curves({"Market-1501": np.array([0.5, 0.75, 1.0]), "course": np.array([0.9, 1.0])})
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["Market-1501: 50.0% at rank 1", "course: 90.0% at rank 1"]
    figure = ap_profile({"a": np.array([0.0, 1.0, 0.5, 1.0]), "b": np.array([1.0])})
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["a: mAP 62.5%, 4 queries", "b: mAP 100.0%, 1 query"]
    values, edges, _ = figure.axes[0].patches[0].get_data()
    assert values.tolist() == [1.0, 1.0, 0.5, 0.0]
    assert edges.tolist() == [0, 0.25, 0.5, 0.75, 1]


@pytest.mark.parametrize("value", [0.01, 0.99])
def test_axes_of_shares_are_the_same_whatever_is_drawn(value: float) -> None:
    shares = np.full(4, value)
    epochs = pd.DataFrame({"epoch": range(4), "validation/market1501/map": shares})
    points = pd.DataFrame({"task": "Hat", "shift": [-1.0, 0.0], "validation/accuracy": value}).assign(
        **{"validation/balanced_accuracy": value}
    )
    drawn = [cmc_curves({"a": shares}), ap_profile({"a": shares}), curves(epochs), operating_chart(points)]
    assert [figure.axes[0].get_ylim() for figure in drawn] == [(-0.02, 1.02)] * 4
    assert [figure.axes[0].get_xlim() for figure in drawn[:2]] == [(0.5, 20.5), (-0.02, 1.02)]
    assert attribute_bars(_table().assign(accuracy=value)).axes[0].get_xlim() == (0, 1.12)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: curves(_epochs(), BRUNA_CURVES),
        lambda: attribute_bars(_table(), dot="d"),
        lambda: confusion_grid(_results(), "Confusion"),
        lambda: ap_profile({"a": np.linspace(0, 1, 9)}),
    ],
)
def test_equal_input_gives_equal_bytes(draw: Callable[[], Figure]) -> None:
    assert png_bytes(draw()) == png_bytes(draw())
