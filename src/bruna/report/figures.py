"""Charts: curves by epoch (Figure 8 of the paper), CMC, average precisions, attributes against chance.

An axis of shares always runs from 0 to 100%, so that pictures of two experiments compare.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, PercentFormatter

from bruna.report.style import COLORS, INK, TRAIN, VALIDATION, new_figure

Values = npt.NDArray[np.floating]

BRUNA_CURVES: Mapping[str, str] = {
    "market1501/map": "mAP by features, Market-1501",
    "market1501/rank1": "Rank-1 by features, Market-1501",
    "course/map": "mAP by features, course",
    "loss": "Bruna's loss",
    "triplet_loss": "Triplet loss",
    "classification_loss": "Classification loss",
    "identity_loss": "Identity loss",
    "batch_hard_loss": "Batch-hard triplet loss",
    "adversarial_loss": "Adversarial loss",
    "same_person_distance": "Same person distance",
    "different_person_distance": "Different person distance",
    "hardest_person_distance": "The two hardest of the eight",
    "random_person_distance": "Random person distance",
    "margin": "Margin P",
}
"""How well Bruna ranks by the distance of features alone, then the quantities of Figure 8 and losses that the paper
lacks, with their titles; the keys are what `curves` looks for after `train/` and `validation/`."""
CMC_DEPTH = 20
"""Ranks that a CMC chart shows."""
_CHART = 4.4, 3.9
"""Width and height of a small chart, inches: two stand side by side on a page."""
_SHARES = {"accuracy", "balanced_accuracy", "iou", "dice", "map", "rank1"}
"""Quantities from 0 to 1, by the last part of their names."""
_Dash = Literal["-", "--"]
_PARTS: tuple[tuple[str, str, _Dash, str], ...] = (("train", TRAIN, "-", "."), ("validation", VALIDATION, "--", "o"))


def curves(
    epochs: pd.DataFrame, names: Mapping[str, str] | None = None, title: str = "Training", columns: int = 4
) -> Figure:
    """Draw quantities against the epoch, one small panel each, training against validation.

    Args:
        epochs: a row an epoch; a column `epoch`, the others named `train/<quantity>` or
            `validation/<quantity>`. NaN where a quantity was not measured in an epoch.
        names: quantity -> panel title, in panel order; quantities that are not named are left out, named
            ones without a number too. None: every quantity, in the order of the columns.
        title: over the figure.
        columns: panels a row.

    Raises:
        ValueError: no quantity to draw.
    """
    if names is None:
        quantities = dict.fromkeys(str(c).split("/", 1)[1] for c in epochs.columns if str(c).startswith(_PREFIXES))
        names = {quantity: _title(quantity) for quantity in quantities}
    panels = {quantity: text for quantity, text in names.items() if _series(epochs, quantity)}
    if not panels:
        raise ValueError(f"no curve to draw: looked for {list(names)} in the columns {list(epochs.columns)}")
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = new_figure(rows, columns, width=3.0 * max(columns, 2), height=0.5 + 2.1 * rows, title=title)
    first, last = epochs["epoch"].min(), epochs["epoch"].max()
    margin = 0.03 * (last - first) or 0.5
    used = set()
    for place, (quantity, text) in zip(axes.flat, panels.items(), strict=False):
        place.set_title(text)
        for part, color, dash, marker, values in _series(epochs, quantity):
            used.add(part)
            size = 4 if len(values) < 40 else 0
            place.plot(values.index, values, color=color, linestyle=dash, marker=marker, markersize=size)
        if quantity.rsplit("/", 1)[-1] in _SHARES:
            share_axis(place.yaxis)
        place.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        place.set_xlim(first - margin, last + margin)  # equal for all: not every quantity is measured at once
    for place in axes.flat[len(panels) :]:
        place.remove()
    for place in axes.flat[max(len(panels) - columns, 0) : len(panels)]:
        place.set_xlabel("epoch")
    key = [Line2D([], [], color=c, linestyle=d, marker=m, label=p) for p, c, d, m in _PARTS if p in used]
    figure.legend(handles=key, loc="outside upper right", ncols=2, fontsize=9)
    return figure


_WRITTEN = {"iou": "IoU", "map": "mAP"}


def _title(quantity: str) -> str:
    words = quantity.replace("_", " ").replace("/", " ").split()
    text = " ".join(_WRITTEN.get(word, word) for word in words)
    return text if words[0] in _WRITTEN else text[:1].upper() + text[1:]


_PREFIXES = tuple(f"{part}/" for part, *_ in _PARTS)


def _series(epochs: pd.DataFrame, quantity: str) -> list[tuple[str, str, _Dash, str, "pd.Series[float]"]]:
    found = []
    for part, color, dash, marker in _PARTS:
        column = f"{part}/{quantity}"
        if column in epochs:
            values = epochs.set_index("epoch")[column].dropna()
            if len(values):
                found.append((part, color, dash, marker, values))
    return found


def cmc_curves(cmc: Mapping[str, Values], title: str = "CMC") -> Figure:
    """Draw the share of queries with a match among the first k, a line a protocol; the axes are always the same.

    Args:
        cmc: label -> shares 0..1 for k = 1, 2, ..., `CMC_DEPTH` at most.
    """
    figure, axes = new_figure(width=_CHART[0], height=_CHART[1], title=title)
    place: Axes = axes[0, 0]
    for i, (label, shares) in enumerate(cmc.items()):
        ranks = np.arange(1, len(shares) + 1)
        text = f"{label}: {shares[0]:.1%} at rank 1"
        place.plot(ranks, shares, marker="o", markersize=4, label=text, **_line(i))
    place.set(xlabel="rank k", ylabel="queries with a match by then", xlim=(0.5, CMC_DEPTH + 0.5))
    place.set_xticks([1, *range(5, CMC_DEPTH + 1, 5)])
    share_axis(place.yaxis)
    figure.legend(loc="outside lower left", fontsize=9)
    return figure


def ap_profile(average_precision: Mapping[str, Values], title: str = "Average precision") -> Figure:
    """Draw the queries' average precisions from the best to the worst, a line a protocol; the axes are always the same.

    The area under a line is the mAP.

    Args:
        average_precision: label -> one average precision a query, 0..1.
    """
    figure, axes = new_figure(width=_CHART[0], height=_CHART[1], title=title)
    place: Axes = axes[0, 0]
    for i, (label, values) in enumerate(average_precision.items()):
        mean = float(np.mean(values)) if len(values) else 0.0
        text = f"{label}: mAP {mean:.1%}, {len(values):,} {'query' if len(values) == 1 else 'queries'}"
        edges = np.linspace(0, 1, len(values) + 1)
        place.stairs(np.sort(values)[::-1], edges, baseline=None, lw=1.8, label=text, **_line(i))
    place.set(xlabel="queries, best first", ylabel="average precision")
    share_axis(place.xaxis)
    share_axis(place.yaxis)
    figure.legend(loc="outside lower left", fontsize=9)
    return figure


def _line(i: int) -> dict[str, Any]:
    return {"color": COLORS[i % len(COLORS)], "linestyle": ("-", "--", "-.", ":")[i % 4]}


def share_axis(axis: Axis) -> None:
    """Make an axis run from 0 to 100%, whatever is drawn: so pictures of two experiments compare."""
    limit = axis.axes.set_xlim if isinstance(axis, XAxis) else axis.axes.set_ylim
    limit(-0.02, 1.02)
    axis.set_major_locator(FixedLocator(np.linspace(0, 1, 6).tolist()))
    axis.set_major_formatter(PercentFormatter(1, decimals=0))


def attribute_bars(figures: pd.DataFrame, title: str = "Attributes", dot: str = "") -> Figure:
    """Draw accuracy against the majority share, and balanced accuracy against chance, a row an attribute.

    A bar that does not pass its mark is no better than a constant prediction.

    Args:
        figures: a row an attribute, top first; columns `task` (its title), `accuracy`, `majority`,
            `balanced_accuracy`, `chance`, shares 0..1; where there are columns `dot/accuracy` and
            `dot/balanced_accuracy`, a dot is drawn at each.
        title: over the figure.
        dot: what the dots are.
    """
    height = 1.25 + 0.34 * len(figures)
    figure, axes = new_figure(1, 2, width=9.6, height=height, title=title, sharey=True)
    rows = np.arange(len(figures))
    for place, metric, mark, meaning, color in (
        (axes[0, 0], "accuracy", "majority", "always predicting the commonest value", TRAIN),
        (axes[0, 1], "balanced_accuracy", "chance", "any constant prediction", COLORS[2]),
    ):
        place.barh(rows, figures[metric], height=0.62, color=color)
        marks = place.vlines(figures[mark], rows - 0.42, rows + 0.42, color=VALIDATION, linewidth=3, label=meaning)
        key: list[Any] = [marks]
        if dot:
            key += place.plot(figures[f"dot/{metric}"], rows, "o", color="white", mec=INK, mew=1.2, ms=5, label=dot)
        for row, value in zip(rows, figures[metric], strict=True):
            place.text(1.02, row, f"{value:.0%}", va="center", fontsize=9)
        place.tick_params(axis="y", length=0, labelsize=9)
        share_axis(place.xaxis)
        place.set(xlim=(0, 1.12), ylim=(len(figures) - 0.4, -0.6), title=_title(metric))
        place.grid(visible=False, axis="y")
        place.legend(handles=key, loc="upper center", bbox_to_anchor=(0.5, -0.07), ncols=2, fontsize=8)
    axes[0, 0].set_yticks(rows, figures["task"])
    return figure
