"""One side of the split as Task 2 trains and measures on it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bruna.batches.persons import PersonStore
from bruna.dataset.schema import Tasks
from bruna.dataset.tables import attribute_codes, attributes_of
from bruna.inference.embedding import embed
from bruna.models.bruna import Bruna
from bruna.params import TrainBruna
from bruna.processes import Processes
from bruna.retrieval.distances import Euclidean
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.protocols import FIGURES
from bruna.retrieval.ranking import evaluate_protocols
from bruna.retrieval.results import RetrievalResults


@dataclass(frozen=True)
class LabelledPersons:
    """One side of the split in memory.

    Attributes:
        store: N images, with the masks and bottlenecks that Bruna takes.
        attributes: the A attributes.
        codes: N x A int64, on the store's device.
        identities, cameras: N int64, on the CPU.
        paths: N, of the images.
    """

    store: PersonStore
    attributes: Tasks
    codes: Tensor
    identities: Tensor
    cameras: Tensor
    paths: list[str]


def load_persons(
    table: pd.DataFrame, segments: pd.DataFrame | None, params: TrainBruna, device: torch.device
) -> LabelledPersons:
    """Decode one side of the split for Bruna."""
    masks = params.mask != "none"
    store = PersonStore.decode(table, segments, params.image_size, masks=masks, bottleneck=params.bottleneck)
    return LabelledPersons(
        store=store.to(device),
        attributes=attributes_of(table),
        codes=torch.from_numpy(attribute_codes(table)).to(device),
        identities=torch.tensor(table["identity"].to_numpy(np.int64)),
        cameras=torch.tensor(table["camera"].to_numpy(np.int64)),
        paths=list(table["path"]),
    )


def retrieval_metrics(
    bruna: Bruna, persons: LabelledPersons, batch_size: int, processes: Processes
) -> dict[str, float]:
    """Retrieval by the distance of features under every protocol, every image both query and gallery.

    The attribute factor of the paper's distance is left to the stage `evaluate`, whose parameters set it.

    Returns:
        `<protocol>/<figure>`; a protocol under which no query has a match is left out.
    """
    found = embed(bruna, persons.store, batch_size, processes=processes)
    gallery = Gallery(found.features, None, persons.identities, persons.cameras)
    queries = torch.arange(len(gallery))[processes.share(len(gallery))]
    own = evaluate_protocols(gallery.select(queries), gallery, Euclidean(), self_index=queries)
    results = processes.all(own)
    values: dict[str, float] = {}
    for name in own:
        result = RetrievalResults.joined([each[name] for each in results])
        if bool(result.scored.any()):
            summary = result.summary()
            values |= {f"{name}/{key}": float(summary[key]) for key in FIGURES}
    return values
