"""What data sets of attributes have in common: images by name, and attributes that hold or do not."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import ValidationError

from bruna.dataset.dataset_file import DatasetFile
from bruna.dataset.formats.base import images_in, refuse, with_schema
from bruna.dataset.formats.mat import as_list
from bruna.dataset.formats.source_files import Files

NO_YES = ("no", "yes")
"""Values of every attribute: 0 and 1 in the files."""
PERSON = "person"
"""The column of the annotations that tells which images show one person."""


def images_by_name(files: Files, names: Iterable[str]) -> dict[str, str]:
    """Find images of which the names are known: those in the folder that holds the most of them.

    Args:
        files: of a source.
        names: without folders.

    Returns:
        Their paths in the source, by name; those that are not there are left out.
    """
    wanted = set(names)
    paths = [path for path in images_in(files) if path.rpartition("/")[2] in wanted]
    folders = Counter(path.rpartition("/")[0] for path in paths)
    best = max(folders, key=lambda folder: folders[folder], default="")
    return {path.rpartition("/")[2]: path for path in paths if path.rpartition("/")[0] == best}


def texts(value: Any) -> list[str] | None:
    """The texts of a cell array, without spaces around them; None where it holds something else."""
    found = as_list(value)
    return [text.strip() for text in found] if all(isinstance(text, str) for text in found) else None


def rows_of(value: Any, columns: int) -> npt.NDArray[np.float64] | None:
    """A matrix of numbers, N x columns; None where it has another shape or other content."""
    try:
        found = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    if not found.size:
        return np.empty((0, columns))
    if found.ndim < 2 and columns in {found.size, 1}:  # the reader drops dimensions of one element
        found = found.reshape(-1, columns)
    return found if found.ndim == 2 and found.shape[1] == columns else None


def value_problems(values: npt.NDArray[np.float64], attributes: Sequence[str], images: Sequence[str]) -> list[str]:
    """Which values of N images x A attributes are neither 0 nor 1."""
    wrong = np.argwhere((values != 0) & (values != 1))
    return [f"{images[row]}: {attributes[a]} is {values[row, a]:g}, not 0 or 1" for row, a in wrong]


def no_yes(values: npt.NDArray[np.float64]) -> npt.NDArray[np.object_]:
    """The names of values that are 0 or 1."""
    return np.array(NO_YES, dtype=object)[values.astype(np.int64)]


def attribute_names(names: Iterable[str]) -> list[str]:
    """Names as `dataset.yaml` may have them: every other sign becomes _, as in Skirt_Dress for Skirt&Dress."""
    return [re.sub(r"[^\w -]", "_", name) for name in names]


def attribute_set(placed: Files, dataset: DatasetFile, table: pd.DataFrame, source: Path, advice: str) -> Files:
    """Add the schema and the annotations of a data set whose images are annotated one by one.

    Args:
        placed: files by place in the data set.
        dataset: all but its attributes.
        table: `path`, then a column an attribute, "" where unknown; last the group where `dataset` names one.
        source: what the user gave.
        advice: ends a message: what to do.

    Raises:
        BrunaError: names of attributes cannot be used.
    """
    names = pd.Series(table.columns[1 : -1 if dataset.group else None], dtype=object)
    refuse([f"the attribute {name} is there twice" for name in names[names.duplicated()]], "wrong names", advice)
    told = dataset.model_dump() | {"attributes": dict.fromkeys(names, NO_YES)}
    try:
        dataset = DatasetFile(**told)
    except ValidationError as error:
        refuse([each["msg"].removeprefix("Value error, ") for each in error.errors()], "wrong names", advice)
    return with_schema(placed, dataset, table, source)
