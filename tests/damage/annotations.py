"""Annotation files, and dataset.yaml."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from bruna.dataset.annotations import read_annotations
from bruna.dataset.course import ANNOTATION_COLUMNS as COLUMNS
from bruna.dataset.dataset_file import DatasetFile, read_dataset_file
from damage import Damage, bruna, refusal
from damage.archives import GOOD, LAID_OUT, annotations, unpacked
from tiny_dataset import write_annotations, write_dataset

HEADER = ",".join(COLUMNS)
_NAME = "annotations_train.csv"
_TEXT = annotations(2, 7)


def _row(kind: str, says: str, data: bytes | Callable[[Path], object]) -> Damage:
    """A row of a file of the course edition, or of what a function puts in its place."""

    def run(folder: Path) -> str:
        path = unpacked(folder / "people", GOOD) / _NAME
        path.unlink()
        if callable(data):
            data(path)
        else:
            path.write_bytes(data)
        return bruna(folder, "bruna import people")

    return Damage(kind, "bruna import people", says, run)


_WRONG_VALUE = LAID_OUT["annotations.csv"].decode().replace(",long,short,no,", ",long,short,maybe,", 1)
ROWS = [
    _row("an empty file", "is empty. Its first line names the columns", b""),
    _row("a Latin-1 file", "is not text in UTF-8 (line 2 has the byte 0xe9)", _TEXT.replace(b"\n2,", b"\n\xe9,")),
    _row("a UTF-16 file", "is not text in UTF-8 (line 1 has the byte 0xff)", _TEXT.decode().encode("utf-16")),
    _row("UTF-16 without a mark", r"line 1 has the character '\x00'", _TEXT.decode().encode("utf-16-le")),
    _row("a NUL byte", r"line 3 has the character '\x00'", _TEXT.replace(b"\n7", b"\n\x007")),
    _row("a huge cell", "line 2 cannot be read as CSV: a cell of more than 1,000 characters", b"id\n" + b"1" * 5_000),
    _row("an open quote", "cannot be read as CSV: unexpected end of data", _TEXT.replace(b"7,", b'"7,')),
    _row("a row with too few cells", "line 4 has 2 cells where the header has 28", _TEXT + b"9,1"),
    _row("a row with too many cells", "line 3 has 29 cells where the header has 28", _TEXT.replace(b"7,1", b"7,1,1")),
    _row("a missing column", "missing columns: hat; unknown columns: cap", _TEXT.replace(b"hat", b"cap")),
    _row("a column twice", "columns that occur twice: upred", _TEXT.replace(b"upwhite", b"upred")),
    _row("a value that is none", "line 2 (id 2): age is '9', not 1 or 2 or 3 or 4", _TEXT.replace(b"\n2,1", b"\n2,9")),
    _row("an identity that is none", "line 3: id is '0007', not a number from 1", _TEXT.replace(b"\n7", b"\n0007")),
    _row("an identity twice", "line 4: id 7 stands in line 3 already", annotations(2, 7, 7)),
    _row(
        "two colours of one half",
        "line 2 (id 2): upred and upblue are 2, at most one may be",
        "\n".join([HEADER, ",".join("2" if c in ("id", "upred", "upblue") else "1" for c in COLUMNS)]).encode(),
    ),
]


def _ours(kind: str, says: str, name: str, text: str | bytes) -> Damage:
    """A row of a file of a data set in the project's own layout."""

    def run(folder: Path) -> str:
        unpacked(folder / "people", LAID_OUT)
        (folder / "people" / name).write_bytes(text.encode() if isinstance(text, str) else text)
        return bruna(folder, "bruna import people")

    return Damage(kind, "bruna import people", says, run)


def _read(kind: str, says: str, make: Callable[[Path], object]) -> Damage:
    """A row of the annotations that `make` leaves in an empty folder."""

    def run(folder: Path) -> str:
        make(folder)
        return refusal(lambda: read_annotations(folder, DatasetFile(name="people")))

    return Damage(kind, "dvc repro validate", says, run)


def _parquet(values: Sequence[object]) -> bytes:
    return pd.DataFrame({"identity": range(1, len(values) + 1), "hat": values}).to_parquet()


def _unknown(folder: Path, people: Mapping[int | str, Mapping[str, str]]) -> str:
    from bruna.dataset.validation import validate_dataset
    from bruna.params import Validate

    write_annotations(write_dataset(folder / "data"), people, identities=False)
    return refusal(lambda: validate_dataset(folder / "data", Validate(image_size=None, on_bad_image="fail")))


ROWS += [
    _ours("another column", "missing columns: age", "annotations.csv", "identity,hat\n2,no\n7,yes"),
    _ours("a value of no attribute", "line 2 (identity 2): hat is 'maybe'", "annotations.csv", _WRONG_VALUE),
    _ours("an unknown field", "owner: is unknown; known are name", "dataset.yaml", "name: x\nowner: y"),
    _ours(
        "an attribute of one value",
        "attributes.hat: found ['a']",
        "dataset.yaml",
        "name: x\nattributes: {hat: [a]}",
    ),
    _ours(
        "true for a value",
        "put a value such as yes",
        "dataset.yaml",
        "name: x\nattributes: {hat: [true, false]}",
    ),
    _ours(
        "an attribute that has the name of another column",
        "attributes: camera is the name of another column: choose another",
        "dataset.yaml",
        "name: x\nattributes: {camera: [a, b]}",
    ),
    _read(
        "a parquet file that is cut short",
        "annotations.parquet cannot be read as parquet (",
        lambda folder: (folder / "annotations.parquet").write_bytes(_parquet(["yes"])[:200]),
    ),
    _read(
        "lists in a parquet file",
        "(a cell holds a ndarray, not a text or a number)",
        lambda folder: (folder / "annotations.parquet").write_bytes(_parquet([["yes", "no"]])),
    ),
    _read(
        "two annotation files",
        "holds annotations.csv and annotations.parquet. Remove one of them.",
        lambda folder: [(folder / name).write_text("") for name in ("annotations.csv", "annotations.parquet")],
    ),
    Damage(
        "rows of identities where nobody knows who is who",
        "dvc repro validate",
        "annotations: missing columns: path; unknown columns: identity",
        lambda folder: _unknown(folder, {2: {}, 5: {}, 7: {}, 11: {}}),
    ),
    Damage(
        "an image without a row, and a row without an image",
        "dvc repro validate",
        "train/none.jpg): there is no such image",
        lambda folder: _unknown(folder, {"train/none.jpg": {}}),
    ),
    Damage(
        "a folder in the file's place",
        "dvc repro validate",
        "cannot be read: it is a folder, not a file",
        lambda folder: refusal(
            lambda: ((folder / "annotations.csv").mkdir(), read_annotations(folder, DatasetFile(name="people")))
        ),
    ),
    Damage(
        "a data set of an earlier version",
        "dvc repro validate",
        "converts it",
        lambda folder: refusal(lambda: read_dataset_file(unpacked(folder / "people", GOOD))),
    ),
]
