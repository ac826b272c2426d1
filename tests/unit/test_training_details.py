"""What a training tells on its bar, and what its measuring leaves alone."""

import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import watched_trainings as look
from bruna.processes import ALONE
from bruna.tracking.protocol import NullTracker
from bruna.training import loop
from bruna.training.checkpoint import Checkpoints


class _Twelve:
    """Twelve steps an epoch; the loss of a step is its number from 1."""

    name, seed, epochs, advice, processes = "twelve", 0, 1, "", ALONE
    networks: Sequence[torch.nn.Module] = ()

    def __init__(self, killed_in: int) -> None:
        self.killed_in = killed_in

    def steps(self, epoch: int) -> int:
        return 12

    def step(self, epoch: int, step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        if step == self.killed_in:
            signal.raise_signal(signal.SIGTERM)
        return {"loss": torch.tensor(step + 1.0)}

    def batch_paths(self, epoch: int, step: int) -> list[str]:
        return []

    def end_epoch(self, epoch: int) -> dict[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class _Bar:
    """Stands for the bar: notes what it is told, and after each step what it says."""

    def __init__(self, told: list[dict[str, Any]], steps: range, title: str, **options: Any) -> None:
        self.steps, self.status, self.said = steps, "", []
        told.append({"title": title, "steps": steps, "said": self.said, **options})

    def __iter__(self) -> Iterator[int]:
        for step in self.steps:
            yield step
            self.said.append(self.status)


def test_the_bar_of_a_resumed_epoch_counts_what_is_left_and_tells_every_tenth_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(loop, "track", lambda *arguments, **options: _Bar(told, *arguments, **options))
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for killed_in in (3, -1):
            recipe = _Twelve(killed_in)
            options: dict[str, Any] = {"checkpoints": Checkpoints(tmp_path), "tracker": NullTracker()}
            if killed_in < 0:
                history = loop.run(recipe, unit="images", per_step=5, **options)
                continue
            with pytest.raises(KeyboardInterrupt):
                loop.run(recipe, unit="images", per_step=5, **options)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [bar["title"] for bar in told] == ["twelve epoch 1/1"] * 2
    assert [(bar["steps"], bar["total"], bar["unit"]) for bar in told] == [
        (range(12), 60, "images"),
        (range(4, 12), 40, "images"),
    ]
    assert [bar["count"](7) for bar in told] == [5, 5]
    assert [bar["said"] for bar in told] == [["loss 1.000"] * 3, [""] * 6 + ["loss 11.000"] * 2]
    assert history[0]["train/loss"] == 6.5


@pytest.mark.parametrize("name", look.PLAIN)
def test_measuring_changes_nothing_that_is_trained(name: str) -> None:
    """Batch normalisation would take in the validation images, were it not in evaluation mode."""
    recipe = look.recipe_of(name)
    look.step(recipe)
    look.network(recipe).train()
    before = {key: value.clone() for key, value in look.network(recipe).state_dict().items()}
    last = recipe.end_epoch(recipe.epochs - 1)
    assert any(metric.startswith("validation/") for metric in last)
    assert all(torch.equal(before[key], value) for key, value in look.network(recipe).state_dict().items())


def test_a_mask_shows_the_person_from_the_middle_of_grey_on() -> None:
    held_out = look.recipe_of("train_unet").held_out
    held_out.masks.pixels[0, 0, 0, :4] = torch.tensor([0, 127, 128, 255], dtype=torch.uint8)
    assert held_out.truth[0, 0, :4].tolist() == [False, False, True, True]
