"""What takes no training and has to be beaten; a sentence for each figure that does not: `warnings` of figures.json."""

from collections.abc import Iterable, Mapping

import numpy as np

CONSTANT = ("accuracy", "majority", "balanced_accuracy", "chance")
"""Figures of an attribute: two of its predictions, each before that of a constant prediction."""
_ROUNDING = 1e-6
"""By so much a network that is no better than a constant may seem better, by the order in which numbers were added."""


def beats(value: float, baseline: float) -> bool:
    """Whether a figure is above its baseline; not where one of them is NaN."""
    return value > baseline + _ROUNDING


def attribute_warnings(attributes: Iterable[Mapping[str, float]], what: str) -> list[str]:
    """What is wrong with predictions of attributes, by the means over them.

    Args:
        attributes: the figures `CONSTANT` of each, NaN where nothing is annotated, which counts nowhere.
        what: was measured, where.
    """
    known = np.array([[figures[key] for key in CONSTANT] for figures in attributes]).reshape(-1, len(CONSTANT))
    known = known[~np.isnan(known).any(axis=1)]
    if not len(known):
        return []
    accuracy, majority, balanced, chance = known.mean(axis=0)
    found = []
    if not beats(accuracy, majority):
        found.append(
            f"{what}: accuracy {accuracy:.1%} is not above {majority:.1%}, which always predicting the commonest value "
            "has. (train_attributes.logit_adjustment trades accuracy for balanced accuracy.)"
        )
    if not beats(balanced, chance):
        found.append(
            f"{what}: balanced accuracy {balanced:.1%} is not above {chance:.1%}, which any constant prediction has: "
            "nothing was learned."
        )
    return found


def ranking_warnings(value: float, baselines: Mapping[str, float], what: str) -> list[str]:
    """What is wrong with a ranking.

    Args:
        value: its mAP.
        baselines: what it has to beat -> mAP.
        what: was ranked, how.
    """
    above = [f"{name} ({other:.1%})" for name, other in baselines.items() if not beats(value, other)]
    return [f"{what}: mAP {value:.1%} is not above that of {', '.join(above)}."] if above else []
