"""Searching an index without reading all of it: FAISS finds likely rows, which are ranked as in an exact search.

A row is one vector: its features, and its attribute features times a weight. FAISS keeps a bit of each number (RaBitQ,
https://arxiv.org/abs/2405.12497) and looks through all of them: no clusters are trained, so that a part can be added
or erased alone. The likely rows are ranked by the product distance of their float16 numbers; parts that no shard covers
are compared exactly. This is the only file that imports FAISS.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bruna.errors import BrunaError, counted
from bruna.files import whole_file
from bruna.index.facts import Facts
from bruna.index.opened import Integers, Opened, Searchable
from bruna.index.search import Query, Wish
from bruna.index.shards import Shard, Shards, read_shards
from bruna.index.streamed import Streamed
from bruna.progress import track
from bruna.retrieval.gallery import Gallery

SHARD_PARTS = 64
"""Parts of a shard: 131,072 rows, 430 MB of float16 with 1,600 features."""
_LIKELY, _LIKELY_EACH = 200, 4
"""Rows that are ranked at least, and for each one that is wanted."""
_AT_ONCE = 4096
_KEPT_BYTES = 1 << 28
"""Codes that are held in memory at most; more are read for each search."""
_Floats = npt.NDArray[np.float32]


class Approximate(Streamed):
    """The N images of an index on disk, searched with its shards.

    Attributes:
        covered: how many images the shards cover; all others are compared exactly.

    Args:
        folder: the index.

    Raises:
        BrunaError: it is none or cannot be read, no shards were ever made, or FAISS is not installed.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        _faiss()
        self._folder = folder
        shards = read_shards(folder, self.contents)
        if shards is None:
            raise BrunaError(
                f"{folder} has no approximate index. `bruna index --to {folder} --approximate` makes one; without "
                "--approximate the search is exact."
            )
        self._shards = shards
        at = {contents: self.rows_of(part) for part, contents in enumerate(self.contents)}
        self._rows = [np.concatenate([at[part] for part in shard.contents]) for shard in shards.each]
        self._kept: dict[int, Any] = {}
        covered = np.concatenate([np.empty(0, np.int64), *self._rows])
        self._uncovered = np.setdiff1d(np.arange(len(self)), covered, assume_unique=True)
        self.covered = len(self) - len(self._uncovered)

    def likely(self, query: Gallery, rows: Integers, count: int) -> Iterator[tuple[Integers, Opened]]:
        """See `Searchable`."""
        count = max(_LIKELY, _LIKELY_EACH * count)
        may_be = np.zeros(len(self), np.bool_)
        may_be[rows] = True
        vector = _vectors(query, self._shards.weight)
        found = []
        for at in range(len(self._shards.each)):
            mine = may_be[self._rows[at]]
            if mine.any():
                near, places = self._nearest(at, vector, mine, count)
                found.append((near, np.full(len(near), at), places))
        if found:
            near, shards, places = (np.concatenate(of) for of in zip(*found, strict=True))
            best = np.argsort(near, kind="stable")[:count]
            for at in np.unique(shards[best]):
                yield self._half(int(at), np.sort(places[best][shards[best] == at]))
        left = self._uncovered[may_be[self._uncovered]]
        if len(left):
            yield from self.blocks(["features"], left)  # a part is covered whole or not at all

    def _nearest(self, at: int, vector: _Floats, may_be: npt.NDArray[np.bool_], count: int) -> tuple[_Floats, Integers]:
        """Distances and places of the rows of a shard that are nearest to a vector among those that may be."""
        wanted = min(count, int(may_be.sum()))
        size = int(wanted * len(may_be) / int(may_be.sum()) * 1.25)
        while size <= len(may_be) // 8:  # beyond, looking at the rows themselves costs less than sorting codes
            near, places = (of[0] for of in self._codes(at).search(vector, size))
            fit = (places >= 0) & may_be[places]
            if fit.sum() >= wanted:
                return near[fit], places[fit]
            size *= 2
        places, rows = may_be.nonzero()[0], self._memory(at)
        parts = [places[start : start + _AT_ONCE] for start in range(0, len(places), _AT_ONCE)]
        near = np.concatenate([np.square(rows[part].astype(np.float32) - vector).sum(axis=1) for part in parts])
        best = np.argsort(near, kind="stable")[:count]
        return near[best], places[best]

    def _codes(self, at: int) -> Any:
        """The codes of a shard; kept where all are few."""
        path = self._shards.each[at].codes(self._folder)
        try:
            found = self._kept.get(at) or _faiss().deserialize_index(np.fromfile(path, np.uint8))
        except (OSError, RuntimeError) as error:
            raise _damaged(path, error) from None
        if len(self) * self.header.features <= 8 * _KEPT_BYTES:
            self._kept[at] = found
        return found

    def _memory(self, at: int) -> npt.NDArray[np.float16]:
        path = self._shards.each[at].half(self._folder)
        try:
            return np.memmap(path, np.float16, "r").reshape(len(self._rows[at]), -1)
        except (OSError, ValueError) as error:
            raise _damaged(path, error) from None

    def _half(self, at: int, places: Integers) -> tuple[Integers, Opened]:
        """Rows of a shard, from half precision."""
        vectors = self._memory(at)[places].astype(np.float32)
        features, attributes = np.split(vectors, [self.header.features], axis=1)
        gallery = Gallery.unlabelled(
            torch.from_numpy(np.ascontiguousarray(features)), torch.from_numpy(attributes / self._shards.weight)
        )
        nothing = np.full(len(places), "", dtype=object)
        return self._rows[at][places], Opened(self.name, self.header, gallery, Facts({}, {}, {}), nothing)


def approximate_note(index: Searchable, queries: Sequence[Query], wish: Wish) -> list[str]:
    """A sentence where a search was approximate."""
    if not isinstance(index, Approximate) or wish.needs_all(queries):
        return []
    left = len(index) - index.covered
    if not index.covered:
        return [
            f"all images were compared: the approximate index covers none of {counted(left, 'images')} any more "
            f"(`bruna index --to {index.name} --approximate` takes them in)"
        ]
    exactly = f"; {counted(left, 'images')} that it does not cover were all compared (--approximate)" if left else ""
    return [f"by the approximate index: some of the nearest images may be missing{exactly}"]


def cover(folder: Path) -> tuple[int, int]:
    """Make shards of all parts of an index (that nobody else writes meanwhile) that none covers.

    Returns:
        How many images were taken in, and how many the shards cover now.

    Raises:
        BrunaError: the index cannot be read, or FAISS is not installed.
    """
    _faiss()
    index = Streamed(folder)
    found = read_shards(folder, index.contents)
    shards = Shards(_weight(index)) if found is None else found
    there = {contents for shard in shards.each for contents in shard.contents}
    missing = [part for part, contents in enumerate(index.contents) if contents not in there]
    # The last part changes whenever images are added: where it is a shard of its own, the others stay as they are.
    end = len(index.contents) - 1
    last, others = ([part for part in missing if (part == end) is alone] for alone in (True, False))
    groups = [others[start : start + SHARD_PARTS] for start in range(0, len(others), SHARD_PARTS)]
    groups += [last] if last else []
    number = max([0, *(int(shard.name.rpartition("-")[2]) for shard in shards.each)])
    taken = 0
    for group in track(groups, f"index {folder.name} approximately", unit="shards"):
        number += 1
        shard = Shard(f"approximate-{number:06d}", tuple(index.contents[part] for part in group))
        rows = np.concatenate([index.rows_of(part) for part in group])
        _write(folder, shard, index, rows, shards.weight)
        taken += len(rows)
        shards = Shards(shards.weight, (*shards.each, shard))
        shards.write(folder)
    return taken, len(index)


def _write(folder: Path, shard: Shard, index: Streamed, rows: Integers, weight: float) -> None:
    faiss = _faiss()
    codes = None
    with whole_file(shard.half(folder)) as beside, beside.open("wb") as file:
        for _, block in index.blocks(["features"], rows):
            vectors = _vectors(block.gallery, weight)
            vectors.astype(np.float16).tofile(file)
            if codes is None:
                codes = faiss.IndexRaBitQFastScan(vectors.shape[1])
                codes.train(vectors)
            codes.add(vectors)
    with whole_file(shard.codes(folder)) as beside:
        beside.write_bytes(faiss.serialize_index(codes).tobytes())


def _damaged(path: Path, error: Exception) -> BrunaError:
    return BrunaError(
        f"{path} cannot be read ({error}). Run the same again; or delete it, and `bruna index --to {path.parent} "
        "--approximate` makes it anew."
    )


def _vectors(gallery: Gallery, weight: float) -> _Floats:
    assert gallery.attributes is not None
    return torch.cat([gallery.features, gallery.attributes * weight], dim=1).numpy()


def _weight(index: Streamed) -> float:
    """The weight w at which |f|^2 + w^2 |a|^2 changes as the product |f| (o + |a|) does around near rows.

    Both have the same level sets there to first order where w^2 = |f|^2 / (|a| (o + |a|)).
    """
    for _, block in index.blocks(["features"]):
        some = block.gallery.select(torch.arange(min(len(block), 256)))
        features = torch.cdist(some.features, some.features)
        if some.attributes is None or not some.attributes.shape[1]:
            return 1.0
        attributes = torch.cdist(some.attributes, some.attributes)
        offset = index.header.settings.attribute_offset
        product = (features * (offset + attributes)).fill_diagonal_(torch.inf)
        near = product <= product.flatten().kthvalue(max(1, product.numel() // 100)).values
        f, a = float(features[near].mean()), float(attributes[near].mean())
        if f > 0 and a > 0:
            return float(f / (a * (offset + a)) ** 0.5)
    return 1.0


def _faiss() -> Any:
    try:
        import faiss  # noqa: PLC0415
    except ImportError:
        raise BrunaError("an approximate index needs FAISS: pip install 'bruna[large]'.") from None
    faiss.omp_set_num_threads(torch.get_num_threads())
    return faiss
