"""Read `annotations_*.csv`: one row an identity, in the course coding, into attribute codes.

Coding in the file: `age` 1..4, every other column 1 or 2; code = value - 1. A colour is the one column of its
half that is 2; none is the derived colour "multicolor"; two are an error.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from bruna.dataset.attributes import ANNOTATION_COLUMNS, ATTRIBUTES, UNKNOWN
from bruna.errors import BrunaError, counted
from bruna.files import read_regular

HALVES: dict[str, tuple[str, ...]] = {a.name: a.columns for a in ATTRIBUTES if len(a.columns) > 1}
"""The colour columns of each half, by attribute."""
SHOWN = 10
"""How many findings of a kind a message lists before it gives the count."""
_LARGEST = 32 << 20
"""Bytes of an annotation file; half a million rows have as many."""
_LONGEST = 100
"""Characters of a cell; the longest name of a column has 10."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Annotations:
    """The attributes of N people.

    Attributes:
        identities: N, int64, ascending, unique.
        codes: N x 12, int64, columns in the order of `ATTRIBUTES`; code i means `values[i]`.
    """

    identities: npt.NDArray[np.int64]
    codes: npt.NDArray[np.int64]

    def of(self, identities: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Look up M identities: M x 12 codes, -1 throughout the row of one that is not annotated."""
        wanted = np.asarray(identities, dtype=np.int64)
        codes = np.full((len(wanted), len(ATTRIBUTES)), UNKNOWN, dtype=np.int64)
        if len(self.identities) == 0:
            return codes
        place = np.searchsorted(self.identities, wanted).clip(max=len(self.identities) - 1)
        known = self.identities[place] == wanted
        codes[known] = self.codes[place[known]]
        return codes


def allowed(column: str) -> tuple[str, ...]:
    """The values a column of the file may hold, as text."""
    return ("1", "2", "3", "4") if column == "age" else ("1", "2")


def read_raw(path: Path) -> pd.DataFrame:
    """Read the file as text, nothing judged but that it is a table.

    Returns:
        As `raw_table`.

    Raises:
        BrunaError: the file is missing, cannot be read, or is not a table.
    """
    try:
        data = read_regular(path, _LARGEST)
    except FileNotFoundError:
        raise BrunaError(
            f"{path} is missing. It holds the attributes of the identities, one row each; "
            "`bruna import` brings it with the images, `bruna sample` renders a small data set that has it."
        ) from None
    except OSError as error:
        raise BrunaError(f"{path} cannot be read: {error.strerror or error}.") from None
    return raw_table(data, str(path))


def raw_table(data: bytes, name: str) -> pd.DataFrame:
    """Take the bytes of an annotation file as a table of text.

    Args:
        data: CSV in UTF-8, with or without a byte order mark, lines ending in LF, CR LF or CR.
        name: what messages call it.

    Returns:
        The columns of the file as stripped text, with the line number (the header is line 1) as index; rows without
        any text are left out.

    Raises:
        BrunaError: it is empty, not a CSV file, or a row has more or fewer cells than the header.
    """
    rows: list[tuple[int, list[str]]] = []
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = _line(error.object[: error.start]), error.object[error.start]
        raise BrunaError(
            f"{name} is not text in UTF-8 (line {line} has the byte 0x{byte:02x}). Save it as a CSV file in UTF-8."
        ) from None
    if control := _CONTROL.search(text):
        line = _line(text[: control.start()].encode())
        raise BrunaError(f"{name}, line {line} has the character {control[0]!r}. Save it as a CSV file in UTF-8.")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(len(cell) > _LONGEST for cell in cells):
                raise csv.Error(f"a cell of more than {_LONGEST} characters")
            if any(cells):
                rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise BrunaError(
            f"{name}, line {reader.line_num} cannot be read as CSV: {error}. Expected is {_header_text()}."
        ) from None
    if not rows:
        raise BrunaError(f"{name} is empty. Expected is {_header_text()}.")
    (_, header), *body = rows
    for line, cells in body:
        if len(cells) != len(header):
            raise BrunaError(
                f"{name}, line {line} has {counted(len(cells), 'cells')} where the header has {len(header)}."
            )
    raw = pd.DataFrame([cells for _, cells in body], columns=header, dtype=object)
    raw.index = pd.Index([line for line, _ in body], dtype=np.int64, name="line")
    return raw


def _line(before: bytes) -> int:
    """The number of the line that follows some text, or goes on with its end."""
    return len((before + b".").splitlines())


def header_problems(raw: pd.DataFrame) -> list[str]:
    """Which columns are missing, unknown or there twice; empty if the header is right (in any order)."""
    count = Counter(raw.columns)
    columns = {
        "missing columns": [c for c in ANNOTATION_COLUMNS if c not in count],
        "unknown columns": [c or "(no name)" for c in count if c not in ANNOTATION_COLUMNS],
        "columns that occur twice": [c for c in ANNOTATION_COLUMNS if count[c] > 1],
    }
    return [
        f"{kind}: {', '.join(names[:SHOWN])}" + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")
        for kind, names in columns.items()
        if names
    ]


def color_problems(raw: pd.DataFrame, attribute: str) -> pd.Series:
    """For each row, the colours of one half if there are two or more, as text, else None."""
    columns = list(HALVES[attribute])
    marked = raw[columns] == "2"
    return pd.Series(
        [f"{' and '.join(np.array(columns)[row])} are 2" if row.sum() > 1 else None for row in marked.to_numpy()],
        index=raw.index,
        dtype=object,
    )


def row_problems(raw: pd.DataFrame) -> list[str]:
    """Everything that is wrong in the rows of a file with a right header, with line numbers and values."""
    ids = raw["id"].to_dict()
    problems = [
        f"line {line}: id is {value!r}, not a number from 1" for line, value in ids.items() if not valid_id(value)
    ]
    first: dict[str, object] = {}
    for line, value in ids.items():
        if value in first:
            problems.append(f"line {line}: id {value} stands in line {first[value]} already")
        first.setdefault(value, line)
    for column in ANNOTATION_COLUMNS[1:]:
        wrong = raw[column][~raw[column].isin(allowed(column))]
        problems += [
            f"line {line} (id {ids[line]}): {column} is {value!r}, not {' or '.join(allowed(column))}"
            for line, value in wrong.items()
        ]
    for attribute in HALVES:
        for line, text in color_problems(raw, attribute).dropna().items():
            problems.append(f"line {line} (id {ids[line]}): {text}, at most one may be")
    return problems


def valid_id(text: str) -> bool:
    """True for the text of an identity: 1 to 9 decimal digits without leading zeros, as in the names of images."""
    return re.fullmatch("[1-9][0-9]{0,8}", text) is not None


def parse_annotations(raw: pd.DataFrame) -> Annotations:
    """Turn a table from `read_raw` without problems into codes, sorted by identity."""
    values = raw[list(ANNOTATION_COLUMNS)].astype(np.int64).sort_values("id")
    codes = [_codes(values, attribute.columns) for attribute in ATTRIBUTES]
    return Annotations(values["id"].to_numpy(), np.stack(codes, axis=1))


def _codes(values: pd.DataFrame, columns: Sequence[str]) -> npt.NDArray[np.int64]:
    marked: npt.NDArray[np.int64] = values[list(columns)].to_numpy() - 1
    if len(columns) == 1:
        return marked[:, 0]
    # The derived colour "multicolor" is the last value of each half.
    return np.where(marked.any(axis=1), marked.argmax(axis=1), len(columns))


def read_annotations(path: Path) -> Annotations:
    """Read an annotation file.

    Raises:
        BrunaError: the file is missing, its header is not `ANNOTATION_COLUMNS`, or rows hold wrong values; the
            first of each kind are listed with line number and value.
    """
    return accepted(read_raw(path), str(path))


def accepted(raw: pd.DataFrame, name: str) -> Annotations:
    """Turn a table into codes if nothing is wrong in it.

    Args:
        raw: from `raw_table`.
        name: what messages call it.

    Raises:
        BrunaError: as `read_annotations`.
    """
    problems = header_problems(raw)
    if problems:
        raise BrunaError(f"{name} has the wrong header: {'; '.join(problems)}. Expected is {_header_text()}.")
    problems = row_problems(raw)
    if problems:
        rest = f"\n  ... and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        lines = "\n".join(f"  {problem}" for problem in problems[:SHOWN])
        raise BrunaError(
            f"{name} has {counted(len(problems), 'wrong values')}:\n{lines}{rest}\nCorrect them in the file."
        )
    return parse_annotations(raw)


def _header_text() -> str:
    return f"the header {','.join(ANNOTATION_COLUMNS)}"
