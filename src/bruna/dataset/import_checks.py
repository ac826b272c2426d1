"""What an import must hold together: names, identities, annotations and mask pairs, told before anything is written."""

from collections.abc import Iterable
from pathlib import Path

from bruna.dataset.annotations import ANNOTATIONS, raw_table
from bruna.dataset.dataset_file import DATASET, parse_dataset_file
from bruna.dataset.filenames import FREE, LABELLED, has_sequence, name_facts, name_problem
from bruna.dataset.formats.base import listed, read_text
from bruna.dataset.formats.source_files import Files
from bruna.errors import BrunaError, counted

_LONGEST_NAME = 255
"""Bytes of a file name that every usual file system takes."""


def names_in(files: Files, folder: str) -> list[str]:
    """The names of the files right in a folder of the data set, hidden ones left out."""
    found = (name.rpartition("/") for name in files)
    return [name for within, _, name in found if within == folder and not name.startswith(".")]


def check_files(files: Files) -> None:
    """What must be there, and that the names of labelled images tell what they should; all problems at once.

    Raises:
        BrunaError: something is missing or misnamed; the first ten of each kind are named.
    """
    if not names_in(files, "train"):
        found = ", ".join(sorted({name.split("/")[0] for name in files}))
        raise BrunaError(
            f"the sources hold no training images (found: {found}). Give the archive or folder with train/ or "
            "bounding_box_train/ as well, or --merge to add to what the target folder holds."
        )
    if DATASET not in files:
        file = next(files[name] for name in ANNOTATIONS if name in files)
        raise BrunaError(
            f"{file.source} holds annotations and no {DATASET}, which names the attributes and their values. Give it "
            "as well; docs/reference/data-set.md shows one."
        )
    kinds = {"unusable files": _name_problems(files), "incomplete mask pairs": _pair_problems(files)}
    if any(kinds.values()):
        parts = [f"{counted(len(found), kind)}:\n{listed(found)}" for kind, found in kinds.items() if found]
        raise BrunaError("\n".join([*parts, "Rename, complete or remove what is named."]))
    _check_editions(files)


def _name_problems(files: Files) -> list[str]:
    dataset = parse_dataset_file(read_text(files, DATASET), files[DATASET].source / DATASET)
    problems = {}
    for name in files:
        folder, _, own = name.rpartition("/")
        if problem := name_problem(name):
            problems[name] = f"{name}: {problem}"
        elif len(own.encode()) > _LONGEST_NAME:
            problems[name] = f"{name[:50]}...: its name is longer than {_LONGEST_NAME} bytes"
        elif (
            folder in LABELLED
            and not own.startswith(".")
            and (problem := name_facts(own, folder if dataset.identities else FREE).problem)
        ):
            problems[name] = f"{name}: {problem}"
    return list(problems.values())


def _pair_problems(files: Files) -> list[str]:
    images = {Path(name).stem for name in names_in(files, "masks/images")}
    masks = {Path(name).stem for name in names_in(files, "masks/masks")}
    lone = [f"masks/images/{name}: no masks/masks/{name}.png" for name in sorted(images - masks)]
    return lone + [f"masks/masks/{name}: no masks/images/{name}.jpg" for name in sorted(masks - images)]


def _check_editions(files: Files) -> None:
    """Refuse to put two editions of Market-1501 together; a single source may use both patterns for its names."""
    names = [f"{folder}/{name}" for folder in LABELLED for name in names_in(files, folder)]
    official = {files[name].source: name for name in names if has_sequence(Path(name).name)}
    course = {files[name].source: name for name in names if not has_sequence(Path(name).name)}
    if course and official and not course.keys() & official.keys():
        one, other = next(iter(course.values())), next(iter(official.values()))
        raise BrunaError(
            f"{one} is an image of the course edition, {other} one of the official release. Their identities are "
            "numbered differently: import one of the two."
        )


def annotated_identities(files: Files) -> set[int]:
    """The identities that have a row in the annotations; none where those are of images."""
    name = next((name for name in ANNOTATIONS if name in files), None)
    if name is None:
        return set()
    raw = raw_table(files[name].read(), f"{name} of {files[name].source}")
    found: Iterable[str] = raw["identity"] if "identity" in raw else ()  # noqa: SIM401 - a frame has no get of columns
    return {int(identity) for identity in found if identity.isascii() and identity.isdigit()}


def labels(files: Files, folder: str) -> set[tuple[int, int]]:
    """The pairs of identity and camera among the images of a labelled folder."""
    facts = [name_facts(name, folder) for name in names_in(files, folder)]
    return {(fact.identity, fact.camera) for fact in facts}
