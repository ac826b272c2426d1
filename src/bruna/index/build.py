"""Describing images into an index: a block at a time, each written before the next begins, nothing described twice."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from bruna.dataset.filenames import name_problem, printable
from bruna.errors import BrunaError
from bruna.index.gather import Found, Images
from bruna.index.header import Header
from bruna.index.rows import content_rows, thumbnail_of, with_names
from bruna.index.store import append, parts_of, read_part
from bruna.inference.describer import Describer
from bruna.progress import track

_BLOCK, _BLOCK_BYTES = 512, 256 << 20
"""Images described at a time, and bytes of their files."""


@dataclass
class Added:
    """What became of the images of the sources.

    Attributes:
        described: that the networks have seen.
        copied: whose bytes the index had under another key.
        there: that the index had already.
        junk: of the described, those taken for junk.
        left_out: the others, by key, with the reason.
    """

    described: int = 0
    copied: int = 0
    there: int = 0
    junk: int = 0
    left_out: dict[str, str] = field(default_factory=dict)


class _Image(NamedTuple):
    """An image whose bytes are read."""

    key: str
    digest: str
    data: bytes
    known: Mapping[str, str]


def add_images(
    folder: Path,
    images: Sequence[Images],
    describer: Describer,
    header: Header,
    *,
    thumbnails: bool = True,
    name: str = "index",
    at_once: int = 1,
) -> Added:
    """Describe what is new in some sources and add it to an index (that nobody else writes meanwhile).

    Args:
        folder: the index, with its header.
        images: of the sources.
        describer: the networks of the header.
        header: of the index.
        thumbnails: keep a small picture of each.
        name: of the progress bar.
        at_once: blocks described at a time, for networks that share the work out.
    """
    seen = _Seen(folder)
    added = Added()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        blocks = track(
            _blocks(images, added, at_once), name, total=sum(each.count for each in images), count=itemgetter(0)
        )
        for _, block in blocks:
            wanted = [image for image in block if seen.takes(image, added)]
            if wanted:
                rows = _rows(wanted, seen, describer, header, added, pool if thumbnails else None)
                if len(rows):
                    append(folder, rows)
                seen.add(rows, wanted)
            blocks.status = f"{added.described:,} described"
    return added


def blocks_of(images: int) -> int:
    """How many blocks so many images fill, one at least."""
    return max(1, images // _BLOCK)


class _Seen:
    """Keys and contents of an index."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._digests: dict[str, str] = {}
        self.contents: set[str] = set()
        for part in parts_of(folder):
            self.add(read_part(part, ["key", "digest"]))

    def add(self, rows: Any, tried: Sequence[_Image] = ()) -> None:
        """Take note of rows that the index has now; of the images that were tried some may be damaged."""
        for image in tried:
            self._digests.pop(image.key, None)
        for key, digest in zip(rows["key"].to_pylist(), rows["digest"].to_pylist(), strict=True):
            self._digests[key] = digest
            self.contents.add(digest)

    def takes(self, image: _Image, added: Added) -> bool:
        """Whether an image is to be added; its key is taken then."""
        before = self._digests.get(image.key)
        if before is None:
            self._digests[image.key] = image.digest
            return True
        if before == image.digest:
            added.there += 1
        else:
            added.left_out[image.key] = (
                "the index has another image under this key: erase that with --remove, or rename this one"
            )
        return False

    def stored(self, digests: set[str]) -> Any:
        """One row of each of these contents, all columns."""
        found = []
        for part in parts_of(self._folder):
            here = read_part(part, ["digest"])["digest"].to_pylist()
            rows = [at for at, digest in enumerate(here) if digest in digests]
            digests = digests - set(here)
            if rows:
                found.append(read_part(part).take(rows))
        return pa.concat_tables(found, promote_options="default")


def _blocks(images: Sequence[Images], added: Added, at_once: int) -> Iterator[tuple[int, list[_Image]]]:
    """Blocks of images whose bytes could be read, each with the number of all that it stands for."""
    size = held = 0
    block: list[_Image] = []
    for source in images:
        for found in source.each:
            size += 1
            image = _read(found, added)
            if image is not None:
                block.append(image)
                held += len(image.data)
            if size == _BLOCK * at_once or held >= _BLOCK_BYTES * at_once:
                yield size, block
                size, held, block = 0, 0, []
    if size:
        yield size, block


def _read(found: Found, added: Added) -> _Image | None:
    try:
        if problem := name_problem(found.key):
            raise BrunaError(problem)
        data = found.read()
    except BrunaError as error:
        added.left_out[printable(found.key)] = str(error)
        return None
    return _Image(found.key, hashlib.sha256(data).hexdigest(), data, found.known)


def _rows(
    images: Sequence[_Image],
    seen: _Seen,
    describer: Describer,
    header: Header,
    added: Added,
    pool: ThreadPoolExecutor | None,
) -> Any:
    """The rows of images (as many as can be decoded), in their order."""
    data = {image.digest: image.data for image in images}
    new = [digest for digest in data if digest not in seen.contents]
    # Begun before, so that they are made while other machines describe.
    small = {digest: pool.submit(thumbnail_of, data[digest]) for digest in new} if pool else {}
    described = describer.describe([data[digest] for digest in new], names=new, masks=False, skip_unreadable=True)
    damaged = {each.name: each.reason for each in described.rejected}
    contents = content_rows(described, [small[name].result() if small else None for name in described.names])
    if known := data.keys() - set(new):
        stored = seen.stored(known)
        kept_columns = set(contents.schema.names) - ({"thumbnail"} if pool is None else set())
        stored = stored.select([name for name in stored.schema.names if name in kept_columns])
        contents = pa.concat_tables([contents, stored], promote_options="default")
    at: dict[str, int] = {}
    for row, digest in enumerate(contents["digest"].to_pylist()):
        at.setdefault(digest, row)
    kept = [image for image in images if image.digest in at]
    added.left_out |= {image.key: damaged[image.digest] for image in images if image.digest in damaged}
    added.described += len(described)
    added.copied += len(kept) - len(described)
    if describer.attribute_network is not None:
        added.junk += int((described.junk >= header.settings.junk_threshold).sum())
    rows = contents.take(pa.array([at[image.digest] for image in kept], pa.int64()))
    return with_names(rows, [image.key for image in kept], [image.known for image in kept], header.schema)
