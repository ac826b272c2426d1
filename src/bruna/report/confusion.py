"""The confusion matrices of all tasks on one page (Figures 4 and 5 of the paper)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bruna.metrics.attributes import TaskMetrics
from bruna.report.style import INK, MUTED, SEQUENTIAL, blank, new_figure

_COLUMNS = 6
_WIDTH = 12.0
_SMALL, _SMALL_LINE = (1.62, 1.42), 2.1  # inches: width and height of a 2 x 2 matrix, height of its row
_LARGE_HEIGHT, _LARGE_LINE = 3.9, 5.0
_LARGE_WIDTHS = (1.9, 3.7)  # of up to four values, of more
_LABELS = 0.85  # room left of a large matrix for the names of its values


def confusion_grid(results: Sequence[TaskMetrics], title: str) -> Figure:
    """Draw all matrices, each row normalised to 100% of a true value, with the counts beneath.

    Args:
        results: of `task_metrics`.
        title: e.g. "Confusion matrices, validation".

    Returns:
        A figure with one axes a task, the binary ones in rows of six, then those of more
        values (age, the two colours), which need the room. Blank cells are counts of zero.
    """
    small = [result for result in results if result.task.binary]
    large = _lines(sorted((r for r in results if not r.task.binary), key=lambda result: len(result.task.values)))
    rows = -(-len(small) // _COLUMNS)
    height = 0.6 + rows * _SMALL_LINE + len(large) * _LARGE_LINE
    figure, axes = new_figure(width=_WIDTH, height=height, title=title)
    # Placed by hand: constrained layout needs seconds for 15 axes, and the cells should be equal anyway.
    figure.set_layout_engine("none")
    axes[0, 0].remove()
    figure.suptitle(title, x=0.01, y=1 - 0.1 / height, ha="left", va="top", fontsize=12, fontweight="bold")
    subtitle = "rows: true values, each 100% · columns: predicted · headings: accuracy, balanced accuracy"
    figure.text(0.99, 1 - 0.12 / height, subtitle, ha="right", va="top", color=MUTED)

    def place(x: float, y: float, width: float, tall: float) -> Axes:
        return figure.add_axes((x / _WIDTH, 1 - (y + tall) / height, width / _WIDTH, tall / height))

    for i, result in enumerate(small):
        row, column = divmod(i, _COLUMNS)
        _draw(place(0.4 + column * 1.95, 0.85 + row * _SMALL_LINE, *_SMALL), result)
    for row, line in enumerate(large):
        x = 0.0
        for result in line:
            x += _LABELS
            _draw(place(x, 0.85 + rows * _SMALL_LINE + row * _LARGE_LINE, _width(result), _LARGE_HEIGHT), result)
            x += _width(result)
    return figure


def _width(result: TaskMetrics) -> float:
    return _LARGE_WIDTHS[len(result.task.values) > 4]


def _lines(large: list[TaskMetrics]) -> list[list[TaskMetrics]]:
    """Break large matrices into lines that fit the page."""
    lines: list[list[TaskMetrics]] = []
    for result in large:
        if lines and sum(_LABELS + _width(one) for one in [*lines[-1], result]) <= _WIDTH:
            lines[-1].append(result)
        else:
            lines.append([result])
    return lines


def _draw(axes: Axes, result: TaskMetrics) -> None:
    values = result.task.values
    if not result.count:
        blank(axes)
        axes.set_title(result.task.title)
        axes.text(0.5, 0.5, "not annotated", transform=axes.transAxes, ha="center", va="center", color=MUTED)
        return
    shares = row_shares(result.confusion)
    axes.imshow(shares, cmap=SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    many = len(values) > 4
    ticks = np.arange(len(values))
    axes.set_xticks(ticks, values, rotation=40 if len(values) > 2 else 0, ha="right" if len(values) > 2 else "center")
    axes.set_yticks(ticks, values, rotation=0 if len(values) > 2 else 90, va="center")
    axes.set_title(result.task.title, fontsize=9.5)
    shown = f"{result.accuracy:.0%}, bal. {result.balanced_accuracy:.0%}"
    axes.set_title(shown, loc="right", fontsize=8, fontweight="normal", color=INK)
    for row, column in zip(*np.nonzero(result.confusion), strict=True):
        share = shares[row, column]
        color = "white" if share > 0.55 else INK
        percent = f"{share:.0%}" if not many else f"{100 * share:.0f}"
        axes.text(column, row, percent, ha="center", va="bottom", color=color, fontsize=8.5 if many else 10)
        count = f"{result.confusion[row, column]:,}"
        axes.text(column, row + 0.07, count, ha="center", va="top", color=color, fontsize=6.5 if many else 8)


def row_shares(confusion: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Each row divided by its sum; rows of values that never occur stay zero."""
    shares: npt.NDArray[np.float64] = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    return shares
