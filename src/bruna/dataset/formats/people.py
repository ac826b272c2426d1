"""A folder per identity, as people sort pictures by hand: `anna/IMG 1.jpg`, `ben/2.png`."""

from collections import defaultdict

from bruna.dataset.filenames import is_image_name
from bruna.dataset.formats.base import Format, labelled_name, numbered
from bruna.dataset.formats.source_files import Files

_FEWEST = 2
"""Folders with images that make a data set of people."""


def read(files: Files) -> Files:
    """Place the images of a source that has a folder of images for each identity; nothing where it has not.

    The folders are those that images lie right in, all in one folder at any depth. Where all of their names are
    numbers from 1, these are the identities; else they are numbered from 1 in the order of their names. No camera is
    known.
    """
    images: dict[str, list[str]] = defaultdict(list)
    for path in files:
        folder, _, name = path.rpartition("/")
        if is_image_name(name):
            images[folder].append(path)
    parents = {folder.rpartition("/")[0] for folder in images}
    if len(images) < _FEWEST or len(parents) != 1 or "" in images:
        return {}
    number = numbered(folder.rpartition("/")[2] for folder in images)
    return {
        f"train/{labelled_name(number[folder.rpartition('/')[2]], 0, path.rpartition('/')[2])}": files[path]
        for folder, paths in images.items()
        for path in paths
    }


PEOPLE = Format(
    name="a folder per identity",
    layout="anna/*.jpg, ben/*.png, ...: folders of one folder; no camera is known",
    follows="the way of torchvision's ImageFolder",
    read=read,
)
