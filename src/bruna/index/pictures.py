"""The pictures of some images of an index: its own small ones, or the originals where they can be read."""

import hashlib
from collections.abc import Callable, Collection
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bruna.dataset.decoding import open_image, read_file
from bruna.errors import BrunaError
from bruna.index.asking import Index
from bruna.index.gather import images_of
from bruna.index.store import thumbnails_of


def pictures_of(people: Index, keys: Collection[str], gallery: Path | None = None) -> dict[str, bytes]:
    """Image files by key; an image of which there is no picture is absent.

    Args:
        people: what was searched.
        keys: of some of its images.
        gallery: the source that it was made of for one search; None where it is a folder on disk. Of such a folder
            small pictures are taken, and without them the files that the keys lead to from here, if nobody has changed
            them.
    """
    wanted = set(keys)
    if gallery is not None:
        with ExitStack() as stack:
            read = {image.key: _read(image.read) for image in images_of(gallery, stack).each if image.key in wanted}
        return {key: data for key, data in read.items() if data is not None}
    pictures = thumbnails_of(Path(people.rows.name), wanted)
    without = wanted - pictures.keys()
    rows = people.rows.take(people.rows.find("key", without))
    digests = dict(zip(rows.keys, rows.digests, strict=True))
    for key in without:
        data = _read(partial(read_file, Path(key)))
        if data is not None and hashlib.sha256(data).hexdigest() == digests.get(key):
            pictures[key] = data
    return pictures


def _read(read: Callable[[], bytes]) -> bytes | None:
    """An image that can still be read: files may have changed meanwhile, and a key is a path by chance."""
    try:
        data = read()
        open_image(data)
    except (OSError, ValueError, BrunaError):
        return None
    return data
