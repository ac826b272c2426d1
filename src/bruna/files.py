"""Files that are whole or absent: everything is written beside its place, then renamed into it."""

import errno
import hashlib
import json
import os
import platform
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import translate
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from bruna.errors import BrunaError

IGNORED = ("__pycache__", "*.pyc", ".ipynb_checkpoints", ".DS_Store", "Thumbs.db", "*.part", "*.old")
"""Names that .dvcignore leaves out of folders."""
_IGNORED = re.compile("|".join(map(translate, IGNORED)))
_UNFINISHED, _REPLACED = ".part", ".old"
_TEMPORARY = re.compile(
    r"\.(?P<name>.+)\.(?P<pid>[1-9]\d{0,6})@(?P<machine>[0-9a-f]{6})\.(part|old)", re.ASCII | re.DOTALL
)
"""`.NAME.PID@MACHINE.part`, what a process writes for NAME, and the same with `.old`, what it moves aside for that."""
_ELSEWHERE = {_UNFINISHED: 24 * 3600.0, _REPLACED: 60.0}
"""Seconds after which what a process of another machine or container has made counts as left behind: nobody here can
see whether it lives. What is moved aside stands alone for the time between two renames."""
_LARGEST_JSON = 1 << 28
"""Bytes of a JSON file at most."""
_READ = 1 << 18
"""Bytes that are hashed at a time."""
_CLOCKS = 60.0
"""Seconds by which a file's time and the start of the process that made it may seem to lie apart."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends without an exception.

    Raises:
        BrunaError: the disk is full or the folder cannot be written.
    """
    path = Path(path)
    beside, missing = _temporary(path, _UNFINISHED), _missing_parents(path)
    try:
        restore(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        beside.replace(path)
    except OSError as error:
        raise BrunaError(f"{_not_written(path, error)}; nothing was left half written.") from error
    finally:
        _settle(beside, path)
        _remove_empty(missing)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; swap it in for `path` when the block ends well.

    What stood at `path` before is kept until the new folder is complete and removed only then. Two renames swap them:
    an exception between them undoes the first, and `restore` does so for a process that was killed there.

    Raises:
        BrunaError: the disk is full, the folder cannot be written, or it is a mount point, which nothing can replace.
    """
    path = Path(path)
    beside, old, missing = _temporary(path, _UNFINISHED), _temporary(path, _REPLACED), _missing_parents(path)
    if path.is_mount():
        raise BrunaError(f"{path} is a mount point, which cannot be replaced as a whole. Choose a folder inside it.")
    try:
        restore(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.mkdir()
        yield beside
        if os.path.lexists(path):
            path.replace(old)
        beside.replace(path)
    except OSError as error:
        raise BrunaError(f"{_not_written(path, error)}; what was there before is untouched.") from error
    finally:
        _settle(old, path)
        _settle(beside, path)
        _remove_empty(missing)


def _missing_parents(path: Path) -> list[Path]:
    """The folders that a path lies in and that are not there yet, the innermost first."""
    return [folder for folder in path.parents if not os.path.lexists(folder)]


def _remove_empty(folders: list[Path]) -> None:
    """Remove the folders that were made for something that did not come to be; those that hold it stay."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def restore(path: Path) -> None:
    """Make good what processes that were killed while they wrote `path` left beside it.

    The folder that one had moved aside is put back, unless another stands in its place; what was unfinished is
    removed. Call it before looking at a folder that `whole_folder` writes. What cannot be changed stays.
    """
    path = Path(path)
    try:
        names = sorted(os.listdir(path.parent))  # noqa: PTH208 - names, of which there may be thousands
    except OSError:
        return
    for name in names:
        found = _TEMPORARY.fullmatch(name)
        if found and found["name"] == path.name and _is_left_behind(path.with_name(name), found):
            _settle(path.with_name(name), path)


def remove_unfinished(folder: Path) -> None:
    """`restore` all files and folders below `folder`."""
    found = [(path, _TEMPORARY.fullmatch(path.name)) for path in sorted(Path(folder).rglob(".*"))]
    for target in {path.with_name(match["name"]) for path, match in found if match}:
        restore(target)


def refuse_unwritable(path: Path) -> None:
    """See by trying, before the work whose result goes there, that `whole_file` could write `path`.

    Raises:
        BrunaError: it could not.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100 - a link is replaced, not followed
    there = next(folder for folder in path.parents if os.path.lexists(folder))
    beside = _temporary(there / path.name, _UNFINISHED)
    try:
        beside.touch()
    except OSError as error:
        raise BrunaError(f"{_not_written(path, error)}; nothing was done yet.") from error
    finally:
        _settle(beside, path)


def _temporary(path: Path, ending: str) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}@{_machine()}{ending}")


@cache
def _machine() -> str:
    """Where the number of this process counts: containers that share a folder number theirs apart."""
    try:
        numbering = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # no Linux
        numbering = ""
    return hashlib.md5(f"{platform.node()} {numbering}".encode(), usedforsecurity=False).hexdigest()[:6]


def _is_left_behind(path: Path, made: re.Match[str]) -> bool:
    """Whether the process that made a temporary path is gone: its number is free, or has a younger process."""
    pid = int(made["pid"])
    try:
        if made["machine"] != _machine():
            return time.time() - path.lstat().st_ctime > _ELSEWHERE[path.suffix]
        if pid == os.getpid():  # this process has none open when it asks
            return True
        process = psutil.Process(pid)
        return process.status() == psutil.STATUS_ZOMBIE or process.create_time() > path.lstat().st_ctime + _CLOCKS
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, OSError):
        return False


def _settle(left: Path, path: Path) -> None:
    """Put a folder that was moved aside back where nothing stands in its place; remove anything else."""
    with suppress(OSError, RecursionError):  # nothing there, it cannot be changed, or a thousand folders in each other
        if left.suffix == _REPLACED:
            if not os.path.lexists(path):
                left.replace(path)
                return
            # A removal that is cut short leaves half of it: under a name that nothing is restored from.
            left = left.replace(left.with_suffix(_UNFINISHED))
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink()


def _not_written(path: Path, error: OSError) -> str:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    advice = "Free some space" if full else "Choose a place that can be written"
    return f"could not write {path}: {error.strerror or error}. {advice}, then run the same command again"


def files_below(folder: Path) -> Iterator[Path]:
    """Whatever lies below a folder and is no folder itself, at any depth; links to folders are not followed.

    Unlike `Path.rglob` it passes over nothing that it may not read, and does not mind a thousand folders in each other.

    Raises:
        BrunaError: a folder cannot be read.
    """
    folders = [Path(folder)]
    while folders:
        here = folders.pop()
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(here / entry.name)
                    else:
                        yield here / entry.name
        except OSError as error:
            raise BrunaError(
                f"{here} cannot be read: {error.strerror or error}. Make it readable, or move it."
            ) from None


def read_regular(path: Path, largest: int) -> bytes:
    """Read a file, links followed; what is no file is not opened, since reading a pipe or a device can wait for ever.

    Args:
        path: the file.
        largest: bytes that it may have.

    Raises:
        OSError: as reading raises it, and for what is no file or is too large; `strerror` says so in words.
    """
    status = Path(path).stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder, not a file", str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is a pipe, a device or a socket, not a file", str(path))
    if status.st_size > largest:
        raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes, more than any such file", str(path))
    return Path(path).read_bytes()


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
        return json.loads(read_regular(path, _LARGEST_JSON).decode("utf-8"))
    except FileNotFoundError:
        raise BrunaError(f"{path} is missing. `dvc repro` makes it.") from None
    except OSError as error:
        raise BrunaError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:  # of json, or of the decoder of UTF-8
        raise BrunaError(f"{path} is not valid JSON ({error}). Delete it and run `dvc repro`.") from error


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file of names and values.

    Raises:
        BrunaError: as `read_json`, or it holds anything else.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        raise BrunaError(
            f"{path} holds no names with values, but {type(found).__name__}. Delete it and run `dvc repro`."
        )
    return found


def fingerprint(path: Path) -> str:
    """MD5 of a file's bytes, or of a folder's names and contents, as DVC writes them into dvc.lock and data.dvc.

    A folder's is that of the JSON list of its files and their MD5, and ends with `.dir`. What .dvcignore names counts
    for neither.
    """
    path = Path(path)
    if not path.is_dir():
        return _md5(path)
    listed = [{"md5": _md5(file), "relpath": name} for name, file in sorted(_counted_in(path))]
    digest = hashlib.md5(json.dumps(listed, sort_keys=True).encode(), usedforsecurity=False)
    return f"{digest.hexdigest()}.dir"


def _counted_in(folder: Path) -> Iterator[tuple[str, str]]:
    """The files below a folder that DVC counts: POSIX names within it, and paths."""
    within = [""]
    while within:
        here = within.pop()
        # Plain text, and one pattern for all: pathlib takes as long for 100,000 files as their MD5 do.
        with os.scandir(f"{folder}/{here}") as entries:
            for entry in entries:
                if _IGNORED.match(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    within.append(f"{here}{entry.name}/")
                elif entry.is_file():
                    yield here + entry.name, entry.path


def _md5(path: str | Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - of 100,000 files
        while block := file.read(_READ):
            digest.update(block)
    return digest.hexdigest()
