"""What an import must hold together: names, identities, annotations and mask pairs, told before anything is written."""

from pathlib import Path

from bruna.dataset.annotations import accepted, raw_table
from bruna.dataset.filenames import LABELLED, name_facts, name_problem
from bruna.dataset.import_sources import Files, shown
from bruna.errors import BrunaError, counted

ANNOTATIONS = ("annotations_train.csv", "annotations_test.csv")
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
    if ANNOTATIONS[0] not in files:
        raise BrunaError(
            "the sources hold training images but no annotations: neither annotations_train.csv (course edition) "
            f"nor {MAT} (official release, from github.com/vana77/Market-1501_Attribute). Give it as one more source."
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
    official = [f"{folder}/{name}" for folder, name in names if is_official(name)]
    course = [f"{folder}/{name}" for folder, name in names if not is_official(name)]
    if course and official:
        raise BrunaError(
            f"{course[0]} is an image of the course edition, {official[0]} one of the official release. Their "
            "identities are numbered differently: import one of the two."
        )
    images = {Path(name).stem for name in names_in(files, "masks/images")}
    masks = {Path(name).stem for name in names_in(files, "masks/masks")}
    if images != masks:
        raise BrunaError(
            f"found {counted(len(images ^ masks), 'incomplete mask pairs')}: "
            f"no mask for [{shown(sorted(images - masks))}], no image for [{shown(sorted(masks - images))}]. "
            "Each images/NAME.jpg needs a masks/NAME.png."
        )


def is_official(name: str) -> bool:
    """Whether the name of a labelled image is of the official release: it has a sequence, `0002_c1s1_000451_03.jpg`."""
    return "s" in name.removesuffix(".jpg")


def annotated_identities(name: str, files: Files) -> set[int]:
    """The identities of an annotation file, which must be right in itself."""
    shown_as = f"{name} of {files[name].source}"
    return set(accepted(raw_table(files[name].read(), shown_as), shown_as).identities.tolist())


def check_annotated(files: Files, annotated: dict[str, set[int]]) -> None:
    """Every training identity must have its row."""
    missing = sorted({i for i, _ in labels(files, "train")} - annotated[ANNOTATIONS[0]])
    if missing:
        raise BrunaError(
            f"{counted(len(missing), 'training identities')} without a row in {ANNOTATIONS[0]} of "
            f"{files[ANNOTATIONS[0]].source}: {shown([f'{identity:04d}' for identity in missing])}. Add the rows, or "
            "leave the images out."
        )


def labels(files: Files, folder: str) -> set[tuple[int, int]]:
    """The pairs of identity and camera among the images of a labelled folder."""
    facts = [name_facts(name, folder) for name in names_in(files, folder)]
    return {(fact.identity, fact.camera) for fact in facts}
