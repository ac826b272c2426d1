"""A folder per identity, as people sort pictures by hand: `anna/IMG 1.jpg`, `ben/2.png`."""

from collections import defaultdict

from bruna.dataset.filenames import is_image_name, printable
from bruna.dataset.formats.base import Format, flat_name, labelled_name, numbered
from bruna.dataset.formats.source_files import Files
from bruna.errors import BrunaError

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
    placed: Files = {}
    for folder, paths in images.items():
        person = folder.rpartition("/")[2]
        told = "" if str(number[person]) == person.lstrip("0") else f"{person}_"  # a name stays in those of the images
        for path in paths:
            name = flat_name(told + path.rpartition("/")[2])
            place = f"train/{labelled_name(number[person], 0, name)}"
            if place in placed:
                raise BrunaError(f"{files[path].source}: another image gets the name of {printable(path)}. Rename it.")
            placed[place] = files[path]
    return placed


PEOPLE = Format(
    name="a folder per identity",
    layout="anna/*.jpg, ben/*.png, ...: folders of one folder; no camera is known",
    follows="the way of torchvision's ImageFolder",
    read=read,
)
