"""What a GPU computes, against the CPU. benchmarks/gpu.py runs these too, where little more than torch is installed."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bruna.batches.attribute_items import zoom
from bruna.batches.augment import Augmenter
from bruna.batches.seeds import step_generator
from bruna.params import Augment, read_params
from bruna.processes import ALONE
from bruna.retrieval.distances import Euclidean, ProductDistance
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.protocols import COURSE
from bruna.retrieval.ranking import evaluate_protocols, top_k
from bruna.training import attributes, bruna
from bruna.training.attribute_data import load_part
from bruna.training.bruna_data import load_persons
from person_table import person_table

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use"),
]
CPU, GPU = torch.device("cpu"), torch.device("cuda")
SETTINGS = Path(__file__).parents[2] / "params.yaml"
ALL = Augment(
    pad=5, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2, rotation=20.0, equalize=0.0, flip=0.5, erase=0.5
)


@pytest.fixture(autouse=True)
def _plain_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """No TF32 and no bfloat16: what differs is the order of sums."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    for training in (attributes, bruna):
        monkeypatch.setattr(training, "mixed_precision", lambda _: nullcontext())


def photographs(count: int) -> Tensor:
    """Smooth uint8 images, count x 3 x 48 x 24."""
    coarse = torch.rand(count, 3, 6, 3, generator=step_generator(0))
    return (torch.nn.functional.interpolate(coarse, (48, 24), mode="bilinear") * 255).round().to(torch.uint8)


def test_augmented_images_are_the_same() -> None:
    images = photographs(70)
    here, here_masks = Augmenter(ALL)(images, images[:, :1], step_generator(1))
    there, there_masks = Augmenter(ALL)(images.to(GPU), images[:, :1].to(GPU), step_generator(1))
    assert here_masks is not None and there_masks is not None
    assert torch.allclose(there.cpu(), here, atol=2e-4)
    assert torch.allclose(there_masks.cpu(), here_masks, atol=2e-4)


def test_junk_is_the_same() -> None:
    images, draws = photographs(8), torch.rand(8, 3, generator=step_generator(0))
    difference = zoom(images.to(GPU), draws).cpu().int() - zoom(images, draws).int()
    assert difference.abs().max() <= 1


def first_losses(training: Any, device: torch.device) -> dict[str, float]:
    """Of the first step of Task 1 or Bruna, without dropout, whose draws each device makes for itself."""
    table, all_params = person_table(range(1, 7), 4), read_params(SETTINGS)
    small = {"image_size": (64, 32), "dropout": 0.0, "pretrained": "none", "augment": ALL}
    if training is attributes:
        task1 = all_params.train_attributes.model_copy(update={**small, "batch_size": 12, "network": "resnet18"})
        part = load_part(table, task1, device)
        losses = attributes._Recipe(part, part, task1, device, ALONE).step(0, 0, step_generator(0))
    else:
        more = {"mask": "none", "bottleneck": False, "adversary_pretrained": "none", "batch_tuples": 3, "features": 32}
        task2 = all_params.train_bruna.model_copy(update={**small, **more})
        persons = load_persons(table, None, task2, device)
        losses = bruna._Recipe(persons, persons, task2, device, ALONE).step(0, 0, step_generator(0))
    return {name: float(value) for name, value in losses.items()}


@pytest.mark.parametrize("training", [attributes, bruna], ids=["task1", "bruna"])
def test_the_first_losses_of_a_training_are_the_same(training: Any) -> None:
    there, here = first_losses(training, GPU), first_losses(training, CPU)
    assert there.keys() == here.keys()
    assert there["loss"] == pytest.approx(here["loss"], rel=0.01)


def test_rankings_are_the_same() -> None:
    features, told = torch.randn(300, 64, generator=step_generator(2)), torch.rand(300, 20, generator=step_generator(3))
    identities, cameras = torch.arange(300) % 40 + 1, torch.arange(300) % 7 + 1

    def gallery(device: torch.device) -> Gallery:
        return Gallery(features.to(device), told.to(device), identities, cameras)

    for distance in (Euclidean(), ProductDistance(0.1)):
        both = [
            evaluate_protocols(gallery(each), gallery(each), distance, self_index=torch.arange(300))
            for each in (GPU, CPU)
        ]
        for name in both[1]:
            assert both[0][name].mean_average_precision == pytest.approx(both[1][name].mean_average_precision, abs=1e-4)
    near, wanted = (top_k(gallery(each), gallery(each), Euclidean(), COURSE, 10) for each in (GPU, CPU))
    assert torch.allclose(near.distances, wanted.distances, rtol=1e-4, atol=0.01)
    assert (near.indices == wanted.indices).float().mean() > 0.99
