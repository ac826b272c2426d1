"""How good the attribute predictions are, by either network or both, beside a constant prediction."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bruna.dataset.schema import UNKNOWN, Task
from bruna.inference.described import Described, needs_bruna
from bruna.inference.settings import AttributesFrom
from bruna.metrics.attributes import task_metrics
from bruna.params import Evaluate

_FIGURES = ("accuracy", "precision", "balanced_accuracy", "majority", "chance")
_MEANS = ("accuracy", "balanced_accuracy")


def measured(params: Evaluate) -> dict[str, tuple[AttributesFrom, int]]:
    """Name of the figures -> the predicting network and the number of neighbors.

    `attributes_predicted` is what the parameters choose, and what goes into the submission.
    """
    return {
        "attributes_task1": ("task1", 1),
        "attributes_bruna": ("bruna", 1),
        "attributes_both": ("both", 1),
        "attributes_predicted": (params.attributes_from, params.attribute_neighbors),
    }


def attribute_figures(
    truth: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], attributes: Sequence[Task]
) -> dict[str, dict[str, float]]:
    """Accuracy, macro precision and balanced accuracy of each attribute, beside those of a constant prediction.

    `majority` is the accuracy of always predicting the commonest value, `chance` the balanced accuracy of
    any constant prediction.

    Args:
        truth: N x A codes, -1 where not annotated.
        predicted: N x A codes.
        attributes: the A attributes.

    Returns:
        `<attribute>.<figure>` of each attribute that is known of some image.
    """
    known = (truth != UNKNOWN).any(axis=1)
    if not known.any():
        return {}
    return {
        result.task.name: {figure: float(getattr(result, figure)) for figure in _FIGURES}
        for result in task_metrics(truth[known], predicted[known], attributes)
        if result.count
    }


def all_figures(images: Described, codes: npt.NDArray[np.int64], params: Evaluate) -> dict[str, Any]:
    """`attribute_figures` of all that is `measured`, and the means over the attributes as `attribute_means`.

    Args:
        images: N images.
        codes: N x A true codes, -1 where not annotated.
        params: the group `evaluate`.
    """
    if not images.schema:
        return {}
    found: dict[str, Any] = {
        name: attribute_figures(codes, images.attribute_codes(*how), images.schema)
        for name, how in measured(params).items()
        if images.gallery is not None or not needs_bruna(*how)
    }
    means = {
        name: {key: float(mean) for key, mean in pd.DataFrame(figures).T[list(_MEANS)].mean().items()}
        for name, figures in found.items()
        if figures
    }
    return {name: figures for name, figures in found.items() if figures} | ({"attribute_means": means} if means else {})
