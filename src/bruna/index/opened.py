"""An index ready to be asked: what every one can, and one in memory."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from bruna.dataset.schema import Tasks
from bruna.index.conditions import Condition
from bruna.index.facts import Facts
from bruna.index.header import Header, read_header
from bruna.index.query import parse
from bruna.index.reading import MATRICES, NO_FACTS, predicted_columns, read_rows
from bruna.index.store import FIXED, column_names, part_sizes, parts_of
from bruna.retrieval.gallery import Gallery

Integers = npt.NDArray[np.int64]


class Searchable(ABC):
    """The N images of an index, wherever they lie; rows are numbered from 0.

    Attributes:
        name: what messages call it.
        header: which networks made it.
    """

    name: str
    header: Header

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def known(self) -> Sequence[str]:
        """The columns of what is known of images, beside the predicted attributes."""

    @property
    @abstractmethod
    def junk(self) -> npt.NDArray[np.bool_]:
        """N booleans: no person is seen, by the threshold of the header."""

    @abstractmethod
    def blocks(
        self, columns: Collection[str] = (), rows: Integers | None = None
    ) -> Iterator[tuple[Integers, "Opened"]]:
        """The images, some at a time and in their order: the numbers of the rows (ascending), and these rows.

        Args:
            columns: what is needed of them, `features` with the attribute features; more may come.
            rows: blocks that hold none of these may be left out; None for all.
        """

    @abstractmethod
    def take(self, rows: Integers, columns: Collection[str] | None = None) -> "Opened":
        """Some rows, in the given order, without features: some columns (more may come), or all that is known."""

    @abstractmethod
    def used_as(self, header: Header) -> "Searchable":
        """The same images, their networks used as another header says."""

    def settle(self, condition: Condition) -> None:  # noqa: B027 - most have nothing to do
        """Learn what a condition takes for granted of all rows together, before it is put to blocks."""

    def likely(self, query: Gallery, rows: Integers, count: int) -> Iterator[tuple[Integers, "Opened"]] | None:
        """Blocks that very probably hold the nearest images to a photo, with nothing but features.

        Args:
            query: one embedding.
            rows: those that may be results; the blocks have others too.
            count: how many of the nearest are wanted.

        Returns:
            None where all images are to be compared.
        """
        return None

    def find(self, column: str, values: Collection[str]) -> Integers:
        """The rows that have one of some texts in a column."""
        found = [rows[np.isin(each.texts(column), list(values))] for rows, each in self.blocks([column])]
        return np.concatenate([np.empty(0, np.int64), *found])

    @cached_property
    def persons(self) -> int:
        """How many images show a person: the size of the gallery, which a probability depends on."""
        return len(self) - int(self.junk.sum())

    def values(self, codes: Mapping[str, int]) -> dict[str, str]:
        """The value of each attribute that has a code."""
        return {task.name: task.values[codes[task.name]] for task in self.header.schema}

    def condition(self, text: str, option: str = "--where") -> Condition:
        """Read a condition over the columns of this index; see `parse`."""
        return parse(text, self.header.schema, self.known, option)


@dataclass(frozen=True, repr=False)
class Opened(Searchable):
    """The N images of an index in memory.

    Attributes:
        name: what messages call it.
        header: which networks made it.
        gallery: features and attribute features, ready to be ranked; without rows where none were read.
        facts: predicted attributes and what is known of each image.
        digests: N texts, SHA-256 of the images' files.
    """

    name: str
    header: Header
    gallery: Gallery
    facts: Facts
    digests: npt.NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.digests)

    def __repr__(self) -> str:
        return f"Opened({self.name}: {len(self)} images)"

    @property
    def known(self) -> Sequence[str]:
        """See `Searchable`."""
        return list(self.facts.columns)

    @property
    def keys(self) -> npt.NDArray[np.object_]:
        """N texts."""
        return self.texts("key")

    def texts(self, column: str) -> npt.NDArray[np.object_]:
        """N texts, None where unknown."""
        return self.digests if column == "digest" else self.facts.columns[column].astype(np.object_, copy=False)

    @cached_property
    def junk(self) -> npt.NDArray[np.bool_]:
        """See `Searchable`."""
        return junk_among(np.asarray(self.facts.columns["junk"], np.float32), self.header)

    def blocks(
        self, columns: Collection[str] = (), rows: Integers | None = None
    ) -> Iterator[tuple[Integers, "Opened"]]:
        """All rows at once."""
        yield np.arange(len(self)), self

    def used_as(self, header: Header) -> "Opened":
        """See `Searchable`."""
        return replace(self, header=header)

    def take(self, rows: Integers, columns: Collection[str] | None = None) -> "Opened":
        """See `Searchable`."""
        facts = Facts(
            {name: of[rows] for name, of in self.facts.codes.items()},
            {name: of[rows] for name, of in self.facts.probabilities.items()},
            {name: of[rows] for name, of in self.facts.columns.items()},
        )
        nothing = self.gallery.select(torch.empty(0, dtype=torch.int64))
        return replace(self, gallery=nothing, facts=facts, digests=self.digests[rows])


def open_rows(folder: Path, *, features: bool = True) -> Opened:
    """Read an index, pictures left aside.

    Args:
        folder: the index.
        features: False leaves the features aside too.

    Raises:
        BrunaError: it is none, or cannot be read.
    """
    header, parts = read_header(folder), parts_of(folder)
    known = known_columns(column_names(folder), header.schema)
    predicted = [name for pair in predicted_columns(header.schema).values() for name in pair]
    columns = [*known, "digest", *predicted, *(MATRICES if features else ())]
    return opened_parts(str(folder), header, parts, part_sizes(parts), columns)


def opened_parts(
    name: str,
    header: Header,
    parts: Sequence[Path],
    sizes: Sequence[int],
    columns: Collection[str],
    words: Collection[str] = (),
) -> Opened:
    """Some columns of some parts as an index in memory; see `read_rows` and, for `words`, `Facts`."""
    found = read_rows(parts, sizes, header, columns)
    digests = found.columns.pop("digest", np.full(sum(sizes), "", dtype=object))
    gallery = Gallery.unlabelled(torch.from_numpy(found.features), torch.from_numpy(found.attributes))
    return Opened(name, header, gallery, Facts(found.codes, found.probabilities, found.columns, words), digests)


def known_columns(names: Sequence[str], schema: Tasks) -> list[str]:
    """What is known of images among the columns of an index: those that are not predicted, and `junk`."""
    predicted = {name for pair in predicted_columns(schema).values() for name in pair}
    # An index without images has none of its own.
    texts = dict.fromkeys(name for name in (*FIXED, *names) if name not in {"junk", *predicted, *NO_FACTS})
    return [*texts, "junk"]


def junk_among(probabilities: npt.NDArray[np.float32], header: Header) -> npt.NDArray[np.bool_]:
    """N booleans: the probability of junk has reached the threshold."""
    found: npt.NDArray[np.bool_] = probabilities >= header.settings.junk_threshold
    return found
