"""Describing images on the workers of a Ray cluster. This is the only file that imports Ray.

Plain tasks: each is a whole batch, the same as one process makes, so that the rows are the same, and any worker does
it with networks that it keeps. So the batches of a node that is lost go to the others, and a node that comes is used.
Images are read and rows written by the process that asked, one block after the other. (Ray Data would have its own
batches, and blocks of rows in no order; one process reads enough for tens of workers, docs/how-to/large.md.)
"""

import logging
import os
import re
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from bruna.errors import BrunaError, counted
from bruna.index.build import blocks_of
from bruna.index.header import fingerprint_of
from bruna.inference.described import Described
from bruna.inference.describer import Describer, load
from bruna.inference.images import Images
from bruna.inference.settings import Settings
from bruna.retrieval.gallery import Gallery

_HOW: dict[str, Any] = {"masks": False, "skip_unreadable": True}
_PLACE = re.compile(r"\[?(?P<host>[^/\[\]]+)\]?:(?P<port>[0-9]+)")
"""A `RAY_ADDRESS` that is no word and no ray://."""
_PATIENCE = 5.0
"""Seconds; Ray itself would try for minutes, and say nothing."""


@dataclass(frozen=True, repr=False)
class OnWorkers(Describer):
    """Networks whose `describe` runs on workers.

    Attributes:
        count: how many describe at once.
        task: gives Ray a batch and its names, for what `_describe` makes of it.
    """

    count: int
    task: Callable[[list[bytes], list[str]], Any]

    @property
    def blocks_at_once(self) -> int:
        """Of `add_images`: so many that every worker has two batches to do."""
        return blocks_of(2 * self.count * self.settings.batch_size)

    def describe(self, images: Images, **how: Any) -> Described:
        """As `Describer.describe`, for the bytes of image files with names, as an index wants it.

        Raises:
            BrunaError: the workers are gone for good, or have other networks.
        """
        names = how.pop("names", None)
        if not isinstance(images, list) or names is None or how != _HOW:
            raise ValueError(f"workers describe lists of encoded images with names, and {_HOW}; not with {how}")
        import ray  # noqa: PLC0415

        size = self.settings.batch_size
        starts = range(0, len(images), size)
        waiting = [self.task(images[start : start + size], list(names[start : start + size])) for start in starts]
        try:
            found: list[Described] = ray.get(waiting)
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, BrunaError):
                raise BrunaError(str(cause)) from None
            raise BrunaError(f"a worker of Ray failed: {str(error).splitlines()[-1]}. Run the same again.") from error
        return _joined(found) if found else super().describe([], names=[], **_HOW)


@cache
def _people(models: str, device: str, settings: Settings, fingerprint: str, threads: int) -> Describer:
    """What a worker keeps."""
    torch.set_num_threads(threads)
    if fingerprint_of(Path(models), settings) != fingerprint:
        raise BrunaError(f"the networks in {models} are others on a worker than here. Copy the same to all nodes.")
    return load(models, device, settings=settings)


def _describe(asked: tuple[Any, ...], images: list[bytes], names: list[str]) -> Described:
    return _people(*asked).describe(images, names=names, **_HOW)


def on_workers(people: Describer, models: Path, threads: int = 1) -> OnWorkers:
    """The same networks on all workers of the cluster that `RAY_ADDRESS` names, or of this machine.

    A worker has a GPU where the cluster has any, otherwise `threads` cores. How many there are is said on stderr.

    Args:
        people: the networks here.
        models: where they lie, on every node.
        threads: CPU threads of a worker.

    Raises:
        BrunaError: Ray is not installed, does not start, or nobody answers at `RAY_ADDRESS`.
    """
    try:
        import ray  # noqa: PLC0415
    except ImportError:
        raise BrunaError("--engine-workers ray needs Ray: pip install 'bruna[ray]'.") from None
    _refuse_nobody(os.environ.get("RAY_ADDRESS", ""))
    try:
        ray.init(ignore_reinit_error=True, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        there: dict[str, float] = ray.cluster_resources()
    except (RuntimeError, ConnectionError, ValueError, ray.exceptions.RayError) as error:
        where = os.environ.get("RAY_ADDRESS", "this machine")
        raise BrunaError(
            f"Ray does not start on {where}: {error}. Where it speaks of a token, `export RAY_AUTH_MODE=token` "
            "(docs/how-to/large.md)."
        ) from error
    gpus = int(there.get("GPU", 0))
    count = gpus or max(1, int(there.get("CPU", 1)) // threads)
    # With `max_calls` of 0 a process is kept, and its networks with it; `ray.remote` would end those that have a GPU.
    task = ray.remote(num_cpus=threads, num_gpus=1 if gpus else 0, max_retries=-1, max_calls=0)(_describe)
    asked = (str(models.resolve()), "cuda" if gpus else "cpu", people.settings, fingerprint_of(models, people.settings))
    run = partial(task.remote, (*asked, threads))
    print(f"networks run by torch on {counted(count, 'workers')} of Ray", file=sys.stderr)
    return OnWorkers(people.unet, people.attribute_network, people.bruna, people.settings, count, run)


def _refuse_nobody(address: str) -> None:
    found = _PLACE.fullmatch(address.strip())
    if found is None:
        return
    port = int(found["port"])
    try:
        socket.create_connection((found["host"], port), timeout=_PATIENCE).close()
    except (OSError, ValueError, OverflowError):  # of a name, or of a port, that is none
        raise BrunaError(
            f'no Ray answers at {address} (RAY_ADDRESS). Start it there with "ray start --head --port {port}", or '
            "unset RAY_ADDRESS to use this machine alone."
        ) from None


def _joined(parts: Sequence[Described]) -> Described:
    """Batches of one block as they would be described at once."""
    first = parts[0]
    logits = [part.task1_logits for part in parts if part.task1_logits is not None]
    return replace(
        first,
        names=[name for part in parts for name in part.names],
        rejected=[image for part in parts for image in part.rejected],
        task1_logits=torch.cat(logits) if logits else None,
        gallery=_stacked([part.gallery for part in parts]),
        plain=_stacked([part.plain for part in parts]),
    )


def _stacked(parts: Sequence[Gallery | None]) -> Gallery | None:
    there = [part for part in parts if part is not None]
    if not there:
        return None
    attributes = [part.attributes for part in there if part.attributes is not None]
    return Gallery.unlabelled(
        torch.cat([part.features for part in there]), torch.cat(attributes) if attributes else None
    )
