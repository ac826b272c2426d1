"""Task 1's network over many images: all of `inference/` that its training runs."""

import torch
from torch import Tensor

from bruna.batches.store import ImageStore
from bruna.inference.batching import batches_of
from bruna.models.attributes import AttributeNetwork
from bruna.models.normalize import as_floats
from bruna.processes import ALONE, Processes


@torch.inference_mode()
def attribute_logits(
    network: AttributeNetwork,
    store: ImageStore,
    batch_size: int,
    description: str | None = None,
    processes: Processes = ALONE,
) -> Tensor:
    """Task 1's logits of every image of a store.

    Args:
        network: Task 1's network; put into evaluation mode.
        store: N images, at least one.
        batch_size: images a pass.
        description: shows a progress bar of this name; None shows none.
        processes: that share the batches.

    Returns:
        N x 35, float32, on the CPU.
    """
    network.eval()
    batches = batches_of(len(store), batch_size, description, processes)
    return processes.joined([network.predict(as_floats(store[rows])) for rows in batches])
