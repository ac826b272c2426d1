"""What an import reads from: zip archives, folders and single files, behind one list of safe names.

Nothing is ever extracted under the name that an archive gives it: the importer asks for the bytes of a member and
chooses the name itself. Archives that look like an attack or like a mistake are refused all the same. In a folder,
links are followed, wherever they lead: they are the user's own.
"""

import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath

from bruna.dataset.filenames import printable
from bruna.errors import BrunaError
from bruna.files import read_regular

MAX_MEMBERS = 500_000
MAX_MEMBER_BYTES = 256 << 20
MAX_TOTAL_BYTES = 64 << 30
"""Bounds of an archive; the official Market-1501 release has 43,000 members and 150 MB."""
MAX_RATIO = 100
"""Unpacked over packed bytes. Images are packed already (1.0 in the releases), annotation files reach 24."""
_SMALL = 1 << 20
"""Bytes that may be packed in any ratio: a JPEG of one colour reaches 100, and has 63 KB at 2000 x 2000 pixels."""
_PIECE = 4096
"""Bytes read from a member at a time: bzip2 and LZMA unpack all they are given at once, up to 20,000 times as much."""

_DEPTH = 4
"""Deepest file that any known layout has: top/masks/images/0001.jpg."""
CLUTTER = {"thumbs.db", ".ds_store", "desktop.ini"}
_LEFTOVERS = ("._", "__MACOSX")
"""What macOS adds to archives and foreign disks."""


@dataclass(frozen=True)
class SourceFile:
    """A file that can be imported.

    Attributes:
        source: the archive, folder or file that the user gave.
        size: bytes; what an archive claims, where it lies in one.
        read: reads it; raises a BrunaError where that fails.
    """

    source: Path
    size: int
    read: Callable[[], bytes]


Files = dict[str, SourceFile]
"""Files by a POSIX path: where they lie in a source, or in the data set."""


@dataclass
class Source:
    """One thing to import from.

    Attributes:
        path: the archive, folder or file.
        files: its files, in order of their paths inside it.
    """

    path: Path
    files: Files = field(default_factory=dict)


def open_source(path: Path, stack: ExitStack) -> Source:
    """List the files of a zip archive, a folder, or a single file such as `market_attribute.mat`.

    Args:
        path: what the user gave.
        stack: closes the archive when the import is over.

    Raises:
        BrunaError: it does not exist, is empty, cannot be read, is encrypted, is beyond the bounds above, or
            holds a name that leads out of the folder.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise BrunaError(f"{path} does not exist. Give a zip archive or a folder of the data set.") from None
    except OSError as error:
        raise BrunaError(f"{path} cannot be read: {error.strerror or error}.") from None
    if stat.S_ISDIR(status.st_mode):
        source = open_folder(path)
    elif not stat.S_ISREG(status.st_mode):
        raise BrunaError(f"{path} is a pipe, a device or a socket. Give a zip archive or a folder of the data set.")
    else:
        files = _open_zip(path, status.st_size, stack)
        if files is None:
            files = {path.name: SourceFile(path, status.st_size, partial(_read_file, path))}
        source = Source(path, {name: files[name] for name in sorted(files)})
    if not source.files:
        raise BrunaError(f"{path} is empty: it holds no files.")
    return source


def open_folder(path: Path, *, everything: bool = False) -> Source:
    """List the files of a folder, which may be empty.

    Args:
        path: the folder.
        everything: at any depth, hidden files too; else what can be part of a data set.

    Raises:
        BrunaError: it cannot be read, or holds too many files.
    """
    found = list(islice(_walk(path, everything), MAX_MEMBERS + 1))
    if len(found) > MAX_MEMBERS:
        raise BrunaError(f"{path} holds more than {MAX_MEMBERS:,} files. Give the folder of the data set itself.")
    return Source(
        path, {name: SourceFile(path, size, partial(_read_file, path / name)) for name, size in sorted(found)}
    )


def _walk(top: Path, everything: bool) -> Iterator[tuple[str, int]]:
    """The files below a folder and their sizes; whatever is neither file nor folder too, as `_read_file` tells.

    A link to a folder that it lies in itself is passed over: through two such links every file would come 2^40 times.
    """
    todo: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while todo:
        within, above = todo.pop()
        folder = top / within
        try:
            here = folder.stat()
            with os.scandir(folder) as entries:  # pathlib would ask the disk thrice about each of 30,000 files
                found = list(entries)
        except OSError as error:
            raise BrunaError(f"{folder} cannot be read: {error.strerror or error}.") from None
        above |= {(here.st_dev, here.st_ino)}
        for entry in found:
            if _is_clutter(entry.name, hidden=not everything):
                continue
            try:
                status = entry.stat()
            except OSError:  # a link that leads nowhere
                yield within + entry.name, 0
                continue
            if not stat.S_ISDIR(status.st_mode):
                yield within + entry.name, status.st_size
            elif (everything or within.count("/") < _DEPTH - 1) and (status.st_dev, status.st_ino) not in above:
                todo.append((f"{within}{entry.name}/", above))


def _is_clutter(name: str, *, hidden: bool) -> bool:
    return name.lower() in CLUTTER or name.startswith(_LEFTOVERS) or (hidden and name.startswith("."))


def _read_file(path: Path) -> bytes:
    try:
        return read_regular(path, MAX_MEMBER_BYTES)
    except OSError as error:
        raise BrunaError(f"{path} cannot be read: {error.strerror or error}.") from None


def _open_zip(path: Path, size: int, stack: ExitStack) -> Files | None:
    """The files of an archive; None where the file is none and is not named as one."""
    try:
        if not zipfile.is_zipfile(path):
            if path.suffix.lower() != ".zip":
                return None
            raise zipfile.BadZipFile("it is none, or is cut short")
        archive = stack.enter_context(zipfile.ZipFile(path))
    # The reader raises whatever damage makes it stumble over; each of it means the same.
    except Exception as error:
        raise BrunaError(f"{path} cannot be opened as a zip archive ({error}). Download it again.") from None
    members = archive.infolist()
    _refuse_huge(path, size, members)
    _refuse_unsafe(path, members)
    named = {_name_of(member): member for member in members if not member.is_dir()}
    return {
        name: SourceFile(path, member.file_size, partial(_read_member, path, archive, member))
        for name, member in named.items()
        if not any(_is_clutter(part, hidden=True) for part in name.split("/"))
    }


def _name_of(member: zipfile.ZipInfo) -> str:
    """The path of a member with plain slashes and without empty parts."""
    return str(PurePosixPath(member.filename.replace("\\", "/")))


def _refuse_huge(path: Path, size: int, members: list[zipfile.ZipInfo]) -> None:
    total = sum(member.file_size for member in members)
    largest = max((member.file_size for member in members), default=0)
    if len(members) > MAX_MEMBERS or total > MAX_TOTAL_BYTES or largest > MAX_MEMBER_BYTES:
        raise BrunaError(
            f"{path} claims {len(members):,} members, {total:,} bytes unpacked, {largest:,} in the largest. "
            "That is no data set of person images; nothing was unpacked."
        )
    # The whole archive by its real size: members that share their bytes, or lie about them, cannot be below that.
    sizes = [(m.file_size, m.compress_size, _name_of(m)) for m in members] + [(total, size, "all of it")]
    for unpacked, packed, name in sizes:
        if unpacked > max(_SMALL, MAX_RATIO * packed):
            raise BrunaError(
                f"{path} is refused: {printable(name)} has {packed:,} bytes packed and {unpacked:,} unpacked, more "
                f"than {MAX_RATIO} times as much, which images and tables never reach. Nothing was unpacked. Unpack "
                "it yourself if you trust it, and give the folder."
            )


def _refuse_unsafe(path: Path, members: list[zipfile.ZipInfo]) -> None:
    unsafe, encrypted, seen, twice = [], [], set(), []
    for member in members:
        name = _name_of(member)
        if not member.filename:
            raise BrunaError(f"{path} is damaged: it holds a member without a name. Download it again.")
        drive = len(name) > 1 and name[1] == ":"
        link = stat.S_ISLNK(member.external_attr >> 16)
        if name.startswith("/") or drive or ".." in name.split("/") or link:
            unsafe.append(name)
        if member.flag_bits & 1:
            encrypted.append(name)
        if name in seen and not member.is_dir():
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
    data = bytearray()
    try:
        with archive.open(member) as file:  # which stops at the size that the member claims
            while piece := file.read(_PIECE):
                data += piece
        if len(data) != member.file_size:
            raise EOFError(f"{len(data):,} bytes of {member.file_size:,}")
    except Exception as error:  # as in `_open_zip`
        raise BrunaError(
            f"{path}: {printable(_name_of(member))} cannot be unpacked ({error}). The archive is damaged: download it "
            "again."
        ) from None
    return bytes(data)


def shown(names: list[str], limit: int = 5) -> str:
    """The first few names of a list and how many more there are."""
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(map(printable, names[:limit])) + more
