"""A table of images: `path` and any of `identity`, `camera`, `subset`, `time`; every other column is an attribute.

It is `manifest.csv` (or .parquet) above its images, in a folder or an archive; or a table of any name that is given
itself. Paths count from where it lies. A `dataset.yaml` beside it may tell the values of the attributes in their order,
and what they belong to. The time goes into the names of the images.
"""

import re
import stat
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pandas as pd

from bruna.dataset.annotations import raw_table
from bruna.dataset.dataset_file import DATASET, DatasetFile, parse_dataset_file
from bruna.dataset.formats.base import (
    Format,
    flat_name,
    labelled_name,
    numbered,
    read_text,
    refuse,
    source_name,
    with_schema,
)
from bruna.dataset.formats.manifest_checks import (
    COLUMNS,
    NOBODY,
    SUBSETS,
    camera_numbers,
    header_problems,
    in_order,
    line_problems,
    plain_number,
)
from bruna.dataset.formats.own_layout import TOP
from bruna.dataset.formats.source_files import Files, Source, SourceFile, read_file
from bruna.errors import BrunaError

NAMES = ("manifest.csv", "manifest.parquet")


def with_images(source: Source, beside: Callable[[str], SourceFile | None] | None = None) -> Source:
    """Add the images that a table names, and the `dataset.yaml` beside it, where the source is it alone.

    Args:
        source: anything.
        beside: finds a file by its path from the table; by default on disk.
    """
    (name, file), *more = source.files.items()
    ending = name.lower().rpartition(".")[2]
    if more or ending not in ("csv", "parquet") or name in TOP or source.path.name != name or source.path.is_dir():
        return source
    raw = raw_table(file.read(), str(source.path))
    files = {f"manifest.{ending}": file}
    named = _plain_paths(raw["path"].to_numpy().ravel()) if "path" in raw.columns else []  # it may occur twice
    find = beside or partial(_on_disk, source.path)
    files |= {path: found for path in (DATASET, *named) if (found := find(path)) is not None}
    return Source(source.path, files)


def _on_disk(table: Path, path: str) -> SourceFile | None:
    """A file beside a table; None where there is none."""
    place = table.parent / path
    try:
        status = place.stat()
    except OSError:  # a name that is too long, for one
        return None
    return SourceFile(table, status.st_size, partial(read_file, place)) if stat.S_ISREG(status.st_mode) else None


def read(files: Files) -> Files:
    """Place the images that a manifest names."""
    name, *other = [name for name in NAMES if name in files]
    source = files[name].source
    if other:
        raise BrunaError(f"{source} holds {name} and {other[0]} in one folder. Remove one of the two.")
    table = raw_table(files[name].read(), str(source / name))
    given = parse_dataset_file(read_text(files, DATASET), source / DATASET) if DATASET in files else None
    itself = source.suffix.lower() in (".csv", ".parquet")
    where = f"{source}; paths count from {source.parent}" if itself else f"{source / name}; paths count from there"
    advice = f"They are in {where}. docs/how-to/own-data.md shows such a table."
    refuse(header_problems(table, given), "wrong columns", advice)
    named = "identity" in table.columns
    attributes = [column for column in table.columns if column not in COLUMNS]
    for column in set(COLUMNS) - set(table.columns):
        table[column] = ""
    table["path"] = _plain_paths(table["path"])
    for column in ("identity", "camera"):
        table[column] = [plain_number(cell) for cell in table[column]]
    refuse(line_problems(table, files, given, named=named), "wrong lines", advice)
    table["(folder)"] = table["subset"].map(SUBSETS)
    if not named:  # what does not train is a labelled test image
        table["(folder)"] = table["(folder)"].where(table["(folder)"] == "train", "gallery")
    cameras = camera_numbers(table["camera"])
    table["(place)"] = _places(table, cameras, named=named)
    refuse(_shared_places(table), "names", f"Rename one of two. {advice}")
    people = table[table["(place)"].str.match("(train|query|gallery)/")]
    by_identity = named and not _varies(people, attributes)
    dataset = DatasetFile(
        name=source_name(source),
        identities=named,
        attributes_of="identity" if by_identity else "image",
        attributes={name: tuple(in_order(list(set(table[name]) - {""}))) for name in attributes if given is None},
        cameras=_meaning(cameras),
    )
    if given is not None:
        dataset = given.model_copy(update={"identities": named, "cameras": given.cameras or dataset.cameras})
    placed = {place: files[path] for place, path in zip(table["(place)"], table["path"], strict=True)}
    return with_schema(placed, dataset, _annotations(people, attributes, by_identity), source)


def _plain_paths(paths: Iterable[str]) -> list[str]:
    return [path.replace("\\", "/").removeprefix("./") for path in paths]


def _places(table: pd.DataFrame, cameras: dict[str, int], *, named: bool) -> list[str]:
    labelled = table["(folder)"].isin(["train", "query", "gallery"]) & named
    nobody = {name: int(name) for name in NOBODY}
    identities = nobody | numbered(set(table["identity"][labelled]) - set(NOBODY))
    places = []
    for at, path, time in zip(table.index, table["path"], table["time"], strict=True):
        name = flat_name(f"{re.sub('[^0-9A-Za-z-]+', '-', time)}_{path}" if time else path)
        if labelled[at]:
            name = labelled_name(identities[table["identity"][at]], cameras.get(table["camera"][at], 0), name)
        places.append(f"{table['(folder)'][at]}/{name}")
    return places


def _shared_places(table: pd.DataFrame) -> list[str]:
    first: dict[str, str] = {}
    shared = zip(table.index, table["path"], table["(place)"], strict=True)
    return [
        f"line {line}: {path} and {other} would both become {place}"
        for line, path, place in shared
        if (other := first.setdefault(place.casefold(), path)) != path
    ]


def _varies(people: pd.DataFrame, attributes: list[str]) -> bool:
    """Whether an identity has two values of an attribute; distractors and junk are many people."""
    known = people[~people["identity"].isin(NOBODY)]
    return any((known[known[name] != ""].groupby("identity")[name].nunique() > 1).any() for name in attributes)


def _meaning(cameras: dict[str, int]) -> str:
    """What the numbers of cameras mean, where they are not their names."""
    if all(name.isdecimal() for name in cameras):
        return ""
    return ", ".join(f"{number}: {name}" for name, number in cameras.items())


def _annotations(people: pd.DataFrame, attributes: list[str], by_identity: bool) -> pd.DataFrame | None:
    if not attributes:
        return None
    if not by_identity:
        return people[["(place)", *attributes]].rename(columns={"(place)": "path"})
    rows = people.assign(identity=people["(place)"].str.extract(r"/(-?\d+)_c")[0].astype(int))
    # The largest text is the one value that is known, "" where none is.
    return rows[rows["identity"] > 0].groupby("identity", as_index=False)[attributes].max()


MANIFEST = Format(
    name="a table of images",
    layout="a CSV or parquet file, or manifest.csv in a folder: path; identity, camera, subset, time, attributes",
    follows="docs/how-to/own-data.md",
    read=read,
    signs=NAMES,
    also=(DATASET,),
)
