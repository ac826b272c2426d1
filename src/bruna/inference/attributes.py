"""Task 1's network: loaded from a folder, run over many images."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bruna.batches.store import ImageStore
from bruna.inference.batching import batches_of
from bruna.inference.saved_models import load_weights, rebuilding
from bruna.models.attributes import AttributeNetwork
from bruna.models.normalize import as_floats


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
            network = AttributeNetwork(
                settings["network"],
                last_stride=settings["last_stride"],
                pool=settings["pool"],
                dropout=settings["dropout"],
                flip_test=settings["flip_test"],
            )
            height, width = settings["image_size"]
        load_weights(network, folder / "model.safetensors", device)
        return cls(network, (height, width), device)

    def logits(self, pixels: Tensor, batch_size: int) -> Tensor:
        """N x 35 float32 logits, on the CPU, of N x 3 x H x W uint8 images of `size`."""
        return attribute_logits(self.network, ImageStore(pixels, self.device), batch_size)


@torch.inference_mode()
def attribute_logits(
    network: AttributeNetwork, store: ImageStore, batch_size: int, description: str | None = None
) -> Tensor:
    """Task 1's logits of every image of a store.

    Args:
        network: Task 1's network; put into evaluation mode.
        store: N images.
        batch_size: images a pass.
        description: shows a progress bar of this name; None shows none.

    Returns:
        N x 35, float32, on the CPU.
    """
    network.eval()
    parts = [network.predict(as_floats(store[rows])).cpu() for rows in batches_of(len(store), batch_size, description)]
    return torch.cat(parts)
