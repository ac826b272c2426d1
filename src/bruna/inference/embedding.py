"""Bruna over many images: all of `inference/` that its training runs."""

import torch

from bruna.batches.persons import PersonStore
from bruna.inference.batching import batches_of
from bruna.models.bruna import Bruna, Embedding
from bruna.models.normalize import as_floats, mask_floats
from bruna.processes import ALONE, Processes


@torch.inference_mode()
def embed(
    bruna: Bruna, store: PersonStore, batch_size: int, *, mirrored: bool = False, processes: Processes = ALONE
) -> Embedding:
    """Bruna's features and attribute logits of every image of a store.

    Args:
        bruna: the network; put into evaluation mode.
        store: N images, at least one, with the masks and bottlenecks that Bruna takes.
        batch_size: images a pass.
        mirrored: embed the mirror images, masks mirrored with them. The bottleneck stays that of the image as it is.
        processes: that share the batches.

    Returns:
        N x F features and N x L logits, float32, on the CPU.
    """
    bruna.eval()
    features, logits = [], []
    for rows in batches_of(len(store), batch_size, processes=processes):
        batch = store[rows]
        images, masks = as_floats(batch.images), mask_floats(batch.masks)
        if mirrored:
            images, masks = images.flip(-1), None if masks is None else masks.flip(-1)
        found = bruna(images, masks, batch.bottlenecks)
        features.append(found.features)
        logits.append(found.logits)
    found_features = processes.joined(features)
    return Embedding(found_features, processes.joined(logits), found_features, bruna.attributes)
