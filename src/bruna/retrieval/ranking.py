"""Exact ranks of the matches of every query, and the nearest images of every query, block by block.

The rank of a match is one more than the number of valid gallery images nearer to the query. At equal
distance the image of the lower gallery index is the nearer one, as in a stable argsort. A block of queries
needs its distances and a copy of them, sorted by value; which image a value belongs to is of no interest,
and a sort of bare numbers is many times faster than an argsort. The matches' distances are then looked up.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bruna.dataset.identities import UNKNOWN_CAMERA, UNLABELLED
from bruna.retrieval.distances import BlockDistances, Distance
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.protocols import COURSE, COURSE_ALONE, MARKET1501, RetrievalProtocol
from bruna.retrieval.relevance import Numbers, Pairs, Relevance
from bruna.retrieval.results import RetrievalResults

_BLOCK_NUMBERS = 1 << 22
"""Distances of a block, unless told otherwise: 16 MiB of float32."""


class Nearest(NamedTuple):
    """`indices`: Q x k int64 gallery indices, nearest first, -1 past the last valid one; `distances`: float32."""

    indices: Tensor
    distances: Tensor


@torch.no_grad()
def evaluate_protocols(
    query: Gallery,
    gallery: Gallery,
    distance: Distance,
    *,
    kept: Tensor | None = None,
    self_index: Tensor | None = None,
) -> dict[str, RetrievalResults]:
    """Results under every protocol by its name; see `evaluate_retrieval` for the arguments.

    Where no camera is known no query has a match on another camera, which the Market-1501 protocol asks for. Where none
    has, the course protocol stands alone, and leaves the query itself out too.
    """
    sets = [query, gallery]
    if not bool((gallery.cameras != UNKNOWN_CAMERA).any()):
        sets = [replace(each, identities=torch.full_like(each.identities, UNLABELLED)) for each in sets]
    market = evaluate_retrieval(sets[0], sets[1], distance, MARKET1501, kept=kept, self_index=self_index)
    course = evaluate_retrieval(query, gallery, distance, course_beside(market), kept=kept, self_index=self_index)
    return {COURSE.name: course, MARKET1501.name: market}


def course_beside(market: RetrievalResults) -> RetrievalProtocol:
    """The course protocol as it is measured beside these results under the Market-1501 protocol."""
    return COURSE if bool(market.scored.any()) else COURSE_ALONE


def evaluate_retrieval(
    query: Gallery,
    gallery: Gallery,
    distance: Distance,
    protocol: RetrievalProtocol,
    *,
    kept: Tensor | None = None,
    self_index: Tensor | None = None,
    block: int | None = None,
) -> RetrievalResults:
    """Rank the gallery for every query and say where its matches are.

    Args:
        query: Q images.
        gallery: G images, on the same device.
        distance: how far two embeddings are apart.
        protocol: which gallery images count.
        kept: G booleans; images that are False are not returned. A true match among them is never
            retrieved: it adds nothing to the AP of its query and stays in the denominator.
        self_index: Q integers, each query's own position in the gallery, -1 where it is not there. The
            Market-1501 protocol drops it even if the camera is unknown.
        block: queries at a time; by default as many as make 4 million distances. Memory beyond the
            embeddings: a centred copy of them and about four such blocks.

    Returns:
        The ranks, on the CPU.
    """
    search = _Search(query, gallery, distance, protocol, kept=kept, self_index=self_index, block=block)
    ranks, matches, distances, counts, totals, valid = [], [], [], [], [], []
    for start, stop in search.blocks():
        near, pairs = search.distances(start, stop)
        values, rows, columns = near.numpy(force=True), pairs.match_rows.numpy(), pairs.match_columns.numpy()
        found = _ranks(values, rows, columns)
        order = np.lexsort((found, rows))
        ranks.append(torch.from_numpy(found[order]))
        matches.append(search.columns[pairs.match_columns[order]])
        distances.append(torch.from_numpy(values[rows, columns][order]))
        counts.append(torch.bincount(pairs.match_rows, minlength=stop - start))
        totals.append(pairs.totals)
        valid.append(near.shape[1] - torch.bincount(pairs.drop_rows, minlength=stop - start))
    none = torch.zeros(0, dtype=torch.int64)
    return RetrievalResults(
        protocol=protocol.name,
        ranks=torch.cat([none, *ranks]),
        matches=torch.cat([none, *matches]),
        distances=torch.cat([torch.zeros(0), *distances]),
        offsets=torch.cat([torch.zeros(1, dtype=torch.int64), *counts]).cumsum(0),
        totals=torch.cat([none, *totals]),
        valid=torch.cat([none, *valid]),
    )


@torch.no_grad()
def top_k(
    query: Gallery,
    gallery: Gallery,
    distance: Distance,
    protocol: RetrievalProtocol,
    k: int,
    *,
    kept: Tensor | None = None,
    self_index: Tensor | None = None,
    block: int | None = None,
) -> Nearest:
    """The k nearest valid gallery images of every query, for rank lists and submissions.

    The order is that of `evaluate_retrieval`; so are the arguments. For unlabelled images use
    `Gallery.unlabelled` and the course protocol.

    Returns:
        Gallery indices and distances, on the CPU; where fewer than k images are valid, -1 and infinity.
    """
    search = _Search(query, gallery, distance, protocol, kept=kept, self_index=self_index, block=block)
    indices = torch.full((len(query), k), -1)
    distances = torch.full((len(query), k), torch.inf)
    width = min(k, len(search.columns))
    if width == 0:
        return Nearest(indices, distances)
    for start, stop in search.blocks():
        near, _ = search.distances(start, stop)
        values, columns = smallest(near, width)
        found = search.columns[columns.cpu()]
        found[values.cpu() == torch.inf] = -1
        indices[start:stop, :width], distances[start:stop, :width] = found, values.cpu()
    return Nearest(indices, distances)


class _Search:
    """The blocks of distances of a query set, with dropped pairs at infinity."""

    def __init__(
        self,
        query: Gallery,
        gallery: Gallery,
        distance: Distance,
        protocol: RetrievalProtocol,
        *,
        kept: Tensor | None,
        self_index: Tensor | None,
        block: int | None,
    ) -> None:
        if block is not None and block < 1:
            raise ValueError(f"block must be at least 1, got {block}")
        self._queries = len(query)
        self._relevance = Relevance(protocol, query, gallery, kept, self_index)
        self.columns = self._relevance.columns
        searched = gallery if len(self.columns) == len(gallery) else gallery.select(self.columns)
        self._between: BlockDistances = distance.between(query, searched)
        self._block = block or max(1, _BLOCK_NUMBERS // max(1, len(self.columns)))

    def blocks(self) -> list[tuple[int, int]]:
        """(start, stop) of every block of queries."""
        starts = range(0, self._queries, self._block)
        return [(start, min(start + self._block, self._queries)) for start in starts]

    def distances(self, start: int, stop: int) -> tuple[Tensor, Pairs]:
        """A block's distances to the searched images, and its pairs."""
        pairs = self._relevance.pairs(start, stop)
        near = self._between(start, stop)
        near[pairs.drop_rows.to(near.device), pairs.drop_columns.to(near.device)] = torch.inf
        return near, pairs


def _ranks(near: npt.NDArray[np.float32], rows: Numbers, columns: Numbers) -> Numbers:
    """1-based ranks of the entries (rows, columns) of `near` (B x C) within their rows; `rows` ascending.

    In numpy, whose vectorised sort of bare numbers is ten times torch's on a CPU; threads share the rows.
    """
    first = np.searchsorted(rows, np.arange(len(near) + 1))
    ranks = np.empty(len(rows), dtype=np.int64)

    def rank(queries: npt.NDArray[np.int64]) -> None:
        if len(queries) == 0:
            return
        ordered = np.sort(near[queries[0] : queries[-1] + 1], axis=1)
        for q, values in zip(queries, ordered, strict=True):
            part = slice(first[q], first[q + 1])
            wanted = near[q, columns[part]]
            nearer = values.searchsorted(wanted)
            equal = values.searchsorted(wanted, side="right") - nearer
            for i in (equal > 1).nonzero()[0]:
                nearer[i] += np.count_nonzero(near[q, : columns[part][i]] == wanted[i])
            ranks[part] = nearer + 1

    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(rank, np.array_split(np.arange(len(near)), threads)))
    return ranks


def smallest(near: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Values and columns of the `width` smallest entries of each row, lower columns first at equal values."""
    values, columns = near.topk(min(width + 1, near.shape[1]), dim=1, largest=False)
    keys = _keys(values, columns)[:, :width]
    # topk takes any of the entries that tie for the last place: such rows are searched again by key.
    unclear = (values[:, width - 1 : width] == values[:, width : width + 1]).any(dim=1)
    if bool(unclear.any()):
        every = _keys(near[unclear], torch.arange(near.shape[1], device=near.device))
        keys[unclear] = every.topk(width, dim=1, largest=False).values
    keys = keys.sort(dim=1).values
    return (keys >> 32).int().view(torch.float32), keys & 0xFFFFFFFF


def _keys(values: Tensor, columns: Tensor) -> Tensor:
    """Integers in the order of (value, column): the bits of floats of at least 0 are ordered as the floats are."""
    return ((values + 0.0).view(torch.int32).long() << 32) | columns  # + 0.0 makes 0.0 of -0.0
