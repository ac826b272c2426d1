"""Image files to pixels, in one place: what validation accepts, trainings, descriptions and drawings decode alike.

Formats are JPEG, PNG, WebP, BMP and TIFF, whatever the file is called; of several frames or pages the first counts.
Transparency is dropped: the colour beneath it counts. EXIF orientation is obeyed.
"""

import io
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from bruna.files import read_regular

MOST_PIXELS = 1 << 26
"""An image of 8,192 x 8,192; a file of a few kilobytes can claim to hold any number."""
LONGEST_SIDE = (1 << 15) - 1
"""Pixels; the manifest keeps sides in 16 bits."""
_LARGEST_FILE = 8 * MOST_PIXELS
"""Bytes: four channels of 16 bits, uncompressed."""
# Without a list Pillow would try every format that it knows, some of them by running other programs (EPS).
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
_MASK_VALUES = ([0, 1], [0, 255], [0, 65535])
_DARKEST_WHITE = 1 << 14
"""What the brightest pixel of a 16-bit image must reach: cameras of 10, 12 and 14 bits store theirs in 16 as they are,
and such an image would be nearly black."""
_FEWER_BITS = (
    f"its pixels have 16 bits, and the brightest is below {_DARKEST_WHITE:,} of 65,535: nearly black, or values of "
    "fewer bits; save it with 8 bits"
)
_GREY = 16
"""By what the channels of a color that is seen as a grey differ at most."""
_Taken = TypeVar("_Taken")

# Oddities that Pillow warns of are judged here, or do not matter; its warnings would stand among messages to users. A
# filter for the whole process, since warnings.catch_warnings is not for threads, and images are decoded by several.
warnings.filterwarnings("ignore", module=r"PIL\.")


def read_file(path: Path) -> bytes:
    """The bytes of an image file.

    Raises:
        OSError: it cannot be read, is no regular file (which is then not opened) or is larger than any image.
    """
    return read_regular(path, _LARGEST_FILE)


def open_image(encoded: bytes, mode: Literal["RGB", "L"] = "RGB") -> Image.Image:
    """Decode an image in its own size; see `in_8_bits`.

    Raises:
        ValueError: it cannot be decoded, or has too many pixels; the message says why.
    """
    return _decoded(encoded, partial(in_8_bits, mode=mode))


def open_mask(encoded: bytes) -> Image.Image:
    """Decode a mask in its own size: L, 255 where its file holds 1, 255 or (in 16 bits) 65535, 0 where it holds 0.

    Of an image with a palette the numbers count, not the colours that they are shown in.

    Raises:
        ValueError: it cannot be decoded, has several channels or other values, or its palette contradicts its
            values; the message says why.
    """
    return _decoded(encoded, _mask)


def read_size(path: Path) -> tuple[int, int]:
    """Height and width of an image file, as its header tells them, EXIF orientation obeyed.

    Raises:
        OSError: as `read_file` says.
        ValueError: as `open_image` says.
    """
    return _decoded(read_file(path), lambda image: image.size if _lies(image) else (image.height, image.width))


def in_8_bits(image: Image.Image, mode: Literal["RGB", "L"]) -> Image.Image:
    """An image of any of Pillow's modes as RGB or L.

    16-bit grey is divided by 257 (Pillow would clip it: all but the darkest 255 of 65,536 levels would be white),
    rounded up, so that 8-bit levels times 256 come out as well as those times 257. Of 16-bit colour Pillow keeps the
    upper 8 bits.

    Raises:
        ValueError: nothing says which of its values is white: floats, more than 16 bits, or at most 14 in 16.
    """
    _refuse_unknown_white(image)
    grey = image.mode.startswith("I")
    cut = not grey and ";16" in str(getattr(image, "tile", ""))  # the coding of its pixels; gone when they are loaded
    image = _upright(image)
    if grey:  # 16 bits: I;16, I;16B and others, and I where a caller's image has 32
        pixels = np.asarray(image).astype(np.int64)
        if pixels.min() < 0 or pixels.max() >= 1 << 16:
            raise ValueError("its pixels have more than 16 bits; save it with 8 or 16")
        if 0 < pixels.max() < _DARKEST_WHITE:
            raise ValueError(_FEWER_BITS)
        image = Image.fromarray(((pixels + 256) // 257).astype(np.uint8))
    if "transparency" in image.info:  # on its way to RGB or L Pillow would warn that it gets lost
        image = image.copy()
        del image.info["transparency"]
    image = image.convert(mode)
    if cut and np.asarray(image).max() < _DARKEST_WHITE >> 8:
        raise ValueError(_FEWER_BITS)
    return image


def _upright(image: Image.Image) -> Image.Image:
    """An image as its EXIF data turn it."""
    # Before anything asks for the EXIF data: Pillow loads a PNG for them, and a second try takes damaged pixels.
    image.load()
    return image if _orientation(image) == 1 else ImageOps.exif_transpose(image)


def _orientation(image: Image.Image) -> int:
    """EXIF's: 1 upright, 5 to 8 lying on a side; 1 where the data are damaged, which says nothing of the pixels."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # whatever the damage makes Pillow stumble over
        return 1
    return found if found in range(1, 9) else 1


def _lies(image: Image.Image) -> bool:
    """Whether height and width of an opened image are still exchanged."""
    # Of a TIFF Pillow turns the size itself.
    return not isinstance(image, TiffImagePlugin.TiffImageFile) and 5 <= _orientation(image) <= 8


def reason(error: Exception) -> str:
    """Why a file cannot be read or decoded, in one line: of what the operating system or Pillow raised."""
    text = (isinstance(error, OSError) and error.strerror) or str(error)
    return text.splitlines()[0] if text else type(error).__name__


def _decoded(encoded: bytes, take: Callable[[Image.Image], _Taken]) -> _Taken:
    """Open an image, and take from it what is wanted."""
    if not encoded:
        raise ValueError("the file is empty")
    try:
        with Image.open(io.BytesIO(encoded), formats=_FORMATS) as image:
            if image.width * image.height > MOST_PIXELS or max(image.size) > LONGEST_SIDE:
                raise ValueError(_too_large(f"{image.height} x {image.width} pixels (height x width)"))
            return take(image)
    except UnidentifiedImageError:
        raise ValueError("it is not a JPEG, PNG, WebP, BMP or TIFF image, or its beginning is damaged") from None
    except Image.DecompressionBombError:
        raise ValueError(_too_large(f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels")) from None
    except Exception as error:  # Pillow's decoders raise a dozen types, from SyntaxError to struct.error
        raise ValueError(reason(error)) from error


def _too_large(found: str) -> str:
    return f"it has {found}; {MOST_PIXELS:,} at most can be read, {LONGEST_SIDE:,} a side"


def _refuse_unknown_white(image: Image.Image) -> None:
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, whose range is unknown; save it with 8 or 16 bits")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = set(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))
        signed = set(image.tag_v2.get(TiffImagePlugin.SAMPLEFORMAT, (1,))) != {1}
        if signed or not bits <= {1, 2, 4, 8, 16}:
            kind = "signed" if signed else "unsigned"
            raise ValueError(f"its pixels are {kind} numbers of {max(bits)} bits; save it with 8 or 16, unsigned")
        # Pillow inverts such an image where it has fewer bits.
        if bits == {16} and image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0:
            raise ValueError("its pixels have 16 bits, and 0 means white; save it with 0 as black")


def _mask(image: Image.Image) -> Image.Image:
    _refuse_unknown_white(image)
    if image.mode not in ("1", "L", "P") and not image.mode.startswith("I"):
        raise ValueError(f"it has several channels ({image.mode}), a mask has one")
    image = _upright(image)
    pixels: npt.NDArray[np.generic] = np.asarray(image)
    values = [int(value) for value in np.unique(pixels)]
    if values not in _MASK_VALUES:
        shown = ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
        raise ValueError(f"it holds the values {shown}; a mask holds two, 0 and 255 or 0 and 1")
    if image.mode == "P":
        colors = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
        # Two greys say which is white, two colors nothing.
        if len(colors) > values[1] and (np.ptp(colors[values], axis=1) <= _GREY).all():
            background, person = colors[values].mean(axis=1)
            if background > person:
                raise ValueError(
                    f"its palette shows the value 0 brighter than {values[1]}, so that nobody can tell which is the "
                    "person; save it without a palette, the person white"
                )
    return Image.fromarray(np.where(pixels != 0, np.uint8(255), np.uint8(0)))
