"""The positions of a pass over many images, a batch at a time, with a progress bar where one is wanted."""

from collections.abc import Iterator

import torch
from torch import Tensor

from bruna.progress import track


def batches_of(count: int, batch_size: int, description: str | None) -> Iterator[Tensor]:
    """0 to `count` - 1 in tensors of `batch_size`; a `description` shows a progress bar of that name."""
    starts = range(0, count, batch_size)
    parts = (torch.arange(start, min(start + batch_size, count)) for start in starts)
    return iter(track(parts, description, total=count, count=len)) if description else parts
