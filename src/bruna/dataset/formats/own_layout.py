"""The layout of `data/` itself; and those that differ from it in the names of folders only.

The course edition and the official release of Market-1501, and pairs of image and person mask. Their annotation files
are kept as they are here: parts of them may come from several sources, and are put together when all are there.
"""

from bruna.dataset.annotations import ANNOTATIONS
from bruna.dataset.dataset_file import COURSE_ANNOTATIONS, DATASET
from bruna.dataset.filenames import LABELLED, UNLABELLED_SUBSETS, is_image_name, printable
from bruna.dataset.formats.base import Format
from bruna.dataset.formats.source_files import Files
from bruna.errors import BrunaError

_PLACES = {folder: folder for folder in LABELLED} | {"bounding_box_train": "train", "bounding_box_test": "gallery"}
"""Folders of labelled images in a source, and their folder in the data set."""
TOP = (DATASET, *ANNOTATIONS, *COURSE_ANNOTATIONS)
"""Files that lie at the top of a data set."""


def place_of(path: str) -> str | None:
    """The place in the data set of a file at `path` in a source; None where it has none."""
    parts = path.split("/")
    stem, _, suffix = parts[-1].rpartition(".")
    suffix = suffix.lower()
    name = f"{stem}.{suffix}"
    match (*parts[:-1], suffix):
        case (_,) if name in TOP:
            return name
        case (folder, _) if folder in _PLACES and is_image_name(name):
            return f"{_PLACES[folder]}/{name}"
        case (folder, _) if folder in UNLABELLED_SUBSETS and is_image_name(name):
            return f"{folder}/{name}"
        case ("masks", "images", _) | ("images", _) if is_image_name(name):
            return f"masks/images/{name}"
        case ("masks", "masks", _) | ("masks", _) if is_image_name(name):
            return f"masks/masks/{name}"
    return None


def placed(files: Files) -> Files:
    """Take what lies in folders of these names, and the files at the top.

    Raises:
        BrunaError: two files have one place.
    """
    found = {path: place for path in files if (place := place_of(path))}
    if all(place.startswith("masks/images/") for place in found.values()) and "masks/images" not in _folders(found):
        return {}  # a folder that happens to be called images
    taken: dict[str, str] = {}
    for path, place in found.items():
        if (other := taken.setdefault(place, path)) != path:
            raise BrunaError(
                f"{files[path].source} holds {printable(place)} twice, as {printable(other)} and as {printable(path)}. "
                "Keep one of them."
            )
    return {place: files[path] for place, path in taken.items()}


def _folders(paths: dict[str, str]) -> set[str]:
    return {path.rpartition("/")[0] for path in paths}


OWN = Format(
    name="the layout of data/",
    layout="train/, query/, gallery/, queries/, test/, masks/images/ with masks/masks/, dataset.yaml, annotations.csv",
    follows="docs/reference/data-set.md",
    read=placed,
)
COURSE = Format(
    name="Market-1501, course edition",
    layout="train/ with annotations_train.csv; test/ with queries/",
    follows="the edition's own files; the real ones were read",
    read=placed,
)
MARKET1501 = Format(
    name="Market-1501, official",
    layout="bounding_box_train/, query/, bounding_box_test/; market_attribute.mat anywhere or as a source of its own",
    follows="the names of the release (Zheng et al. 2015); images that are named so were read, the release was not",
    read=placed,
)
MASKS = Format(
    name="person masks",
    layout="images/*.jpg with masks/*.png of the same names",
    follows="the usual layout of segmentation data; a real set of 1,003 pairs was read",
    read=placed,
)
