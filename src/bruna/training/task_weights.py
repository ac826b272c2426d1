"""The weights of Task 1's losses (paper, section 3.1.3)."""

from torch import Tensor

WORST_RAISED_BY = 1.1
"""Factor of the worst task's weight after an epoch (paper, section 3.1.3)."""


def next_task_weights(weights: Tensor, balanced_accuracy: Tensor, rule: str) -> Tensor:
    """The loss weights of the next epoch.

    `equal` keeps them; `raise_worst` multiplies the worst task's by 1.1 (paper, section 3.1.3).
    """
    if rule == "equal":
        return weights
    raised = weights.clone()
    raised[int(balanced_accuracy.argmin())] *= WORST_RAISED_BY
    return raised
