"""Bruna: loaded from a folder, run over many images."""

from pathlib import Path

import torch

from bruna.batches.persons import PersonStore
from bruna.inference.batching import batches_of
from bruna.inference.saved_models import load_weights, rebuilding
from bruna.models.bruna import Bruna, Embedding
from bruna.models.normalize import as_floats, mask_floats


def load_bruna(folder: Path, device: torch.device) -> tuple[Bruna, tuple[int, int]]:
    """Bruna and the height and width it sees."""
    with rebuilding(folder) as settings:
        model = Bruna(**settings["network"])
        height, width = settings["image_size"]
    load_weights(model, folder / "bruna.safetensors", device)
    return model, (height, width)


@torch.inference_mode()
def embed(
    bruna: Bruna, store: PersonStore, batch_size: int, description: str | None = None, *, mirrored: bool = False
) -> Embedding:
    """Bruna's features and attribute logits of every image of a store.

    Args:
        bruna: the network; put into evaluation mode.
        store: N images, with the masks and bottlenecks that Bruna takes.
        batch_size: images a pass.
        description: shows a progress bar of this name; None shows none.
        mirrored: embed the mirror images, masks mirrored with them. A bottleneck from the stage `segment` stays that
            of the image as it is: it was made once. A Bruna with an encoder of its own makes that of the mirror image.

    Returns:
        N x F features and N x 32 logits, float32, on the CPU.
    """
    bruna.eval()
    features, logits = [], []
    for rows in batches_of(len(store), batch_size, description):
        batch = store[rows]
        images, masks = as_floats(batch.images), mask_floats(batch.masks)
        if mirrored:
            images, masks = images.flip(-1), None if masks is None else masks.flip(-1)
        found = bruna(images, masks, batch.bottlenecks)
        features.append(found.features.cpu())
        logits.append(found.logits.cpu())
    found_features = torch.cat(features)
    return Embedding(found_features, torch.cat(logits), found_features)
