"""What the commands share: where things lie, seen from the top folder, what may be written, how a command ends."""

import os
from collections.abc import Iterable, Mapping
from itertools import permutations
from pathlib import Path
from stat import S_ISDIR
from typing import Annotated, Literal

import typer

from bruna.dataset.filenames import printable
from bruna.errors import BrunaError
from bruna.files import files_below, refuse_unwritable, restore

PARAMS = Path("params.yaml")
PRESETS = Path("presets")
DATA = Path("data")
ARTIFACTS = Path("artifacts")
METRICS = Path("metrics")
INDEX = Path("people.index")
EngineName = Annotated[
    Literal["torch", "onnxruntime"] | None,
    typer.Option(
        "--engine",
        help="What runs the networks on a CPU; default: onnxruntime where it is installed and its graphs are there, or "
        "pay.",
        case_sensitive=False,
        show_default=False,
    ),
]
_PREDICTIONS = "CSV file of this command", (b"id,", b"path,reason")
_KINDS: Mapping[str, tuple[str, tuple[bytes, ...]]] = {
    "--csv": ("CSV file of results", (b"query,",)),
    "--html": ("HTML page", (b"<!doctype html", b"<html")),
    "--json": ("JSON file", (b"{",)),
    "--sheet": ("PNG image", (b"\x89png",)),
    **dict.fromkeys(("--output", "--probabilities", "--rejected"), _PREDICTIONS),
}
"""What an option writes, and how such a file begins, in lower case."""


def model_folders(models: Path) -> list[Path]:
    """The folders of trained models, of how they are used and of what they were trained on.

    What a killed process left of them is made good.
    """
    folders = [models / name for name in ("unet", "attributes", "bruna", "evaluate", "split", "validate")]
    for folder in folders:
        restore(folder)
    return folders


def check_outputs(outputs: Mapping[str, Path | None], inputs: Iterable[Path]) -> None:
    """Refuse files that could not be written, that the command reads, or that hold something else. Call it first.

    Args:
        outputs: what the command writes, by option; None where it is not asked for.
        inputs: what it reads; of a folder all files. They are looked at where an output exists already.

    Raises:
        BrunaError: an output is no file or cannot be written, is there and of another kind, two are the same, or one
            is an input.
    """
    asked = {option: path for option, path in outputs.items() if path is not None}
    for option, path in asked.items():
        _check_place(option, path)
    real = {option: Path(os.path.realpath(path)) for option, path in asked.items()}
    for (one, path), (other, its) in permutations(real.items(), 2):
        if path == its or (path.exists() and its.exists() and path.samefile(its)):
            raise BrunaError(f"{one} and {other} are the same file, {asked[one]}. Give each a file of its own.")
        if path in its.parents:
            raise BrunaError(f"{other}: {asked[other]} lies below {asked[one]}, the file of {one}. Give another place.")
    there = {(found.st_dev, found.st_ino): option for option, path in real.items() if (found := _stat(path))}
    for given in inputs if there else ():
        is_folder = (found := _stat(given)) is not None and S_ISDIR(found.st_mode)
        for file in files_below(given) if is_folder else [given]:
            found = _stat(file)
            if found and (read := there.get((found.st_dev, found.st_ino))):
                raise BrunaError(f"{read} would write over {file}, which this command reads. Give another place.")
    for option, path in asked.items():
        _check_kind(option, path)


def _check_place(option: str, path: Path) -> None:
    """Refuse an output that is something else than a file, or that cannot be written."""
    try:
        if not path.name:  # the path of '' is that of .
            raise BrunaError(f"{option}: an empty name, or ., is a folder. Give a file.")
        if path.exists() and not path.is_file():  # /dev/stdout for one
            raise BrunaError(f"{option}: {path} is {'a folder' if path.is_dir() else 'no file'}. Give a file.")
        if path.is_symlink():  # a whole file would replace the link, not what it leads to
            raise BrunaError(f"{option}: {path} is a link. Give the place that it leads to: {os.path.realpath(path)}")
    except OSError as error:  # a name that is too long, for one
        raise BrunaError(f"{option}: {path} cannot be written: {error.strerror}. Give another place.") from None
    refuse_unwritable(path)


def _check_kind(option: str, path: Path) -> None:
    """Refuse to write over a file that holds something else than what is written."""
    try:
        with path.open("rb") as file:
            begin = file.read(256)
    except FileNotFoundError:
        return
    except OSError as error:
        raise BrunaError(f"{option}: {path} cannot be read: {error.strerror}. Give another place.") from None
    kind, begins = _KINDS[option]
    if begin and not begin.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(begins):
        raise BrunaError(f"{option}: {path} is there and is no {kind}: it would be lost. Give another place.")


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def say_next(*commands: str) -> None:
    """Print the commands that usually follow."""
    typer.echo("Next: " + ", then ".join(f"`{printable(command)}`" for command in commands))


def say_next_after_data(to: Path) -> None:
    """Print what follows a data set: the pipeline reads `data`; any other folder can be measured."""
    if to.resolve() == DATA.resolve():
        say_next("dvc add data", "dvc repro")
    else:
        say_next(f"bruna evaluate {to}")
