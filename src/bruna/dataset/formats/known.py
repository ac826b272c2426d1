"""The formats that `bruna import` knows, and which of them a source is."""

from bisect import bisect_left
from collections.abc import Sequence

from bruna.dataset.filenames import printable
from bruna.dataset.formats.base import Format
from bruna.dataset.formats.cuhk03 import CUHK03
from bruna.dataset.formats.images import IMAGES
from bruna.dataset.formats.manifest import MANIFEST, with_images
from bruna.dataset.formats.market1501 import MAT
from bruna.dataset.formats.msmt17 import MSMT17
from bruna.dataset.formats.own_layout import COURSE, MARKET1501, MASKS, OWN, placed
from bruna.dataset.formats.pa100k import PA100K
from bruna.dataset.formats.people import PEOPLE
from bruna.dataset.formats.peta import PETA
from bruna.dataset.formats.peta_release import PETA_RELEASE
from bruna.dataset.formats.source_files import DEPTH, Files, Source, differ, shown
from bruna.errors import BrunaError

SIGNED: tuple[Format, ...] = (MANIFEST, MSMT17, CUHK03, PA100K, PETA, PETA_RELEASE)
"""Formats that names of their own tell."""
FORMATS: tuple[Format, ...] = (MANIFEST, PEOPLE, IMAGES, OWN, MASKS, MARKET1501, COURSE, *SIGNED[1:])
"""All of them, people's own first."""


def recognise(source: Source, ignored: list[str]) -> Files:
    """Find what a source is, whatever folders it is wrapped in.

    Args:
        source: what the user gave.
        ignored: takes the files that belong to no part of a data set, as `source/path`.

    Returns:
        Files by their place in the data set.

    Raises:
        BrunaError: it holds no data set, not all of one, or two of them.
    """
    source = with_images(source)
    paths = sorted(source.files)
    tops = _tops(source.files)
    files: Files = {}
    also: set[str] = set()
    whole: str | None = None
    for depth in sorted({_depth(folder) for folder in tops}):
        for folder in (folder for folder in tops if _depth(folder) == depth):
            found, more = _read(source, paths, folder, tops[folder])
            if more:
                _refuse_two(source, whole, folder)
                whole = folder
            _join(files, found, source, folder)
            also |= more
        if files:
            break
    for path in source.files:
        folder, _, name = path.rpartition("/")
        if name == MAT:
            _join(files, {MAT: source.files[path]}, source, folder)
    for reader in () if files else (PEOPLE, IMAGES):
        files = files or reader.read(source.files)
    if not files:
        known = ", ".join(format.name for format in FORMATS)
        raise BrunaError(
            f"{source.path} is no data set that is known here (it holds {shown(list(source.files), 3)}). Known are "
            f"{known}: `bruna import --formats` shows the files and folders of each."
        )
    used = {id(file) for file in files.values()}
    for path, file in source.files.items():
        if id(file) not in used and path not in also:
            ignored.append(printable(f"{source.path.name}/{path}" if path != source.path.name else path))
    return files


def _tops(files: Files) -> dict[str, set[str]]:
    """The names right in each folder of a source, those of folders with a slash; "" is the source itself."""
    tops: dict[str, set[str]] = {}
    for path in files:
        parts = path.split("/")
        for depth, name in enumerate(parts[: DEPTH + 1]):  # a name in an archive may have 30,000 folders
            top = tops.setdefault("/".join(parts[:depth]), set())
            top.add(name if depth == len(parts) - 1 else f"{name}/")
    return dict(sorted(tops.items()))


def _depth(folder: str) -> int:
    return folder.count("/") + 1 if folder else 0


def _read(source: Source, paths: Sequence[str], folder: str, top: set[str]) -> tuple[Files, set[str]]:
    """What one folder of a source holds, and its files that belong to the format and are no images."""
    meant = [format for format in SIGNED if top & set(format.signs)]
    prefix = f"{folder}/" if folder else ""
    below = {path.removeprefix(prefix): source.files[path] for path in _paths_in(prefix, paths)}
    for format in meant:
        _refuse_incomplete(format, source, folder, top)
        if found := format.read(below):
            return found, {prefix + name for name in (*format.signs, *_alternatives(format), *format.also)}
    return placed(below), set()


def _paths_in(prefix: str, paths: Sequence[str]) -> Sequence[str]:
    """Those of sorted paths that begin with a prefix: looked up, since there may be 100,000 folders."""
    start = bisect_left(paths, prefix)
    return paths[start : bisect_left(paths, True, start, key=lambda path: not path.startswith(prefix))]


def _alternatives(format: Format) -> Sequence[str]:
    return [name for need in format.needs for name in need.split("|")]


def _refuse_incomplete(format: Format, source: Source, folder: str, top: set[str]) -> None:
    missing = [need.replace("|", " or ") for need in format.needs if not top & set(need.split("|"))]
    if missing:
        raise BrunaError(
            f"{source.path / folder} looks like {format.name}, having {shown(sorted(top & set(format.signs)))}, but "
            f"has no {', no '.join(missing)}. Its layout: {format.layout}. Give all of it, or remove the named files "
            "if it is something else."
        )


def _join(files: Files, more: Files, source: Source, folder: str) -> None:
    """Put together what two folders of a source hold; they may be parts of one data set."""
    for place, file in more.items():
        if place in files and differ(files[place], file):
            raise BrunaError(
                f"{source.path} holds {printable(place)} twice, and one of the two is in {printable(folder)}/. It may "
                f"be two data sets: give one of them, such as {printable(source.path / folder)}."
            )
        files[place] = file


def _refuse_two(source: Source, one: str | None, other: str) -> None:
    """Each folder of a format in `SIGNED` is all of a data set: two are not joined, even if no name is in both."""
    if one is not None:
        raise BrunaError(
            f"{source.path} holds two data sets, in {printable(one)}/ and in {printable(other)}/. Give one of them, "
            f"such as {printable(source.path / other)}."
        )
