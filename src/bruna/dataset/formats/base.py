"""What a data format says of itself, and what several of them need."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from bruna.dataset.annotations import ANNOTATIONS, SHOWN
from bruna.dataset.dataset_file import DATASET, DatasetFile, dataset_text
from bruna.dataset.filenames import is_image_name, printable
from bruna.dataset.formats.source_files import Files, SourceFile
from bruna.errors import BrunaError, counted

_LONGEST_STEM = 180
"""Characters of a flat name before it is cut: with identity and camera it stays a name of 255 bytes."""
RESEARCH_ONLY = "research use only, not to be redistributed"
"""Terms of most public data sets of people."""
LARGEST = 10**9
"""Identities are below it: nine digits."""


@dataclass(frozen=True)
class Format:
    """A data format that `bruna import` reads.

    Attributes:
        name: what the data set or the layout is called.
        layout: its files and folders, in a line, for `bruna import --formats`.
        follows: the public reader or description that the code follows, and whether a real copy was read.
        read: takes the files of a source below one folder, by their paths there, and returns files by their place in
            the data set (`train/0002_c1_7.jpg`, `dataset.yaml`, `annotations.csv`); nothing where the files are of
            another format. Raises a BrunaError that names all problems (`refuse`).
        signs: names right in that folder (a folder's with `/`) of which each says that this format is meant; `read`
            is called only then. Empty: `read` looks for itself.
        needs: names of which each has to be there once the format is meant; alternatives are divided by `|`.
        also: other names that belong to the format and are no images.
    """

    name: str
    layout: str
    follows: str
    read: Callable[[Files], Files]
    signs: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


def refuse(problems: Sequence[str], what: str, advice: str) -> None:
    """Raise what is wrong in a source, if anything is: the first ten and the number of the rest.

    Args:
        problems: one line each.
        what: plural noun that counts them, such as `wrong lines`.
        advice: a sentence: what to do.

    Raises:
        BrunaError: there are problems.
    """
    if problems:
        raise BrunaError(f"{counted(len(problems), what)}:\n{listed(problems)}\n{advice}")


def listed(problems: Sequence[str]) -> str:
    """The first ten, a line each, and the number of the rest."""
    rest = [f"... and {len(problems) - SHOWN:,} more"] if len(problems) > SHOWN else []
    return "\n".join(f"  {printable(line)}" for line in [*problems[:SHOWN], *rest])


def source_name(source: Path) -> str:
    """What a data set is called that does not say so itself: as the folder or the archive."""
    name = printable(source.resolve().name)
    endings = (".tar.gz", ".tar.bz2", ".tar.xz", ".tar", ".tgz", ".zip", ".csv", ".parquet")
    return next((name[: -len(ending)] for ending in endings if name.lower().endswith(ending)), name) or "own data"


def images_in(files: Files) -> list[str]:
    """The paths that name images."""
    return [path for path in files if is_image_name(path)]


def read_text(files: Files, name: str) -> str:
    """A text file of a source, in UTF-8, with or without a byte order mark.

    Raises:
        BrunaError: it cannot be read, or is no text.
    """
    try:
        return files[name].read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BrunaError(
            f"{files[name].source}: {printable(name)} is no text in UTF-8 (byte {error.start:,}). Download it again."
        ) from None


def flat_name(path: str) -> str:
    """A path as one name, `hall/anna/1.JPG` as `hall_anna_1.jpg`; one too long is cut, with a digest of all of it.

    No name begins with a dot, as that of `../anna/1.jpg` would: files that do are hidden, and no part of a data set.
    """
    stem, _, suffix = path.replace("/", "_").rpartition(".")
    if not stem or stem.startswith("."):
        stem = stem.lstrip("._") or "_"
    if len(os.fsencode(stem)) > _LONGEST_STEM:
        digest = hashlib.md5(os.fsencode(path), usedforsecurity=False).hexdigest()[:12]
        stem = os.fsencode(stem)[: _LONGEST_STEM - 13].decode(errors="ignore") + "_" + digest
    return f"{stem}.{suffix.lower()}"


def labelled_name(identity: int, camera: int, name: str) -> str:
    """The name of a labelled image in the data set: `0002_c1_NAME`; that of junk begins with -1."""
    return f"{identity:04d}_c{camera}_{name}" if identity >= 0 else f"{identity}_c{camera}_{name}"


def numbered(names: Iterable[str]) -> dict[str, int]:
    """Numbers of identities: names that all are numbers from 1 keep them, others are numbered in their order.

    Args:
        names: may come more than once.

    Raises:
        BrunaError: two names are the same number, such as 7 and 007.
    """
    order = sorted(set(names))
    if not all(name.isascii() and name.isdigit() and 0 < int(name) < LARGEST for name in order):
        return {name: number for number, name in enumerate(order, start=1)}
    first: dict[int, str] = {}
    for name in order:
        if (other := first.setdefault(int(name), name)) != name:
            raise BrunaError(f"{other} and {name} are the same identity, {int(name)}. Write it in one way.")
    return {name: int(name) for name in order}


def written(text: str | bytes, source: Path) -> SourceFile:
    """A file of the data set that a format writes itself."""
    data = text.encode() if isinstance(text, str) else text
    return SourceFile(source, len(data), partial(bytes, data))


def with_schema(files: Files, dataset: DatasetFile, table: pd.DataFrame | None, source: Path) -> Files:
    """Add `dataset.yaml`, and `annotations.csv` where there is a table.

    Args:
        files: by place in the data set.
        dataset: names the attributes and their values.
        table: the key first (`identity`, numbers; or `path`, the place of an image), then the columns that `dataset`
            names, as text, "" where unknown.
        source: what the user gave.
    """
    files = {**files, DATASET: written(dataset_text(dataset), source)}
    if table is not None:
        text: str = table.sort_values(table.columns[0]).to_csv(index=False, lineterminator="\n")
        files[ANNOTATIONS[0]] = written(text, source)
    return files
