"""What Task 1 is trained on and measured on: a side of the split in memory, and what the network predicts for it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from bruna.batches.attribute_items import MEASURED_JUNK_EVERY, measured_draws, task1_targets, zoom
from bruna.batches.store import ImageStore
from bruna.dataset.schema import JUNK_TASK, UNKNOWN, Tasks, task1_tasks
from bruna.dataset.tables import attribute_codes, attributes_of
from bruna.inference.predicting import attribute_logits
from bruna.models.attribute_logits import predictions
from bruna.models.attributes import AttributeNetwork
from bruna.params import TrainAttributes
from bruna.processes import Processes


@dataclass(frozen=True)
class Part:
    """One side of the split in memory.

    Attributes:
        tasks: the T tasks of Task 1.
        store: N images.
        codes: N x A attribute codes, int64, on the CPU like all numbers here.
        targets: N x T of images that are what they are: no junk.
        identities, cameras: N.
        paths: N.
    """

    tasks: Tasks
    store: ImageStore
    codes: Tensor
    targets: Tensor
    identities: Tensor
    cameras: Tensor
    paths: list[str]


def load_part(table: pd.DataFrame, params: TrainAttributes, device: torch.device) -> Part:
    """Decode one side of the split for Task 1."""
    paths = list(table["path"])
    codes = torch.from_numpy(attribute_codes(table))
    cameras = torch.tensor(table["camera"].to_numpy(np.int64))
    no_junk = torch.zeros(len(codes), dtype=torch.bool)
    return Part(
        tasks=task1_tasks(attributes_of(table), params.camera_classes),
        store=ImageStore.decode(list(table["image"]), paths, params.image_size).to(device),
        codes=codes,
        targets=task1_targets(codes, cameras, no_junk, params.camera_classes),
        identities=torch.tensor(table["identity"].to_numpy(np.int64)),
        cameras=cameras,
        paths=paths,
    )


@dataclass(frozen=True)
class Measured:
    """What the network predicts for one part of the data.

    Attributes:
        tasks: the T tasks.
        true: M x T codes, -1 where not annotated; the rows after the part's N images are zoomed junk.
        predicted: M x T codes.
        logits: M x L.
    """

    tasks: Tasks
    true: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]


def measure(
    model: AttributeNetwork, part: Part, params: TrainAttributes, description: str, processes: Processes
) -> Measured:
    """Predict every image of a part, and zooms into every tenth of them as junk."""
    images = part.store.pixels[::MEASURED_JUNK_EVERY]
    junk = zoom(images, measured_draws(len(images), params.seed))
    batch = 4 * params.batch_size
    logits = torch.cat(
        [
            attribute_logits(model, part.store, batch, description, processes),
            attribute_logits(model, ImageStore(junk, part.store.device), batch, processes=processes),
        ]
    )
    as_junk = np.full((len(junk), len(part.tasks)), UNKNOWN, dtype=np.int64)
    as_junk[:, part.tasks.index(JUNK_TASK)] = 1
    return Measured(
        tasks=part.tasks,
        true=np.concatenate([part.targets.numpy(), as_junk]),
        predicted=predictions(logits, part.tasks).numpy(),
        logits=logits.numpy(),
    )
