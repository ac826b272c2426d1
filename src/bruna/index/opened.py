"""An index in memory, ready to be asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bruna.dataset.schema import Tasks, logit_count
from bruna.errors import BrunaError
from bruna.index.conditions import Condition
from bruna.index.facts import Facts
from bruna.index.header import HEADER, Header, read_header
from bruna.index.query import parse
from bruna.index.rows import probabilities_of
from bruna.index.store import FIXED, column_names, part_sizes, parts_of, read_part
from bruna.retrieval.gallery import Gallery

_NO_COLUMN = ("digest", "features", "attribute_features", "thumbnail")


@dataclass(frozen=True, repr=False)
class Opened:
    """The N images of an index.

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
        return len(self.keys)

    def __repr__(self) -> str:
        return f"Opened({self.name}: {len(self)} images)"

    @property
    def keys(self) -> npt.NDArray[np.object_]:
        """N texts."""
        return self.texts("key")

    def texts(self, column: str) -> npt.NDArray[np.object_]:
        """N texts, None where unknown."""
        return self.facts.columns[column].astype(np.object_, copy=False)

    @cached_property
    def junk(self) -> npt.NDArray[np.bool_]:
        """N booleans: no person is seen, by the threshold of the header."""
        found: npt.NDArray[np.bool_] = self.facts.columns["junk"] >= self.header.settings.junk_threshold
        return found

    @cached_property
    def persons(self) -> int:
        """How many images show a person: the size of the gallery, which a probability depends on."""
        return len(self) - int(self.junk.sum())

    def values(self, codes: Mapping[str, int]) -> dict[str, str]:
        """The value of each attribute that has a code."""
        return {task.name: task.values[codes[task.name]] for task in self.header.schema}

    def condition(self, text: str, option: str = "--where") -> Condition:
        """Read a condition over the columns of this index; see `parse`."""
        return parse(text, self.header.schema, list(self.facts.columns), option)


def open_rows(folder: Path, *, features: bool = True) -> Opened:
    """Read an index, pictures left aside.

    Args:
        folder: the index.
        features: False leaves the features aside too.

    Raises:
        BrunaError: it is none, or cannot be read.
    """
    header = read_header(folder)
    parts = parts_of(folder)
    sizes = part_sizes(parts)
    count = sum(sizes)
    names = [name for name in column_names(folder) if name not in _NO_COLUMN]
    reader = _Reader(count, header, features)
    texts = _text_columns(names, header.schema)
    columns: dict[str, Any] = {name: np.full(count, None, dtype=object) for name in texts}
    columns |= {"junk": np.full(count, np.nan, np.float32), "digest": np.full(count, "", dtype=object)}
    start = 0
    for part, size in zip(parts, sizes, strict=True):
        wanted = [*names, "digest", *(("features", "attribute_features") if features else ())]
        rows = read_part(part, wanted)
        if len(rows) != size:
            raise BrunaError(f"{part} was changed while it was read. Run the same command again.")
        try:
            reader.take(rows, slice(start, start + size))
        except (KeyError, ValueError, TypeError) as error:
            raise BrunaError(
                f"{part} does not hold what {folder / HEADER} says ({error}). Restore both, or describe the images "
                "again into a new index."
            ) from None
        for name in columns:
            if name in rows.schema.names:
                columns[name][start : start + size] = rows[name].to_numpy()
        start += size
    digests = columns.pop("digest")
    return Opened(str(folder), header, reader.gallery(), Facts(reader.codes, reader.probabilities, columns), digests)


def _text_columns(names: Sequence[str], schema: Tasks) -> list[str]:
    """What is known of images: the columns that are neither predicted nor numbers."""
    predicted = {name for task in schema for name in (task.name, probabilities_of(task.name))} | {"junk"}
    # An index without images has none of its own.
    return list(dict.fromkeys(name for name in (*FIXED, *names) if name not in predicted))


class _Reader:
    """The matrices of an index, filled part by part."""

    def __init__(self, count: int, header: Header, features: bool) -> None:
        width = logit_count(header.schema)
        rows = count if features else 0
        self._schema, self._features = header.schema, features
        self.features = np.empty((rows, header.features), np.float32)
        self.attributes = np.zeros((rows, width), np.float32)
        self.codes: Mapping[str, npt.NDArray[np.int64]] = {
            task.name: np.zeros(count, np.int64) for task in header.schema
        }
        self.probabilities: Mapping[str, npt.NDArray[np.float32]] = {
            task.name: np.zeros((count, len(task.values)), np.float32) for task in header.schema
        }

    def take(self, rows: Any, where: slice) -> None:
        """Fill the place of a part."""
        if self._features:
            self.features[where] = _matrix(rows, "features", self.features.shape[1])
            if self.attributes.shape[1]:
                self.attributes[where] = _matrix(rows, "attribute_features", self.attributes.shape[1])
        for task in self._schema:
            self.probabilities[task.name][where] = _matrix(rows, probabilities_of(task.name), len(task.values))
            codes = {value: code for code, value in enumerate(task.values)}
            self.codes[task.name][where] = [codes[value] for value in rows[task.name].to_pylist()]

    def gallery(self) -> Gallery:
        """What is ranked."""
        return Gallery.unlabelled(torch.from_numpy(self.features), torch.from_numpy(self.attributes))


def _matrix(rows: Any, name: str, width: int) -> npt.NDArray[np.float32]:
    found = rows[name].combine_chunks()
    flat = found.flatten() if hasattr(found, "flatten") else found
    matrix: npt.NDArray[np.float32] = flat.to_numpy(zero_copy_only=False).reshape(-1, width)
    return matrix
