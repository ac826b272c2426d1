"""Pillow's antialiased bilinear filter for 8-bit images as two matrix products, the same to the last bit.

Pillow resizes along one axis, rounds to 8 bits, and resizes along the other. Its weights are whole numbers of 22 bits,
so that all sums are exact in float64 too. Source: Pillow, `src/libImaging/Resample.c`.
"""

import math

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

_BITS = 22
"""Of a weight: 32, less 8 for the pixel and 2 for the sum."""


def bilinear_weights(before: int, after: int) -> npt.NDArray[np.float64]:
    """The weight of each of `before` pixels in each of `after`, times 2**22: an after x before matrix of integers."""
    scale = before / after
    support = max(scale, 1.0)
    weights = np.zeros((after, before))
    for row in range(after):
        center = (row + 0.5) * scale
        first, stop = max(0, int(center - support + 0.5)), min(before, int(center + support + 0.5))
        share = [max(0.0, 1 - abs((x - center + 0.5) * (1 / support))) for x in range(first, stop)]
        weights[row, first:stop] = [math.floor(each / sum(share) * (1 << _BITS) + 0.5) for each in share]
    return weights


class BilinearResize(nn.Module):
    """Resize 8-bit images as the installed Pillow does.

    Args:
        before, after: height and width, pixels.
    """

    def __init__(self, before: tuple[int, int], after: tuple[int, int]) -> None:
        super().__init__()
        rows, columns = (torch.from_numpy(bilinear_weights(*sides)) for sides in zip(before, after, strict=True))
        self.rows: Tensor
        self.columns: Tensor
        self.register_buffer("rows", rows)
        self.register_buffer("columns", columns.T.contiguous())
        self.rows_first = False
        self.rows_first = not self._is_pillows(before, after)

    def forward(self, levels: Tensor) -> Tensor:
        """B x C x H x W floats, whole numbers from 0 to 255, to such numbers of the other size."""
        exact = levels.double()
        if self.rows_first:
            return _rounded(_rounded(self.rows @ exact) @ self.columns).float()
        return _rounded(self.rows @ _rounded(exact @ self.columns)).float()

    def _is_pillows(self, before: tuple[int, int], after: tuple[int, int]) -> bool:
        """Whether noise comes out as Pillow has it: which axis comes first depends on its version and the sizes."""
        noise = np.random.default_rng(0).integers(0, 256, before, np.uint8)
        resized = Image.fromarray(noise).resize(after[::-1], Image.Resampling.BILINEAR)
        return np.array_equal(self(torch.from_numpy(noise)[None, None])[0, 0].numpy(), np.asarray(resized))


def _rounded(sums: Tensor) -> Tensor:
    return ((sums + (1 << (_BITS - 1))) / (1 << _BITS)).floor().clamp(0, 255)
