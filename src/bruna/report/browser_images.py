"""Small pictures for pages: an image as WebP, the outline of a mask as PNG, both as `data:` URLs."""

import base64
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from bruna.dataset.decoding import open_image

SMALL = (64, 128)
"""Width and height at most, pixels."""
_QUALITY = 70
_PERSON = 128
"""Of 255: the probability from which on a pixel belongs to the person."""
_LINE, _EDGE = (255, 221, 51), (0, 0, 0)
"""Bright and dark side by side are seen on any image."""


def small_image(encoded: bytes, most: tuple[int, int] = SMALL) -> str:
    """An image file as a small picture.

    Args:
        encoded: the file.
        most: width and height at most, pixels; a smaller image stays as it is.

    Raises:
        ValueError: it cannot be decoded.
    """
    image = open_image(encoded)
    image.thumbnail(most, Image.Resampling.BILINEAR)
    file = io.BytesIO()
    image.save(file, "WEBP", quality=_QUALITY, method=4)
    return _url("webp", file)


def outline(mask: npt.NDArray[np.uint8], most: tuple[int, int] = SMALL) -> str | None:
    """The line round the person in a mask, transparent elsewhere; None where the mask shows nobody.

    Args:
        mask: H x W, the probability of the person times 255.
        most: width and height at most, pixels.
    """
    small = Image.fromarray(mask)
    small.thumbnail(most, Image.Resampling.BILINEAR)
    person = np.asarray(small) >= _PERSON
    if not person.any():
        return None
    # Beyond the picture all goes on as at its border, so that there is no line along it.
    inside, around = _neighbors(person, np.logical_and), _neighbors(person, np.logical_or)
    codes = np.where(person & ~inside, 1, np.where(around & ~person, 2, 0)).astype(np.uint8)
    picture = Image.fromarray(codes, "L").convert("P")
    picture.putdata(codes.ravel().tolist())
    picture.putpalette([*(0, 0, 0), *_LINE, *_EDGE])
    file = io.BytesIO()
    picture.save(file, "PNG", bits=2, transparency=0, optimize=True)
    return _url("png", file)


def mask_of(encoded: bytes) -> npt.NDArray[np.uint8]:
    """The mask in a PNG file of the stage `segment`, H x W."""
    return np.asarray(open_image(encoded, "L"))


def _neighbors(person: npt.NDArray[np.bool_], combine: np.ufunc) -> npt.NDArray[np.bool_]:
    """Each pixel combined with the four beside it."""
    wide = np.pad(person, 1, mode="edge")
    shifted = (wide[1:-1, 1:-1], wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:])
    found: npt.NDArray[np.bool_] = combine.reduce(np.stack(shifted), axis=0)
    return found


def _url(kind: str, file: io.BytesIO) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
