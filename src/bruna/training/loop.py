"""The epoch loop that every training shares: progress, checkpoints, exact resume, clean interruption.

Exact resume rests on one rule: a step's random draws depend on (seed, epoch, step) alone, never on how the
program got there. So a checkpoint holds weights, optimisers, running sums and history, and no generator state.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

import torch
from torch import Tensor

from bruna.batches.seeds import step_generator
from bruna.progress import track
from bruna.tracking.protocol import Tracker
from bruna.training.checkpoint import Checkpoints

SAVE_EVERY = 180.0
"""Seconds between two checkpoints inside an epoch; each epoch also ends with one."""


class Recipe(Protocol):
    """What is trained and how: the steps of an epoch and what is measured after it."""

    name: str
    seed: int
    epochs: int

    def steps(self, epoch: int) -> int:
        """Number of steps of an epoch."""
        ...

    def step(self, epoch: int, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Take one optimiser step; return its scalar losses, detached, still on their device."""
        ...

    def end_epoch(self, epoch: int) -> dict[str, float]:
        """Measure after an epoch; return metrics named `train/...` or `validation/...`."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes while training: tensors, numbers, strings, lists and dicts of them."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        ...


History = list[dict[str, float]]
"""One dict of metrics an epoch, named `train/...` and `validation/...`; `epoch` counts from 1."""


def run(recipe: Recipe, *, checkpoints: Checkpoints, tracker: Tracker, unit: str, per_step: int) -> History:
    """Train from the newest checkpoint, or from the start, to the last epoch.

    Args:
        recipe: what is trained, and how.
        checkpoints: where the state is kept.
        tracker: gets each epoch's metrics, with the epoch as the step.
        unit: what the progress bar counts, e.g. "images".
        per_step: how many of them a step takes.

    Returns:
        The metrics of every epoch.
    """
    history: History = []
    sums: dict[str, Tensor] = {}
    first_epoch = first_step = 0
    if (saved := checkpoints.newest()) is not None:
        state, first_epoch, first_step = saved
        recipe.load_state_dict(state["recipe"])
        history, sums = state["history"], state["sums"]

    def save(epoch: int, step: int) -> None:
        state = {"recipe": recipe.state_dict(), "history": history, "sums": sums}
        checkpoints.save(state, epoch, step)

    # A run that goes on has some epochs already: each is logged once, after its checkpoint is written.
    logged = tracker.last_step("train/loss")
    for record in history:
        _log(record, tracker, logged)
    for epoch in range(first_epoch, recipe.epochs):
        steps = recipe.steps(epoch)
        while first_step < steps:  # more than once where whoever handles a signal decides to go on
            first_step = _epoch(recipe, epoch, first_step, sums, save, (per_step, unit))
        means = {f"train/{name}": float(total) / steps for name, total in sums.items()}
        record = {"epoch": float(epoch + 1), **means, **recipe.end_epoch(epoch)}
        history.append(record)
        sums.clear()
        first_step = 0
        save(epoch + 1, 0)
        _log(record, tracker, logged)
    return history


def _epoch(
    recipe: Recipe,
    epoch: int,
    first: int,
    sums: dict[str, Tensor],
    save: Callable[[int, int], None],
    counted: tuple[int, str],
) -> int:
    """Take the steps of an epoch from `first` on, adding their losses to `sums`; return the step to go on with."""
    steps, (per_step, unit) = recipe.steps(epoch), counted
    saved_at = time.monotonic()
    bar = track(
        range(first, steps),
        f"{recipe.name} epoch {epoch + 1}/{recipe.epochs}",
        total=(steps - first) * per_step,
        unit=unit,
        count=lambda _: per_step,
    )
    with _held_signals() as received:
        for step in bar:
            torch.manual_seed(_torch_seed(recipe, epoch, step))
            losses = recipe.step(epoch, step, step_generator(recipe.seed, recipe.name, epoch, step))
            for name, value in losses.items():
                sums[name] = sums[name].to(value.device) + value.double() if name in sums else value.double()
            if step % 10 == 0 and "loss" in losses:
                bar.status = f"loss {float(losses['loss']):.3f}"
            if received or time.monotonic() - saved_at > SAVE_EVERY:
                save(epoch, step + 1)
                saved_at = time.monotonic()
            if received:
                return step + 1
    return steps


def _torch_seed(recipe: Recipe, epoch: int, step: int) -> int:
    """A seed for torch's global generator, which dropout draws from."""
    generator = step_generator(recipe.seed, recipe.name, "dropout", epoch, step)
    return int(torch.randint(2**62, (), generator=generator))


def _log(record: dict[str, float], tracker: Tracker, logged: int) -> None:
    """Log an epoch unless the tracker has it, that is up to epoch `logged`."""
    if (epoch := int(record["epoch"])) > logged:
        tracker.metrics({name: value for name, value in record.items() if name != "epoch"}, step=epoch)


@contextmanager
def _held_signals() -> Iterator[list[int]]:
    """Note SIGINT and SIGTERM instead of acting at once, so that a step and its checkpoint are finished first.

    The signal is raised again, for whoever handled it before, when the block ends. A signal that the process ignores
    (as SIGINT is in a shell's background jobs) stays ignored.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)

    heeded = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, note) for number in heeded}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])
