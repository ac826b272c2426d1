"""`annotations.csv` (or .parquet): a row an identity or an image, a column an attribute, cells its values' names."""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from bruna.dataset.dataset_file import DatasetFile
from bruna.dataset.schema import UNKNOWN, Task, Tasks
from bruna.errors import BrunaError, counted
from bruna.files import read_regular

ANNOTATIONS = ("annotations.csv", "annotations.parquet")
Key = Literal["identity", "path"]
"""The column that says what a row is about."""
SHOWN = 10
"""How many findings of a kind a message lists before it gives the count."""
_LARGEST = 256 << 20
"""Bytes of an annotation file; a million images with forty attributes have as many."""
_LONGEST = 1000
"""Characters of a cell; paths have as many at most."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Annotations:
    """The attributes of N identities or images.

    Attributes:
        key: what `keys` are.
        keys: N, unique: numbers of identities, or paths of images.
        codes: N x A, int64, -1 where not annotated.
        attributes: the A attributes.
        groups: N texts, equal where images stay on one side of the split, "" where one is a group of its own; its name
            is that of the column. None where nothing groups them.
    """

    key: Key
    keys: pd.Index
    codes: npt.NDArray[np.int64]
    attributes: Tasks
    groups: "pd.Series[str] | None" = None

    def of(self, rows: pd.DataFrame) -> npt.NDArray[np.int64]:
        """Look up M images: M x A codes, -1 throughout the row of one that is not annotated.

        Args:
            rows: columns `identity` and `path`.
        """
        codes = np.full((len(rows), len(self.attributes)), UNKNOWN, dtype=np.int64)
        place = self.keys.get_indexer(pd.Index(rows[self.key].to_numpy()))
        codes[place >= 0] = self.codes[place[place >= 0]]
        return codes

    def groups_of(self, rows: pd.DataFrame) -> npt.NDArray[np.int64]:
        """M numbers, equal where images have to stay on one side of the split.

        Args:
            rows: column `path`.
        """
        alone = np.arange(len(rows))
        if self.groups is None:
            return alone
        texts = pd.Series(self.groups.to_numpy(), self.keys).reindex(rows["path"]).fillna("").to_numpy()
        numbers, _ = pd.factorize(texts)
        return np.where(texts == "", len(rows) + alone, numbers)


def find_annotations(folder: Path) -> Path | None:
    """The annotation file of a data set; None where it has none.

    Raises:
        BrunaError: there are two.
    """
    found = [folder / name for name in ANNOTATIONS if (folder / name).exists() or (folder / name).is_symlink()]
    if len(found) > 1:
        raise BrunaError(f"{folder} holds {' and '.join(path.name for path in found)}. Remove one of them.")
    return found[0] if found else None


def read_raw(path: Path) -> pd.DataFrame:
    """Read an annotation file as text, nothing judged but that it is a table; see `raw_table`.

    Raises:
        BrunaError: it cannot be read, or is not a table.
    """
    try:
        data = read_regular(path, _LARGEST)
    except OSError as error:
        raise BrunaError(f"{path} cannot be read: {error.strerror or error}.") from None
    return raw_table(data, str(path))


def raw_table(data: bytes, name: str) -> pd.DataFrame:
    """Take the bytes of a table of annotations as text.

    Args:
        data: parquet; or CSV in UTF-8, with or without a byte order mark, lines ending in LF, CR LF or CR.
        name: what messages call it.

    Returns:
        The columns as stripped text (empty where a cell is), with the line number (the header is line 1) as index;
        rows without any text are left out.

    Raises:
        BrunaError: it is empty, neither parquet nor CSV, or a row has more or fewer cells than the header.
    """
    header, body = _parquet(data, name) if data[:4] == b"PAR1" else _csv(data, name)
    for line, cells in body:
        if len(cells) != len(header):
            raise BrunaError(
                f"{name}, line {line} has {counted(len(cells), 'cells')} where the header has {len(header)}."
            )
    raw = pd.DataFrame([cells for _, cells in body], columns=header, dtype=object)
    raw.index = pd.Index([line for line, _ in body], dtype=np.int64, name="line")
    return raw


def _parquet(data: bytes, name: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        table = pd.read_parquet(io.BytesIO(data), dtype_backend="numpy_nullable")  # whole numbers stay whole
        if any(table.index.names):
            table = table.reset_index()
        texts = [[_text(cell) for cell in table[column]] for column in table.columns]
    except Exception as error:  # pyarrow raises whatever damage makes it stumble over
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise BrunaError(f"{name} cannot be read as parquet ({reason}). Write it again.") from None
    return [str(column) for column in table.columns], [
        (line, list(cells)) for line, cells in enumerate(zip(*texts, strict=True), start=2) if any(cells)
    ]


def _text(cell: Any) -> str:
    if not pd.api.types.is_scalar(cell):
        raise ValueError(f"a cell holds a {type(cell).__name__}, not a text or a number")
    text = "" if pd.isna(cell) else str(cell).strip()
    if len(text) > _LONGEST:
        raise ValueError(f"a cell of more than {_LONGEST:,} characters")
    if control := _CONTROL.search(text):
        raise ValueError(f"a cell has the character {control[0]!r}")
    return text


def _csv(data: bytes, name: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
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
                raise csv.Error(f"a cell of more than {_LONGEST:,} characters")
            if any(cells):
                rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise BrunaError(f"{name}, line {reader.line_num} cannot be read as CSV: {error}.") from None
    if not rows:
        raise BrunaError(f"{name} is empty. Its first line names the columns.")
    (_, header), *body = rows
    return header, body


def _line(before: bytes) -> int:
    """The number of the line that follows some text, or goes on with its end."""
    return len((before + b".").splitlines())


def columns_of(raw: pd.DataFrame, attributes: Sequence[Task], group: str = "") -> tuple[str, ...]:
    """The columns that a table of annotations should have: its key, the attributes, and that of the groups."""
    key: Key = "path" if "path" in raw.columns and "identity" not in raw.columns else "identity"
    return (key, *(attribute.name for attribute in attributes), *([group] if group else []))


def header_problems(raw: pd.DataFrame, expected: Sequence[str]) -> list[str]:
    """Which columns are missing, unknown or there twice; empty if the header is right (in any order)."""
    count = Counter(raw.columns)
    known = set(expected)
    columns = {
        "missing columns": [c for c in expected if c not in count],
        "unknown columns": [c or "(no name)" for c in count if c not in known],
        "columns that occur twice": [c for c in expected if count[c] > 1],
    }
    return [
        f"{kind}: {', '.join(names[:SHOWN])}" + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")
        for kind, names in columns.items()
        if names
    ]


def parse_annotations(raw: pd.DataFrame, attributes: Tasks, group: str = "") -> Annotations:
    """Turn a table from `read_raw` that the validation has accepted into codes; `group` is the column of the groups."""
    key, *_ = columns_of(raw, attributes)
    codes = np.empty((len(raw), len(attributes)), dtype=np.int64)
    for i, attribute in enumerate(attributes):
        codes[:, i] = pd.Index(attribute.values, dtype=object).get_indexer(pd.Index(raw[attribute.name]))
    keys = raw[key].astype(np.int64) if key == "identity" else raw[key]
    groups = raw[group].reset_index(drop=True) if group else None
    return Annotations("identity" if key == "identity" else "path", pd.Index(keys), codes, attributes, groups)


def read_annotations(folder: Path, dataset: DatasetFile) -> Annotations:
    """Read the annotations of a data set that the validation has accepted; those of nobody where it has none.

    Raises:
        BrunaError: the file cannot be read, or has other columns than the schema.
    """
    file = find_annotations(folder)
    nobody = Annotations(
        "identity", pd.Index([], dtype=np.int64), np.empty((0, len(dataset.tasks)), np.int64), dataset.tasks
    )
    if file is None:
        return nobody
    raw = read_raw(file)
    if problems := header_problems(raw, columns_of(raw, dataset.tasks, dataset.group)):
        raise BrunaError(f"{file} has the wrong header: {'; '.join(problems)}.")
    return parse_annotations(raw, dataset.tasks, dataset.group)


def joined(parts: Sequence[Annotations], name: str) -> Annotations:
    """The parts of a data set's annotations as one.

    Args:
        parts: one or more, with the same key and attributes.
        name: what messages call them.

    Raises:
        BrunaError: two have a row for an identity.
    """
    first, *others = parts
    keys = first.keys.append([part.keys for part in others])
    if len(twice := keys[keys.duplicated()]):
        raise BrunaError(f"{name}: {first.key} {twice[0]} has two rows, in the annotations for training and for tests.")
    return Annotations(first.key, keys, np.concatenate([part.codes for part in parts]), first.attributes)


def annotations_csv(annotations: Annotations) -> bytes:
    """The text of `annotations.csv`, rows in the order of their keys."""
    columns: dict[str, Any] = {
        attribute.name: np.array([*attribute.values, ""], dtype=object)[annotations.codes[:, i]]
        for i, attribute in enumerate(annotations.attributes)
    }
    if annotations.groups is not None:
        columns[str(annotations.groups.name)] = annotations.groups.to_numpy()
    table = pd.DataFrame({annotations.key: annotations.keys, **columns}).sort_values(annotations.key)
    text: str = table.to_csv(index=False, lineterminator="\n")
    return text.encode("utf-8")
