"""Galleries ranked by what trained models say of them: the main figures, what each part adds, a plain baseline."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bruna.batches.store import ImageStore
from bruna.dataset.identities import DISTRACTOR, JUNK
from bruna.inference.describe import Described
from bruna.params import Evaluate
from bruna.retrieval.distances import Distance, Euclidean, ProductDistance
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.protocols import COURSE, MARKET1501
from bruna.retrieval.ranking import Nearest, evaluate_retrieval, top_k
from bruna.retrieval.reranking import rerank
from bruna.retrieval.results import RetrievalResults

PROTOCOLS = (COURSE, MARKET1501)
FIGURES = ("map", "rank1", "rank5", "rank10", "minp")
"""The figures of a ranking, as `RetrievalResults.summary` names them."""
_DECODED_AT_ONCE = 4096
"""Images decoded at a time, so that memory grows by histograms only."""

Ranked = dict[str, RetrievalResults]
"""Results by the name of the protocol."""


@dataclass(frozen=True)
class Retrieval:
    """A query set ranked against a gallery.

    Attributes:
        query, gallery: the two sets; the same object where every image is both.
        results: the main figures: the paper's distance, without re-ranking, junk filter and mirror images as the
            parameters say.
        unfiltered: without the junk filter.
        variants: one thing changed from `results`: `features_only`, the distance without its attribute factor;
            `no_flip`, without mirror images (where they are in use); `reranked` (where it is asked for).
        nearest: the first images of each query under the Market-1501 protocol, for pictures.
        kept: booleans over the gallery, False where the junk filter left an image out.
    """

    query: Described
    gallery: Described
    results: Ranked
    unfiltered: Ranked
    variants: dict[str, Ranked]
    nearest: Nearest
    kept: Tensor

    def summary(self) -> dict[str, Any]:
        """The figures of every protocol as one nested dict, with what the gallery holds and the filter discarded."""
        identities = self.gallery.gallery.identities
        return {
            **_summaries(self.results),
            "unfiltered": _summaries(self.unfiltered),
            "variants": {name: _summaries(found) for name, found in self.variants.items()},
            "gallery": len(self.kept),
            "gallery_holds": _contents(identities),
            "left_out_as_junk": int((~self.kept).sum()),
            "left_out_holds": _contents(identities[~self.kept]),
        }


def _summaries(found: Ranked) -> dict[str, dict[str, float]]:
    return {name: dict(result.summary()) for name, result in found.items()}


def _contents(identities: Tensor) -> dict[str, int]:
    """How many images show a labelled person, a distractor and junk; a labelled person in junk's place is a loss."""
    return {
        "people": int((identities > 0).sum()),
        "distractors": int((identities == DISTRACTOR).sum()),
        "junk": int((identities == JUNK).sum()),
    }


def ranked(query: Gallery, gallery: Gallery, distance: Distance, kept: Tensor | None, itself: Tensor | None) -> Ranked:
    """Rank a gallery under both protocols; see `evaluate_retrieval` for the arguments."""
    return {
        protocol.name: evaluate_retrieval(query, gallery, distance, protocol, kept=kept, self_index=itself)
        for protocol in PROTOCOLS
    }


def retrieve(query: Described, gallery: Described, params: Evaluate) -> Retrieval:
    """Rank a gallery by the paper's distance, d(ft) (0.1 + d(att)), under both protocols (section 3.2.1)."""
    distance = ProductDistance(params.attribute_offset)
    itself = torch.arange(len(query.gallery)) if query is gallery else None
    everything = torch.ones(len(gallery.gallery), dtype=torch.bool)
    kept = gallery.junk < params.junk_threshold if params.filter_junk else everything
    sets = query.gallery, gallery.gallery

    results = ranked(*sets, distance, kept, itself)
    variants = {"features_only": ranked(*sets, Euclidean(), kept, itself)}
    if query.plain is not query.gallery:
        variants["no_flip"] = ranked(query.plain, gallery.plain, distance, kept, itself)
    if params.rerank:
        again = rerank(
            *sets, distance, self_index=itself, k1=params.rerank_k1, k2=params.rerank_k2, share=params.rerank_lambda
        )
        variants["reranked"] = ranked(again.query, again.gallery, again, kept, itself)
    nearest = top_k(
        *sets, distance, MARKET1501, min(params.rank_list_length, len(gallery.gallery)), kept=kept, self_index=itself
    )
    unfiltered = results if bool(kept.all()) else ranked(*sets, distance, everything, itself)
    return Retrieval(query, gallery, results, unfiltered, variants, nearest, kept)


def nearest_unlabelled(query: Described, gallery: Described, params: Evaluate) -> Nearest:
    """The first `reid_test_length` gallery images of every unlabelled query, junk left out, best first."""
    kept = gallery.junk < params.junk_threshold if params.filter_junk else None
    return top_k(
        query.gallery,
        gallery.gallery,
        ProductDistance(params.attribute_offset),
        COURSE,
        min(params.reid_test_length, len(gallery.gallery)),
        kept=kept,
    )


def per_query(retrieval: Retrieval) -> pd.DataFrame:
    """One row a query: average precision and rank of the first hit under each protocol, worst first."""
    table = pd.DataFrame({"path": retrieval.query.paths, "identity": retrieval.query.gallery.identities.numpy()})
    for name, result in retrieval.results.items():
        table[f"{name}_ap"] = result.average_precisions.numpy()
        table[f"{name}_first_hit"] = result.first_hits.numpy()
    return table.sort_values([f"{MARKET1501.name}_ap", "path"], ignore_index=True)


STRIPES, BINS = 6, 8
"""The colour histogram that a network has to beat: so many horizontal stripes, so many bins a channel."""


def color_histograms(table: pd.DataFrame, size: tuple[int, int]) -> Gallery:
    """Images described by colour alone: the root of an RGB histogram of each of six stripes, N x 3,072.

    The Euclidean distance between roots of histograms is the Hellinger distance.
    """
    parts = []
    for start in range(0, len(table), _DECODED_AT_ONCE):
        rows = table.iloc[start : start + _DECODED_AT_ONCE]
        pixels = ImageStore.decode(list(rows["image"]), list(rows["path"]), size).pixels.long()
        bins = (pixels * BINS) // 256
        color = (bins[:, 0] * BINS + bins[:, 1]) * BINS + bins[:, 2]
        stripe = (torch.arange(size[0]) * STRIPES // size[0]).view(1, -1, 1)
        place = (stripe * BINS**3 + color).flatten(1)
        counts = torch.zeros(len(rows), STRIPES * BINS**3)
        counts.scatter_add_(1, place, torch.ones(place.shape))
        parts.append((counts / counts.sum(dim=1, keepdim=True)).sqrt())
    return Gallery(
        torch.cat(parts),
        None,
        torch.tensor(table["identity"].to_numpy(np.int64)),
        torch.tensor(table["camera"].to_numpy(np.int64)),
    )


def histogram_figures(table: pd.DataFrame, size: tuple[int, int]) -> dict[str, dict[str, float]]:
    """MAP, CMC and mINP of colour histograms under both protocols, every image both query and gallery."""
    gallery = color_histograms(table, size)
    itself = torch.arange(len(gallery))
    found = ranked(gallery, gallery, Euclidean(), None, itself)
    return {name: {key: float(result.summary()[key]) for key in FIGURES} for name, result in found.items()}
