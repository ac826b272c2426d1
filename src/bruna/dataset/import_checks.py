"""What an import must hold together: names, identities, annotations and mask pairs, told before anything is written."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from bruna.dataset.annotations import ANNOTATIONS, raw_table
from bruna.dataset.dataset_file import DATASET
from bruna.dataset.filenames import LABELLED, has_sequence, name_facts, name_problem
from bruna.dataset.import_sources import Files, shown
from bruna.errors import BrunaError, counted

MAT = "market_attribute.mat"

_LONGEST_NAME = 255
"""Bytes of a file name that every usual file system takes."""


def names_in(files: Files, folder: str) -> list[str]:
    """The names of the files right in a folder of the data set, hidden ones left out."""
    found = (name.rpartition("/") for name in files)
    return [name for within, _, name in found if within == folder and not name.startswith(".")]


def check_files(files: Files) -> None:
    """What must be there, and that the names of labelled images follow one of the two patterns throughout."""
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
    names = [(folder, name) for folder in LABELLED for name in names_in(files, folder)]
    problems = [
        f"{folder}/{name}: {facts.problem}" for folder, name in names if (facts := name_facts(name, folder)).problem
    ]
    for name in files:
        if problem := name_problem(name):
            problems.append(f"{name}: {problem}")
        elif len(Path(name).name.encode()) > _LONGEST_NAME:
            problems.append(f"{name[:50]}...: its name is longer than {_LONGEST_NAME} bytes")
    if problems:
        raise BrunaError(
            f"{counted(len(problems), 'files')} cannot be used: {shown(problems)}.\nRename or remove what is named."
        )
    _check_editions(files, [f"{folder}/{name}" for folder, name in names])
    images = {Path(name).stem for name in names_in(files, "masks/images")}
    masks = {Path(name).stem for name in names_in(files, "masks/masks")}
    if images != masks:
        raise BrunaError(
            f"found {counted(len(images ^ masks), 'incomplete mask pairs')}: "
            f"no mask for [{shown(sorted(images - masks))}], no image for [{shown(sorted(masks - images))}]. "
            "Each images/NAME.jpg needs a masks/NAME.png."
        )


def _check_editions(files: Files, names: Sequence[str]) -> None:
    """Refuse to put two editions of Market-1501 together; a single source may use both patterns for its names."""
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
