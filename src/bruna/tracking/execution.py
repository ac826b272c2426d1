"""Which execution of the pipeline a process belongs to, whether another one still lives, and how this one ends."""

import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM)."""


@dataclass(frozen=True)
class Execution:
    """One execution of the pipeline (a `dvc repro`, an experiment), and what its run in MLflow tells of it.

    Attributes:
        key: the same for all its stages.
        name: for people.
        params: all of params.yaml, nested.
        tags: the commit that it runs, its experiment.
        data: MD5 of the data set; None where data.dvc does not tell it.
    """

    key: str
    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    data: str | None = None

    @classmethod
    def find(cls, environment: Mapping[str, str]) -> "Execution":
        """Tell which execution this process belongs to.

        BRUNA_EXECUTION wins; otherwise it is the `dvc` process above this one, with the name of its
        experiment; a stage script started by hand is an execution of its own.
        """
        if key := environment.get("BRUNA_EXECUTION"):
            return cls(key, key)
        dvc = next((parent for parent in psutil.Process().parents() if _is_dvc(parent)), None)
        identity = process_identity(dvc)
        if experiment := environment.get("DVC_EXP_NAME"):
            return cls(f"{experiment} {identity}", experiment)
        return cls(identity, f"{'repro' if dvc else 'by hand'} {time.strftime('%Y-%m-%d %H:%M:%S')}")


def process_identity(process: psutil.Process | None = None) -> str:
    """Process number, start time and host: no two processes ever share it. Default: this process."""
    process = process or psutil.Process()
    return f"{process.pid}@{process.create_time():.2f}@{socket.gethostname()}"


@contextmanager
def terminable() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that what is open is closed."""

    def stop(*_: object) -> None:
        raise Terminated("asked to end (SIGTERM)")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _is_dvc(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()[:3]
    except psutil.Error:
        return False
    return any(Path(word).name in ("dvc", "dvc.exe") for word in words)


def alive(identity: str) -> bool:
    """Whether the process still runs; one of another host counts as running, for nobody can tell."""
    number, started, host = identity.split("@", 2)
    if host != socket.gethostname():
        return True
    try:
        process = psutil.Process(int(number))
        # A clock that is set moves the start times psutil computes, hence the tolerance.
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - float(started)) < 2
    except psutil.NoSuchProcess:
        return False
