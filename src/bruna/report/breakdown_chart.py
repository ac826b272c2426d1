"""The chart of who is found less well: a dot with its interval a group, all people as a line."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bruna.dataset.schema import title as title_of
from bruna.report.figures import share_axis
from bruna.report.style import BAD, GOOD, INK, MUTED, TRAIN, new_figure

_PANELS = {"map": "mAP", "rank1": "Rank-1", "fmr": "False match rate"}
_WIDTH, _ROW, _ENDS = 9.6, 0.21, 1.35
"""Inches: the figure, a row, and what is above and below the rows."""
_MARKS = {
    "better": (GOOD, "^", "better than all others"),
    "worse": (BAD, "v", "worse than all others"),
    "": (TRAIN, "o", "no clear difference"),
}
"""Color, marker and meaning by verdict; each other verdict is the last."""


def breakdown_chart(table: pd.DataFrame, heading: str) -> Figure:
    """Draw mAP, rank-1 and false match rate of every group.

    Args:
        table: of `bruna.evaluation.breakdown`, the first row that of all people, without groups of too few people.
        heading: over the figure.
    """
    everybody, groups = table.iloc[0], table.iloc[1:]
    places, labels = _places(groups)
    shown = [name for name in _PANELS if not np.isnan(everybody[name])]
    height = _ENDS + _ROW * len(labels)
    figure, axes = new_figure(1, len(shown), width=_WIDTH, height=height, title=heading, sharey=True)
    for place, name in zip(axes.flat, shown, strict=True):
        _panel(place, everybody, groups, places, name)
    first: Axes = axes[0, 0]
    first.set_yticks(range(len(labels)), labels, fontsize=8)
    first.set_ylim(len(labels) - 0.4, -0.6)
    for text in first.get_yticklabels():
        if not text.get_text().startswith(" "):
            text.set_fontweight("bold")
    key = [Line2D([], [], color=c, marker=m, ls="-", ms=5, label=meaning) for c, m, meaning in _MARKS.values()]
    key.append(Line2D([], [], color=INK, ls="--", lw=1, label="all people"))
    figure.legend(handles=key, loc="outside lower left", ncols=4, fontsize=8)
    return figure


def _places(groups: pd.DataFrame) -> tuple[list[int], list[str]]:
    """The row of each group, and the labels of all rows: a heading an attribute, its values below."""
    places, labels = [], []
    for by, values in groups.groupby("by", sort=False):
        labels.append(title_of(str(by)))
        for value, people in zip(values["value"], values["people"], strict=True):
            places.append(len(labels))
            labels.append(f"  {value} ({people:,})")
    return places, labels


def _panel(place: Axes, everybody: pd.Series, groups: pd.DataFrame, places: list[int], name: str) -> None:
    if not np.isnan(everybody[f"{name}_low"]):
        place.axvspan(everybody[f"{name}_low"], everybody[f"{name}_high"], color=MUTED, alpha=0.12, lw=0)
    place.axvline(everybody[name], color=INK, lw=1, ls="--")
    for row, (_, group) in zip(places, groups.iterrows(), strict=True):
        color, marker, _ = _MARKS.get(group[f"{name}_verdict"], _MARKS[""])
        if not np.isnan(group[f"{name}_low"]):
            place.hlines(row, group[f"{name}_low"], group[f"{name}_high"], color=color, lw=1.6)
        place.plot(group[name], row, marker=marker, color=color, ms=5)
    place.set_title(_PANELS[name])
    place.tick_params(axis="y", length=0)
    place.grid(visible=False, axis="y")
    if name == "fmr":
        highest = np.nanmax([everybody[f"{name}_high"], groups[f"{name}_high"].max(), everybody[name]])
        place.set_xlim(0, 1.05 * highest or 1.0)
        place.xaxis.set_major_locator(MaxNLocator(5))
        place.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{100 * rate:g}%"))
    else:
        share_axis(place.xaxis)
