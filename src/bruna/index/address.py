"""Sources at an address such as `s3://bucket/people`: read through pyarrow's file systems, with no copy on disk."""

import io
import os
import posixpath
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import IO, Any
from urllib.parse import parse_qs, unquote

import pyarrow as pa
from pyarrow import fs

from bruna.dataset.dataset_file import DATASET
from bruna.dataset.formats.manifest import with_images
from bruna.dataset.formats.source_files import MAX_BYTES, MAX_FILES, Source, SourceFile, is_clutter
from bruna.dataset.formats.zip_archive import open_zip
from bruna.errors import BrunaError

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_SLIP = re.compile(r"(s3|gs|gcs|hdfs|file)(:|//)", re.IGNORECASE)
"""What a path begins with that was meant as an address."""
_KNOWN = ("s3", "gs", "gcs", "hdfs", "viewfs", "file", "abfs", "abfss")
_OF_BUCKETS = {"s3": "Amazon's S3", "gs": "Google's storage", "gcs": "Google's storage"}
"""Who is asked where the address names no server."""
_SECRET = re.compile(r"://[^@]*:[^@]*@")
_TAR = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
_AT_ONCE, _AHEAD = 24, 96
"""Files asked for at once, and read before they are wanted: an answer takes tens of milliseconds."""
_PATIENCE = "retry_limit_seconds=20"
"""Of Google's storage, which without a network would try for a quarter of an hour."""
_LONGEST = 240
"""Characters of a message of pyarrow's."""
_GIVE = "Give a folder, a zip archive or a table of images."
_PIECE = 1 << 20
"""Bytes of an archive that are fetched together: hundreds of small images."""


@dataclass(frozen=True)
class Address:
    """What is there.

    Attributes:
        text: the address without its parameters, for messages.
        system: pyarrow's file system.
        path: where it lies in that.
        size: bytes of a file; None of a folder.
    """

    text: str
    system: Any = None
    path: str = ""
    size: int | None = None

    @property
    def _is_zip(self) -> bool:
        return self.size is not None and self.path.lower().endswith(".zip")

    def open(self) -> Any:
        """The file, to be read at any place.

        Raises:
            BrunaError: it cannot be opened.
        """
        try:
            return self.system.open_input_file(self.path)
        except (OSError, pa.ArrowException) as error:
            raise self.unreadable(error) from None

    def source(self, stack: ExitStack) -> Source:
        """List the files of a folder or a zip archive, or a table and those that it names, or a file alone.

        Raises:
            BrunaError: as `open_source`; or it is a tar archive, which has no list of its files.
        """
        path = Path(self.text)
        if self.size is None:
            return Source(path, {name: self._file(name, size) for name, size in self._listed()})
        if path.name.lower().endswith(_TAR):
            raise BrunaError(f"{self.text} is a tar archive, which is read from disk only. Copy it, or make it a zip.")
        if self._is_zip:
            file: IO[bytes] = io.BufferedReader(stack.enter_context(self.open()), _PIECE)
            return Source(path, dict(sorted((open_zip(path, self.size, stack, file) or {}).items())))
        above = replace(self, path=posixpath.dirname(self.path))
        # Whether an image is there shows when it is read: asking before would take a request for each.
        return with_images(
            Source(path, {path.name: above._file(posixpath.basename(self.path), self.size)}),
            lambda name: None if name == DATASET else above._file(name, 0),
        )

    def ahead(self, reads: Iterable[Callable[[], bytes]]) -> Iterator[Callable[[], bytes]]:
        """What reads files, some of which are read before they are wanted.

        Raises:
            BrunaError: the connection is lost, so that what follows could not be read either.
        """
        pool = ThreadPoolExecutor(1 if self._is_zip else _AT_ONCE)  # threads would pull an archive to and fro
        waiting: deque[Future[bytes]] = deque()
        try:
            for read in reads:
                waiting.append(pool.submit(read))
                if len(waiting) > _AHEAD:
                    yield self._taken(waiting.popleft())
            while waiting:
                yield self._taken(waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)

    def unreadable(self, error: BaseException) -> BrunaError:
        """The message of what pyarrow raised."""
        said = shorten((str(error).splitlines() or [type(error).__name__])[0].rstrip("."), _LONGEST, placeholder=" ..")
        return BrunaError(f"{self.text} cannot be read: {said}. docs/how-to/large.md tells of addresses and keys.")

    def _taken(self, read: "Future[bytes]") -> Callable[[], bytes]:
        cause = getattr(read.exception(), "__context__", None)
        if isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError):
            raise self.unreadable(cause)
        return read.result

    def _listed(self) -> list[tuple[str, int]]:
        """The paths below a folder, and their bytes."""
        try:
            found = self.system.get_file_info(fs.FileSelector(self.path, recursive=True))
        except (OSError, pa.ArrowException) as error:
            raise self.unreadable(error) from None
        if len(found) > MAX_FILES:
            raise BrunaError(f"{self.text} holds more than {MAX_FILES:,} files. Give a folder of it.")
        top = f"{self.path.rstrip('/')}/"
        named = [(file.path.removeprefix(top), file.size) for file in found if file.type == fs.FileType.File]
        return sorted(
            (name, size) for name, size in named if not any(is_clutter(part, hidden=True) for part in name.split("/"))
        )

    def _file(self, name: str, size: int) -> SourceFile:
        """A file below a folder."""
        place = posixpath.join(self.path, name)
        if ".." in name:  # which a server of objects does not know
            place = posixpath.normpath(place)
        return SourceFile(Path(self.text), size, partial(self._read, place))

    def _read(self, place: str) -> bytes:
        try:
            with self.system.open_input_file(place) as file:
                if file.size() > MAX_BYTES:
                    raise BrunaError(f"it has {file.size():,} bytes, more than any such file")
                return bytes(file.read())
        except FileNotFoundError:
            raise BrunaError("there is no such file") from None
        except (OSError, pa.ArrowException) as error:
            raise self.unreadable(error) from None


def is_address(source: Path | str) -> bool:
    """Whether a source is an address, and no path."""
    return isinstance(source, str) and _ADDRESS.match(source) is not None


def refuse_slip(source: Path | str) -> None:
    """Refuse a path to nothing that was meant as an address.

    Raises:
        BrunaError: it is one.
    """
    found = _SLIP.match(str(source))
    if found is None or os.path.exists(source):  # noqa: PTH110 - a name may be too long
        return
    if isinstance(source, Path):  # which makes one slash of two
        raise BrunaError(
            f"{source} does not exist. An address is for `bruna index`: make an index of it, and search it."
        )
    scheme = found[1].lower()
    right = {"file": "file:///home/you/photos, with three", "hdfs": "hdfs://host/people, with two"}
    hint = right.get(scheme, f"{scheme}://bucket/people, with two")
    raise BrunaError(f"{source} does not exist. If it is an address, write {hint} slashes.")


def find(uri: str) -> Address:
    """What is at an address.

    Args:
        uri: as `pyarrow.fs.FileSystem.from_uri` takes it: s3://bucket/people, gs://, hdfs://, file:///; the scheme in
            any case.

    Raises:
        BrunaError: nothing is there, it cannot be reached, or pyarrow knows no such address.
    """
    scheme, _, rest = uri.partition("://")
    scheme = scheme.lower()
    uri = f"{scheme}://{rest}"
    plain, _, asked = uri.partition("?")
    if _SECRET.search(plain):
        raise BrunaError(
            "the address holds a password, which shells and logs keep. Put it into the environment, as "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    _refuse_incomplete(scheme, plain)
    address = Address(unquote(plain).rstrip("/"))
    if scheme in ("gs", "gcs") and "retry_limit_seconds" not in uri:
        uri += ("&" if "?" in uri else "?") + _PATIENCE
    try:
        system, path = fs.FileSystem.from_uri(uri)
        there = system.get_file_info(path)
    except (OSError, pa.ArrowException) as error:
        raise address.unreadable(error) from None
    if there.type == fs.FileType.NotFound:
        raise BrunaError(f"{address.text} does not exist{_where(scheme, path, asked)}. {_GIVE}")
    return replace(address, system=system, path=path, size=None if there.type == fs.FileType.Directory else there.size)


def _refuse_incomplete(scheme: str, plain: str) -> None:
    """Refuse what no server need be asked about."""
    place = plain.removeprefix(f"{scheme}://")
    if scheme not in _KNOWN:
        raise BrunaError(
            f"{plain} cannot be read: {scheme}:// is unknown. Known are s3://, gs://, hdfs:// and file:///. Download "
            "files of the web first."
        )
    if scheme == "file" and not place.startswith("/"):
        raise BrunaError(
            f"{plain} cannot be read: file:// takes a whole path: file:///home/you/photos. On this machine the path "
            "alone does."
        )
    if scheme in _OF_BUCKETS and not place.strip("/"):
        raise BrunaError(f"{plain} cannot be read: the address has no bucket. Write {scheme}://bucket/people.")


def _where(scheme: str, path: str, asked: str) -> str:
    """Which server was asked for what, of an address with a bucket."""
    if scheme not in _OF_BUCKETS:
        return ""
    bucket, _, name = path.strip("/").partition("/")
    usual = (scheme == "s3" and os.environ.get("AWS_ENDPOINT_URL")) or _OF_BUCKETS[scheme]
    server = parse_qs(asked).get("endpoint_override", [usual])[0]
    lacks = f"there is no {name} in it, or no such bucket" if name else "there is no such bucket"
    return f": bucket {bucket}, {lacks} ({server} was asked)"
