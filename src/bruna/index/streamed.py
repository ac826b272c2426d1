"""An index on disk that is read a part at a time whenever it is asked: it may be larger than memory."""

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bruna.index.conditions import Condition, known, number_in
from bruna.index.facts import Facts
from bruna.index.header import Header, read_header
from bruna.index.opened import Integers, Opened, Searchable, junk_among, known_columns, open_rows, opened_parts
from bruna.index.reading import MATRICES
from bruna.index.store import outline_of, part_sizes, parts_of

HELD_BYTES = 1 << 30
"""Features of an index that are held in memory at most."""
_READERS, _AHEAD = 2, 4
"""Threads that read parts, and parts that wait to be looked at: 13 MB each with 1,600 features."""


def open_searchable(folder: Path, *, features: bool = True) -> Searchable:
    """Read an index into memory, or only what is in it where its features are more than `HELD_BYTES`.

    Args:
        folder: the index.
        features: False leaves the features of a held one aside.

    Raises:
        BrunaError: it is none, or cannot be read.
    """
    header = read_header(folder)
    if sum(part_sizes(parts_of(folder))) * header.features * 4 > HELD_BYTES:
        return Streamed(folder)
    return open_rows(folder, features=features)


class Streamed(Searchable):
    """The N images of an index on disk, as it was when it was opened.

    Every method that reads raises a BrunaError where the index was changed meanwhile.

    Attributes:
        contents: of each part what it holds (`Outline`).

    Args:
        folder: the index.

    Raises:
        BrunaError: it is none, or cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.name, self.header = str(folder), read_header(folder)
        self._parts = parts_of(folder)
        outlines = [outline_of(part) for part in self._parts]
        names = dict.fromkeys(name for part in outlines for name in part.columns)
        self._sizes = [part.rows for part in outlines]
        self._starts = np.cumsum([0, *self._sizes])
        self._junk = np.concatenate([np.empty(0, np.float32), *(part.junk for part in outlines)])
        self.contents = [part.contents for part in outlines]
        self._known = known_columns(list(names), self.header.schema)
        self._words: set[str] = set()
        self._settled: set[str] = set()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __repr__(self) -> str:
        return f"Streamed({self.name}: {len(self)} images)"

    @property
    def known(self) -> Sequence[str]:
        """See `Searchable`."""
        return self._known

    @property
    def junk(self) -> npt.NDArray[np.bool_]:
        """See `Searchable`."""
        return junk_among(self._junk, self.header)

    def used_as(self, header: Header) -> "Streamed":
        """See `Searchable`."""
        found = copy(self)
        found.header = header
        return found

    def rows_of(self, part: int) -> Integers:
        """The numbers of the rows of a part, by its place among all."""
        return np.arange(self._starts[part], self._starts[part + 1])

    def blocks(self, columns: Collection[str] = (), rows: Integers | None = None) -> Iterator[tuple[Integers, Opened]]:
        """A part at a time; the next ones are read meanwhile."""
        wanted = [at for at, size in enumerate(self._sizes) if size]
        if rows is not None:
            first = np.searchsorted(rows, self._starts)
            wanted = [at for at in wanted if first[at] < first[at + 1]]
        read = {*columns, "junk", *(MATRICES if "features" in columns else ())}
        with ThreadPoolExecutor(_READERS) as pool:
            waiting: deque[tuple[int, Future[Opened]]] = deque()
            for at in wanted:
                waiting.append((at, pool.submit(self._part, at, read)))
                if len(waiting) > _AHEAD:
                    at, found = waiting.popleft()  # noqa: PLW2901
                    yield self.rows_of(at), found.result()
            for at, found in waiting:
                yield self.rows_of(at), found.result()

    def take(self, rows: Integers, columns: Collection[str] | None = None) -> Opened:
        """See `Searchable`."""
        if columns is None:
            columns = {*self._known, "digest", *(task.name for task in self.header.schema)}
        order = np.sort(rows)
        places = np.searchsorted(self._starts, order, side="right") - 1
        found = []
        for at in np.unique(places):
            here = order[places == at] - self._starts[at]
            found.append(self._part(int(at), columns).take(here))
        return _joined(found or [opened_parts(self.name, self.header, [], [], columns)]).take(
            np.searchsorted(order, rows)
        )

    def settle(self, condition: Condition) -> None:
        """Whether all cells of a column are numbers decides how a text that is one is compared with them."""
        unsure = {
            part.column
            for part in known(condition)
            if part.column not in self._settled and isinstance(part.value, str) and number_in(part.value) is not None
        }
        for _, each in self.blocks(unsure) if unsure else ():
            self._words |= {column for column in unsure if not each.facts.has_numbers_only(column)}
        self._settled |= unsure

    def _part(self, at: int, columns: Collection[str]) -> Opened:
        return opened_parts(self.name, self.header, [self._parts[at]], [self._sizes[at]], columns, self._words)


def _joined(parts: Sequence[Opened]) -> Opened:
    """Rows of several parts, of which the same columns were read, as one."""
    first = parts[0]
    facts = Facts(
        {name: np.concatenate([part.facts.codes[name] for part in parts]) for name in first.facts.codes},
        {},
        {name: np.concatenate([part.facts.columns[name] for part in parts]) for name in first.facts.columns},
    )
    digests = np.concatenate([part.digests for part in parts])
    return Opened(first.name, first.header, first.gallery, facts, digests)
