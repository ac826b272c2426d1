"""Annotation files."""

from collections.abc import Callable
from pathlib import Path

from bruna.dataset.annotations import read_annotations
from bruna.dataset.attributes import ANNOTATION_COLUMNS as COLUMNS
from damage import Damage, bruna, refusal
from damage.archives import GOOD, annotations, unpacked

HEADER = ",".join(COLUMNS)
_NAME = "annotations_train.csv"
_TEXT = annotations(2, 7)


def _row(kind: str, says: str, data: bytes | Callable[[Path], object]) -> Damage:
    """A row of a file, or of what a function puts in its place; reading the data set itself says the same."""

    def run(folder: Path) -> str:
        path = unpacked(folder / "people", GOOD) / _NAME
        path.unlink()
        if callable(data):
            data(path)
        else:
            path.write_bytes(data)
        assert says in refusal(lambda: read_annotations(path))
        return bruna(folder, "bruna import people")

    return Damage(kind, "bruna import people", says, run)


ROWS = [
    _row("an empty file", "is empty. Expected is the header", b""),
    _row("a Latin-1 file", "is not text in UTF-8 (line 2 has the byte 0xe9)", _TEXT.replace(b"\n2,", b"\n\xe9,")),
    _row("a UTF-16 file", "is not text in UTF-8 (line 1 has the byte 0xff)", _TEXT.decode().encode("utf-16")),
    _row("UTF-16 without a mark", r"line 1 has the character '\x00'", _TEXT.decode().encode("utf-16-le")),
    _row("a NUL byte", r"line 3 has the character '\x00'", _TEXT.replace(b"\n7", b"\n\x007")),
    _row("a huge cell", "line 2 cannot be read as CSV: a cell of more than 100 characters", b"id\n" + b"1" * 5_000),
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
    Damage(
        "a folder in the file's place",
        "dvc repro validate",
        "cannot be read: it is a folder, not a file",
        lambda folder: refusal(lambda: read_annotations(folder)),
    ),
]
