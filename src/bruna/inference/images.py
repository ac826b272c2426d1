"""Images in whatever form somebody has them, opened one by one, and their pixels at the size of every network."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from bruna.batches.store import resized
from bruna.dataset.decoding import in_8_bits, open_image, read_file, reason
from bruna.dataset.filenames import SUFFIXES, name_problem, printable
from bruna.errors import BrunaError
from bruna.files import files_below

OneImage = str | Path | bytes | Image.Image | npt.NDArray[np.uint8] | Tensor
Images = OneImage | Sequence[OneImage]
"""A path, a folder, the bytes of an image file, a Pillow image, an N x 3 x H x W uint8 array or tensor; or several."""
Size = tuple[int, int]
_GIVEN = Lock()
"""Held while a Pillow image of the caller's is read: one may be given twice, and several may read the same file."""


class Source(NamedTuple):
    """An image under its name; `open` gives it as a Pillow image, or raises whatever it stumbles over."""

    name: str
    open: Callable[[], Image.Image]


@dataclass(frozen=True)
class Rejected:
    """The name of an image that is not described, and why."""

    name: str
    reason: str


class Decoded(NamedTuple):
    """Images of a block.

    `names`: of the N that could be read; `pixels`: for each size, N x 3 x H x W uint8; `rejected`: the others.
    """

    names: list[str]
    pixels: dict[Size, Tensor]
    rejected: list[Rejected]


def sources(images: Images, names: Sequence[str] | None = None) -> list[Source]:
    """List images one by one, under the names that they have in results.

    Args:
        images: see `Images`. A folder stands for all images in it, to any depth, in the order of their names. An array
            may also be 3 x H x W, one image.
        names: one an image; by default a file's path, and the number of any other image, from 0.

    Returns:
        The images, none of them opened yet.

    Raises:
        BrunaError: a folder holds no image.
        ValueError: something is not an image, an array has another shape or type, a path is empty, or names are
            missing or too many.
    """
    each = images if isinstance(images, Sequence) and not isinstance(images, str | bytes) else [images]
    found: list[Source] = []
    for image in each:
        name = str(len(found))
        if isinstance(image, str | Path):
            if image == "":  # pathlib's for the current folder
                raise ValueError(f"image {name} is an empty path: give a file or a folder")
            path = Path(image)
            files = _images_in(path) if _is_folder(path) else [path]
            if not files:
                raise _no_image(path)
            found += [Source(printable(file), partial(_open_file, file)) for file in files]
        elif isinstance(image, bytes):
            found.append(Source(name, partial(open_image, image)))
        elif isinstance(image, Image.Image):
            found.append(Source(name, partial(_open_given, image)))
        elif isinstance(image, np.ndarray | Tensor):
            pixels = _checked(image, name)
            found += [Source(str(len(found) + i), partial(_of_pixels, one)) for i, one in enumerate(pixels)]
        else:
            raise ValueError(
                f"image {name} is {type(image).__name__}: give a path, bytes, a Pillow image, or an N x 3 x H x W "
                "uint8 array or tensor"
            )
    if names is None:
        return found
    if len(names) != len(found):
        raise ValueError(f"{len(names)} names for {len(found)} images")
    return [Source(name, source.open) for name, source in zip(names, found, strict=True)]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long, for one: reading it will say so
        return False


def _images_in(folder: Path) -> list[Path]:
    """What ends as an image does and is no folder; pipes, devices and links to nothing are rejected when opened."""
    return sorted(path for path in files_below(folder) if path.suffix.lower() in SUFFIXES and not _is_folder(path))


def _no_image(*given: Path) -> BrunaError:
    return BrunaError(
        f"no image in {', '.join(map(printable, given))}: folders are searched for {', '.join(SUFFIXES)}. Give an "
        "image file itself if it ends otherwise."
    )


def files_by_id(given: Sequence[Path]) -> dict[str, Path]:
    """The image files of what a user gave, under short ids.

    A file that is named is taken whatever its ending; folders are searched. An image that is reached twice counts
    once. Its id is its file name; where two images share a name every id is the path relative to the folder that was
    given, and where these are shared too the path as it was given.

    Raises:
        BrunaError: a path does not exist, or there is no image at all.
    """
    missing = [printable(path) for path in given if not os.path.lexists(path)]
    if missing:
        raise BrunaError(
            f"{', '.join(missing)} {'does' if len(missing) == 1 else 'do'} not exist (looked in {Path.cwd()}). Give "
            "image files, or folders that hold some."
        )
    reached: dict[str, tuple[Path, Path]] = {}
    for path in given:
        for image in _images_in(path) if _is_folder(path) else [path]:
            reached.setdefault(os.path.realpath(image), (image, path))
    if not reached:
        raise _no_image(*given)
    pairs = list(reached.values())
    ids = [image.name for image, _ in pairs]
    if max(Counter(ids).values()) > 1:
        ids = [image.relative_to(top).as_posix() if _is_folder(top) else image.name for image, top in pairs]
    if max(Counter(ids).values()) > 1:
        ids = [image.as_posix() for image, _ in pairs]
    return {id_: image for id_, (image, _) in zip(ids, pairs, strict=True)}


def decode(block: Sequence[Source], sizes: Collection[Size], pool: Executor) -> Decoded:
    """Open every image of a block once and resize it to each of the sizes, as `ImageStore.decode` does."""
    names: list[str] = []
    pixels: dict[Size, list[npt.NDArray[np.uint8]]] = {size: [] for size in sizes}
    rejected: list[Rejected] = []
    for source, found in zip(block, pool.map(partial(_pixels, sizes=sizes), block), strict=True):
        if isinstance(found, str):
            rejected.append(Rejected(source.name, found))
            continue
        names.append(source.name)
        for size, one in zip(sizes, found, strict=True):
            pixels[size].append(one)
    stacked = {
        size: torch.from_numpy(np.stack(each) if each else np.zeros((0, 3, *size), np.uint8))
        for size, each in pixels.items()
    }
    return Decoded(names, stacked, rejected)


def _pixels(source: Source, sizes: Collection[Size]) -> list[npt.NDArray[np.uint8]] | str:
    """3 x H x W of each size, or why there are none."""
    try:
        image = source.open()
        return [resized(image, size).transpose(2, 0, 1) for size in sizes]
    except Exception as error:  # a caller's Pillow image may be read here, by whatever decoder
        return f"cannot be read: {reason(error)}"


def _open_file(path: Path) -> Image.Image:
    if problem := name_problem(path.name):
        raise ValueError(problem)
    return open_image(read_file(path))


def _open_given(image: Image.Image) -> Image.Image:
    with _GIVEN:
        return in_8_bits(image, "RGB")


def _checked(pixels: npt.NDArray[np.uint8] | Tensor, name: str) -> npt.NDArray[np.uint8]:
    if isinstance(pixels, Tensor) and (pixels.layout != torch.strided or pixels.is_meta or pixels.is_nested):
        raise ValueError(f"image {name} is a tensor of layout {pixels.layout} on {pixels.device}: give a dense one")
    shape = tuple(pixels.shape)
    bytes_ = pixels.dtype in (np.uint8, torch.uint8)
    if not bytes_ or len(shape) not in (3, 4) or shape[-3] != 3 or 0 in shape[-2:]:
        raise ValueError(
            f"image {name} is an array of shape {shape} and type {pixels.dtype}: give N x 3 x H x W, uint8"
        )
    array = pixels.numpy(force=True) if isinstance(pixels, Tensor) else pixels
    return array[None] if array.ndim == 3 else array


def _of_pixels(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
