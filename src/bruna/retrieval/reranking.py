"""Re-ranking by k-reciprocal neighbors, in memory that grows with the images, not with their square.

Zhong et al., Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017. Two images of one person
share their neighbors: each image p becomes a vector V_p over all images, which is not zero at the k-reciprocal
neighbors of p only, and the Jaccard distance of two such vectors is mixed with the distance that was there:

    R(p, k)   = {g in N(p, k) : p in N(g, k)}                                                     (their eq. 2, 3)
    R*(p, k1) = R(p, k1) + every R(q, k1/2), q in R(p, k1), of which two thirds lie in R(p, k1)          (eq. 5)
    V_p,g     = exp(-d(p, g)) for g in R*(p, k1), otherwise 0                                            (eq. 7)
    V_p      := mean of V_g over g in N(p, k2)                                                          (eq. 11)
    d_J(p, g) = 1 - sum_i min(V_p,i, V_g,i) / sum_i max(V_p,i, V_g,i)                                   (eq. 10)
    d*(p, g)  = (1 - lambda) d_J(p, g) + lambda d(p, g)                                                 (eq. 12)

As in the authors' code, d is the squared distance over the largest of its row, V_p is divided by its sum before
the mean, an image is its own nearest neighbor, N(p, k) holds it and k others, and N(p, k2) in the mean holds it and
k2 - 1 others. "Two thirds" means at least two thirds, as in the paper; their code wants more than that. V is kept as
lists of the entries that are not zero.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bruna.retrieval.distances import BlockDistances, Distance
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.ranking import smallest
from bruna.retrieval.relevance import Numbers

_BLOCK_NUMBERS = 1 << 22
"""Distances, or comparisons, that are held at a time."""
_NOBODY = -1


class _Rows(NamedTuple):
    """A sparse matrix: row i has `values[offsets[i]:offsets[i + 1]]` at the `columns` of the same places, ascending."""

    offsets: Numbers
    columns: Numbers
    values: npt.NDArray[np.float64]

    def take(self, rows: Numbers) -> tuple[Numbers, Numbers]:
        """The entries of some rows, one row after the other: place in `rows`, and place in `columns` and `values`."""
        counts = (self.offsets[1:] - self.offsets[:-1])[rows]
        owner = np.repeat(np.arange(len(rows)), counts)
        within = np.arange(len(owner)) - (counts.cumsum() - counts)[owner]
        return owner, self.offsets[rows][owner] + within


@dataclass(frozen=True)
class Reranked:
    """A distance between images that are named by their place among all images, made by `rerank`.

    Attributes:
        query, gallery: the sets that were given to `rerank`, with the place as the only feature. Search with these.
    """

    query: Gallery
    gallery: Gallery
    _pool: Gallery
    _distance: Distance
    _encoding: _Rows
    _farthest: Tensor
    _share: float

    def between(self, query: Gallery, gallery: Gallery) -> BlockDistances:
        """See `Distance`; the blocks are on the CPU."""
        rows, columns = _places(query), _places(gallery)
        original = self._distance.between(self._pool.select(rows), self._pool.select(columns))
        farthest = self._farthest[rows]
        overlaps = _Overlaps(self._encoding, rows.numpy(), columns.numpy())

        def block(start: int, stop: int) -> Tensor:
            near = _scaled(original(start, stop), farthest[start:stop])
            jaccard = torch.from_numpy(overlaps.jaccard(start, stop))
            return (1 - self._share) * jaccard + self._share * near

        return block


@torch.no_grad()
def rerank(
    query: Gallery,
    gallery: Gallery,
    distance: Distance,
    *,
    self_index: Tensor | None = None,
    k1: int = 20,
    k2: int = 6,
    share: float = 0.3,
    block: int | None = None,
) -> Reranked:
    """Encode all images by their k-reciprocal neighbors.

    The neighbors come from queries and gallery together, as in the authors' code: neither identities nor cameras
    are looked at, nor what a filter leaves out of the ranking.

    Args:
        query: Q images.
        gallery: G images, on the same device.
        distance: the one to start from.
        self_index: Q integers, each query's own position in the gallery, -1 where it is not there; None: nowhere.
        k1: neighbors of an image.
        k2: images whose encodings are averaged; 1 keeps each its own.
        share: lambda, the share of the original distance in the new one, 0 to 1.
        block: images whose distances are computed at a time; by default as many as make 4 million.

    Returns:
        The new distance; search with its `query` and `gallery`. Memory: some k1 x k2 numbers an image at most.

    Raises:
        ValueError: k1 or k2 is below 1, or `share` is outside 0 to 1.
    """
    if k1 < 1 or k2 < 1 or not 0 <= share <= 1:
        raise ValueError(f"k1 and k2 must be at least 1 and share between 0 and 1, got {k1}, {k2} and {share}")
    own = torch.full((len(query),), -1) if self_index is None else self_index.cpu().long()
    new = own < 0
    places = torch.where(new, len(gallery) - 1 + new.cumsum(0), own)
    pool = _joined(gallery, query.select(new.nonzero().flatten()))
    block = block or max(1, _BLOCK_NUMBERS // max(1, len(pool)))

    neighbors, farthest = _neighbors(pool, distance, max(0, min(max(k1, k2 - 1), len(pool) - 1)), block)
    encoding = _encode(pool, distance, neighbors[:, : k1 + 1], farthest, k1, block)
    return Reranked(
        query=_named(query, places),
        gallery=_named(gallery, torch.arange(len(gallery))),
        _pool=pool,
        _distance=distance,
        _encoding=encoding if k2 == 1 else _averaged(encoding, neighbors[:, :k2]),
        _farthest=farthest,
        _share=share,
    )


def _named(images: Gallery, places: Tensor) -> Gallery:
    return Gallery(places[:, None].double(), None, images.identities.cpu(), images.cameras.cpu())


def _places(images: Gallery) -> Tensor:
    return images.features[:, 0].long()


def _joined(first: Gallery, second: Gallery) -> Gallery:
    attributes = [images.attributes for images in (first, second) if images.attributes is not None]
    return Gallery(
        torch.cat([first.features, second.features]),
        torch.cat(attributes) if len(attributes) == 2 else None,
        torch.cat([first.identities, second.identities]),
        torch.cat([first.cameras, second.cameras]),
    )


def _scaled(near: Tensor, farthest: Tensor) -> Tensor:
    """Squared distances over the largest of their row (B), on the CPU."""
    return (near.cpu() / farthest[:, None]).square_()


def _blocks(count: int, block: int) -> list[tuple[int, int]]:
    return [(start, min(start + block, count)) for start in range(0, count, block)]


def _neighbors(pool: Gallery, distance: Distance, width: int, block: int) -> tuple[Numbers, Tensor]:
    """Each image and its `width` nearest others, N x (width + 1); and the distance of the farthest, N, never 0."""
    between = distance.between(pool, pool)
    neighbors = np.empty((len(pool), width + 1), dtype=np.int64)
    farthest = torch.empty(len(pool))
    for start, stop in _blocks(len(pool), block):
        near, own = between(start, stop), torch.arange(start, stop)
        farthest[start:stop] = near.amax(dim=1).cpu()
        near[own - start, own] = torch.inf
        neighbors[start:stop, 0] = own.numpy()
        neighbors[start:stop, 1:] = smallest(near, width)[1].cpu().numpy()
    return neighbors, farthest.masked_fill_(farthest == 0, 1)


def _encode(pool: Gallery, distance: Distance, neighbors: Numbers, farthest: Tensor, k1: int, block: int) -> _Rows:
    """V of every image (eq. 7), each row with sum 1."""
    half = round(k1 / 2)
    mutual, close = _reciprocal(neighbors), _reciprocal(neighbors[:, : half + 1])
    between = distance.between(pool, pool)
    counts, columns, values = [np.zeros(1, dtype=np.int64)], [], []
    for start, stop in _blocks(len(pool), block):
        rows, members = _expanded(neighbors, mutual, close, start, stop)
        near = _scaled(between(start, stop), farthest[start:stop]).numpy()
        weights = np.exp(-near[rows, members].astype(np.float64))
        counts.append(np.bincount(rows, minlength=stop - start))
        columns.append(members)
        values.append(weights / np.bincount(rows, weights)[rows])
    return _Rows(np.concatenate(counts).cumsum(), np.concatenate(columns), np.concatenate(values))


def _reciprocal(neighbors: Numbers) -> npt.NDArray[np.bool_]:
    """Whether an image is among the neighbors of its neighbor, for N x K neighbors (eq. 3)."""
    found = np.empty(neighbors.shape, dtype=np.bool_)
    for start, stop in _blocks(len(neighbors), max(1, _BLOCK_NUMBERS // neighbors.shape[1] ** 2)):
        own = neighbors[start:stop, 0]
        found[start:stop] = (neighbors[neighbors[start:stop]] == own[:, None, None]).any(axis=2)
    return found


def _expanded(
    neighbors: Numbers, mutual: npt.NDArray[np.bool_], close: npt.NDArray[np.bool_], start: int, stop: int
) -> tuple[Numbers, Numbers]:
    """The members of R* (eq. 5) of the images from `start` to `stop`: row from `start`, place; in that order.

    Args:
        neighbors: N x K.
        mutual: N x K, which of them are in R(p, k1).
        close: N x H, which of the first H are in R(p, k1/2).
    """
    near, half = neighbors.shape[1], close.shape[1]
    rows, members = [], []
    for first, last in _blocks(stop - start, max(1, _BLOCK_NUMBERS // (near * half * near))):
        part = slice(start + first, start + last)
        whose = neighbors[part]
        own = np.where(mutual[part], whose, _NOBODY)
        theirs = np.where(close[whose] & mutual[part, :, None], neighbors[whose, :half], _NOBODY)
        there = theirs != _NOBODY
        shared = (theirs[..., None] == own[:, None, None, :]).any(axis=3) & there
        joins = 3 * shared.sum(axis=2) >= 2 * there.sum(axis=2)
        more = np.where(joins[..., None], theirs, _NOBODY)
        every = np.sort(np.concatenate([own, more.reshape(len(own), -1)], axis=1), axis=1)
        new = np.diff(every, axis=1, prepend=_NOBODY) > 0
        rows.append(new.nonzero()[0] + first)
        members.append(every[new])
    return np.concatenate(rows), np.concatenate(members)


def _averaged(encoding: _Rows, neighbors: Numbers) -> _Rows:
    """The mean of the encodings of every image's first neighbors, itself among them (eq. 11)."""
    images, few = neighbors.shape
    counts, columns, values = [np.zeros(1, dtype=np.int64)], [], []
    longest = max(1, int(np.diff(encoding.offsets).max(initial=1)))
    for start, stop in _blocks(images, max(1, _BLOCK_NUMBERS // (few * longest))):
        owner, place = encoding.take(neighbors[start:stop].ravel())
        keys, which = np.unique(owner // few * images + encoding.columns[place], return_inverse=True)
        counts.append(np.bincount(keys // images, minlength=stop - start))
        columns.append(keys % images)
        values.append(np.bincount(which, encoding.values[place]) / few)
    return _Rows(np.concatenate(counts).cumsum(), np.concatenate(columns), np.concatenate(values))


class _Overlaps:
    """Jaccard distances of some rows of an encoding from some others, by the lists of who has which column."""

    def __init__(self, encoding: _Rows, rows: Numbers, others: Numbers) -> None:
        self._encoding, self._rows, self._count = encoding, rows, len(others)
        owner, place = encoding.take(others)
        order = encoding.columns[place].argsort(kind="stable")
        of_column = np.bincount(encoding.columns[place], minlength=len(encoding.offsets) - 1)
        self._bearers = _Rows(np.append(0, of_column.cumsum()), owner[order], encoding.values[place][order])
        self._sums = np.bincount(owner, encoding.values[place], minlength=len(others))

    def jaccard(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """`d_J` (eq. 10) of the rows from `start` to `stop`, B x G."""
        found = np.empty((stop - start, self._count), dtype=np.float32)
        for i, row in enumerate(self._rows[start:stop]):
            part = slice(self._encoding.offsets[row], self._encoding.offsets[row + 1])
            values = self._encoding.values[part]
            owner, place = self._bearers.take(self._encoding.columns[part])
            least = np.minimum(values[owner], self._bearers.values[place])
            shared = np.bincount(self._bearers.columns[place], least, minlength=self._count)
            # The sum of the larger entries is the sum of both rows less that of the smaller ones.
            found[i] = np.maximum(1 - shared / (values.sum() + self._sums - shared), 0)
        return found
