"""Image tables: one parquet row an image, written whole, readable with plain pandas.

Columns: `path` (POSIX, relative to the data set, unique: the key of an image), `image` (the encoded bytes
as they lay on disk), `identity` (int32), `camera` (int8, 0 where unknown) and one categorical column an
attribute (null where not annotated). In query and gallery tables identity 0 is a distractor and -1 is junk;
in unlabelled tables identity is -2.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from bruna.dataset.attributes import ATTRIBUTES
from bruna.errors import BrunaError
from bruna.files import whole_file


def attribute_columns(codes: npt.NDArray[np.integer]) -> "dict[str, pd.Categorical[str]]":
    """Turn N x 12 codes (-1 = unknown) into the twelve categorical columns of an image table."""
    return {
        attribute.name: pd.Categorical.from_codes(codes[:, i].tolist(), categories=pd.Index(attribute.values))
        for i, attribute in enumerate(ATTRIBUTES)
    }


def attribute_codes(table: pd.DataFrame) -> npt.NDArray[np.int64]:
    """The N x 12 attribute codes of an image table, -1 where an attribute is not annotated."""
    return np.stack(
        [
            pd.Categorical(table[attribute.name], categories=list(attribute.values)).codes.astype(np.int64)
            for attribute in ATTRIBUTES
        ],
        axis=1,
    )


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
