"""A pass over many images: a block is decoded at a time, a batch goes through a network at a time."""

from collections.abc import Iterator

import torch
from torch import Tensor

from bruna.processes import ALONE, Processes
from bruna.progress import track

_BLOCK = 512
"""Images decoded at a time, about, so that memory does not grow with the number of images."""


def block_starts(count: int, batch_size: int) -> range:
    """Where the blocks of `count` images start; the range's step is the size of a block.

    A block is a whole number of batches, so that a batch holds the same images whatever the size of the blocks: the
    last bits of a network's output depend on its batch.
    """
    return range(0, count, batch_size * max(1, _BLOCK // batch_size))


def batches_of(
    count: int, batch_size: int, description: str | None = None, processes: Processes = ALONE
) -> Iterator[Tensor]:
    """0 to `count` - 1 in tensors of `batch_size`, those of this process; a `description` shows a progress bar."""
    starts = range(0, count, batch_size)
    own = starts[processes.share(len(starts))]
    parts = (torch.arange(start, min(start + batch_size, count)) for start in own)
    total = min(own.stop, count) - own.start if own else 0
    return iter(track(parts, description, total=total, count=len)) if description else parts
