"""A protocol applied to queries and a gallery: which pairs of images are matches, and which do not count."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bruna.dataset.identities import JUNK, UNKNOWN_CAMERA
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.protocols import RetrievalProtocol

Numbers = npt.NDArray[np.int64]


class Pairs(NamedTuple):
    """What a protocol makes of a block of queries. Columns are positions in `Relevance.columns`.

    `match_rows`, `match_columns`: the matches that are searched, by row, then by column.
    `drop_rows`, `drop_columns`: the pairs that do not count, each once.
    `totals`: the number of matches of each query, with those that `kept` left out.
    """

    match_rows: Tensor
    match_columns: Tensor
    drop_rows: Tensor
    drop_columns: Tensor
    totals: Tensor


class Relevance:
    """A protocol applied to a query set and a gallery, as short lists of pairs instead of masks.

    Identities are sorted once, so a query costs as much as its identity has images, not the whole gallery.
    Works in numpy: its many short operations are not worth waking torch's threads for. Tensors are on the CPU.

    Args:
        protocol: what counts.
        query, gallery: identities and cameras are read.
        kept: G booleans, False for images that are not returned (Task 1 takes them for junk). A true match
            among them is never retrieved, but still one of the query's matches.
        self_index: a query's own position in the gallery, -1 where it is not there; Q integers or None.

    Raises:
        ValueError: `kept` or `self_index` has the wrong shape, or a query's own image has another identity.
    """

    columns: Tensor
    """C gallery indices that are searched, ascending."""

    def __init__(
        self,
        protocol: RetrievalProtocol,
        query: Gallery,
        gallery: Gallery,
        kept: Tensor | None = None,
        self_index: Tensor | None = None,
    ) -> None:
        self._protocol = protocol
        self._identities, self._cameras = _numbers(query.identities), _numbers(query.cameras)
        identities, self._gallery_cameras = _numbers(gallery.identities), _numbers(gallery.cameras)
        self._self_index = np.full(len(query), -1) if self_index is None else _numbers(self_index)
        searched = np.ones(len(gallery), dtype=np.bool_) if kept is None else kept.numpy(force=True)
        _check(searched, self._self_index, self._identities, identities)

        if protocol.ignores_junk:
            searched = searched & (identities != JUNK)
        self._searched = searched
        self._column = searched.cumsum() - 1
        self.columns = torch.from_numpy(searched.nonzero()[0])

        self._order = identities.argsort(kind="stable")
        self._first = np.searchsorted(identities, self._identities, sorter=self._order)
        past = np.searchsorted(identities, self._identities, side="right", sorter=self._order)
        self._count = np.where(self._identities > 0, past - self._first, 0)

    def pairs(self, start: int, stop: int) -> Pairs:
        """The matches and the dropped pairs of the queries from `start` to `stop`; rows count from `start`."""
        count = self._count[start:stop]
        rows = np.repeat(np.arange(stop - start), count)
        within = np.arange(len(rows)) - (count.cumsum() - count)[rows]
        images = self._order[self._first[start:stop][rows] + within]

        own = self._self_index[start:stop]
        camera = self._cameras[start:stop][rows]
        drop = np.zeros(len(rows), dtype=np.bool_)
        if self._protocol.drops_same_camera:
            drop |= (camera == self._gallery_cameras[images]) & (camera != UNKNOWN_CAMERA)
        if self._protocol.drops_self:
            drop |= images == own[rows]

        totals = np.bincount(rows[~drop], minlength=stop - start)
        searched = self._searched[images]
        match, drop = ~drop & searched, drop & searched
        drop_rows, drop_images = rows[drop], images[drop]
        if self._protocol.drops_self:
            # A query without an identity is in no list above, and yet has to leave the gallery.
            nameless = ((self._identities[start:stop] <= 0) & (own >= 0)).nonzero()[0]
            nameless = nameless[self._searched[own[nameless]]]
            drop_rows = np.concatenate([drop_rows, nameless])
            drop_images = np.concatenate([drop_images, own[nameless]])
        columns = self._column[images[match]], self._column[drop_images]
        return Pairs(*map(torch.from_numpy, (rows[match], columns[0], drop_rows, columns[1], totals)))


def _numbers(values: Tensor) -> Numbers:
    return values.numpy(force=True).astype(np.int64)


def _check(kept: npt.NDArray[np.bool_], own: Numbers, identities: Numbers, gallery_identities: Numbers) -> None:
    if kept.dtype != np.bool_ or kept.shape != gallery_identities.shape:
        raise ValueError(f"kept must be {len(gallery_identities)} booleans, got {kept.dtype} {kept.shape}")
    if own.shape != identities.shape:
        raise ValueError(f"self_index must be {len(identities)} integers, got {own.shape}")
    if own.max(initial=-1) >= len(gallery_identities):
        raise ValueError(f"self_index points past the {len(gallery_identities)} gallery images: {own.max()}")
    there = own >= 0
    if (gallery_identities[own[there]] != identities[there]).any():
        raise ValueError("self_index points at a gallery image of another identity than the query's")
