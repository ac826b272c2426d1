"""A folder per identity, as people sort pictures by hand: `anna/IMG 1.jpg`, `ben/2.png`."""

from collections import defaultdict

from bruna.dataset.filenames import is_image_name
from bruna.dataset.import_sources import Files
from bruna.errors import BrunaError

_FEWEST = 2
"""Folders with images that make a data set of people."""
_LARGEST = 10**9


def folder_per_identity(files: Files) -> Files:
    """Place the images of a source that has a folder of images for each identity; nothing where it has not.

    The folders are those that images lie right in, all in one folder at any depth. Where all of their names are
    numbers from 1, these are the identities; else they are numbered from 1 in the order of their names. No camera is
    known.

    Args:
        files: of the source, by their paths in it.

    Returns:
        Files by their place in the data set, `train/IDENTITY_c0_NAME`.

    Raises:
        BrunaError: two folders stand for the same number.
    """
    images: dict[str, list[str]] = defaultdict(list)
    for path in files:
        folder, _, name = path.rpartition("/")
        if is_image_name(name):
            images[folder].append(path)
    parents = {folder.rpartition("/")[0] for folder in images}
    if len(images) < _FEWEST or len(parents) != 1 or "" in images:
        return {}
    numbers = _numbers([folder.rpartition("/")[2] for folder in sorted(images)])
    return {
        f"train/{number:04d}_c0_{path.rpartition('/')[2]}": files[path]
        for number, folder in zip(numbers, sorted(images), strict=True)
        for path in images[folder]
    }


def _numbers(names: list[str]) -> list[int]:
    """The identities that folders of these names stand for."""
    if not all(name.isascii() and name.isdigit() and 0 < int(name) < _LARGEST for name in names):
        return list(range(1, len(names) + 1))
    numbers = [int(name) for name in names]
    if twice := next((name for name in names if numbers.count(int(name)) > 1), None):
        raise BrunaError(
            f"the folder {twice} and another are the same identity, {int(twice)}. Put their images together."
        )
    return numbers
