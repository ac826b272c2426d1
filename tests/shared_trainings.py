"""Steps of small trainings, as the processes take them that torchrun starts: what each has seen and what came of it.

    python -m torch.distributed.run --standalone --nproc-per-node 2 tests/shared_trainings.py FILE

The first process writes FILE, which `looked_at` makes.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from bruna.batches.store import ImageStore
from bruna.processes import ALONE, Processes
from watched_trainings import CPU, recipe_of, step

AUGMENT = {"pad": 2, "brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "rotation": 5, "flip": 0.5, "erase": 0.5}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "U-Net": ("train_unet", {}),
    "Task 1": (
        "train_attributes",
        {"network": "mobilenet_v3_small", "batch_size": 21, "junk_share": 0.3, "identity_weight": 0.5, "dropout": 0.2},
    ),
    "Bruna, own negatives": (
        "train_bruna",
        {"batch_tuples": 3, "mask": "channel", "bottleneck": True, "dropout": 0.2, "grad_clip": 10.0},
    ),
    "Bruna, negatives of the batch": (
        "train_bruna",
        {"batch_tuples": 5, "anchors": "across_cameras", "negatives": "in_batch", "identity_margin": 0.2},
    ),
}


@contextmanager
def _rows_taken() -> Iterator[list[list[int]]]:
    """Collects the rows that are taken out of the first store of images that any is taken from."""
    taken: list[list[int]] = []
    stores: list[ImageStore] = []
    before = ImageStore.__getitem__

    def noted(store: ImageStore, index: Any) -> Any:
        stores.append(store)
        if store is stores[0]:
            taken.append(torch.as_tensor(index).tolist())
        return before(store, index)

    with patch.object(ImageStore, "__getitem__", noted):
        yield taken


def _kept_double(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.to(torch.float32)


@patch.object(torch.Tensor, "float", _kept_double)
def looked_at(name: str, settings: dict[str, Any], processes: Processes = ALONE) -> dict[str, Any]:
    """What a step gives, what an epoch measures after it, and the rows of the images that each process took."""
    recipe = recipe_of(name, processes, augment=AUGMENT, **settings)
    for network in recipe.networks:
        network.double()  # of float32's rounding batch norms over a few images make more than is allowed
    for store in (recipe.train.store, recipe.validation.store) if name == "train_bruna" else ():
        if store.bottlenecks is not None:
            object.__setattr__(store, "bottlenecks", store.bottlenecks.double())
    with _rows_taken() as taken:
        losses = step(recipe)
    gradients = [p.grad.clone() for network in recipe.networks for p in network.parameters() if p.grad is not None]
    for number in range(1, recipe.steps(0)):
        with _rows_taken() as more:
            step(recipe, 0, number)
        taken += more
    buffers = [buffer for network in recipe.networks for buffer in network.buffers()]
    return {
        "losses": losses,
        "gradients": gradients,
        "buffers": buffers,
        "measured": recipe.end_epoch(recipe.epochs - 1),
        "rows": processes.all(taken),
    }


if __name__ == "__main__":
    these = Processes.join(CPU)
    found = {case: looked_at(*CASES[case], these) for case in CASES}
    if these.first:
        torch.save(found, Path(sys.argv[1]))
