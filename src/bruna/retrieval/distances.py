"""Distances between query and gallery embeddings, a block of queries at a time.

All are float32, one matrix product a block. Against float64, at 1,632 dimensions, the relative error of a
Euclidean distance is 3e-7 for ordinary pairs and at most about 3e-4 for near ones; identical rows are at
exactly 0. The order of summation is the matrix library's: another block size can change a last bit.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from bruna.retrieval.gallery import Gallery

BlockDistances = Callable[[int, int], Tensor]
"""Called with (start, stop): a new (stop - start) x G float32 matrix, no entry negative."""

_CANCELLED = 1e-3
"""Below this share of |a|^2 + |b|^2 a squared distance has lost its digits: it is computed again."""
_REPAIR_NUMBERS = 1 << 22
"""Numbers gathered at a time for that, 16 MiB."""


class Distance(Protocol):
    """A distance between embeddings."""

    def between(self, query: Gallery, gallery: Gallery) -> BlockDistances:
        """Prepare the distances from every query image to every gallery image."""
        ...


@dataclass(frozen=True)
class Euclidean:
    """`|a - b|` of the features."""

    def between(self, query: Gallery, gallery: Gallery) -> BlockDistances:
        """See `Distance`."""
        squared = _squared(query.features, gallery.features)
        return lambda start, stop: squared(start, stop).sqrt_()


@dataclass(frozen=True)
class ProductDistance:
    """`d(ft_a, ft_b) * (offset + d(att_a, att_b))` with Euclidean d (paper, section 3.2.1: offset 0.1)."""

    offset: float = 0.1

    def between(self, query: Gallery, gallery: Gallery) -> BlockDistances:
        """See `Distance`.

        Raises:
            ValueError: one side comes without attributes.
        """
        if query.attributes is None or gallery.attributes is None:
            raise ValueError("the product distance needs the attributes of both sides")
        if not query.attributes.shape[1]:  # of a data set without: the factor would be the offset for all
            return Euclidean().between(query, gallery)
        features = _squared(query.features, gallery.features)
        attributes = _squared(query.attributes, gallery.attributes)

        def block(start: int, stop: int) -> Tensor:
            factor = attributes(start, stop).sqrt_().add_(self.offset)
            return features(start, stop).sqrt_().mul_(factor)

        return block


def _squared(query: Tensor, gallery: Tensor) -> BlockDistances:
    """Blocks of squared Euclidean distances by `|a|^2 + |b|^2 - 2 a.b`.

    The gallery mean is taken off both sides first: distances stay, the numbers that cancel shrink. Where
    nearly everything cancels nevertheless, |a - b|^2 is summed directly.
    """
    if query.shape[1] != gallery.shape[1]:
        raise ValueError(f"query has {query.shape[1]} columns, gallery {gallery.shape[1]}")
    centre = gallery.mean(dim=0, dtype=torch.float32) if len(gallery) else gallery.new_zeros(gallery.shape[1])
    query, gallery = query.float() - centre, gallery.float() - centre
    query_norms, gallery_norms = _squared_norms(query), _squared_norms(gallery)

    def block(start: int, stop: int) -> Tensor:
        rows = query[start:stop]
        with _full_precision(rows.device.type):
            squared = torch.addmm(gallery_norms, rows, gallery.T, alpha=-2)
        squared += query_norms[start:stop, None]
        _repair(squared, rows, gallery, 2 * _CANCELLED * query_norms[start:stop])
        return squared.clamp_min_(0)

    return block


def _squared_norms(rows: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1)
    return norms.square()


def _repair(squared: Tensor, query: Tensor, gallery: Tensor, below: Tensor) -> None:
    """Compute again, from the differences, the entries of each row of `squared` (B x G) under `below` (B)."""
    if squared.numel() == 0:
        return
    suspects = (squared.amin(dim=1) < below).nonzero().flatten()
    if len(suspects) == 0:
        return
    at, columns = (squared[suspects] < below[suspects, None]).nonzero(as_tuple=True)
    rows = suspects[at]
    some = max(1, _REPAIR_NUMBERS // query.shape[1])
    for r, c in zip(torch.split(rows, some), torch.split(columns, some), strict=True):
        squared[r, c] = (query[r] - gallery[c]).square_().sum(dim=1)


@contextmanager
def _full_precision(device: str) -> Iterator[None]:
    """Multiply in true float32 whatever a training loop has set: bfloat16 or TF32 would change ranks."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
