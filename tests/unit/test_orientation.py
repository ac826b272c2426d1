"""EXIF orientation: what is seen of an image or a mask is its turned twin, whatever reads it."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from bruna.batches.store import decode_image
from bruna.dataset.decoding import open_image, open_mask, read_size
from bruna.dataset.inspection import inspect_file
from bruna.inference.images import sources

pytestmark = pytest.mark.filterwarnings("ignore")  # of Pillow: pytest takes the package's own filter away
Array = npt.NDArray[Any]


def encoded_as(image: Image.Image, file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


TURNED: dict[int, Callable[[Array], Array]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored.swapaxes(0, 1)[::-1, ::-1],
    8: np.rot90,
}
"""EXIF orientation -> what is seen of the stored pixels: 6 is turned clockwise, 8 the other way."""
ORIENTED: dict[str, Callable[[Array, dict[str, Any]], bytes]] = {
    "JPEG": lambda pixels, more: encoded_as(Image.fromarray(pixels), "JPEG", **more),
    "PNG": lambda pixels, more: encoded_as(Image.fromarray(pixels), "PNG", **more),
    "WEBP": lambda pixels, more: encoded_as(Image.fromarray(pixels), "WEBP", lossless=True, **more),
    "TIFF": lambda pixels, more: encoded_as(Image.fromarray(pixels), "TIFF", **more),
    "PNG of 16 bits": lambda pixels, more: encoded_as(
        Image.fromarray(pixels[..., 0].astype(np.uint16) * 257), "PNG", **more
    ),
    "TIFF of 16 bits": lambda pixels, more: encoded_as(
        Image.fromarray(pixels[..., 0].astype(np.uint16) * 257), "TIFF", **more
    ),
    "PNG with a palette": lambda pixels, more: encoded_as(Image.fromarray(pixels).quantize(16), "PNG", **more),
    "PNG with transparency": lambda pixels, more: encoded_as(Image.fromarray(pixels).convert("RGBA"), "PNG", **more),
}


def oriented(orientation: object) -> dict[str, Any]:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return {"exif": exif}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("written", ORIENTED)
def test_what_is_seen_is_the_turned_twin(written: str, orientation: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    twin, encoded = (ORIENTED[written](pixels, more) for more in ({}, oriented(orientation)))
    seen = TURNED[orientation](np.asarray(open_image(twin)))
    np.testing.assert_array_equal(np.asarray(open_image(encoded)), seen)
    height, width = seen.shape[:2]
    assert (height, width) == ((24, 16) if orientation > 4 else (16, 24))
    np.testing.assert_array_equal(decode_image(encoded, (height, width), "rgb"), np.moveaxis(seen, 2, 0))
    (tmp_path / "x.jpg").write_bytes(encoded)
    facts = inspect_file(str(tmp_path / "x.jpg"))
    assert (facts.height, facts.width) == read_size(tmp_path / "x.jpg") == (height, width)
    np.testing.assert_array_equal(np.asarray(sources(tmp_path / "x.jpg")[0].open()), seen)


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_masks_are_turned_as_images_are(orientation: int, file_format: str) -> None:
    mask = np.random.default_rng(0).random((5, 9)) < 0.5
    encoded = encoded_as(Image.fromarray(mask.astype(np.uint8) * np.uint8(255)), file_format, **oriented(orientation))
    np.testing.assert_array_equal(np.asarray(open_mask(encoded)), TURNED[orientation](mask) * np.uint8(255))


@pytest.mark.parametrize(
    "exif", [b"", b"Exif\0\0", b"Exif\0\0MM\0\x2a\xff\xff\xff\xff", b"Exif\0\0nonsense", b"x" * 50]
)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_data_turn_nothing(exif: bytes, file_format: str, tmp_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 4, 3), dtype=np.uint8))
    twin, encoded = encoded_as(image, file_format), encoded_as(image, file_format, exif=exif)
    np.testing.assert_array_equal(np.asarray(open_image(encoded)), np.asarray(open_image(twin)))
    (tmp_path / "x.jpg").write_bytes(encoded)
    assert read_size(tmp_path / "x.jpg") == (8, 4)


@pytest.mark.parametrize("orientation", [0, 9, 200])
def test_an_orientation_that_is_none_turns_nothing(orientation: int) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 4, 3), dtype=np.uint8))
    encoded = encoded_as(image, "PNG", **oriented(orientation))
    np.testing.assert_array_equal(np.asarray(open_image(encoded)), np.asarray(image))
