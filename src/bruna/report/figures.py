"""Charts: curves per epoch (Figure 8 of the paper), CMC, average precisions, attributes against chance."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from bruna.dataset.attributes import table1_place
from bruna.metrics.attributes import TaskMetrics
from bruna.report.style import COLORS, TRAIN, VALIDATION, new_figure

Values = npt.NDArray[np.floating]

BRUNA_CURVES: Mapping[str, str] = {
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
    "course/map": "mAP by features, course",
    "market1501/map": "mAP by features, Market-1501",
    "market1501/rank1": "Rank-1 by features, Market-1501",
}
"""Quantities of Figure 8, and of losses that the paper lacks, and their titles; the keys are what `curves` looks for
after `train/` and `validation/`. The training ranks by the distance of features alone, without the attributes."""
_Dash = Literal["-", "--"]
_PARTS: tuple[tuple[str, str, _Dash, str], ...] = (("train", TRAIN, "-", "."), ("validation", VALIDATION, "--", "o"))


def curves(
    epochs: pd.DataFrame, names: Mapping[str, str] | None = None, title: str = "Training", columns: int = 3
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
    figure, axes = new_figure(rows, columns, width=3.2 * max(columns, 2), height=0.5 + 2.4 * rows, title=title)
    first, last = epochs["epoch"].min(), epochs["epoch"].max()
    margin = 0.03 * (last - first) or 0.5
    used = set()
    for place, (quantity, text) in zip(axes.flat, panels.items(), strict=False):
        place.set_title(text)
        for part, color, dash, marker, values in _series(epochs, quantity):
            used.add(part)
            size = 4 if len(values) < 40 else 0
            place.plot(values.index, values, color=color, linestyle=dash, marker=marker, markersize=size)
        place.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        place.set_xlim(first - margin, last + margin)  # equal for all: not every quantity is measured at once
    for place in axes.flat[len(panels) :]:
        place.remove()
    for place in axes.flat[max(len(panels) - columns, 0) : len(panels)]:
        place.set_xlabel("epoch")
    key = [Line2D([], [], color=c, linestyle=d, marker=m, label=p) for p, c, d, m in _PARTS if p in used]
    figure.legend(handles=key, loc="upper right", ncols=2, fontsize=9)
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
    """Draw the share of queries with a right image among the first k, a line a protocol.

    Args:
        cmc: label -> shares 0..1 for k = 1, 2, ...; drawn up to the longest.
    """
    figure, axes = new_figure(width=7.2, height=4.2, title=title)
    place: Axes = axes[0, 0]
    dashes = ("-", "--", "-.", ":")
    for i, (label, shares) in enumerate(cmc.items()):
        ranks = np.arange(1, len(shares) + 1)
        style: dict[str, Any] = {"color": COLORS[i % len(COLORS)], "linestyle": dashes[i % len(dashes)]}
        text = f"{label}: {shares[0]:.1%} at rank 1"
        place.plot(ranks, shares, marker="o" if len(ranks) <= 25 else "", markersize=4, label=text, **style)
    lowest = min((float(np.min(shares)) for shares in cmc.values()), default=0)
    place.set(xlabel="rank k", ylabel="queries with a right image by rank k", ylim=(max(0, lowest - 0.08), 1.02))
    longest = max((len(shares) for shares in cmc.values()), default=1)
    place.set_xticks([1, *range(5, longest + 1, 5 if longest <= 50 else 10)])
    place.yaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))  # no ticks at halves of a per cent
    place.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    place.legend(loc="lower right", fontsize=9)
    return figure


def ap_histogram(average_precision: Mapping[str, Values], title: str = "Average precision of each query") -> Figure:
    """Draw how the queries' average precisions spread, a panel a protocol, with the mean (mAP) marked.

    Args:
        average_precision: label -> one average precision a query, 0..1.
    """
    labels = list(average_precision)
    width = max(4.6 * len(labels), 6.4)
    figure, axes = new_figure(1, max(len(labels), 1), width=width, height=3.4, title=title, sharey=True)
    for place, label in zip(axes.flat, labels, strict=False):
        values = average_precision[label]
        place.hist(values, bins=np.linspace(0, 1, 21), color=TRAIN, edgecolor="white", linewidth=0.8)
        mean = float(np.mean(values)) if len(values) else 0.0
        place.margins(y=0.16)  # room for the label above the bars
        place.axvline(mean, color=VALIDATION, linestyle="--")
        left = mean > 0.6
        shift, side = (-6, "right") if left else (6, "left")
        place.annotate(
            f"mAP {mean:.1%}",
            (mean, 1),
            xycoords=("data", "axes fraction"),
            xytext=(shift, -4),
            textcoords="offset points",
            ha=side,
            va="top",
            fontweight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
        place.set(xlabel="average precision", xlim=(0, 1), title=f"{label}, {len(values):,} queries")
    axes[0, 0].set_ylabel("queries")
    axes[0, 0].yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    return figure


def attribute_bars(results: Sequence[TaskMetrics], title: str = "Attributes") -> Figure:
    """Draw accuracy against the majority share, and balanced accuracy against chance, a row a task.

    Bars that do not pass their mark tell nothing that a constant answer would not tell.

    Args:
        results: of `task_metrics`; tasks without annotation are left out.
    """
    ordered = sorted((r for r in results if r.count), key=lambda result: table1_place(result.task))
    figure, axes = new_figure(1, 2, width=9.6, height=0.9 + 0.34 * len(ordered), title=title, sharey=True)
    rows = np.arange(len(ordered))
    panels = (
        (axes[0, 0], "Accuracy", "accuracy", "majority", "always answering the commonest value", TRAIN),
        (axes[0, 1], "Balanced accuracy", "recall", "chance", "any constant answer", COLORS[2]),
    )
    for place, head, metric, mark, meaning, color in panels:
        values = [getattr(result, metric) for result in ordered]
        place.barh(rows, values, height=0.62, color=color)
        marks = [getattr(result, mark) for result in ordered]
        place.vlines(marks, rows - 0.42, rows + 0.42, color=VALIDATION, linewidth=3)
        for row, value in zip(rows, values, strict=True):
            place.text(1.02, row, f"{value:.0%}", va="center", fontsize=9)
        place.tick_params(axis="y", length=0, labelsize=9)
        place.set(xlim=(0, 1.12), ylim=(len(ordered) - 0.4, -0.6), xticks=np.linspace(0, 1, 5), title=head)
        place.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        place.grid(visible=False, axis="y")
        place.set_xlabel(f"orange mark: {meaning}")
    axes[0, 0].set_yticks(rows, [result.task.title for result in ordered])
    return figure
