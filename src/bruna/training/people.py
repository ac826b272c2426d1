"""One side of the split as Task 2 trains and measures on it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bruna.batches.persons import PersonStore
from bruna.dataset.tables import attribute_codes
from bruna.inference import embed
from bruna.models.bruna import Bruna
from bruna.params import TrainBruna
from bruna.retrieval.distances import Euclidean, ProductDistance
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.protocols import COURSE, MARKET1501
from bruna.retrieval.ranking import evaluate_retrieval

ATTRIBUTE_OFFSET = 0.1
"""The constant of the paper's distance, for the mAP that is followed while training."""

_FIGURES = ("map", "rank1", "rank5", "rank10", "minp")


@dataclass(frozen=True)
class People:
    """One side of the split in memory.

    Attributes:
        store: N images, with the masks and bottlenecks that Bruna takes.
        codes: N x 12 int64, on the store's device.
        identities, cameras: N int64, on the CPU.
    """

    store: PersonStore
    codes: Tensor
    identities: Tensor
    cameras: Tensor


def load_people(table: pd.DataFrame, segments: pd.DataFrame | None, params: TrainBruna, device: torch.device) -> People:
    """Decode one side of the split for Bruna."""
    masks, joined = params.mask != "none", params.bottleneck and not params.finetune_unet
    store = PersonStore.decode(table, segments, params.image_size, masks=masks, bottleneck=joined)
    return People(
        store=store.to(device),
        codes=torch.from_numpy(attribute_codes(table)).to(device),
        identities=torch.tensor(table["identity"].to_numpy(np.int64)),
        cameras=torch.tensor(table["camera"].to_numpy(np.int64)),
    )


def retrieval_metrics(bruna: Bruna, people: People, batch_size: int) -> dict[str, float]:
    """Retrieval under both protocols, every image both query and gallery.

    Returns:
        `<protocol>/<figure>` with the paper's distance, and `<protocol>/map_features` without its attribute factor.
    """
    found = embed(bruna, people.store, batch_size)
    gallery = Gallery(found.features, found.attributes, people.identities, people.cameras)
    itself = torch.arange(len(gallery))
    values: dict[str, float] = {}
    for protocol in (COURSE, MARKET1501):
        result = evaluate_retrieval(gallery, gallery, ProductDistance(ATTRIBUTE_OFFSET), protocol, self_index=itself)
        if bool(result.scored.any()):
            summary = result.summary()
            values |= {f"{protocol.name}/{key}": float(summary[key]) for key in _FIGURES}
            plain = evaluate_retrieval(gallery, gallery, Euclidean(), protocol, self_index=itself).summary()
            values[f"{protocol.name}/map_features"] = float(plain["map"])
    return values
