"""Queries searched for among a data set's unlabelled images too: what a larger gallery costs.

Nobody knows who is on these images, so each counts as a distractor. Where one shows a query's own person, a right
answer counts as wrong: then the figures are a lower bound.

Distractors stand behind the gallery, so at equal distances the gallery's image is the nearer one, and the rank of a
match grows by the number of distractors that are nearer than it. They are counted a block of queries at a time: the
gallery is not ranked again, and no embeddings are copied together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bruna.dataset.filenames import UNLABELLED_SUBSETS
from bruna.evaluation.intervals import Measured, market_measures
from bruna.evaluation.labelled import LabelledImages
from bruna.evaluation.retrieval import Retrieval, kept_images
from bruna.params import Evaluate
from bruna.retrieval.distances import Distance, ProductDistance
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.protocols import MARKET1501
from bruna.retrieval.results import RetrievalResults

ADDED = dict(zip(UNLABELLED_SUBSETS, ("queries", "all"), strict=True))
"""By the last unlabelled folder that is added to the gallery: the name of the ranking in figures.json."""
_BLOCK_NUMBERS = 1 << 22
"""Distances at a time, 16 MiB; sorting them needs as much again."""


@dataclass(frozen=True, eq=False)
class Distracted:
    """A ranking of a gallery with distractors.

    Attributes:
        results: under the Market-1501 protocol.
        added: images of each unlabelled folder that were added.
        left_out_as_junk: how many of them the junk filter left out.
        measures: `map`, `rank1` and `minp` by identity.
    """

    results: RetrievalResults
    added: Mapping[str, int]
    left_out_as_junk: int
    measures: Mapping[str, Measured]

    def summary(self) -> dict[str, Any]:
        """The figures, with how many images were added and left out."""
        return {
            self.results.protocol: self.results.summary(),
            "added": dict(self.added),
            "left_out_as_junk": self.left_out_as_junk,
        }


def among_distractors(
    found: Retrieval, unlabelled: Mapping[str, LabelledImages], params: Evaluate
) -> dict[str, Distracted]:
    """Rank again with unlabelled images in the gallery, one folder more each time.

    Distance, mirror images and junk filter are those of the main figures.

    Args:
        found: the ranking without them.
        unlabelled: the images by folder.
        params: the group `evaluate`.

    Returns:
        By the names in `ADDED`; none where no query has a match under the Market-1501 protocol.
    """
    market = found.results[MARKET1501.name]
    if not bool(market.scored.any()):
        return {}
    distance, among = ProductDistance(params.attribute_offset), _told(found.gallery)
    added: dict[str, int] = {}
    left_out, rankings = 0, {}
    for folder, images in ((folder, unlabelled[folder]) for folder in ADDED if folder in unlabelled):
        kept = kept_images(images, params)
        searched = images.gallery if bool(kept.all()) else images.gallery.select(kept.nonzero().flatten())
        nearer = distractors_nearer(found.query.gallery, searched, distance, market)
        market = replace(market, ranks=market.ranks + nearer, valid=market.valid + len(searched))
        added = {**added, folder: len(kept)}
        left_out += len(kept) - len(searched)
        among = (among + _told(images)) % (1 << 64)
        rankings[ADDED[folder]] = Distracted(market, added, left_out, market_measures(market, found.query, among))
    return rankings


def _told(images: LabelledImages) -> int:
    return int(images.contents.sum(dtype=np.uint64))


@torch.no_grad()
def distractors_nearer(query: Gallery, distractors: Gallery, distance: Distance, found: RetrievalResults) -> Tensor:
    """How many distractors are nearer to its query than each match that was found.

    The two distances that are compared come from two matrix products, each as exact as `retrieval/distances.py` says.

    Args:
        query: Q images.
        distractors: D images; whatever their identities, they match nobody.
        distance: that `found` was ranked by.
        found: R matches of the Q queries in a gallery without the distractors.

    Returns:
        R int64.
    """
    nearer = np.zeros(len(found.ranks), dtype=np.int64)
    wanted, offsets = found.distances.numpy(), found.offsets.tolist()
    between = distance.between(query, distractors)
    block = max(1, _BLOCK_NUMBERS // max(1, len(distractors)))
    for start in range(0, len(query), block):
        ordered = np.sort(between(start, min(start + block, len(query))).numpy(force=True), axis=1)
        for q, values in enumerate(ordered, start):
            part = slice(offsets[q], offsets[q + 1])
            nearer[part] = values.searchsorted(wanted[part])
    return torch.from_numpy(nearer)
