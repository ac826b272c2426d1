"""The machine: MLflow's store, the disk, memory."""

import contextlib
import errno
import io
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from unittest import mock

import stage_harness
from bruna.tracking import store
from bruna.tracking.execution import Execution
from bruna.tracking.mlflow_run import stage_run
from damage import Damage, bruna, refusal


@cache
def _store() -> bytes:
    """A store with nothing in it, which MLflow needs a second or two to make."""
    with tempfile.TemporaryDirectory() as folder:
        stage_run(Path(folder), "split", Execution("e", "e"), params={}, inputs={}, outputs={}, tags={}).__enter__()
        return (Path(folder) / "mlflow.db").read_bytes()


def _stage(damage: Callable[[Path], object]) -> Callable[[Path], str]:
    """What a stage says of a project that was damaged so."""

    def run(folder: Path) -> str:
        damage(folder)

        def work() -> None:
            with stage_run(folder, "split", Execution("e", "e"), params={}, inputs={}, outputs={}, tags={}):
                pass

        return refusal(work)

    return run


def _ui(damage: Callable[[Path], object]) -> Callable[[Path], str]:
    """What `bruna ui` says of it."""

    def run(folder: Path) -> str:
        damage(folder)
        return bruna(folder, "bruna ui --no-browser --port 5999")

    return run


def _ends(error: Exception) -> Callable[[Path], str]:
    """What a training says that ends with an error."""

    def run(_: Path) -> str:
        harness, said = stage_harness.load(), io.StringIO()
        with (
            mock.patch.object(harness, "_run", side_effect=error),
            mock.patch.object(sys, "argv", ["stages/train_bruna.py"]),
            contextlib.redirect_stderr(said),
        ):
            try:
                harness.main("stages/train_bruna.py", None, lambda stage: None)
            except SystemExit as end:
                return str(end.code)
        raise AssertionError("it went through")

    return run


def _link(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).symlink_to("/no/such/disk")


def _text(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text("notes of mine\n" * 100)


def _another_database(folder: Path) -> None:
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        connection.execute("CREATE TABLE addresses (name TEXT)")


def _other_version(folder: Path) -> None:
    (folder / "mlflow.db").write_bytes(_store())
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0123456789ab'")


def _cut(folder: Path) -> None:
    (folder / "mlflow.db").write_bytes(_store()[:20000])


def _locked(folder: Path) -> str:
    (folder / "mlflow.db").write_bytes(_store())
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with mock.patch.object(store, "GIVE_UP_AFTER", 0):
            return _stage(lambda _: None)(folder)


class _SafetensorError(Exception):
    pass


_GONE = "is missing. Bring that back (is its disk mounted?)"
_STORES: list[tuple[str, str, Callable[[Path], object]]] = [
    ("`mlflow.db` is a folder", "is not a file", lambda folder: (folder / "mlflow.db").mkdir()),
    ("`mlflow.db` is a text file", "cannot be read: file is not a database", _text("mlflow.db")),
    ("`mlflow.db` is cut short", "cannot be read: database disk image is malformed", _cut),
    ("`mlflow.db` is another program's database", "is a database, but not one of MLflow's", _another_database),
    ("`mlflow.db` is of an older or newer MLflow", "was written by another MLflow than this one", _other_version),
    ("`mlflow.db` is a link to what is missing", _GONE, _link("mlflow.db")),
    ("`mlartifacts` is a file", "is not a folder", _text("mlartifacts")),
    ("`mlartifacts` is a link to what is missing", _GONE, _link("mlartifacts")),
    ("`mlflow.db.lock` is a folder", "cannot be opened", lambda folder: (folder / "mlflow.db.lock").mkdir()),
]
_ENDS: list[tuple[str, str, Exception]] = [
    ("the disk is full", "The disk is full: free some space", OSError(errno.ENOSPC, "No space left on device")),
    (
        "the disk is full while safetensors writes",
        "The disk is full: free some space",
        _SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ),
    (
        "the disk is full while torch writes",
        "The disk is full: free some space",
        RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 768 vs 662"),
    ),
    (
        "the disk is full while NumPy writes",
        "The disk is full: free some space",
        OSError("100000 requested and 5104 written"),
    ),
    ("the disk quota is used up", "The disk quota is used up", OSError(errno.EDQUOT, "Disk quota exceeded")),
    (
        "the disk is mounted read-only",
        "It is mounted read-only",
        OSError(errno.EROFS, "Read-only file system"),
    ),
    (
        "a file is not the user's",
        "Make sure that you may read and write there",
        PermissionError(errno.EACCES, "Permission denied", "data/a.jpg"),
    ),
    ("the disk fails", "The disk reports an error", OSError(errno.EIO, "Input/output error", "data/a.jpg")),
    ("too many files are open", "raise the limit (`ulimit -n 4096`)", OSError(errno.EMFILE, "Too many open files")),
    (
        "there is no folder for temporary files",
        "or name another in the variable TMPDIR",
        FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"),
    ),
    (
        "the GPU has too little memory",
        "or lower train_bruna.batch_tuples in params.yaml",
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ),
    (
        "the machine has too little memory",
        "or lower train_bruna.batch_tuples in params.yaml",
        MemoryError("Unable to allocate 64.0 GiB for an array"),
    ),
]
ROWS = [
    *(Damage(kind, "dvc repro", says, _stage(damage)) for kind, says, damage in _STORES),
    *(Damage(kind, "bruna ui", says, _ui(damage)) for kind, says, damage in _STORES if "mlflow.db`" in kind),
    Damage("`mlflow.db` is locked by another program", "dvc repro", "was locked by another program for", _locked),
    Damage("`mlflow.db` is missing", "bruna ui", "there are no runs yet", _ui(lambda _: None)),
    *(Damage(kind, "dvc repro train_bruna", says, _ends(error)) for kind, says, error in _ENDS),
]
