"""Columns of an index as arrays."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bruna.dataset.schema import Tasks, logit_count
from bruna.errors import BrunaError
from bruna.index.header import HEADER, Header
from bruna.index.rows import probabilities_of
from bruna.index.store import read_part

MATRICES = ("features", "attribute_features")
NO_FACTS = ("digest", *MATRICES, "thumbnail")
"""Columns that no condition is put to."""


@dataclass
class Arrays:
    """N rows, of each attribute and column what was asked for.

    Attributes:
        features: N x F; 0 x F where they were not asked for.
        attributes: N x L, the attribute features, or 0 x L.
        codes: N codes of the most probable value, by attribute.
        probabilities: N x V, by attribute.
        columns: N texts (None where unknown), `junk` N floats, by column.
    """

    features: npt.NDArray[np.float32]
    attributes: npt.NDArray[np.float32]
    codes: dict[str, npt.NDArray[np.int64]] = field(default_factory=dict)
    probabilities: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict)


def read_rows(parts: Sequence[Path], sizes: Sequence[int], header: Header, columns: Collection[str]) -> Arrays:
    """Read some columns of some parts.

    Args:
        parts: of one index, with the rows of each.
        sizes: the rows of each.
        header: of the index.
        columns: names; those of known columns that no part has are unknown in every row.

    Raises:
        BrunaError: a part cannot be read, or holds something else than the header says.
    """
    found = _empty(sum(sizes), header, columns)
    start = 0
    for part, size in zip(parts, sizes, strict=True):
        rows = read_part(part, [*columns])
        if len(rows) != size:
            raise BrunaError(f"{part} was changed while it was read. Run the same command again.")
        try:
            _fill(found, rows, slice(start, start + size), header.schema)
        except (KeyError, ValueError, TypeError, pa.ArrowException) as error:
            raise BrunaError(
                f"{part} does not hold what {part.parent / HEADER} says ({error}). Restore both, or describe the "
                "images again into a new index."
            ) from None
        start += size
    return found


def _empty(count: int, header: Header, columns: Collection[str]) -> Arrays:
    rows = count if "features" in columns else 0
    width = logit_count(header.schema)
    found = Arrays(np.empty((rows, header.features), np.float32), np.zeros((rows, width), np.float32))
    told: set[str] = set()
    for task in header.schema:
        told |= {task.name, probabilities_of(task.name)}
        if task.name in columns:
            found.codes[task.name] = np.zeros(count, np.int64)
        if probabilities_of(task.name) in columns:
            found.probabilities[task.name] = np.zeros((count, len(task.values)), np.float32)
    for name in columns:
        if name == "junk":
            found.columns[name] = np.full(count, np.nan, np.float32)
        elif name not in told and name not in MATRICES:
            found.columns[name] = np.full(count, "" if name == "digest" else None, dtype=object)
    return found


def _fill(found: Arrays, rows: Any, where: slice, schema: Tasks) -> None:
    """Fill the place of a part."""
    if len(found.features):
        found.features[where] = _matrix(rows, "features", found.features.shape[1])
        if found.attributes.shape[1]:
            found.attributes[where] = _matrix(rows, "attribute_features", found.attributes.shape[1])
    for task in schema:
        if task.name in found.codes:
            found.codes[task.name][where] = _codes(rows[task.name], task.values)
        if task.name in found.probabilities:
            found.probabilities[task.name][where] = _matrix(rows, probabilities_of(task.name), len(task.values))
    for name, cells in found.columns.items():
        if name in rows.schema.names:
            cells[where] = rows[name].to_numpy()


def _codes(cells: Any, values: Sequence[str]) -> npt.NDArray[np.int64]:
    found = pc.index_in(cells, value_set=pa.array(values, pa.string()))
    if found.null_count:
        raise ValueError(f"an attribute has other values than {', '.join(values)}")
    codes: npt.NDArray[np.int64] = found.to_numpy().astype(np.int64)
    return codes


def _matrix(rows: Any, name: str, width: int) -> npt.NDArray[np.float32]:
    found = rows[name].combine_chunks()
    flat = found.flatten() if hasattr(found, "flatten") else found
    matrix: npt.NDArray[np.float32] = flat.to_numpy(zero_copy_only=False).reshape(-1, width)
    return matrix


def predicted_columns(schema: Tasks) -> Mapping[str, tuple[str, str]]:
    """Of each attribute the columns of its value and of its probabilities."""
    return {task.name: (task.name, probabilities_of(task.name)) for task in schema}
