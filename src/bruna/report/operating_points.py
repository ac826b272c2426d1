"""The chart of the trade between accuracy and balanced accuracy (see `bruna.evaluation.operating_points`)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from bruna.report.style import MUTED, TRAIN, VALIDATION, blank, new_figure

_COLUMNS = 5
_WIDTH, _TOP = 12.0, 0.45
_CELL, _PANEL = (2.35, 2.3), (1.75, 1.6)  # inches: from panel to panel, and of a panel
_LEAST_SPAN = 0.05
"""What an axis shows at least: differences of a few images are to look small."""


def operating_curves(points: pd.DataFrame, side: str = "validation") -> Figure:
    """Draw accuracy against balanced accuracy, a small panel an attribute and one for their mean.

    Args:
        points: columns `task`, `shift`, `<side>/acc` and `<side>/rec`, a row a task and shift; the last task is the
            mean of the others.
        side: which side of the split.
    """
    titles = list(points.loc[points[f"{side}/acc"].notna(), "task"].unique())
    rows = -(-(len(titles) + 1) // _COLUMNS)
    heading = f"Operating points, {side}: leaning to common or to rare values"
    figure, axes = new_figure(rows, _COLUMNS, width=_WIDTH, height=_TOP + rows * _CELL[1], title=heading)
    figure.set_layout_engine("none")  # constrained layout needs seconds for so many panels
    for (row, column), place in np.ndenumerate(axes):
        x, y = 0.65 + column * _CELL[0], 0.5 + (rows - 1 - row) * _CELL[1]  # inches
        height = _TOP + rows * _CELL[1]
        place.set_position((x / _WIDTH, y / height, _PANEL[0] / _WIDTH, _PANEL[1] / height))
    for place, title in zip(axes.flat, titles, strict=False):
        _curve(place, points[points["task"] == title], side)
        place.set_title(title.removesuffix(" attributes"))  # of "Mean of the 12 attributes", which is too long
    for place in axes.flat[len(titles) :]:
        blank(place)
    _key(axes.flat[len(titles)])
    for place in axes.flat[max(0, len(titles) - _COLUMNS) : len(titles)]:
        place.set_xlabel("balanced accuracy")
    for place in axes[:, 0]:
        place.set_ylabel("accuracy")
    return figure


def _curve(place: Axes, points: pd.DataFrame, side: str) -> None:
    balanced, accuracy = points[f"{side}/rec"].to_numpy(), points[f"{side}/acc"].to_numpy()
    place.plot(balanced, accuracy, color=TRAIN, marker=".", markersize=5)
    chosen = int(np.argmin(np.abs(points["shift"].to_numpy())))
    place.plot(balanced[chosen], accuracy[chosen], **_CHOSEN)
    place.plot(balanced[-1], accuracy[-1], **_LAST)
    for axis, values in ((place.xaxis, balanced), (place.yaxis, accuracy)):
        axis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
        middle, reach = (values.max() + values.min()) / 2, max(1.24 * np.ptp(values), _LEAST_SPAN) / 2
        axis.axes.set(**{f"{axis.axis_name}lim": (middle - reach, middle + reach)})


_CHOSEN: dict[str, Any] = {"color": VALIDATION, "marker": "o", "markersize": 8, "linestyle": "none"}
_LAST: dict[str, Any] = {"color": MUTED, "marker": "s", "markersize": 6, "linestyle": "none"}


def _key(place: Axes) -> None:
    handles: Sequence[Line2D] = (
        Line2D([], [], label="chosen point: what the\nnetwork predicts (t = 0)", **_CHOSEN),
        Line2D([], [], label="leaning most\nto rare values", **_LAST),
        Line2D([], [], color=TRAIN, marker=".", label="a tenth of log(share)\nfrom point to point"),
    )
    place.legend(handles=handles, loc="upper left", fontsize=9, labelspacing=1)
