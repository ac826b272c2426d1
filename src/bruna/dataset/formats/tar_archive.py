"""Tar archives, plain or packed: the bytes of a member on request, as for zip archives.

A packed one (gzip, bzip2, xz) can only be read from its beginning: it is unpacked once into a temporary file without a
name, from which members are read in any order.
"""

import bz2
import gzip
import lzma
import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from bruna.dataset.filenames import printable
from bruna.dataset.formats.source_files import (
    MAX_BYTES,
    MAX_FILES,
    MAX_RATIO,
    MAX_TOTAL_BYTES,
    SMALL,
    Files,
    SourceFile,
    is_clutter,
    shown,
)
from bruna.errors import BrunaError, machine_trouble
from bruna.progress import track

_PACKERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
"""First bytes of a packed file, and what opens it."""
_NAMES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_PIECE = 1 << 20
_BLOCK = 512
"""Bytes in which a tar archive counts; one of zeros ends it."""


def open_tar(path: Path, size: int, stack: ExitStack) -> Files | None:
    """List the files of a tar archive; None where the file is none and is not named as one.

    Args:
        path: the file.
        size: its bytes.
        stack: closes the archive.

    Raises:
        BrunaError: it is damaged, beyond the bounds, or holds links or a name that leads out of the folder.
    """
    try:
        file: IO[bytes] = stack.enter_context(path.open("rb"))
        start = file.read(_BLOCK)
        opener = next((opener for first, opener in _PACKERS.items() if start.startswith(first)), None)
        named = path.name.lower().endswith(_NAMES)
        if opener is None and start[257:262] != b"ustar" and not named:
            return None
        if opener is not None:
            file = stack.enter_context(_unpacked(path, size, opener))
        file.seek(0)
        # Closed by the stack with its file: members are read from that directly.
        archive = tarfile.TarFile(fileobj=file, mode="r", errorlevel=2)
        members = _members(path, archive)
        _refuse_rest(file, archive.offset)
    except BrunaError:
        raise
    # The readers raise whatever damage makes them stumble over; each of it means the same.
    except Exception as error:
        if isinstance(error, OSError) and (trouble := machine_trouble(error)):
            raise BrunaError(f"{path} cannot be unpacked: {trouble}") from None
        raise BrunaError(f"{path} cannot be opened as a tar archive ({error}). Download it again.") from None
    return {
        name: SourceFile(path, member.size, partial(_read_member, path, file, name, member))
        for name, member in members.items()
        if not any(is_clutter(part, hidden=True) for part in name.split("/"))
    }


def _unpacked(path: Path, size: int, opener: Any) -> IO[bytes]:
    """All of a packed archive in a temporary file, which goes when it is closed."""
    out = tempfile.TemporaryFile()  # noqa: SIM115 - closed by whoever asks for it
    most = min(MAX_TOTAL_BYTES, max(SMALL, MAX_RATIO * size))

    def pieces() -> Iterator[bytes]:
        with opener(path) as packed:
            while piece := packed.read(_PIECE):
                yield piece

    for piece in track(pieces(), f"unpack {path.name}", unit="MB"):
        out.write(piece)
        if out.tell() > most:
            out.close()
            raise BrunaError(
                f"{path} is refused: {size:,} bytes packed are more than {most:,} unpacked, which images and tables "
                "never reach. Unpack it yourself if you trust it, and give the folder."
            )
    return out


def _refuse_rest(file: IO[bytes], end: int) -> None:
    """Refuse an archive that goes on where its reader stopped: nothing but zeros, a block at least, may follow."""
    file.seek(end)
    piece = file.read(_PIECE)
    if len(piece) < _BLOCK:
        raise EOFError("it is cut short")
    while piece:
        if piece.strip(b"\0"):
            raise EOFError("a part of it is damaged, or two archives were joined")
        piece = file.read(_PIECE)


def _members(path: Path, archive: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    """The plain files of an archive by their paths, and that it holds nothing else but folders."""
    members: dict[str, tarfile.TarInfo] = {}
    unsafe, twice, largest = [], [], 0
    for member in archive:
        name = str(PurePosixPath(member.name))
        if member.size < 0:  # its end lies before it, and the reader would go round for ever
            raise EOFError(f"{printable(name)} has {member.size:,} bytes")
        plain = member.isfile() and not member.issparse()
        if name.startswith("/") or ".." in name.split("/") or not (plain or member.isdir()):
            unsafe.append(name)
        elif plain:
            twice += [name] if name in members else []
            members[name] = member
            largest = max(largest, member.size)
        if len(members) > MAX_FILES or largest > MAX_BYTES:
            raise BrunaError(
                f"{path} holds more than {MAX_FILES:,} files, or one of {largest:,} bytes. That is no data set of "
                "person images; nothing was unpacked."
            )
    if unsafe:
        raise BrunaError(
            f"{path} is refused: {shown(unsafe)} would lead out of the data set folder, or is no plain file (a link, "
            "a device). Nothing was unpacked. Pack the plain files anew, or get the archive elsewhere."
        )
    if twice:
        raise BrunaError(f"{path} holds {shown(twice)} more than once. Pack it anew.")
    return members


def _read_member(path: Path, file: IO[bytes], name: str, member: tarfile.TarInfo) -> bytes:
    data = os.pread(file.fileno(), member.size, member.offset_data)
    if len(data) != member.size:
        raise BrunaError(f"{path}: {printable(name)} is cut short. The archive is damaged: download it again.")
    return data
