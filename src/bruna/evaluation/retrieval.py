"""Galleries ranked by trained networks: the main figures, what each part adds, plain baselines."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bruna.batches.store import ImageStore
from bruna.dataset.identities import DISTRACTOR, JUNK
from bruna.evaluation.labelled import LabelledImages
from bruna.params import Evaluate
from bruna.retrieval.distances import Distance, Euclidean, ProductDistance
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.protocols import COURSE, COURSE_ALONE, FIGURES, MARKET1501, RetrievalProtocol
from bruna.retrieval.ranking import Nearest, evaluate_protocols, top_k
from bruna.retrieval.reranking import rerank
from bruna.retrieval.results import RetrievalResults

RANKED = 50
"""Gallery images that are kept of each query, nearest first; `report.rank_list_length` may show no more."""
_CMC_DEPTH = 20
_DECODED_AT_ONCE = 4096
"""Images decoded at a time, so that memory grows by histograms only."""

Ranked = dict[str, RetrievalResults]
"""Results by the name of the protocol."""


@dataclass(frozen=True)
class Retrieval:
    """A query set ranked against a gallery.

    Attributes:
        query, gallery: the two sets; the same object where every image is both.
        results: the main figures: the paper's distance, without re-ranking, junk filter and mirror images as set in
            the parameters.
        unfiltered: without the junk filter.
        variants: one thing changed from `results`: `features_only`, the distance without its attribute factor;
            `no_flip`, without mirror images (where they are in use); `reranked` (where it is asked for).
        nearest: the first `RANKED` images of each query under the `shown_protocol`.
        kept: booleans over the gallery, False where the junk filter left an image out.
    """

    query: LabelledImages
    gallery: LabelledImages
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
    """The figures by the name of the protocol; the counts alone of one under which no query has a match."""
    return {
        name: dict(result.summary()) if bool(result.scored.any()) else {"queries": 0, "left_out": result.left_out}
        for name, result in found.items()
    }


def figures_of(found: Ranked) -> dict[str, dict[str, float]]:
    """`FIGURES` by the name of the protocol: what is told of a baseline."""
    summaries = _summaries(found)
    return {name: {key: float(of[key]) for key in FIGURES if key in of} for name, of in summaries.items()}


def shown_protocol(found: Ranked) -> RetrievalProtocol:
    """The protocol of the rank lists: Market-1501's, or the course's where no query has a match under that."""
    return MARKET1501 if bool(found[MARKET1501.name].scored.any()) else COURSE_ALONE


def _contents(identities: Tensor) -> dict[str, int]:
    """How many images show a labelled person, a distractor and junk; a labelled person in junk's place is a loss."""
    return {
        "people": int((identities > 0).sum()),
        "distractors": int((identities == DISTRACTOR).sum()),
        "junk": int((identities == JUNK).sum()),
    }


def retrieve(query: LabelledImages, gallery: LabelledImages, params: Evaluate) -> Retrieval:
    """Rank a gallery by the paper's distance, d(ft) (0.1 + d(att)), under every protocol (section 3.2.1)."""
    distance = ProductDistance(params.attribute_offset)
    itself = torch.arange(len(query.gallery)) if query is gallery else None
    kept = kept_images(gallery, params)
    sets = query.gallery, gallery.gallery

    def ranked(query: Gallery, gallery: Gallery, distance: Distance, kept: Tensor | None = kept) -> Ranked:
        return evaluate_protocols(query, gallery, distance, kept=kept, self_index=itself)

    results = ranked(*sets, distance)
    variants = {"features_only": ranked(*sets, Euclidean())}
    if query.plain is not query.gallery:
        variants["no_flip"] = ranked(query.plain, gallery.plain, distance)
    if params.rerank:
        again = rerank(
            *sets, distance, self_index=itself, k1=params.rerank_k1, k2=params.rerank_k2, share=params.rerank_lambda
        )
        variants["reranked"] = ranked(again.query, again.gallery, again)
    nearest = top_k(*sets, distance, shown_protocol(results), min(RANKED, len(kept)), kept=kept, self_index=itself)
    unfiltered = results if bool(kept.all()) else ranked(*sets, distance, None)
    return Retrieval(query, gallery, results, unfiltered, variants, nearest, kept)


def kept_images(gallery: LabelledImages, params: Evaluate) -> Tensor:
    """Booleans over the gallery, False where the junk filter leaves an image out."""
    if not params.filter_junk:
        return torch.ones(len(gallery.gallery), dtype=torch.bool)
    return torch.from_numpy(gallery.found.junk) < params.junk_threshold


def nearest_unlabelled(query: LabelledImages, gallery: LabelledImages, params: Evaluate) -> Nearest:
    """The first `reid_test_length` gallery images of every unlabelled query, junk left out, best first."""
    return top_k(
        query.gallery,
        gallery.gallery,
        ProductDistance(params.attribute_offset),
        COURSE,
        min(params.reid_test_length, len(gallery.gallery)),
        kept=kept_images(gallery, params),
    )


def per_query(retrieval: Retrieval) -> pd.DataFrame:
    """One row a query: average precision and rank of the first hit under each protocol, worst first."""
    identities = retrieval.query.gallery.identities.numpy()
    table = pd.DataFrame({"path": retrieval.query.found.names, "identity": identities})
    for name, result in retrieval.results.items():
        table[f"{name}_ap"] = result.average_precisions.numpy()
        table[f"{name}_first_hit"] = result.first_hits.numpy()
    return table.sort_values([f"{shown_protocol(retrieval.results).name}_ap", "path"], ignore_index=True)


def cmc_table(retrieval: Retrieval) -> pd.DataFrame:
    """Columns rank (1 to 20, or to the size of the gallery) and, for each protocol, the share of queries matched.

    A protocol under which no query has a match has none.
    """
    depths = list(range(1, min(_CMC_DEPTH, len(retrieval.kept)) + 1))
    scored = {name: result for name, result in retrieval.results.items() if bool(result.scored.any())}
    return pd.DataFrame({"rank": depths, **{name: result.cmc(depths) for name, result in scored.items()}})


def ranked_table(retrieval: Retrieval) -> pd.DataFrame:
    """The nearest gallery images of every query under the `shown_protocol`, junk left out.

    Returns:
        Columns query, query_camera, rank (from 1), path, camera, distance, match (whether both show one identity); the
        queries in their order, each with its nearest images first.
    """
    query, gallery = retrieval.query.gallery, retrieval.gallery.gallery
    rows, columns = (retrieval.nearest.indices >= 0).nonzero(as_tuple=True)
    images = retrieval.nearest.indices[rows, columns]
    return pd.DataFrame(
        {
            "query": np.array(retrieval.query.found.names, dtype=object)[rows],
            "query_camera": query.cameras[rows].numpy(),
            "rank": columns.numpy() + 1,
            "path": np.array(retrieval.gallery.found.names, dtype=object)[images],
            "camera": gallery.cameras[images].numpy(),
            "distance": retrieval.nearest.distances[rows, columns].numpy(),
            "match": (query.identities[rows] == gallery.identities[images]).numpy(),
        }
    )


def features_ranking(images: LabelledImages) -> Ranked:
    """A set where every image is query and gallery, ranked as `train_bruna` measures: features alone, no mirror images,
    no junk filter."""
    return evaluate_protocols(images.plain, images.plain, Euclidean(), self_index=torch.arange(len(images.plain)))


def untrained_ranking(images: LabelledImages, trained: Retrieval, params: Evaluate) -> Ranked:
    """The main ranking of another network of a set where every image is query and gallery.

    Args:
        images: the set as that network sees it.
        trained: the ranking of the same set by the trained one, whose junk filter counts here too.
        params: the group `evaluate`.
    """
    gallery, distance = images.gallery, ProductDistance(params.attribute_offset)
    itself = torch.arange(len(gallery))
    return evaluate_protocols(gallery, gallery, distance, kept=trained.kept, self_index=itself)


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


def histogram_ranking(table: pd.DataFrame, size: tuple[int, int], kept: Tensor) -> Ranked:
    """A ranking by colour histograms under every protocol, every image both query and gallery.

    Args:
        table: the images.
        size: height and width at which the colours are counted, pixels.
        kept: N booleans, False for images that the junk filter of the main figures leaves out.
    """
    gallery = color_histograms(table, size)
    itself = torch.arange(len(gallery))
    return evaluate_protocols(gallery, gallery, Euclidean(), kept=kept, self_index=itself)
