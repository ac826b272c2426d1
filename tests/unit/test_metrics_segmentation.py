"""The agreement of masks: the example, and the identity that ties IoU and Dice."""

import doctest

import torch
from hypothesis import given
from hypothesis import strategies as st

from bruna.metrics import segmentation
from bruna.metrics.segmentation import mask_agreement


def test_doctests() -> None:
    outcome = doctest.testmod(segmentation)
    assert outcome.attempted > 0
    assert outcome.failed == 0


@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 1))
def test_iou_and_dice_are_symmetric_and_tied(seed: int, first: float, second: float) -> None:
    make = torch.Generator().manual_seed(seed)
    a, b = torch.rand(5, 4, 3, generator=make) < first, torch.rand(5, 4, 3, generator=make) < second
    iou, dice = mask_agreement(a, b)
    assert torch.allclose(dice, 2 * iou / (1 + iou))
    assert torch.equal(torch.stack(mask_agreement(b, a)), torch.stack([iou, dice]))
    assert torch.equal(torch.stack(mask_agreement(a, a)), torch.ones(2, 5, dtype=torch.float64))
