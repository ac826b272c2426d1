"""The chart of the trade between accuracy and balanced accuracy (see `bruna.evaluation.operating_points`)."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bruna.report.figures import share_axis
from bruna.report.style import COLORS, INK, TRAIN, VALIDATION, blank, new_figure

_COLUMNS = 5
_WIDTH, _TOP = 12.0, 0.45
_CELL, _PANEL = (2.35, 2.2), (1.85, 1.5)  # inches: from panel to panel, and of a panel
_HALF_STEP = 0.05
_SERIES: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("accuracy", "", "accuracy", {"color": TRAIN, "marker": "o", "markersize": 4, "linestyle": "none"}),
    (
        "balanced_accuracy",
        "bal. ",
        "balanced accuracy",
        {"color": COLORS[2], "marker": "s", "markersize": 4, "linestyle": "none"},
    ),
)
"""Columns, before the numbers in a heading, in the key, markers."""


def operating_chart(points: pd.DataFrame) -> Figure:
    """Draw accuracy and balanced accuracy (validation) of every operating point, and mark the chosen one.

    No line joins the points: between them there is nothing, and few images move them by jumps. The axes are always
    the same, 0 to 1 and 0 to 100%.

    Args:
        points: columns `task`, `shift`, `validation/accuracy` and `validation/balanced_accuracy`, a row a task and
            shift, ascending; the last task is the mean of the others.
    """
    known = points[points["validation/accuracy"].notna()]
    titles = list(known["task"].unique())
    rows = -(-(len(titles) + 1) // _COLUMNS)
    height = _TOP + rows * _CELL[1]
    heading = "Operating points, validation: leaning to common or to rare values"
    figure, axes = new_figure(rows, _COLUMNS, width=_WIDTH, height=height, title=heading)
    figure.set_layout_engine("none")  # constrained layout needs seconds for so many panels
    for (row, column), place in np.ndenumerate(axes):
        x, y = 0.6 + column * _CELL[0], 0.5 + (rows - 1 - row) * _CELL[1]  # inches
        place.set_position((x / _WIDTH, y / height, _PANEL[0] / _WIDTH, _PANEL[1] / height))
    for place, title in zip(axes.flat, titles, strict=False):
        _panel(place, known[known["task"] == title])
        place.set_title(title.partition(" of the ")[0])  # "Mean of the 12 attributes" is too long
    for place in axes.flat[len(titles) :]:
        blank(place)
    _key(axes.flat[len(titles)])
    for place in axes.flat[max(0, len(titles) - _COLUMNS) : len(titles)]:
        place.set_xlabel("lean to rare values")
    return figure


def _panel(place: Axes, points: pd.DataFrame) -> None:
    shifts = points["shift"].to_numpy()
    lean = shifts - shifts.min()  # the logit adjustment of the training included: from 0
    chosen = float(lean[int(np.argmin(np.abs(shifts)))])
    place.axvspan(chosen - _HALF_STEP, chosen + _HALF_STEP, color=VALIDATION, alpha=0.3, lw=0)
    scores = []
    for column, short, _, style in _SERIES:
        values = points[f"validation/{column}"].to_numpy()
        place.plot(lean, values, **style)
        scores.append(f"{short}{values[lean == chosen][0]:.0%}")
    place.set_title(", ".join(scores), loc="right", fontsize=8, fontweight="normal", color=INK)
    place.set_xlim(-0.08, max(1.0, float(lean.max())) + 0.08)
    place.set_xticks([0, 0.5, 1])
    share_axis(place.yaxis)


def _key(place: Axes) -> None:
    series = [Line2D([], [], label=label, **style) for *_, label, style in _SERIES]
    chosen = Patch(color=VALIDATION, alpha=0.3, label="chosen: what the network\npredicts, and the headings")
    place.legend(handles=[chosen, *series], loc="upper left", fontsize=9, labelspacing=0.9)
    text = "0: frequent values are favored as\nin the data; 1: all count alike"
    place.text(0.05, 0.02, text, transform=place.transAxes, fontsize=8, va="bottom")
