"""Task 1's network: loaded from a folder, run over many images."""

from pathlib import Path

import torch
from torch import Tensor

from bruna.batches.store import ImageStore
from bruna.inference.batching import batches_of
from bruna.inference.saved_models import load_weights, rebuilding
from bruna.models.attributes import AttributeNetwork
from bruna.models.normalize import as_floats


def load_attribute_network(folder: Path, device: torch.device) -> tuple[AttributeNetwork, tuple[int, int]]:
    """Task 1's network and the height and width it sees."""
    with rebuilding(folder) as settings:
        model = AttributeNetwork(
            settings["network"],
            last_stride=settings["last_stride"],
            pool=settings["pool"],
            dropout=settings["dropout"],
            flip_test=settings["flip_test"],
        )
        height, width = settings["image_size"]
    load_weights(model, folder / "model.safetensors", device)
    return model, (height, width)


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
