"""The images of a source one by one, whatever it is, with what is known of each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bruna.dataset.annotations import raw_table
from bruna.dataset.filenames import (
    FREE,
    LABELLED,
    SUFFIXES,
    NameFacts,
    is_image_name,
    name_facts,
    name_problem,
    printable,
)
from bruna.dataset.formats.base import images_in, listed
from bruna.dataset.formats.known import recognise
from bruna.dataset.formats.manifest import NAMES, with_images
from bruna.dataset.formats.people import PEOPLE
from bruna.dataset.formats.source_files import Source
from bruna.dataset.formats.sources import NoFilesError, open_source
from bruna.dataset.identities import UNKNOWN_CAMERA, UNLABELLED
from bruna.errors import BrunaError, counted
from bruna.index.address import Address, find, is_address, refuse_slip

_READ_AT_ONCE = 256
"""Rows of an image table."""
_OF_THE_PIPELINE = ("identity", "camera")


@dataclass(frozen=True)
class Found:
    """An image of a source.

    Attributes:
        key: its name in the index.
        read: gives the bytes of its file, or raises a BrunaError.
        known: texts by column: `identity`, `camera`, `time`, what else a manifest says.
    """

    key: str
    read: Callable[[], bytes]
    known: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Images:
    """The images of a source: how many, and each of them, once."""

    count: int
    each: Iterator[Found]


def images_of(source: Path | str, stack: ExitStack) -> Images:
    """List the images of a source.

    The key of an image is its path, from the name of the source on: `photos/anna/1.jpg`, `people.zip/train/1.jpg`; of
    a table of images (a manifest that is given itself, a table of the stage `split`) the path that stands there.

    Args:
        source: a folder, an archive or a table, as `bruna import` takes them; or a parquet table of the stage `split`;
            a text may be the address of one, see `address.py`.
        stack: closes what is opened.

    Raises:
        BrunaError: it does not exist, cannot be read, or holds no image.
    """
    if is_address(source):
        return _at_address(find(str(source)), stack)
    refuse_slip(source)
    path = Path(source)
    parquet = path.suffix.lower() == ".parquet" and path.is_file()
    if parquet and (table := _image_table(str(path), stack.enter_context(path.open("rb")))):
        return table
    try:
        opened = open_source(path, stack)
    except NoFilesError:
        raise _no_image(path) from None
    found = _listed(with_images(opened))
    return Images(len(found), iter(found))


def _at_address(address: Address, stack: ExitStack) -> Images:
    path = Path(address.text)
    parquet = path.suffix.lower() == ".parquet" and address.size is not None
    if parquet and (table := _image_table(address.text, stack.enter_context(address.open()))):
        return table
    try:
        found = _listed(address.source(stack))
    except BrunaError as error:  # which says `s3:/bucket`, because a source has a Path
        raise BrunaError(str(error).replace(str(path), address.text)) from None
    reads = address.ahead(image.read for image in found)
    return Images(len(found), (replace(image, read=read) for image, read in zip(found, reads, strict=True)))


def _listed(source: Source) -> list[Found]:
    tables = [name for name in source.files if name.rpartition("/")[2] in NAMES]
    found = [image for name in tables for image in _of_manifest(source, name)] or _of_files(source)
    if not found:
        raise _no_image(source.path)
    return found


def _no_image(path: Path) -> BrunaError:
    return BrunaError(
        f"no image in {path}: folders and archives are searched for {', '.join(SUFFIXES)}. Give a folder, an archive "
        "or a table that has some."
    )


def _image_table(name: str, file: Any) -> Images | None:
    """None where it is a manifest or something else."""
    try:
        table = pq.ParquetFile(file)
    except pa.ArrowException as error:
        raise BrunaError(f"{name} cannot be read as parquet ({error}).") from None
    names = table.schema_arrow.names
    if not {"path", "image"} <= set(names):
        return None
    columns = ["path", "image", *(each for each in _OF_THE_PIPELINE if each in names)]
    return Images(table.metadata.num_rows, _rows(name, table, columns))


def _rows(name: str, table: Any, columns: list[str]) -> Iterator[Found]:
    try:
        for batch in table.iter_batches(_READ_AT_ONCE, columns=columns):
            for row in batch.to_pylist():
                known = _labels(row.get("identity", UNLABELLED), row.get("camera", UNKNOWN_CAMERA))
                yield Found(row["path"], partial(bytes, row["image"]), known)
    except (OSError, pa.ArrowException) as error:
        raise BrunaError(f"{name} can be read only in part ({error}).") from None


def _labels(identity: int, camera: int) -> dict[str, str]:
    known = {"identity": str(identity)} if identity != UNLABELLED else {}
    return known | ({"camera": str(camera)} if camera != UNKNOWN_CAMERA else {})


def _of_manifest(source: Source, name: str) -> list[Found]:
    """Every column of the table is kept as it stands there."""
    table = raw_table(source.files[name].read(), str(source.path if len(source.files) == 1 else source.path / name))
    top = name.rpartition("/")[0]
    above = "" if source.path.suffix.lower() in (".csv", ".parquet") else _prefix(source.path)
    if "path" not in table.columns or table.columns.duplicated().any():
        raise BrunaError(f"{source.path}: the table has no column path, or has one twice. Give each image a row.")
    paths = [path.replace("\\", "/").removeprefix("./") for path in table["path"]]
    missing = [
        f"line {line}: there is no image {path or '(empty)'}"
        for line, path in zip(table.index, paths, strict=True)
        if _below(top, path) not in source.files or not is_image_name(path)
    ]
    if missing:
        raise BrunaError(f"{source.path}: {counted(len(missing), 'wrong lines')}:\n{listed(missing)}")
    cells = table.drop(columns="path")
    return [
        Found(above + _below(top, path), source.files[_below(top, path)].read, _filled(row, cells.columns))
        for path, row in zip(paths, cells.itertuples(index=False, name=None), strict=True)
    ]


def _below(top: str, path: str) -> str:
    return f"{top}/{path}" if top else path


def _filled(row: Sequence[str], columns: "pd.Index[str]") -> dict[str, str]:
    return {name: cell for name, cell in zip(columns, row, strict=True) if cell}


def _of_files(source: Source) -> list[Found]:
    """Images of a data set with the labels that it gives them, and all images of anything else."""
    single = source.path.name in source.files and len(source.files) == 1
    prefix = "" if single else _prefix(source.path)
    # What no table can hold is for whoever reads it to leave out, and for no format to see.
    unnamable = [path for path in images_in(source.files) if name_problem(path)]
    if unnamable:
        nameable = {path: file for path, file in source.files.items() if not name_problem(path)}
        left = [Found(prefix + path, source.files[path].read) for path in unnamable]
        return [*_of_files(Source(source.path, nameable)), *left]
    if not images_in(source.files):
        return []
    people = PEOPLE.read(source.files)
    placed = recognise(source, [])
    at = {id(file): path for path, file in source.files.items()}
    if placed.keys() == people.keys():
        named = [(file, at[id(file)]) for file in placed.values()]
        return [Found(prefix + path, file.read, {"identity": path.split("/")[-2]}) for file, path in named]
    files = [
        (place, file)
        for place, file in placed.items()
        if is_image_name(place) and not place.startswith("masks/") and id(file) in at
    ]
    told = [name_facts(at[id(file)].rpartition("/")[2], "gallery") for _, file in files]
    if any(facts.problem for facts in told):  # where all names tell, they do so in a gallery/ that is given itself too
        told = [_facts(place) for place, _ in files]
    return [
        Found(prefix + at[id(file)], file.read, _labels(facts.identity, facts.camera))
        for (_, file), facts in zip(files, told, strict=True)
    ]


def _facts(place: str) -> NameFacts:
    """What the place in a data set tells of an image."""
    folder, _, name = place.rpartition("/")
    return name_facts(name, folder if folder in LABELLED else FREE)


def _prefix(path: Path) -> str:
    return f"{printable(path.resolve().name)}/"
