"""The trade between accuracy and balanced accuracy: what a head would score if it leaned more to rare values.

A prediction-time shift of t lowers the logit of every value by t log(its share in training) (Menon et al., Long-tail
learning via logit adjustment, 2021, equation 9). Points are chosen by nobody here: 0 is what the network says.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from bruna.dataset.attributes import ATTRIBUTES
from bruna.metrics.attributes import TASKS, Codes, TaskMetrics, confusion_matrix, mean_metrics
from bruna.report.style import MUTED, TRAIN, VALIDATION, blank, new_figure
from bruna.report.tables import ATTRIBUTES_ONLY, TABLE1_ORDER

_STEPS = 10
_COLUMNS = 5
_WIDTH, _TOP = 12.0, 0.45
_CELL, _PANEL = (2.35, 2.3), (1.75, 1.6)  # inches: from panel to panel, and of a panel
_LEAST_SPAN = 0.05
"""What an axis shows at least: differences of a few images are to look small."""


def shifts(logit_adjustment: float) -> list[float]:
    """The shifts t to try, ascending, 0 among them.

    A network trained with a logit adjustment of tau has been shifted by tau already: with t from -tau to 1 - tau the
    total goes from 0 to 1 whatever tau is.
    """
    totals = {i / _STEPS for i in range(_STEPS + 1)} | {logit_adjustment}
    return [round(total - logit_adjustment, 6) for total in sorted(totals)]


def operating_points(sides: Mapping[str, tuple[Codes, Mapping[float, Codes]]]) -> pd.DataFrame:
    """Score every shift.

    Args:
        sides: side of the split -> N x 12 (or more) true codes, -1 where not annotated, and for every shift the N x 12
            predicted codes.

    Returns:
        A row an attribute and shift, and one for the mean of the 12 (`Mean of the 12 attributes`): `task`, `shift`,
        then `<side>/acc` and `<side>/rec`, accuracy and macro recall (balanced accuracy), 0..1; NaN where nothing is
        annotated.
    """
    frames = []
    for side, (truth, predicted) in sides.items():
        rows = []
        for shift, codes in predicted.items():
            results = _score(truth, codes)
            rows += [(result.task.title, shift, result.accuracy, result.recall) for result in results]
            mean = mean_metrics(results)
            rows.append((ATTRIBUTES_ONLY, shift, mean["accuracy"], mean["recall"]))
        frames.append(pd.DataFrame(rows, columns=["task", "shift", f"{side}/acc", f"{side}/rec"]))
    table = frames[0]
    for frame in frames[1:]:
        table = table.merge(frame, on=["task", "shift"], validate="one_to_one")
    return table.sort_values(["task", "shift"], key=_place, kind="stable", ignore_index=True)


def _score(truth: Codes, predicted: Codes) -> list[TaskMetrics]:
    count = len(ATTRIBUTES)
    return [
        TaskMetrics(task, confusion_matrix(truth[:, i], predicted[:, i], len(task.values)))
        for i, task in enumerate(TASKS[:count])
    ]


def _titles() -> list[str]:
    """The 12 attributes in the order of Table 1, and their mean."""
    title = {task.name: task.title for task in TASKS[: len(ATTRIBUTES)]}
    return [*(title[name] for name in TABLE1_ORDER if name in title), ATTRIBUTES_ONLY]


def _place(column: "pd.Series[Any]") -> "pd.Series[Any]":
    return column.map({title: i for i, title in enumerate(_titles())}) if column.name == "task" else column


def operating_curves(points: pd.DataFrame, side: str = "validation") -> Figure:
    """Draw accuracy against balanced accuracy, a small panel an attribute and one for their mean.

    Args:
        points: of `operating_points`.
        side: which side of the split.
    """
    titles = [title for title in _titles() if points.loc[points["task"] == title, f"{side}/acc"].notna().any()]
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
        place.set_title("Mean of the 12" if title == ATTRIBUTES_ONLY else title)
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
        Line2D([], [], label="chosen point: what\nthe network says (t = 0)", **_CHOSEN),
        Line2D([], [], label="leaning most\nto rare values", **_LAST),
        Line2D([], [], color=TRAIN, marker=".", label="a tenth of log(share)\nfrom point to point"),
    )
    place.legend(handles=handles, loc="upper left", fontsize=9, labelspacing=1)
