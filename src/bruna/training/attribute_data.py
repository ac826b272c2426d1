"""What Task 1 is trained on and measured on: a side of the split in memory, and what the network predicts for it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from bruna.batches.attribute_items import MEASURED_JUNK_EVERY, measured_draws, task1_targets, zoom
from bruna.batches.store import ImageStore
from bruna.dataset.attributes import EXTRA_CLASSES, TASK_NAMES
from bruna.dataset.tables import attribute_codes
from bruna.inference.predicting import attribute_logits
from bruna.models.attribute_logits import task_predictions
from bruna.models.attributes import AttributeNetwork
from bruna.params import TrainAttributes


@dataclass(frozen=True)
class Part:
    """One side of the split in memory: N images, N x 12 codes, N identities, N cameras (int64, on the CPU), N paths."""

    store: ImageStore
    codes: Tensor
    identities: Tensor
    cameras: Tensor
    paths: list[str]

    @property
    def targets(self) -> Tensor:
        """N x 15 targets of images that are what they are: no junk."""
        return task1_targets(self.codes, self.cameras, torch.zeros(len(self.codes), dtype=torch.bool))


def load_part(table: pd.DataFrame, size: tuple[int, int], device: torch.device) -> Part:
    """Decode one side of the split for Task 1."""
    paths = list(table["path"])
    return Part(
        store=ImageStore.decode(list(table["image"]), paths, size).to(device),
        codes=torch.from_numpy(attribute_codes(table)),
        identities=torch.tensor(table["identity"].to_numpy(np.int64)),
        cameras=torch.tensor(table["camera"].to_numpy(np.int64)),
        paths=paths,
    )


@dataclass(frozen=True)
class Measured:
    """What the network predicts for one part of the data.

    Attributes:
        true: M x 15 codes, -1 where not annotated; the rows after the part's N images are zoomed junk.
        predicted: M x 15 codes.
        logits: M x 35.
    """

    true: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]


def measure(model: AttributeNetwork, part: Part, params: TrainAttributes, description: str) -> Measured:
    """Predict every image of a part, and zooms into every tenth of them as junk."""
    images = part.store.pixels[::MEASURED_JUNK_EVERY]
    junk = zoom(images, measured_draws(len(images), params.seed))
    batch = 4 * params.batch_size
    logits = torch.cat(
        [
            attribute_logits(model, part.store, batch, description),
            attribute_logits(model, ImageStore(junk, part.store.device), batch),
        ]
    )
    as_junk = np.full((len(junk), len(TASK_NAMES)), -1, dtype=np.int64)
    as_junk[:, TASK_NAMES.index(EXTRA_CLASSES[-1])] = 1
    return Measured(
        true=np.concatenate([part.targets.numpy(), as_junk]),
        predicted=task_predictions(logits).numpy(),
        logits=logits.numpy(),
    )
