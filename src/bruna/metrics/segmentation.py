"""How well masks agree: intersection over union, and Dice."""

import torch
from torch import Tensor


def mask_agreement(predicted: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    """Compare masks pair by pair.

        IoU = |A n B| / |A u B|        Dice = 2 |A n B| / (|A| + |B|)

    Two empty masks agree (1).

    Args:
        predicted: M x H x W, bool.
        true: M x H x W, bool.

    Returns:
        M values of IoU and M of Dice, float64 from 0 to 1.

    >>> true = torch.tensor([[[True, True], [False, False]], [[False, False], [False, False]]])
    >>> predicted = torch.tensor([[[True, False], [True, False]], [[False, False], [False, False]]])
    >>> mask_agreement(predicted, true)
    (tensor([0.3333, 1.0000], dtype=torch.float64), tensor([0.5000, 1.0000], dtype=torch.float64))
    """
    overlap = (predicted & true).sum((1, 2)).double()
    union = (predicted | true).sum((1, 2)).double()
    total = predicted.sum((1, 2)).double() + true.sum((1, 2)).double()
    iou = torch.where(union > 0, overlap / union.clamp(min=1), torch.ones_like(union))
    dice = torch.where(total > 0, 2 * overlap / total.clamp(min=1), torch.ones_like(total))
    return iou, dice
