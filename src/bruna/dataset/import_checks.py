"""What an import must hold together: names, identities, annotations and mask pairs, told before anything is written."""

import csv
import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from bruna.dataset.attributes import ANNOTATION_COLUMNS
from bruna.dataset.filenames import LABELLED, name_facts
from bruna.dataset.import_sources import shown
from bruna.errors import BrunaError, counted

ANNOTATIONS = ("annotations_train.csv", "annotations_test.csv")
MAT = "market_attribute.mat"

Files = dict[str, tuple[Path, Callable[[], bytes]]]
"""Where a file of the data set comes from: its source and how to read it, by its path in the data set."""


def names_in(files: Files, folder: str) -> list[str]:
    """The names of the files right in a folder of the data set."""
    return [name.removeprefix(f"{folder}/") for name in files if name.startswith(f"{folder}/")]


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
    if problems:
        raise BrunaError(
            f"{counted(len(problems), 'names of images')} cannot be used: {shown(problems)}. Rename or remove them."
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
    """The identities of an annotation file."""
    path, read = files[name]
    try:
        reader = csv.DictReader(io.StringIO(read().decode("utf-8-sig")))
        if {column.strip() for column in reader.fieldnames or ()} != set(ANNOTATION_COLUMNS):
            raise BrunaError(f"{path}: the header of {name} is not {','.join(ANNOTATION_COLUMNS)}.")
        identities = [int(row["id"]) for row in reader]
    except (UnicodeDecodeError, csv.Error, ValueError, KeyError) as error:
        raise BrunaError(f"{path}: {name} cannot be read as a table of annotations ({error}).") from None
    twice = sorted(identity for identity, count in Counter(identities).items() if count > 1)
    if twice:
        raise BrunaError(f"{path}: {name} has several rows for identity {shown([str(i) for i in twice])}.")
    return set(identities)


def check_annotated(files: Files, annotated: dict[str, set[int]]) -> None:
    """Every training identity must have its row."""
    missing = sorted({i for i, _ in labels(files, "train")} - annotated[ANNOTATIONS[0]])
    if missing:
        raise BrunaError(
            f"{counted(len(missing), 'training identities')} without a row in {ANNOTATIONS[0]} of "
            f"{files[ANNOTATIONS[0]][0]}: {shown([f'{identity:04d}' for identity in missing])}. Add the rows, or "
            "leave the images out."
        )


def labels(files: Files, folder: str) -> set[tuple[int, int]]:
    """The pairs of identity and camera among the images of a labelled folder."""
    facts = [name_facts(name, folder) for name in names_in(files, folder)]
    return {(fact.identity, fact.camera) for fact in facts}
