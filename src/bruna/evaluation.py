"""Measuring trained models: retrieval under each protocol, attributes, the two course deliverables.

Everything here works on `Described` sets: image tables that all three networks have seen once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from bruna.batches.persons import PersonStore
from bruna.batches.store import ImageStore
from bruna.dataset.attributes import ATTRIBUTES, NAMES
from bruna.dataset.tables import attribute_codes
from bruna.inference import attribute_logits, embed, segment_table, task_predictions
from bruna.models.attributes import AttributeNetwork
from bruna.models.bruna import Bruna
from bruna.models.unet import UNet
from bruna.params import Evaluate
from bruna.report.attribute_metrics import task_metrics
from bruna.retrieval.distances import Euclidean, ProductDistance
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.protocols import COURSE, MARKET1501
from bruna.retrieval.ranking import Nearest, evaluate_retrieval, top_k
from bruna.retrieval.results import RetrievalResults
from bruna.saved_models import load_attribute_network, load_bruna, load_unet

PROTOCOLS = (COURSE, MARKET1501)
_DESCRIBED_AT_ONCE = 4096
"""Images decoded at a time, so that memory grows by embeddings only."""


@dataclass(frozen=True)
class Models:
    """The three trained networks on one device, each with the height and width it sees."""

    unet: tuple[UNet, tuple[int, int]] | None
    attributes: tuple[AttributeNetwork, tuple[int, int]]
    bruna: tuple[Bruna, tuple[int, int]]
    device: torch.device

    @classmethod
    def load(cls, artifacts: Path, device: torch.device) -> "Models":
        """Load what the training stages left in `artifacts/{unet,attributes,bruna}`."""
        return cls(
            unet=load_unet(artifacts / "unet", device),
            attributes=load_attribute_network(artifacts / "attributes", device),
            bruna=load_bruna(artifacts / "bruna", device),
            device=device,
        )


@dataclass(frozen=True)
class Described:
    """A table's images as the networks see them.

    Attributes:
        paths: N keys.
        gallery: embeddings, attribute probabilities by Bruna, identities, cameras.
        codes: N x 12 true attribute codes, -1 where not annotated.
        predicted: N x 15 codes by Task 1: the twelve attributes, camera4, camera6, junk.
        junk: N probabilities of junk by Task 1.
    """

    paths: npt.NDArray[np.object_]
    gallery: Gallery
    codes: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    junk: Tensor


def describe(
    table: pd.DataFrame, segments: pd.DataFrame | None, models: Models, batch_size: int, name: str
) -> Described:
    """Run Task 1 and Bruna once over a table.

    Args:
        table: an image table.
        segments: the masks and bottlenecks of its images; made here by the U-Net if None and needed.
        models: the trained networks.
        batch_size: images a pass.
        name: of the table, for the progress bars.
    """
    bruna, size = models.bruna
    network, network_size = models.attributes
    masks, joined = bruna.mask != "none", bruna.bottleneck_norm is not None and bruna.encoder is None
    if segments is None and (masks or joined):
        segments = segment_table(table, models.unet, batch_size, models.device, name)
    by_path = None if segments is None else segments.set_index("path")
    features, probabilities, logits = [], [], []
    for start in range(0, len(table), _DESCRIBED_AT_ONCE):
        rows = table.iloc[start : start + _DESCRIBED_AT_ONCE]
        part = None if by_path is None else by_path.loc[rows["path"]].reset_index()
        persons = PersonStore.decode(rows, part, size, masks=masks, bottleneck=joined).to(models.device)
        label = f"embed {name} from {start:,}" if len(table) > _DESCRIBED_AT_ONCE else f"embed {name}"
        found = embed(bruna, persons, batch_size, label)
        features.append(found.features)
        probabilities.append(found.attributes)
        same = network_size == size
        images = persons.images if same else ImageStore.decode(list(rows["image"]), list(rows["path"]), network_size)
        images = images.to(models.device)
        logits.append(attribute_logits(network, images, batch_size, label.replace("embed", "attributes of")))
    task1 = torch.cat(logits)
    return Described(
        paths=table["path"].to_numpy(),
        gallery=Gallery(
            torch.cat(features),
            torch.cat(probabilities),
            torch.tensor(table["identity"].to_numpy(np.int64)),
            torch.tensor(table["camera"].to_numpy(np.int64)),
        ),
        codes=attribute_codes(table),
        predicted=task_predictions(task1).numpy(),
        junk=task1[:, -1].sigmoid(),
    )


@dataclass(frozen=True)
class Retrieval:
    """A query set ranked against a gallery.

    Attributes:
        query, gallery: the two sets; the same object where every image is both.
        results: by protocol name, with the junk filter as the parameters say.
        unfiltered: by protocol name, without the junk filter.
        nearest: the first images of each query under the Market-1501 protocol, for pictures.
        kept: booleans over the gallery, False where the junk filter left an image out.
    """

    query: Described
    gallery: Described
    results: dict[str, RetrievalResults]
    unfiltered: dict[str, RetrievalResults]
    nearest: Nearest
    kept: Tensor

    def summary(self) -> dict[str, Any]:
        """The figures of every protocol as one nested dict."""
        return {
            **{name: dict(result.summary()) for name, result in self.results.items()},
            "unfiltered": {name: dict(result.summary()) for name, result in self.unfiltered.items()},
            "gallery": len(self.kept),
            "left_out_as_junk": int((~self.kept).sum()),
        }


def retrieve(query: Described, gallery: Described, params: Evaluate) -> Retrieval:
    """Rank a gallery by the paper's distance, d(ft) (0.1 + d(att)), under both protocols (section 3.2.1)."""
    distance = ProductDistance(params.attribute_offset)
    itself = torch.arange(len(query.gallery)) if query is gallery else None
    everything = torch.ones(len(gallery.gallery), dtype=torch.bool)
    kept = gallery.junk < params.junk_threshold if params.filter_junk else everything

    def ranked(left: Tensor) -> dict[str, RetrievalResults]:
        return {
            protocol.name: evaluate_retrieval(
                query.gallery, gallery.gallery, distance, protocol, kept=left, self_index=itself
            )
            for protocol in PROTOCOLS
        }

    results = ranked(kept)
    nearest = top_k(
        query.gallery,
        gallery.gallery,
        distance,
        MARKET1501,
        min(params.rank_list_length, len(gallery.gallery)),
        kept=kept,
        self_index=itself,
    )
    unfiltered = results if bool(kept.all()) else ranked(everything)
    return Retrieval(query, gallery, results, unfiltered, nearest, kept)


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


def attribute_figures(described: Described) -> dict[str, dict[str, float]]:
    """Accuracy, macro precision and macro recall of Task 1 for each attribute that is annotated."""
    known = (described.codes >= 0).any(axis=1)
    if not known.any():
        return {}
    extras = np.full((int(known.sum()), described.predicted.shape[1] - len(ATTRIBUTES)), -1)
    truth = np.concatenate([described.codes[known], extras], axis=1)
    found = task_metrics(truth, described.predicted[known])
    return {
        name: {
            "accuracy": float(result.accuracy),
            "precision": float(result.precision),
            "recall": float(result.recall),
            "majority": float(result.majority),
        }
        for name, result in zip(NAMES, found, strict=False)
    }


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
    for start in range(0, len(table), _DESCRIBED_AT_ONCE):
        rows = table.iloc[start : start + _DESCRIBED_AT_ONCE]
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
    """MAP and rank-1 of colour histograms under both protocols, every image both query and gallery."""
    gallery = color_histograms(table, size)
    itself = torch.arange(len(gallery))
    found = {
        protocol.name: evaluate_retrieval(gallery, gallery, Euclidean(), protocol, self_index=itself).summary()
        for protocol in PROTOCOLS
    }
    return {name: {key: float(values[key]) for key in ("map", "rank1")} for name, values in found.items()}
