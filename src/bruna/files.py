"""Files that are whole or absent: everything is written beside its place, then renamed into it."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import psutil

from bruna.errors import BrunaError

IGNORED = ("__pycache__", "*.pyc", ".ipynb_checkpoints", ".DS_Store", "Thumbs.db", "*.part", "*.old")
"""Names that .dvcignore leaves out of folders."""
_UNFINISHED = ".part"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends without an exception.

    Raises:
        BrunaError: the disk is full or the folder cannot be written.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}{_UNFINISHED}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        beside.replace(path)
    except OSError as error:
        raise BrunaError(
            f"could not write {path}: {error.strerror or error}. Free some space or choose a folder that can "
            "be written, then run the same command again; nothing was left half written."
        ) from error
    finally:
        with suppress(OSError):  # nothing there, or the folder could not be made
            beside.unlink()


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; swap it in for `path` when the block ends well.

    What stood at `path` before is kept until the new folder is complete and removed only then.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}{_UNFINISHED}")
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        yield beside
        if path.exists():
            path.replace(old)
        beside.replace(path)
    except OSError as error:
        if old.exists() and not path.exists():
            old.replace(path)
        raise BrunaError(
            f"could not write {path}: {error.strerror or error}. Free some space or choose a folder that can "
            "be written, then run the same command again; what was there before is untouched."
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """Remove the files and folders below `folder` that processes which are gone left half written."""
    for path in sorted(Path(folder).rglob(f".*{_UNFINISHED}")):
        number = path.suffixes[-2].lstrip(".") if len(path.suffixes) > 1 else ""
        if number.isdigit() and not psutil.pid_exists(int(number)):
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)


def write_json(value: Any, path: Path, *, sort_keys: bool = True) -> None:
    """Write canonical JSON (two spaces, final newline, sorted keys but for a mapping whose own order is to be kept)."""
    with whole_file(path) as beside:
        beside.write_text(json.dumps(value, indent=2, sort_keys=sort_keys, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        BrunaError: the file is missing, cannot be read or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BrunaError(f"{path} is missing. `dvc repro` makes it.") from None
    except OSError as error:
        raise BrunaError(f"{path} cannot be read: {error.strerror or error}.") from None
    except ValueError as error:  # of json, or of the decoder of UTF-8
        raise BrunaError(f"{path} is not valid JSON ({error}). Delete it and run `dvc repro`.") from error


def fingerprint(path: Path) -> str:
    """MD5 of a file's bytes, or of a folder's names and contents, as DVC writes them into dvc.lock and data.dvc.

    A folder's is that of the JSON list of its files and their MD5, and ends with `.dir`. What .dvcignore names counts
    for neither.
    """
    path = Path(path)
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    members = {member.relative_to(path).as_posix(): member for member in path.rglob("*") if member.is_file()}
    listed = [
        {"md5": fingerprint(member), "relpath": name}
        for name, member in sorted(members.items())
        if not any(fnmatch(part, pattern) for part in name.split("/") for pattern in IGNORED)
    ]
    digest = hashlib.md5(json.dumps(listed, sort_keys=True).encode(), usedforsecurity=False)
    return f"{digest.hexdigest()}.dir"
