"""Distances of all pairs of images as histograms: by folds of identities, and for resampled identities.

A histogram's bins are the leading bits of the float32 distances, so they are as fine as 0.1% of the distance whatever
its unit is. Memory grows with the number of bins and images, not of pairs.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from bruna.dataset.identities import UNKNOWN_CAMERA
from bruna.retrieval.distances import BlockDistances, Distance
from bruna.retrieval.gallery import Gallery

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Floats32 = npt.NDArray[np.float32]

_SHIFT = 13
"""Bits of a float32 that a bin passes over: 10 of the mantissa stay."""
_BINS = 1 << (31 - _SHIFT)
_BLOCK_NUMBERS, _BLOCK_CELLS = 1 << 21, 1 << 22
"""Distances, and cells of histograms, at a time: 8 and 32 MiB."""


def lower_edges(bins: Counts) -> Floats:
    """The smallest distance of each bin."""
    return (bins << _SHIFT).astype(np.int32).view(np.float32).astype(np.float64)


@dataclass(frozen=True)
class FoldHistograms:
    """How many pairs lie in each bin, for each pair of folds; empty bins are left out.

    Attributes:
        bins: B bin numbers, ascending.
        folds: U x 2, the folds of the two identities, the smaller first; every pair of folds once.
        genuine, impostor: U x B counts.
    """

    bins: Counts
    folds: Counts
    genuine: Counts
    impostor: Counts

    @property
    def middles(self) -> Floats:
        """The middle of each bin, a distance."""
        return (lower_edges(self.bins) + lower_edges(self.bins + 1)) / 2


class ImagePairs:
    """Each pair of images of labelled people once: of different cameras, or, where those are unknown, all pairs.

    Args:
        images: N images; those of nobody known (identity 0 or below) are left out.
        distance: how far two of them are apart.

    Attributes:
        identities: P numbers, ascending.
        rows: which of the images given are in pairs, those of one identity side by side.
        person: of each of `rows`, the position of its identity.
        cross_camera: whether pairs are of different, known cameras. False where nobody is seen by two of them.
    """

    def __init__(self, images: Gallery, distance: Distance) -> None:
        known = (images.identities > 0).nonzero().flatten()
        order = known[images.identities[known].argsort(stable=True)]
        sorted_images = images.select(order)
        self.rows: Counts = order.numpy(force=True)
        self._between: BlockDistances = distance.between(sorted_images, sorted_images)
        self.identities, self.person = np.unique(sorted_images.identities.numpy(force=True), return_inverse=True)
        self._cameras = sorted_images.cameras.numpy(force=True).astype(np.int64)
        self._starts = np.searchsorted(self.person, np.arange(len(self.identities) + 1))
        cameras_of = [set(self._cameras[a:b]) - {UNKNOWN_CAMERA} for a, b in zip(*self._bounds, strict=True)]
        self.cross_camera = any(len(cameras) > 1 for cameras in cameras_of)

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.person)

    @property
    def _bounds(self) -> tuple[Counts, Counts]:
        return self._starts[:-1], self._starts[1:]

    @cached_property
    def twice_seen(self) -> npt.NDArray[np.bool_]:
        """P booleans, whether a person has a genuine pair."""
        if not self.cross_camera:
            return np.asarray(np.diff(self._starts) > 1)
        return np.array(
            [len(set(self._cameras[a:b]) - {UNKNOWN_CAMERA}) > 1 for a, b in zip(*self._bounds, strict=True)]
        )

    @cached_property
    def identity_pairs(self) -> int:
        """How many pairs of identities have a pair of images."""
        seen = [set(self._cameras[a:b]) - {UNKNOWN_CAMERA} for a, b in zip(*self._bounds, strict=True)]
        if not self.cross_camera:
            return len(seen) * (len(seen) - 1) // 2
        only = Counter(next(iter(cameras)) for cameras in seen if len(cameras) == 1)
        people = sum(map(bool, seen))
        return people * (people - 1) // 2 - sum(count * (count - 1) // 2 for count in only.values())

    def _blocks(self, cells: int) -> Iterator[tuple[int, int]]:
        """Ranges of identities whose images make no more than a block's distances, and no more than its histograms.

        Args:
            cells: of the histograms of one identity.
        """
        first, rows = 0, max(1, _BLOCK_NUMBERS // max(1, len(self)))
        most = max(1, _BLOCK_CELLS // cells)
        while first < len(self.identities):
            fits = int(np.searchsorted(self._starts, self._starts[first] + rows, side="right")) - 1
            last = min(max(first + 1, fits), first + most, len(self.identities))
            yield first, last
            first = last

    def _pairs(self, first: int, last: int) -> tuple[Counts, Counts, Floats32]:
        """Both images of each pair of a block (positions in `rows`), and their distances."""
        start, stop = int(self._starts[first]), int(self._starts[last])
        with torch.no_grad():
            found = self._between(start, stop)[:, start:].numpy(force=True)
        counts = np.arange(len(self) - start) > np.arange(stop - start)[:, None]
        if self.cross_camera:
            ours, theirs = self._cameras[start:stop, None], self._cameras[None, start:]
            counts &= (ours != theirs) & (ours != UNKNOWN_CAMERA) & (theirs != UNKNOWN_CAMERA)
        rows, columns = counts.nonzero()
        return start + rows, start + columns, found[rows, columns]

    def _binned(self, first: int, last: int) -> tuple[Counts, Counts, Counts]:
        """The identities (numbers from 0) of both images of each pair of a block, and the bins of their distances."""
        one, other, distances = self._pairs(first, last)
        bins = (distances.view(np.int32) >> _SHIFT).astype(np.int64)
        return self.person[one], self.person[other], bins

    def near_impostors(self, threshold: float, cells: int) -> Iterator[tuple[int, int, Counts, Counts]]:
        """The pairs of two people whose distance is below a threshold, in blocks.

        Args:
            threshold: a distance.
            cells: how many numbers are kept of a pair of identities; the more, the smaller the blocks.

        Yields:
            The first identity of a block and the first behind it; the positions in `rows` of both images of each pair,
            that whose identity is in the block first.
        """
        for first, last in self._blocks(len(self.identities) * cells):
            one, other, distances = self._pairs(first, last)
            near = (distances < threshold) & (self.person[one] != self.person[other])
            yield first, last, one[near], other[near]

    def fold_histograms(self, fold: Counts) -> FoldHistograms:
        """Count the pairs in every bin.

        Args:
            fold: P fold numbers, from 0.
        """
        count = int(fold.max()) + 1
        folds = np.array([(a, b) for a in range(count) for b in range(a, count)])
        number = np.zeros((count, count), dtype=np.int64)
        for u, (a, b) in enumerate(folds):
            number[a, b] = number[b, a] = u
        dense = np.zeros((2, len(folds), _BINS), dtype=np.int64)
        for first, last in self._blocks(1):
            one, other, bins = self._binned(first, last)
            cell = ((one != other) * len(folds) + number[fold[one], fold[other]]) * _BINS + bins
            dense += np.bincount(cell, minlength=dense.size).reshape(dense.shape)
        kept = np.flatnonzero(dense.any(axis=(0, 1)))
        return FoldHistograms(kept, folds, dense[0][:, kept], dense[1][:, kept])

    def weighted(self, weights: Floats, edges: Counts) -> tuple[Floats, Floats, int]:
        """Count the pairs below each edge, as if each identity were there as often as its weight says.

        A genuine pair counts as often as its person, an impostor pair as often as the product of the two says; a person
        and its copy make no impostor pair.

        Args:
            weights: R x P, a row a resampling.
            edges: E bins, ascending; a pair counts where its bin lies below.

        Returns:
            Genuine and impostor pairs, R x (E + 1) each, the last column all of them; and how many pairs of different
            identities have a pair of images.
        """
        people, cells = len(self.identities), len(edges) + 1
        place = np.searchsorted(edges, np.arange(_BINS), side="right")
        genuine, impostor = np.zeros((len(weights), cells)), np.zeros((len(weights), cells))
        identity_pairs = 0
        for first, last in self._blocks(people * cells):
            one, other, bins = self._binned(first, last)
            cell = ((one - first) * people + other) * cells + place[bins]
            shape = last - first, people, cells
            found = np.bincount(cell, minlength=(last - first) * people * cells).reshape(shape).astype(np.float64)
            for person in range(first, last):
                own, after = found[person - first, person], found[person - first, person + 1 :]
                identity_pairs += int(after.any(axis=1).sum())
                genuine += weights[:, [person]] * own
                impostor += weights[:, [person]] * (weights[:, person + 1 :] @ after)
        return genuine.cumsum(axis=1), impostor.cumsum(axis=1), identity_pairs
