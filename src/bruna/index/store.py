"""The rows of an index on disk: parquet files that are whole or absent, and hold nothing but the rows that they show.

A row is an image: `key`, `digest` (SHA-256 of its file, hex), `features` (F float32), `attribute_features` (L float32,
the attributes' part of the distance), of every attribute `NAME` (the most probable value) and `NAME_probabilities` (V
float32, in the order of the values in index.json), `junk` (float32, null where no network tells), `identity`,
`camera`, `time` and other columns of a manifest (text, null where unknown), `thumbnail` (JPEG, null without).
"""

import fcntl
import hashlib
import json
import mmap
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bruna.errors import BrunaError
from bruna.files import files_below, whole_file

PART_ROWS = 2048
"""Rows of a part at most: about 20 MB."""
FIXED = ("key", "digest", "identity", "camera", "time", "junk")
"""The columns of every index that are no matrix and no picture."""
_VAST = ("features", "attribute_features", "thumbnail")
"""Columns that no compression makes smaller."""
_UNIQUE = ("key", "digest")
_CONTENTS = b"contents"
"""In the metadata of a part."""
_LOCK = ".lock"
_Taken = TypeVar("_Taken")


def parts_of(folder: Path) -> list[Path]:
    """The parts of an index in their order."""
    return sorted(folder.glob("part-*.parquet"))


def read_part(path: Path, columns: Sequence[str] | None = None) -> Any:
    """A part, or some of its columns (those that it lacks are passed over), as an Arrow table.

    Raises:
        BrunaError: it cannot be read.
    """

    def read(file: Any) -> Any:
        names = file.schema_arrow.names
        return file.read(columns=names if columns is None else [name for name in columns if name in names])

    return _opened(path, read)


class Outline(NamedTuple):
    """What a part holds.

    Attributes:
        rows: how many.
        columns: their names.
        junk: float32 probabilities, NaN where no network tells.
        contents: 64 hex digits that two parts share only where they have the same images under the same keys.
    """

    rows: int
    columns: list[str]
    junk: npt.NDArray[np.float32]
    contents: str


def outline_of(path: Path) -> Outline:
    """What a part holds, without reading all of it."""

    def read(file: Any) -> Outline:
        names, rows = list(file.schema_arrow.names), file.metadata.num_rows
        junk = file.read(columns=["junk"])["junk"].to_numpy() if "junk" in names else np.full(rows, np.nan, np.float32)
        written = (file.schema_arrow.metadata or {}).get(_CONTENTS)
        contents = _contents(file.read(columns=[*_UNIQUE])) if written is None else written.decode()
        return Outline(rows, names, junk, contents)

    return _opened(path, read)


def _contents(rows: Any) -> str:
    cells = [rows[name].to_pylist() for name in _UNIQUE]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def column_names(folder: Path) -> list[str]:
    """All columns that some part has."""
    names: dict[str, None] = {}
    for path in parts_of(folder):
        names |= dict.fromkeys(_opened(path, lambda file: list(file.schema_arrow.names)))
    return list(names)


def state_of(folder: Path) -> tuple[tuple[object, ...], ...]:
    """What changes whenever a file of an index does, for every file is replaced as a whole."""
    found = []
    for path in (folder / "index.json", *parts_of(folder)):
        with suppress(OSError):  # such as a part that was erased just now
            status = path.stat()
            found.append((path.name, status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)


def thumbnails_of(folder: Path, keys: Collection[str] | None = None) -> dict[str, bytes]:
    """The small JPEGs of an index by key, or those of some keys; images without one are absent."""
    found: dict[str, bytes] = {}
    for part in parts_of(folder):
        rows = read_part(part, ["key"])["key"].to_pylist() if keys is not None else ()
        if keys is not None and not any(key in keys for key in rows):
            continue
        table = read_part(part, ["key", "thumbnail"])
        if "thumbnail" in table.schema.names:
            pairs = zip(table["key"].to_pylist(), table["thumbnail"].to_pylist(), strict=True)
            found |= {key: small for key, small in pairs if small is not None and (keys is None or key in keys)}
    return found


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Keep other writers away, and remove what killed ones left half written: it may show people who were erased.

    Raises:
        BrunaError: another process is writing.
    """
    with (folder / _LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BrunaError(f"another command is writing {folder}. Run this one when it has ended.") from None
        for path in list(files_below(folder)):
            if path.suffix == ".part":  # nobody else writes here now
                path.unlink()
        yield


def append(folder: Path, rows: Any) -> None:
    """Add rows (an Arrow table): the last part is filled first, each file replaced as a whole."""
    parts = parts_of(folder)
    number = int(parts[-1].stem.removeprefix("part-")) if parts else 0
    if parts and part_sizes(parts[-1:])[0] < PART_ROWS:
        rows = pa.concat_tables([read_part(parts[-1]), rows], promote_options="default")
    else:
        number += 1
    for start in range(0, len(rows), PART_ROWS):
        _write(rows.slice(start, PART_ROWS), folder / f"part-{number:06d}.parquet")
        number += 1


def erase(folder: Path, wanted: Sequence[npt.NDArray[np.bool_]]) -> None:
    """Write the parts that hold a wanted row again without it; nothing of it is left in any file.

    Args:
        folder: the index.
        wanted: booleans over the rows of each part.
    """
    for path, gone in zip(parts_of(folder), wanted, strict=True):
        if gone.all():
            path.unlink()
        elif gone.any():
            # No column is a dictionary in memory, which would keep the texts of the rows that go.
            _write(read_part(path).filter(pa.array(~gone)), path)


def part_sizes(parts: Sequence[Path]) -> list[int]:
    """The rows of each part."""
    return [_opened(part, lambda file: int(file.metadata.num_rows)) for part in parts]


def _opened(path: Path, take: Callable[[Any], _Taken]) -> _Taken:
    """What is wanted of a part."""
    try:
        with path.open("rb") as file:  # pyarrow takes no path that is not UTF-8
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # is not copied once more
        return take(pq.ParquetFile(pa.BufferReader(pa.py_buffer(content))))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise BrunaError(
            f"{path} cannot be read ({error}). If another command was changing the index, run the same again; "
            "otherwise restore the file, or describe the images again into a new index."
        ) from error


def _write(rows: Any, path: Path) -> None:
    names = rows.schema.names
    empty = [name for name in names if name not in FIXED and rows[name].null_count == len(rows)]
    rows = rows.drop_columns(empty)  # such as what only rows that are gone had
    rows = rows.replace_schema_metadata({_CONTENTS: _contents(rows)})
    with whole_file(path) as beside, beside.open("wb") as file:
        pq.write_table(
            rows.combine_chunks(),
            file,
            row_group_size=PART_ROWS,
            compression={name: "none" if name in _VAST else "zstd" for name in rows.schema.names},
            use_dictionary=[name for name in rows.schema.names if _is_text(rows, name) and name not in _UNIQUE],
            write_statistics=False,
            store_schema=True,
        )


def rows_in(folder: Path) -> int:
    """How many images an index holds."""
    return sum(part_sizes(parts_of(folder)))


def _is_text(rows: Any, name: str) -> bool:
    return bool(pa.types.is_string(rows.schema.field(name).type))


def bytes_of(folder: Path) -> int:
    """Bytes of an index on disk."""
    total = 0
    for path in files_below(folder):
        with suppress(OSError):
            total += path.stat().st_size
    return total
