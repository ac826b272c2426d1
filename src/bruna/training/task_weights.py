"""The weights of Task 1's losses (paper, section 3.1.3): of the 15 tasks, and of the values inside a task."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bruna.dataset.attributes import ATTRIBUTES

WORST_RAISED_BY = 1.1
"""Factor of the worst task's weight after an epoch (paper, section 3.1.3)."""


def mean_recall(confusion: Tensor) -> Tensor:
    """Mean recall of each task over the values that occur; T x V x V counts (true, predicted) to T."""
    bearers = confusion.sum(dim=2)
    recall = confusion.diagonal(dim1=1, dim2=2) / bearers.clamp(min=1)
    return recall.sum(dim=1) / (bearers > 0).sum(dim=1).clamp(min=1)


def next_task_weights(weights: Tensor, recall: Tensor, rule: str) -> Tensor:
    """The 15 loss weights of the next epoch.

    `equal` keeps them; `raise_worst` multiplies the worst task's by 1.1 (paper, section 3.1.3);
    `raise_worst_normalised` lets them sum to one again; `recall` takes 1 - mean recall, normalised (original.md).
    """
    if rule == "equal":
        return weights
    if rule == "recall":
        shortfall = (1 - recall).clamp(min=1e-6)
        return (shortfall / shortfall.sum()).to(weights.dtype)
    raised = weights.clone()
    raised[int(recall.argmin())] *= WORST_RAISED_BY
    return raised / raised.sum() if rule == "raise_worst_normalised" else raised


def class_weights(codes: npt.NDArray[np.int64], rule: str, device: torch.device) -> list[Tensor | None]:
    """Weights inside age and the colours: images / (values x images of the value); None for binary ones."""
    if rule == "none":
        return [None] * len(ATTRIBUTES)
    weights: list[Tensor | None] = []
    for i, attribute in enumerate(ATTRIBUTES):
        counts = np.bincount(codes[codes[:, i] >= 0, i], minlength=len(attribute.values))
        inverse = counts.sum() / (len(counts) * np.maximum(counts, 1))
        weights.append(None if attribute.binary else torch.tensor(inverse, dtype=torch.float32, device=device))
    return weights
