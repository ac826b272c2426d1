"""MSMT17: folders of images for each identity, and four lists that say what each image is for.

A line of a list is `0000/0000_000_01_0303morning_0015_0.jpg 0`: a path below the folder of images, and the number of
the identity. The name is the identity, a running number, the camera (from 1), when it was taken, and two numbers that
say nothing here; some end with `_ex`.
"""

import re
from typing import NamedTuple

from bruna.dataset.dataset_file import DatasetFile
from bruna.dataset.formats.base import RESEARCH_ONLY, Format, labelled_name, read_text, refuse, with_schema
from bruna.dataset.formats.source_files import Files
from bruna.errors import BrunaError

_VERSIONS = {"V1": ("train", "test"), "V2, faces masked": ("mask_train_v2", "mask_test_v2")}
"""The folders of images of training and of test, by version."""
_LISTS = {"list_train.txt": "train", "list_val.txt": "train", "list_query.txt": "query", "list_gallery.txt": "gallery"}
"""The place in the data set of the images in a list; those of list_val show training identities."""
_LINE = re.compile(
    r"(?P<path>(?:[^/]+/)*(?P<name>\d+_\d+_0*(?P<camera>[1-9]\d{0,3})_[^/\s]+))\s+(?P<identity>\d{1,8})", re.ASCII
)
_EXAMPLE = "0000/0000_000_01_0303morning_0015_0.jpg 0"


class _Image(NamedTuple):
    path: str
    name: str
    folder: str
    camera: int
    identity: int


def read(files: Files) -> Files:
    """Place the images that the lists name; those that no list names are left out.

    The identities of training and of test are numbered apart in the lists, both from 0. Here a training identity is
    the number in the list plus 1, and those of the test follow after the largest of them.
    """
    source = next(iter(files.values())).source
    there = {path.partition("/")[0] for path in files if "/" in path}
    versions = [version for version, folders in _VERSIONS.items() if there & set(folders)]
    if len(versions) != 1 or not set(_VERSIONS[versions[0]]) <= there:
        known = ", or ".join(f"{train}/ and {test}/ ({version})" for version, (train, test) in _VERSIONS.items())
        found = ", ".join(f"{folder}/" for folder in sorted(there))
        raise BrunaError(
            f"{source}: the lists of MSMT17 need the images of one version: {known}. Found {found}. Give one of them "
            "with its own lists."
        )
    images = _listed(files, *_VERSIONS[versions[0]])
    training = max((image.identity for image in images if image.folder == "train"), default=-1) + 1
    placed: Files = {}
    for image in images:
        identity = image.identity + 1 + (0 if image.folder == "train" else training)
        placed[f"{image.folder}/{labelled_name(identity, image.camera, image.name)}"] = files[image.path]
    dataset = DatasetFile(
        name="MSMT17",
        source="Wei et al., Person Transfer GAN to Bridge Domain Gap for Person Re-Identification, 2018; its "
        f"version {versions[0]}",
        terms=RESEARCH_ONLY,
        cameras="1 to 15, as in the release: 12 outdoors, 3 indoors",
    )
    return with_schema(placed, dataset, None, source)


def _listed(files: Files, train: str, test: str) -> list[_Image]:
    """The images that the lists name.

    Raises:
        BrunaError: it names every wrong line, and every image that is listed and is not there.
    """
    images: list[_Image] = []
    wrong, missing = [], []
    first: dict[str, str] = {}
    for list_name, folder in _LISTS.items():
        below = train if folder == "train" else test
        for number, line in enumerate(map(str.strip, read_text(files, list_name).splitlines()), start=1):
            at = f"{list_name}, line {number}"
            match = _LINE.fullmatch(line)
            if match is None:
                wrong += [f"{at}: {line[:200]!r}"] if line else []
                continue
            path, name = f"{below}/{match['path']}", match["name"]
            if (other := first.setdefault(f"{below}/{name}", at)) != at:
                wrong.append(f"{at}: {name} stands in {other} already")
            elif path not in files:
                missing.append(f"{at}: {path} is not there")
            images.append(_Image(path, name, folder, int(match["camera"]), int(match["identity"])))
    refuse(
        wrong + missing,
        "wrong lines",
        f"They are in the lists of {files[list_name].source}. A line is such as {_EXAMPLE}: the third number of the "
        "name is the camera, from 1. Give all images and the lists as they were released, or correct these lines.",
    )
    return images


MSMT17 = Format(
    name="MSMT17",
    layout="train/ and test/ (V2: mask_train_v2/, mask_test_v2/) with list_train.txt, list_val.txt, list_query.txt, "
    "list_gallery.txt",
    follows="torchreid's and fast-reid's readers; no real copy was read",
    read=read,
    signs=("list_train.txt", "list_query.txt", "list_gallery.txt", "mask_train_v2/", "mask_test_v2/"),
    needs=(*_LISTS, "train/|mask_train_v2/", "test/|mask_test_v2/"),
)
