"""The annotation files of the course edition: one row an identity, 28 columns of 1 and 2.

Coding in the file: `age` 1..4, every other column 1 or 2; code = value - 1. A color is the one column of its
half that is 2; none is the derived color "multicolor"; two are an error.
"""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from bruna.dataset.annotations import SHOWN, Annotations, header_problems, raw_table
from bruna.dataset.course import ANNOTATION_COLUMNS, ATTRIBUTES, COLUMNS
from bruna.errors import BrunaError, counted

_HALVES = {name: columns for name, columns in COLUMNS.items() if len(columns) > 1}


def course_annotations(data: bytes, name: str) -> Annotations:
    """Read an annotation file of the course edition.

    Args:
        data: CSV, as `raw_table` takes it.
        name: what messages call it.

    Raises:
        BrunaError: it is no CSV, its header is not `ANNOTATION_COLUMNS` (in any order), or rows hold wrong values; the
            first of each kind are listed with line number and value.
    """
    expected = f"Expected is the header {','.join(ANNOTATION_COLUMNS)}."
    raw = raw_table(data, name)
    if problems := header_problems(raw, ANNOTATION_COLUMNS):
        raise BrunaError(f"{name} has the wrong header: {'; '.join(problems)}. {expected}")
    if problems := _row_problems(raw):
        rest = f"\n  ... and {len(problems) - SHOWN:,} more" if len(problems) > SHOWN else ""
        lines = "\n".join(f"  {problem}" for problem in problems[:SHOWN])
        raise BrunaError(
            f"{name} has {counted(len(problems), 'wrong values')}:\n{lines}{rest}\nCorrect them in the file."
        )
    values = raw[list(ANNOTATION_COLUMNS)].astype(np.int64).sort_values("id")
    codes = np.stack([_codes(values, columns) for columns in COLUMNS.values()], axis=1)
    return Annotations("identity", pd.Index(values["id"]), codes, ATTRIBUTES)


def _row_problems(raw: pd.DataFrame) -> list[str]:
    """Everything that is wrong in the rows of a file with a right header, with line numbers and values."""
    ids = raw["id"].to_dict()
    problems = [f"line {line}: id is {i!r}, not a number from 1" for line, i in ids.items() if not _valid_id(i)]
    first: dict[str, object] = {}
    for line, value in ids.items():
        if value in first:
            problems.append(f"line {line}: id {value} stands in line {first[value]} already")
        first.setdefault(value, line)
    for column in ANNOTATION_COLUMNS[1:]:
        allowed = ("1", "2", "3", "4") if column == "age" else ("1", "2")
        wrong = raw[column][~raw[column].isin(allowed)]
        problems += [
            f"line {line} (id {ids[line]}): {column} is {value!r}, not {' or '.join(allowed)}"
            for line, value in wrong.items()
        ]
    for columns in _HALVES.values():
        marked = raw[list(columns)] == "2"
        for line, row in marked[marked.sum(axis=1) > 1].iterrows():
            named = " and ".join(np.array(columns)[row.to_numpy()])
            problems.append(f"line {line} (id {ids[line]}): {named} are 2, at most one may be")
    return problems


def _valid_id(text: str) -> bool:
    return re.fullmatch("[1-9][0-9]{0,8}", text) is not None


def _codes(values: pd.DataFrame, columns: Sequence[str]) -> npt.NDArray[np.int64]:
    marked: npt.NDArray[np.int64] = values[list(columns)].to_numpy() - 1
    if len(columns) == 1:
        return marked[:, 0]
    # The derived color "multicolor" is the last value of each half.
    return np.where(marked.any(axis=1), marked.argmax(axis=1), len(columns))
