"""Pixel normalisation as a part of the network, so that a checkpoint is self-contained."""

from typing import cast

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Normalize(nn.Module):
    """Subtract the ImageNet mean and divide by its standard deviation (paper, section 3.1.2)."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Normalise images.

        Args:
            images: B x 3 x H x W, float, 0 to 1.

        Returns:
            B x 3 x H x W, float, about -2 to 2.
        """
        return (images - cast(Tensor, self.mean)) / cast(Tensor, self.std)


def as_floats(images: Tensor) -> Tensor:
    """B x 3 x H x W uint8 to float32, 0 to 1, in the memory layout that convolutions are fastest in."""
    return (images.float() / 255).contiguous(memory_format=torch.channels_last)


def mask_floats(masks: Tensor | None) -> Tensor | None:
    """B x 1 x H x W uint8 probabilities to float32, 0 to 1; None stays None."""
    return None if masks is None else masks.float() / 255
