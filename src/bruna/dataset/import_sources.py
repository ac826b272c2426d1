"""What an import reads from: zip archives, folders and single files, behind one list of safe names.

Nothing is ever extracted under the name that an archive gives it: the importer asks for the bytes of a member and
chooses the name itself. Archives that look like an attack or like a mistake are refused all the same.
"""

import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from bruna.errors import BrunaError

MAX_MEMBERS = 500_000
MAX_MEMBER_BYTES = 256 << 20
MAX_TOTAL_BYTES = 64 << 30
"""Bounds of an archive; the official Market-1501 release has 43,000 members and 150 MB."""

_DEPTH = 4
"""Deepest file that any known layout has: top/masks/images/0001.jpg."""
CLUTTER = {"thumbs.db", ".ds_store", "desktop.ini"}


@dataclass
class Source:
    """One thing to import from.

    Attributes:
        path: the archive, folder or file.
        files: how to read each file, by its POSIX path inside the source, in order of path.
    """

    path: Path
    files: dict[str, Callable[[], bytes]] = field(default_factory=dict)


def open_source(path: Path, stack: ExitStack) -> Source:
    """List the files of a zip archive, a folder, or a single file such as `market_attribute.mat`.

    Args:
        path: what the user gave.
        stack: closes the archive when the import is over.

    Raises:
        BrunaError: it does not exist, is empty, cannot be read, is encrypted, is beyond the bounds above, or
            holds a name that leads out of the folder.
    """
    files: dict[str, Callable[[], bytes]]
    if path.is_dir():
        files = open_folder(path).files
    elif not path.exists():
        raise BrunaError(f"{path} does not exist. Give a zip archive or a folder of the data set.")
    elif zipfile.is_zipfile(path):
        files = _open_zip(path, stack)
    elif path.suffix.lower() == ".zip":
        raise BrunaError(f"{path} is not a zip archive, or is cut short. Download it again.")
    else:
        files = {path.name: partial(_read_file, path)}
    if not files:
        raise BrunaError(f"{path} is empty: it holds no files.")
    return Source(path, {name: files[name] for name in sorted(files)})


def open_folder(path: Path) -> Source:
    """List the files of a folder, which may be empty."""
    return Source(path, {name: partial(_read_file, path / name) for name in sorted(_walk(path))})


def _walk(folder: Path) -> Iterator[str]:
    for count, name in enumerate(_walk_below(folder, 1)):
        if count >= MAX_MEMBERS:
            raise BrunaError(f"{folder} holds more than {MAX_MEMBERS:,} files. Give the folder of the data set itself.")
        yield name


def _walk_below(folder: Path, depth: int) -> Iterator[str]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise BrunaError(f"{folder} cannot be read: {error.strerror or error}.") from None
    for entry in entries:
        if _is_clutter(PurePosixPath(entry.name)):
            continue
        if entry.is_dir():
            if depth < _DEPTH:
                yield from (f"{entry.name}/{name}" for name in _walk_below(entry, depth + 1))
        elif entry.is_file():
            yield entry.name


def _is_clutter(name: PurePosixPath) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) for part in name.parts)
    return hidden or name.name.lower() in CLUTTER


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BrunaError(f"{path} cannot be read: {error.strerror or error}.") from None


def _open_zip(path: Path, stack: ExitStack) -> dict[str, Callable[[], bytes]]:
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
    except (zipfile.BadZipFile, OSError) as error:
        raise BrunaError(f"{path} cannot be opened as a zip archive ({error}). Download it again.") from None
    members = archive.infolist()
    total = sum(member.file_size for member in members)
    largest = max((member.file_size for member in members), default=0)
    if len(members) > MAX_MEMBERS or total > MAX_TOTAL_BYTES or largest > MAX_MEMBER_BYTES:
        raise BrunaError(
            f"{path} claims {len(members):,} members, {total:,} bytes unpacked, {largest:,} in the largest. "
            "That is no data set of person images; nothing was unpacked."
        )
    _refuse_unsafe(path, members)
    return {
        name: partial(_read_member, path, archive, member)
        for member in members
        if not member.is_dir()
        and not _is_clutter(PurePosixPath(name := member.filename.replace("\\", "/").removeprefix("./")))
    }


def _refuse_unsafe(path: Path, members: list[zipfile.ZipInfo]) -> None:
    unsafe, encrypted, seen, twice = [], [], set(), []
    for member in members:
        name = member.filename.replace("\\", "/")
        drive = len(name) > 1 and name[1] == ":"
        link = stat.S_ISLNK(member.external_attr >> 16)
        if name.startswith("/") or drive or ".." in name.split("/") or link or "\0" in name:
            unsafe.append(name)
        if member.flag_bits & 1:
            encrypted.append(name)
        if name in seen:
            twice.append(name)
        seen.add(name)
    if unsafe:
        raise BrunaError(
            f"{path} is refused: {shown(unsafe)} would lead out of the data set folder (an absolute path, `..` or "
            "a symbolic link). Nothing was unpacked. Pack the plain files anew, or get the archive elsewhere."
        )
    if encrypted:
        raise BrunaError(f"{path} is encrypted ({shown(encrypted)}). Unpack it and give the folder instead.")
    if twice:
        raise BrunaError(f"{path} holds {shown(twice)} more than once. Pack it anew.")


def _read_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        return archive.read(member)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise BrunaError(
            f"{path}: {member.filename} cannot be unpacked ({error}). The archive is damaged: download it again."
        ) from None


def shown(names: list[str], limit: int = 5) -> str:
    """The first few names of a list and how many more there are."""
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
