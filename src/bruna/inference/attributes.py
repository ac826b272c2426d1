"""Task 1's network: loaded from a folder, run over many images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from torch import Tensor

from bruna.batches.store import ImageStore
from bruna.inference.loading import Dropout, ImageSize, Strict, Stride, load_weights, one_of, rebuilding
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
    def load(cls, folder: Path, device: torch.device) -> "AttributePredictor":
        """Load `model.safetensors` and `settings.json`."""
        with rebuilding(folder) as settings:
            saved = _Saved.model_validate(settings)
            network = AttributeNetwork(**saved.model_dump(exclude={"image_size"}))
        load_weights(network, folder / "model.safetensors", device)
        return cls(network, saved.image_size, device)

    def logits(self, pixels: Tensor, batch_size: int) -> Tensor:
        """N x 35 float32 logits, on the CPU, of N x 3 x H x W uint8 images of `size`, at least one."""
        return attribute_logits(self.network, ImageStore(pixels, self.device), batch_size)
