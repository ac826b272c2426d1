"""The weights of Task 1's 15 losses (paper, section 3.1.3)."""

from torch import Tensor

WORST_RAISED_BY = 1.1
"""Factor of the worst task's weight after an epoch (paper, section 3.1.3)."""


def mean_recall(confusion: Tensor) -> Tensor:
    """Mean recall of each task over the values that occur; T x V x V counts (true, predicted) to T."""
    bearers = confusion.sum(dim=2)
    recall = confusion.diagonal(dim1=1, dim2=2) / bearers.clamp(min=1)
    return recall.sum(dim=1) / (bearers > 0).sum(dim=1).clamp(min=1)


def next_task_weights(weights: Tensor, recall: Tensor, rule: str) -> Tensor:
    """The 15 loss weights of the next epoch.

    `equal` keeps them; `raise_worst` multiplies the worst task's by 1.1 (paper, section 3.1.3).
    """
    if rule == "equal":
        return weights
    raised = weights.clone()
    raised[int(recall.argmin())] *= WORST_RAISED_BY
    return raised
