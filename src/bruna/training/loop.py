"""The epoch loop that every training shares: progress, checkpoints, exact resume, clean interruption.

Exact resume rests on one rule: a step's random draws depend on (seed, epoch, step) alone, never on how the
program got there. So a checkpoint holds weights, optimisers, running sums and history, and no generator state.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn, Protocol

import torch
from torch import Tensor, nn

from bruna.batches.seeds import step_generator
from bruna.errors import BrunaError, counted
from bruna.processes import Processes, ProcessLostError
from bruna.progress import track
from bruna.tracking.protocol import Tracker
from bruna.training.checkpoint import Checkpoints

SAVE_EVERY = 180.0
"""Seconds between two checkpoints inside an epoch; each epoch also ends with one."""
EXPLODED = 1e4
"""A loss of so many times that of the first step is one that no training recovers from.

Measured on all three: mostly the first loss is the largest or nearly so, and the largest that went down again was 146
times the first (AlexNet at the paper's rate of 0.01). At a rate of 1,000 it is 500,000 to 100,000,000 times.
"""
_LOOK_EVERY = 10
"""Steps between two looks at the losses on a GPU, which waits for all of its work at each look."""
_NAMED = 10
"""Images of a batch that a message names."""


class Recipe(Protocol):
    """What is trained and how: the steps of an epoch and what is measured after it.

    `advice`: what to change in params.yaml where the training diverges;
    `processes`: those that train together, each of which runs all of this.
    """

    name: str
    seed: int
    epochs: int
    advice: str
    processes: Processes

    @property
    def networks(self) -> Sequence[nn.Module]:
        """Those that are trained."""
        ...

    def steps(self, epoch: int) -> int:
        """Number of steps of an epoch."""
        ...

    def step(self, epoch: int, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Take one optimiser step; return its scalar losses, `loss` among them, detached, still on their device.

        Where another process is lost no optimiser has taken its step.
        """
        ...

    def batch_paths(self, epoch: int, step: int) -> list[str]:
        """The images of a step's batch, for a message."""
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


def run(
    recipe: Recipe,
    *,
    checkpoints: Checkpoints,
    tracker: Tracker,
    unit: str,
    per_step: int,
    growth: Callable[[int], float] = lambda _: 1.0,
) -> History:
    """Train from the newest checkpoint, or from the start, to the last epoch.

    Args:
        recipe: what is trained, and how.
        checkpoints: where the state is kept.
        tracker: gets each epoch's metrics, with the epoch as the step.
        unit: what the progress bar counts, e.g. "images".
        per_step: how many of them a step takes.
        growth: how many times as large as in the first epoch the loss of an epoch may be by design, at most.

    Returns:
        The metrics of every epoch.

    Raises:
        BrunaError: the training diverges: a loss or a weight is not finite, or the loss is `EXPLODED` times that of the
            first step. No checkpoint has such a state.
        ProcessLostError: another process of the training has ended. The first has kept the state before the step.
    """
    processes = recipe.processes
    history: History = []
    losses = _Losses(recipe, checkpoints, growth)
    first_epoch = first_step = 0
    if (saved := processes.from_first(checkpoints.newest() if processes.first else None)) is not None:
        state, first_epoch, first_step = saved
        with checkpoints.taken_back():
            recipe.load_state_dict(state["recipe"])
            history, losses.sums, losses.first = state["history"], state["sums"], state["first_loss"]

    def save(epoch: int, step: int) -> None:
        losses.look()
        if not processes.first:
            return
        state = recipe.state_dict()
        losses.look_at_weights(state)
        kept = {"recipe": state, "history": history, "sums": losses.sums, "first_loss": losses.first}
        checkpoints.save(kept, epoch, step)

    # A run that goes on has some epochs already: each is logged once, after its checkpoint is written.
    logged = tracker.last_step("train/loss")
    for record in history:
        _log(record, tracker, logged)
    for epoch in range(first_epoch, recipe.epochs):
        steps = recipe.steps(epoch)
        while first_step < steps:  # more than once where whoever handles a signal decides to go on
            first_step = _epoch(recipe, epoch, first_step, losses, save, (per_step, unit))
        losses.look()
        means = {f"train/{name}": float(total) / steps for name, total in losses.sums.items()}
        record = {"epoch": float(epoch + 1), **means, **recipe.end_epoch(epoch)}
        history.append(record)
        losses.sums.clear()
        first_step = 0
        save(epoch + 1, 0)
        _log(record, tracker, logged)
    return history


def _epoch(
    recipe: Recipe,
    epoch: int,
    first: int,
    losses: "_Losses",
    save: Callable[[int, int], None],
    shown: tuple[int, str],
) -> int:
    """Take the steps of an epoch from `first` on, noting their losses; return the step to go on with."""
    steps, (per_step, unit) = recipe.steps(epoch), shown
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
            with _kept_before(recipe, received, save, epoch, step):
                found = recipe.step(epoch, step, step_generator(recipe.seed, recipe.name, epoch, step))
            losses.note(epoch, step, found)
            if step % 10 == 0:
                bar.status = f"loss {float(found['loss']):.3f}"
            with _kept_before(recipe, received, save, epoch, step + 1):
                told = recipe.processes.all(received[:1])  # a signal that reached one of them is everyone's
            if not received:
                received.extend(number for numbers in told for number in numbers)
            if received or time.monotonic() - saved_at > SAVE_EVERY:
                save(epoch, step + 1)
                saved_at = time.monotonic()
            if received:
                return step + 1
    return steps


@contextmanager
def _kept_before(
    recipe: Recipe, received: list[int], save: Callable[[int, int], None], epoch: int, step: int
) -> Iterator[None]:
    """Where another process may be lost before a step of an epoch is taken: what was before it is kept.

    A signal that was received is forgotten then: the others are told of the lost process, and end this one too.
    """
    if recipe.processes.count == 1:
        yield
        return
    buffers = [(buffer, buffer.clone()) for network in recipe.networks for buffer in network.buffers()]
    try:
        yield
    except ProcessLostError:
        for buffer, before in buffers:  # running means of batch norms: a step changes them before it needs the others
            buffer.copy_(before)
        save(epoch, step)
        received.clear()
        raise


class _Losses:
    """Adds up the losses of an epoch, and looks at each, and at weights before they are kept: a training that diverges
    stops.

    Attributes:
        sums: of the epoch's steps so far, by name.
        first: the loss of the first step of all, which others are compared with; None before it.
    """

    def __init__(self, recipe: Recipe, checkpoints: Checkpoints, growth: Callable[[int], float]) -> None:
        self.sums: dict[str, Tensor] = {}
        self.first: float | None = None
        self._recipe, self._checkpoints, self._growth = recipe, checkpoints, growth
        self._unseen: list[tuple[int, int, dict[str, Tensor]]] = []
        self._seen = (0, 0)

    def note(self, epoch: int, step: int, losses: dict[str, Tensor]) -> None:
        """Take the losses of a step; look at once on a CPU, and now and then where a look makes a GPU wait."""
        for name, value in losses.items():
            before = self.sums.get(name)
            self.sums[name] = value.double() if before is None else before.to(value.device) + value.double()
        self._unseen.append((epoch, step, losses))
        if losses["loss"].device.type == "cpu" or len(self._unseen) >= _LOOK_EVERY:
            self.look()

    def look(self) -> None:
        """Look at the losses that were not looked at yet.

        Raises:
            BrunaError: one of them is not finite, or the loss has exploded.
        """
        if not self._unseen:
            return
        noted, self._unseen = self._unseen, []
        table = torch.stack([torch.stack([value.double() for value in losses.values()]) for _, _, losses in noted])
        for (epoch, step, losses), values in zip(noted, table.tolist(), strict=True):
            self._seen = epoch, step
            found = dict(zip(losses, values, strict=True))
            self.first = found["loss"] if self.first is None else self.first
            wrong = next((name for name, value in found.items() if not math.isfinite(value)), None)
            if wrong is None and found["loss"] > EXPLODED * max(self.first, 1.0) * self._growth(epoch):
                wrong = "loss"
            if wrong is not None:
                self._stop(f"{wrong} was {found[wrong]:.4g}; the loss of the first step was {self.first:.4g}")

    def look_at_weights(self, state: dict[str, Any]) -> None:
        """Look at what is about to be kept.

        Raises:
            BrunaError: a number in it is not finite.
        """
        if wrong := next((name for name, value in _tensors(state, "") if not bool(value.isfinite().all())), None):
            self._stop(f"{wrong.removeprefix('/')} had numbers that are not finite after it")

    def _stop(self, what: str) -> NoReturn:
        (epoch, step), recipe = self._seen, self._recipe
        paths = recipe.batch_paths(epoch, step)
        more = f" and {len(paths) - _NAMED:,} more" if len(paths) > _NAMED else ""
        kept = self._checkpoints.last
        good = f"The last good checkpoint is {kept}." if kept else "No checkpoint was written before it."
        raise BrunaError(
            f"{recipe.name} has diverged in step {step + 1:,} of {recipe.steps(epoch):,} of epoch {epoch + 1}: {what}. "
            f"{good} {recipe.advice} The batch, should it be its images: {counted(len(paths), 'images')}, "
            f"{', '.join(paths[:_NAMED])}{more}."
        )


def _tensors(state: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    """The tensors of floats in nested dicts and lists, with their names joined by slashes."""
    if isinstance(state, Tensor):
        if state.is_floating_point():
            yield name, state
    elif isinstance(state, dict | list):
        for key, value in state.items() if isinstance(state, dict) else enumerate(state):
            yield from _tensors(value, f"{name}/{key}")


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
