"""The files of a source, and those of a folder: links are followed, wherever they lead; they are the user's own."""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from bruna.dataset.filenames import printable
from bruna.errors import BrunaError
from bruna.files import read_regular

MAX_FILES = 5_000_000
"""Files of a source; a listing of as many takes 2 GB."""
MAX_BYTES = 256 << 20
"""Bytes of a file."""
MAX_TOTAL_BYTES = 1 << 40
"""Bytes of all files of an archive."""
MAX_RATIO = 100
"""Unpacked over packed bytes. Images are packed already (1.0 in the releases), annotation files reach 24."""
SMALL = 1 << 20
"""Bytes that may be packed in any ratio: a JPEG of one colour reaches 100, and has 63 KB at 2000 x 2000 pixels."""
DEPTH = 32
"""Folders in each other that are looked into."""
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


def open_folder(path: Path, *, everything: bool = False) -> Source:
    """List the files of a folder, which may be empty.

    Args:
        path: the folder.
        everything: at any depth, hidden files too; else what can be part of a data set.

    Raises:
        BrunaError: it cannot be read, or holds too many files.
    """
    found = list(islice(_walk(path, everything), MAX_FILES + 1))
    if len(found) > MAX_FILES:
        raise BrunaError(f"{path} holds more than {MAX_FILES:,} files. Give the folder of the data set itself.")
    return Source(path, {name: SourceFile(path, size, partial(read_file, path / name)) for name, size in sorted(found)})


def _walk(top: Path, everything: bool) -> Iterator[tuple[str, int]]:
    """The files below a folder and their sizes; whatever is neither file nor folder too, as `read_file` tells.

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
            if is_clutter(entry.name, hidden=not everything):
                continue
            try:
                status = entry.stat()
            except OSError:  # a link that leads nowhere
                yield within + entry.name, 0
                continue
            if not stat.S_ISDIR(status.st_mode):
                yield within + entry.name, status.st_size
            elif (everything or within.count("/") < DEPTH - 1) and (status.st_dev, status.st_ino) not in above:
                todo.append((f"{within}{entry.name}/", above))


def is_clutter(name: str, *, hidden: bool) -> bool:
    """Whether a name is of what file managers leave behind."""
    return name.lower() in CLUTTER or name.startswith(_LEFTOVERS) or (hidden and name.startswith("."))


def read_file(path: Path) -> bytes:
    """The bytes of a file on disk.

    Raises:
        BrunaError: it cannot be read, is no file, or is too large.
    """
    try:
        return read_regular(path, MAX_BYTES)
    except OSError as error:
        raise BrunaError(f"{path} cannot be read: {error.strerror or error}.") from None


def shown(names: list[str], limit: int = 5) -> str:
    """The first few names of a list and how many more there are."""
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(map(printable, names[:limit])) + more


def differ(one: SourceFile, other: SourceFile) -> bool:
    """Whether two files have other bytes."""
    return one is not other and (one.size != other.size or one.read() != other.read())
