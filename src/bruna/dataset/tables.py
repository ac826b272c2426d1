"""Image tables: one parquet row an image, written whole, readable with plain pandas.

Columns: `path` (POSIX, relative to the data set, unique: the key of an image), `image` (the encoded bytes
as they lay on disk), `identity` (int32), `camera` (int16, 0 where unknown) and one categorical column an
attribute (null where not annotated), whose categories are its values in the order of their codes: the tables carry
the schema. In query and gallery tables identity 0 is a distractor and -1 is junk;
in unlabelled tables identity is -2.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bruna.dataset.schema import Task, Tasks
from bruna.errors import BrunaError
from bruna.files import whole_file

ROW_GROUP = 2048
"""Rows that are written at a time, and read at least: about 6 MB of Market-1501 images."""


def attribute_columns(
    codes: npt.NDArray[np.integer], attributes: Sequence[Task], prefix: str = ""
) -> "dict[str, pd.Categorical[str]]":
    """Turn N x A codes (-1 = unknown) into A categorical columns, named as the attributes after a prefix."""
    return {
        prefix + attribute.name: pd.Categorical.from_codes(codes[:, i].tolist(), categories=pd.Index(attribute.values))
        for i, attribute in enumerate(attributes)
    }


def attributes_of(table: pd.DataFrame, prefix: str = "") -> Tasks:
    """The attributes of an image table: its categorical columns (those whose name starts with the prefix)."""
    return tuple(
        Task(str(name).removeprefix(prefix), tuple(kind.categories))
        for name, kind in table.dtypes.items()
        if isinstance(kind, pd.CategoricalDtype) and str(name).startswith(prefix)
    )


def attribute_codes(table: pd.DataFrame, prefix: str = "") -> npt.NDArray[np.int64]:
    """The N x A attribute codes of an image table, columns as in `attributes_of`, -1 where one is not annotated."""
    columns = [prefix + attribute.name for attribute in attributes_of(table, prefix)]
    codes = np.empty((len(table), len(columns)), dtype=np.int64)
    for i, column in enumerate(columns):
        codes[:, i] = table[column].cat.codes
    return codes


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table to parquet; equal tables give equal bytes."""
    with whole_file(path) as beside, beside.open("wb") as file:  # pyarrow takes no path that is not UTF-8
        table.to_parquet(file, index=False, compression="zstd")


def read_table(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table written by `write_table`.

    Raises:
        BrunaError: the file is missing, is not parquet or lacks a column.
    """
    with _opened(path) as file:
        return pd.read_parquet(file, columns=None if columns is None else list(columns))


def write_blocks(blocks: Iterable[pd.DataFrame], path: Path, kinds: Mapping[str, pa.DataType] | None = None) -> None:
    """Write a table that comes in blocks of rows, so that no more than `ROW_GROUP` rows and a block are in memory.

    A table of one row group has the bytes that `write_table` gives it.

    Args:
        blocks: one or more, with the same columns.
        path: the file.
        kinds: types of columns that the first rows may not tell, by name.
    """
    groups = _groups(blocks)
    first = next(groups)
    schema = pa.Schema.from_pandas(first, preserve_index=False)
    for name, kind in (kinds or {}).items():
        if name in schema.names:
            schema = schema.set(schema.get_field_index(name), pa.field(name, kind))
    with (
        whole_file(path) as beside,
        beside.open("wb") as file,
        pq.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        writer.write_table(pa.Table.from_pandas(first, schema=schema, preserve_index=False))
        for group in groups:
            writer.write_table(pa.Table.from_pandas(group, schema=schema, preserve_index=False))


def _groups(blocks: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    held: list[pd.DataFrame] = []
    for block in blocks:
        held.append(block)
        if sum(map(len, held)) >= ROW_GROUP:
            yield pd.concat(held, ignore_index=True)
            held = []
    if held:
        yield pd.concat(held, ignore_index=True)


def count_rows(path: Path) -> int:
    """How many rows a table has.

    Raises:
        BrunaError: the file is missing or is not parquet.
    """
    with _opened(path) as file:
        return int(pq.ParquetFile(file).metadata.num_rows)


def read_blocks(path: Path, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Read some columns of a table, `rows` rows at a time; the last block has what is left.

    Raises:
        BrunaError: as `read_table` says.
    """
    with _opened(path) as file:
        table = pq.ParquetFile(file)
        if missing := [name for name in columns if name not in table.schema_arrow.names]:
            raise ValueError(f"it has no column {', '.join(missing)}")
        parts = [table.schema_arrow.empty_table().select(columns)]
        for group in range(table.num_row_groups):
            held = pa.concat_tables([*parts, table.read_row_group(group, columns=list(columns))])
            whole = len(held) - len(held) % rows
            for start in range(0, whole, rows):
                yield held.slice(start, rows).to_pandas()
            parts = [held.slice(whole)]
        if len(parts[0]):
            yield parts[0].to_pandas()


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise BrunaError(f"{path} is missing. `dvc repro` makes it.") from None
    except (OSError, ValueError) as error:
        raise BrunaError(f"{path} cannot be read as an image table ({error}). Delete it, run `dvc repro`.") from error
