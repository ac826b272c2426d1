"""Zip archives: the bytes of a member on request.

Nothing is ever extracted under the name that an archive gives it: the importer asks for the bytes of a member and
chooses the name itself. Archives that look like an attack or like a mistake are refused all the same.
"""

import stat
import zipfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

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
from bruna.errors import BrunaError

_PIECE = 4096
"""Bytes read from a member at a time: bzip2 and LZMA unpack all they are given at once, up to 20,000 times as much."""


def open_zip(path: Path, size: int, stack: ExitStack, file: IO[bytes] | None = None) -> Files | None:
    """List the files of a zip archive; None where the file is none and is not named as one.

    Args:
        path: the file.
        size: its bytes.
        stack: closes the archive.
        file: the file where it does not lie on disk.

    Raises:
        BrunaError: it is damaged, encrypted, beyond the bounds, or holds a name that leads out of the folder.
    """
    try:
        if not zipfile.is_zipfile(file or path):
            if path.suffix.lower() != ".zip":
                return None
            raise zipfile.BadZipFile("it is none, or is cut short")
        archive = stack.enter_context(zipfile.ZipFile(file or path))
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
        if not any(is_clutter(part, hidden=True) for part in name.split("/"))
    }


def _name_of(member: zipfile.ZipInfo) -> str:
    """The path of a member with plain slashes and without empty parts."""
    return str(PurePosixPath(member.filename.replace("\\", "/")))


def _refuse_huge(path: Path, size: int, members: list[zipfile.ZipInfo]) -> None:
    total = sum(member.file_size for member in members)
    largest = max((member.file_size for member in members), default=0)
    if len(members) > MAX_FILES or total > MAX_TOTAL_BYTES or largest > MAX_BYTES:
        raise BrunaError(
            f"{path} claims {len(members):,} members, {total:,} bytes unpacked, {largest:,} in the largest. "
            "That is no data set of person images; nothing was unpacked."
        )
    # The whole archive by its real size: members that share their bytes, or lie about them, cannot be below that.
    sizes = [(m.file_size, m.compress_size, _name_of(m)) for m in members] + [(total, size, "all of it")]
    for unpacked, packed, name in sizes:
        if unpacked > max(SMALL, MAX_RATIO * packed):
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
