"""Trainings that fit into a number of seconds, and where the time of their steps goes."""

import functools
import math
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch

from bruna.batches.augment import Augmenter
from bruna.batches.persons import PersonStore
from bruna.batches.seeds import step_generator
from bruna.batches.store import ImageStore
from bruna.tracking.protocol import NullTracker
from bruna.training.checkpoint import Checkpoints
from bruna.training.loop import run
from gpu_parts.bench import Bench, Row

_WARM_UP, _TIMED = 3, 10
"""Steps before a measurement, in which kernels are chosen and memory is taken, and steps that are measured."""
_LATE = 1.5
"""Times the budget: a training that has taken so long ends after its epoch."""


@dataclass(frozen=True)
class Steps:
    """Seconds of a step, and the share of them in which it makes its batch (the networks wait)."""

    seconds: float
    waiting: float


@dataclass(frozen=True)
class Trained:
    """A training: its recipe with the networks, the metrics of its last epoch, and a row for a table."""

    recipe: Any
    last: Mapping[str, float]
    epochs: int
    row: Row


def finish(device: torch.device) -> None:
    """Wait until the device has done everything."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory(device: torch.device) -> float:
    """MiB: of the GPU since the last `reset_memory`; of the process where it computes on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def reset_memory(device: torch.device) -> None:
    """Let `peak_memory` begin anew."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def take_step(recipe: Any, number: int) -> dict[str, torch.Tensor]:
    """One step of the first epoch; where it has fewer, they are taken again."""
    step = number % recipe.steps(0)
    losses: dict[str, torch.Tensor] = recipe.step(0, step, step_generator(recipe.seed, recipe.name, 0, step))
    return losses


def measure_steps(bench: Bench, recipe: Any) -> Steps:
    """Time steps, and in as many more what of them goes into their batches (for which the device is waited for)."""
    device, timed = bench.device, 1 if bench.toy else _TIMED
    for number in range(1 if bench.toy else _WARM_UP):
        take_step(recipe, number)
    finish(device)
    start = time.perf_counter()
    for number in range(timed):
        take_step(recipe, number)
    finish(device)
    each = (time.perf_counter() - start) / timed
    with _making_batches(recipe, device) as making:
        start = time.perf_counter()
        for number in range(timed):
            take_step(recipe, number)
        finish(device)
    return Steps(each, sum(making) / (time.perf_counter() - start))


@contextmanager
def _making_batches(recipe: Any, device: torch.device) -> Iterator[list[float]]:
    """Within `with`: the seconds of each look-up and augmentation of a batch, one within another counted once."""
    found: list[float] = []
    inside: list[bool] = []

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            if inside:
                return function(*arguments, **named)
            inside.append(True)
            finish(device)
            start = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                finish(device)
                found.append(time.perf_counter() - start)
                inside.pop()

        return call

    places = [(Augmenter, "draw"), (Augmenter, "apply"), (ImageStore, "__getitem__"), (PersonStore, "__getitem__")]
    with ExitStack() as stack:
        for owner, name in [*places, *([(type(recipe), "batch")] if hasattr(recipe, "batch") else [])]:
            stack.enter_context(mock.patch.object(owner, name, timed(getattr(owner, name))))
        yield found


class _LateError(Exception):
    """Ends a training whose time is over."""


class _Watch(NullTracker):
    """Keeps the metrics of the epochs; ends a training that is too late."""

    def __init__(self, until: float, epochs: int) -> None:
        self.records: list[dict[str, float]] = []
        self._until, self._epochs = until, epochs

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        self.records.append(dict(values))
        if len(self.records) < self._epochs and time.perf_counter() > self._until:
            raise _LateError


def train(
    bench: Bench, name: str, make: Callable[[int], Any], of: int, seconds: float, *, epochs: int | None = None
) -> Trained:
    """Train as many epochs as fit, at least one: a whole training of so many epochs, learning rates and all.

    Args:
        bench: where it computes.
        name: of the training, for its row.
        make: makes the recipe of so many epochs.
        of: epochs of the whole training.
        seconds: that it may take.
        epochs: how many; None finds out how many fit.
    """
    begun, device = time.perf_counter(), bench.device
    probe = make(of)
    steps = measure_steps(bench, probe)
    start = time.perf_counter()
    probe.end_epoch(0)
    finish(device)
    each = steps.seconds * probe.steps(0) + time.perf_counter() - start
    left = seconds - (time.perf_counter() - begun)
    count = epochs or min(of, max(1, int(left / each)))
    del probe
    reset_memory(device)
    recipe = make(count)
    measuring: list[float] = []
    end_epoch = recipe.end_epoch

    def timed_end(epoch: int) -> Any:
        finish(device)
        start = time.perf_counter()
        values = end_epoch(epoch)
        measuring.append(time.perf_counter() - start)
        return values

    recipe.end_epoch = timed_end
    watch = _Watch(begun + _LATE * max(seconds, each), count)
    start = time.perf_counter()
    with suppress(_LateError):
        run(recipe, checkpoints=Checkpoints(None), tracker=watch, unit="images", per_step=len(recipe.batch_paths(0, 0)))
    finish(device)
    took, done = time.perf_counter() - start, len(watch.records)
    images = sum(len(recipe.batch_paths(0, step)) for step in range(recipe.steps(0))) * done
    losses = [value for record in watch.records for key, value in record.items() if "loss" in key]
    row = {
        "training": name,
        "epochs": f"{done} of {of}" + (f", cut: planned were {count}" if done < count else ""),
        "images a second": images / (took - sum(measuring)),
        "seconds an epoch": took / done,
        "of it measuring": sum(measuring) / done,
        "share of a step making its batch": steps.waiting,
        "peak memory, MiB": peak_memory(device),
        "loss, first epoch": watch.records[0]["train/loss"],
        "loss, last epoch": watch.records[-1]["train/loss"],
        "all losses finite": all(math.isfinite(value) for value in losses),
    }
    return Trained(recipe, watch.records[-1], done, row)
