"""Task 1's network: loaded from a folder, run over many images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from torch import Tensor

from bruna.batches.store import ImageStore
from bruna.dataset.schema import Tasks, attributes_among, task1_tasks
from bruna.inference.loading import (
    CameraClasses,
    Dropout,
    ImageSize,
    SavedTasks,
    Strict,
    Stride,
    load_weights,
    one_of,
    rebuilding,
    saved_tasks,
)
from bruna.inference.predicting import attribute_logits
from bruna.models.attributes import AttributeNetwork
from bruna.models.backbones import NETWORKS


class _Saved(Strict):
    network: Annotated[str, one_of(NETWORKS)]
    last_stride: Stride
    pool: Literal["whole", "halves"]
    dropout: Dropout
    flip_test: bool
    image_size: ImageSize
    attributes: SavedTasks
    camera_classes: CameraClasses


@dataclass(frozen=True)
class AttributePredictor:
    """The trained network of Task 1.

    Attributes:
        network: in evaluation mode, on `device`.
        size: height and width it sees, pixels.
        device: where it computes.
    """

    network: AttributeNetwork
    size: tuple[int, int]
    device: torch.device

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "AttributePredictor | None":
        """Load `model.safetensors` and `settings.json`; None where the data set had no attributes to train on."""
        with rebuilding(folder) as settings:
            if settings.get("trained") is False:
                return None
            saved = _Saved.model_validate(settings)
            network = AttributeNetwork(
                saved.network,
                task1_tasks(saved_tasks(saved.attributes), saved.camera_classes),
                last_stride=saved.last_stride,
                pool=saved.pool,
                dropout=saved.dropout,
                flip_test=saved.flip_test,
            )
        load_weights(network, folder / "model.safetensors", device)
        return cls(network, saved.image_size, device)

    @property
    def attributes(self) -> Tasks:
        """The attributes that it tells; their logits come first."""
        return attributes_among(self.network.tasks)

    def logits(self, pixels: Tensor, batch_size: int) -> Tensor:
        """N x L float32 logits, on the CPU, of N x 3 x H x W uint8 images of `size`, at least one."""
        return attribute_logits(self.network, ImageStore(pixels, self.device), batch_size)
