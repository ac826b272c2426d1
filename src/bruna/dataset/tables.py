"""Image tables: one parquet row an image, written whole, readable with plain pandas.

Columns: `path` (POSIX, relative to the data set, unique: the key of an image), `image` (the encoded bytes
as they lay on disk), `identity` (int32), `camera` (int16, 0 where unknown) and one categorical column an
attribute (null where not annotated), whose categories are its values in the order of their codes: the tables carry
the schema. In query and gallery tables identity 0 is a distractor and -1 is junk;
in unlabelled tables identity is -2.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from bruna.dataset.schema import Task, Tasks
from bruna.errors import BrunaError
from bruna.files import whole_file


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
    with whole_file(path) as beside:
        table.to_parquet(beside, index=False, compression="zstd")


def read_table(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table written by `write_table`.

    Raises:
        BrunaError: the file is missing, is not parquet or lacks a column.
    """
    try:
        with path.open("rb") as file:  # pyarrow takes no path that is not UTF-8
            return pd.read_parquet(file, columns=None if columns is None else list(columns))
    except FileNotFoundError:
        raise BrunaError(f"{path} is missing. `dvc repro` makes it.") from None
    except (OSError, ValueError) as error:
        raise BrunaError(f"{path} cannot be read as an image table ({error}). Delete it, run `dvc repro`.") from error
