"""Charts of "same person or not": missed people against wrong ones (ROC), and what a probability is worth."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bruna.report.figures import share_axis
from bruna.report.style import INK, MUTED, TRAIN, VALIDATION, new_figure

_CHART = 4.4, 3.9
"""As the charts of a ranking, inches."""
_SMALLEST = 1e-4
"""False match rate where the axis begins, whatever is drawn: so pictures of two experiments compare."""


def roc_chart(curve: pd.DataFrame, figures: Mapping[str, Any], smallest: float, title: str) -> Figure:
    """Draw the share of genuine pairs accepted against the false match rate, its axis logarithmic.

    Args:
        curve: columns `fmr`, `fnmr`, `fnmr_low` and `fnmr_high`, a row a threshold.
        figures: `eer` and `at_fmr` of the verification: a dot at each rate that is known.
        smallest: the smallest rate that the people carry; the curve below it is not drawn.
        title: over the figure.
    """
    figure, axes = new_figure(width=_CHART[0], height=_CHART[1], title=title)
    place: Axes = axes[0, 0]
    shown = curve[curve["fmr"] >= smallest]
    place.fill_between(
        shown["fmr"], 1 - shown["fnmr_high"], 1 - shown["fnmr_low"], color=TRAIN, alpha=0.2, lw=0, label="95% interval"
    )
    eer = figures["eer"]["value"]
    place.plot(shown["fmr"], 1 - shown["fnmr"], color=TRAIN, label="as measured")
    place.plot(eer, 1 - eer, "D", color=VALIDATION, ms=6, label=f"equal error rate {eer:.1%}")
    known = [(at["fmr"], 1 - at["fnmr"]) for at in figures["at_fmr"].values() if "fnmr" in at]
    if known:
        place.plot(*zip(*known, strict=True), "o", color=INK, ms=5, label="rates of the table")
    if smallest > _SMALLEST:
        place.axvspan(_SMALLEST, smallest, color=MUTED, alpha=0.15, lw=0, label="too few people to tell")
    place.set(xscale="log", xlim=(_SMALLEST, 1), xlabel="false match rate", ylabel="genuine pairs accepted")
    place.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{100 * rate:g}%"))
    share_axis(place.yaxis)
    figure.legend(loc="outside lower left", fontsize=9, ncols=2)
    return figure


def reliability_chart(reliability: pd.DataFrame, title: str) -> Figure:
    """Draw how many pairs were truly of one person against the probability that they were given.

    Args:
        reliability: columns `predicted`, `observed`, `pairs`, a row a tenth of the probability.
        title: over the figure.
    """
    figure, axes = new_figure(width=_CHART[0], height=_CHART[1], title=title)
    place: Axes = axes[0, 0]
    place.plot([0, 1], [0, 1], color=MUTED, linestyle="--", lw=1, label="as it should be")
    place.plot(reliability["predicted"], reliability["observed"], color=VALIDATION, marker="o", ms=5, label="as it is")
    for predicted, observed, pairs in reliability[["predicted", "observed", "pairs"]].to_numpy():
        above = observed < 0.9  # where there is room for the number
        place.annotate(
            f"{int(pairs):,}",
            (predicted, observed),
            (0, 7 if above else -12),
            textcoords="offset points",
            ha=("left", "center", "right")[int(np.digitize(predicted, [0.1, 0.9]))],
            fontsize=7,
            color=INK,
            bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.7},
        )
    place.set(xlabel="probability of the same person", ylabel="pairs of the same person")
    share_axis(place.xaxis)
    share_axis(place.yaxis)
    figure.legend(loc="outside lower left", fontsize=9, ncols=2)
    return figure
