"""Images and masks.

What only pixels tell is one data set with all such damage, which the stage `validate` reads once.
"""

import errno
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image

from damage import Damage, refusal
from tiny_dataset import write_dataset, write_image, write_mask

ROOT = Path(__file__).parents[2]
_VALIDATE, _CHECK, _DESCRIBE = "dvc repro validate", "bruna check", "describe() in Python"
Make = Callable[[Path], object]


def _named(kind: str, says: str, make: Make) -> Damage:
    """A row of what `bruna check` finds in a data set that `make` has damaged."""

    def run(folder: Path) -> str:
        from bruna.pipeline.check import check

        data = write_dataset(folder / "data")
        make(data)
        return refusal(lambda: check(ROOT / "params.yaml", data))

    return Damage(kind, _CHECK, says, run)


def _copy(path: Path, name: str | bytes) -> None:
    shutil.copy(path, os.fsencode(path.parent) + b"/" + name if isinstance(name, bytes) else path.with_name(name))


def _linked(path: Path, to: str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(to)


def _piped(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _misnamed(path: Path) -> None:
    write_image(path, 1)
    path.rename(path.with_name(os.fsdecode(b"\xff.jpg")))


def _a_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("")


_IMAGE = "train/0005_c1_000050001.jpg"
_PIPE = "a pipe, a device or a socket, not a file"
_NO_TEXT = "its name holds control characters, or bytes that are not UTF-8; rename it"
_NAMES = [
    _named("no data set", "There is no data set", shutil.rmtree),
    _named(
        "no training images",
        "has no training images",
        lambda d: [shutil.rmtree(d / name) for name in ("train", "query")],
    ),
    _named(
        "a name without identity and camera",
        "the name is not IDENTITY_cCAMERA",
        lambda d: _copy(d / _IMAGE, "person.jpg"),
    ),
    _named(
        "digits of another script", "the name is not IDENTITY_cCAMERA", lambda d: _copy(d / _IMAGE, "٠٠٠٥_c1_1.jpg")
    ),
    _named("junk outside of gallery/", "identity -1 means junk", lambda d: _copy(d / _IMAGE, "-1_c1_1.jpg")),
    _named("another ending", "none of the endings of images", lambda d: _copy(d / "test/000001.jpg", "1.gif")),
    _named(
        "an identity under two spellings",
        "identity 5 is written 00005 here and 0005 in train/0005_c1_000050001.jpg; write it in one way",
        lambda d: _copy(d / _IMAGE, "00005_c1_1.jpg"),
    ),
    _named(
        "a camera under two spellings",
        "camera 1 is written 01 here and 1 in query/0020_c1s1_000451_03.jpg; write it in one way",
        lambda d: _copy(d / _IMAGE, "0005_c01_1.jpg"),
    ),
    _named(
        "names that differ in upper and lower case only",
        "other systems take it for A.jpg: the two differ in upper and lower case or in how accents are coded",
        lambda d: [_copy(d / "test/000001.jpg", name) for name in ("A.jpg", "a.jpg")],
    ),
    _named(
        "a name that is not UTF-8",
        rf"test/caf\xe9.jpg: {_NO_TEXT}",
        lambda d: _copy(d / "test/000001.jpg", b"caf\xe9.jpg"),
    ),
    _named(
        "a name with a line break", rf"test/a\x0ab.jpg: {_NO_TEXT}", lambda d: _copy(d / "test/000001.jpg", "a\nb.jpg")
    ),
    _named("a folder among the images", "a folder; images lie directly in it", lambda d: (d / "train/0002").mkdir()),
    _named("a pipe named as an image", f"{_IMAGE}: {_PIPE}", lambda d: _piped(d / _IMAGE)),
    _named("a link to a device", f"{_IMAGE}: {_PIPE}", lambda d: _linked(d / _IMAGE, "/dev/zero")),
    _named("a link to nothing", f"{_IMAGE}: a link that leads nowhere", lambda d: _linked(d / _IMAGE, "gone.jpg")),
    _named(
        "a file where a folder belongs",
        "cannot be searched for images: Not a directory",
        lambda d: _a_file(d / "query"),
    ),
    _named("an image without a mask", "no mask masks/masks/0001.png", lambda d: (d / "masks/masks/0001.png").unlink()),
    _named(
        "a mask without an image", "no image masks/images/0001.jpg", lambda d: (d / "masks/images/0001.jpg").unlink()
    ),
    _named(
        "two masks of an image",
        "2 masks, where one is expected: masks/masks/0001.jpg, masks/masks/0001.png",
        lambda d: _copy(d / "masks/masks/0001.png", "0001.jpg"),
    ),
]


def _saved(pixels: np.ndarray, file_format: str = "TIFF") -> Make:
    return lambda path: Image.fromarray(pixels).save(path, file_format)


def _claims(width: int, height: int) -> Make:
    """A PNG of a few bytes."""

    def write(path: Path) -> None:
        parts = [b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0), b"IDAT" + zlib.compress(b"\0")]
        chunks = (struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts)
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))

    return write


def _spoilt(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (128, 64), dtype=np.uint8)).save(path, "PNG")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


def _inverted(path: Path) -> None:
    mask = Image.fromarray(np.resize(np.array([[0], [1]], np.uint8), (128, 64)))
    mask.putpalette([255, 255, 255, 0, 0, 0])
    mask.save(path)


_IMAGES: dict[str, tuple[str, Make]] = {
    "an empty image file": ("the file is empty", lambda path: path.write_bytes(b"")),
    "an image that is cut short": (
        "image file is truncated",
        lambda path: write_image(path, 1) or path.write_bytes(path.read_bytes()[:-900]),
    ),
    "a PNG whose pixels are damaged": ("broken data stream when reading image file", _spoilt),
    "an EPS, GIF or text named .jpg": (
        "it is not a JPEG, PNG, WebP, BMP or TIFF image, or its beginning is damaged",
        lambda path: Image.new("RGB", (64, 128)).save(path, "EPS"),
    ),
    "an image of floats": ("its pixels are floating-point numbers", _saved(np.full((128, 64), 0.5, np.float32))),
    "an image of 32 bits": ("its pixels are signed numbers of 32 bits", _saved(np.full((128, 64), 9, np.int32))),
    "values of 8, 10, 12 or 14 bits in an image of 16": (
        "its pixels have 16 bits, and the brightest is below 16,384 of 65,535: nearly black, or values of fewer bits",
        _saved(np.full((128, 64), 4095, np.uint16), "PNG"),
    ),
    "16 bits with 0 as white": (
        "its pixels have 16 bits, and 0 means white; save it with 0 as black",
        lambda path: Image.fromarray(np.full((128, 64), 9000, np.uint16)).save(path, "TIFF", tiffinfo={262: 0}),
    ),
    "an image that claims 10,000 x 10,000 pixels": (
        "it has 10000 x 10000 pixels (height x width); 67,108,864 at most can be read, 32,767 a side",
        _claims(10_000, 10_000),
    ),
    "an image 40,000 pixels wide": ("it has 1 x 40000 pixels", _claims(40_000, 1)),
    "one image under two identities": (
        f"the same content as {_IMAGE}",
        lambda path: shutil.copy(path.with_name(Path(_IMAGE).name), path),
    ),
    "an image in train/ and in test/": (
        "the same content as test/000077.jpg",
        lambda path: write_image(path, 77) or shutil.copy(path, path.parents[1] / "test" / "000077.jpg"),
    ),
    "a person image of another size": ("size is '64 x 32'", lambda path: write_image(path, 8, 32, 64)),
}
_MASKS: dict[str, tuple[str, Make]] = {
    "a mask of three values": (
        "it holds the values 0, 100, 255; a mask holds two, 0 and 255 or 0 and 1",
        lambda path: write_mask(path, values=(0, 100, 255)),
    ),
    "a mask of one value": ("it holds the values 255; a mask holds two", lambda path: write_mask(path, values=(255,))),
    "a mask in colour": ("it has several channels (RGB), a mask has one", lambda path: write_image(path, 1)),
    "a mask whose palette shows 0 white and 1 black": ("so that nobody can tell which is the person", _inverted),
    "a mask of another size": ("is 80 x 48, the image 128 x 64", lambda path: write_mask(path, 48, 80)),
}


@cache
def _validated() -> dict[str, str]:
    """The line of the stage about each kind of `_IMAGES` and `_MASKS`."""
    from bruna.dataset.validation import validate_dataset
    from bruna.params import Validate

    with tempfile.TemporaryDirectory() as folder:
        data = write_dataset(Path(folder) / "data")
        paths = {kind: f"train/0002_c1_{100 + i}.jpg" for i, kind in enumerate(_IMAGES)}
        for kind, (_, make) in _IMAGES.items():
            make(data / paths[kind])
        for i, (kind, (_, make)) in enumerate(_MASKS.items(), 100):
            paths[kind] = f"masks/images/{i}.jpg"
            write_image(data / paths[kind], i)
            make(data / f"masks/masks/{i}.png")
        said = refusal(lambda: validate_dataset(data, Validate(image_size=(128, 64), on_bad_image="fail"))).splitlines()
    return {kind: next(line for line in said if line.startswith(f"  {path}: ")) for kind, path in paths.items()}


def _seen(kind: str, says: str) -> Damage:
    return Damage(kind, _VALIDATE, says, lambda _: _validated()[kind])


def _described(kind: str, says: str, make: Make) -> Damage:
    def run(folder: Path) -> str:
        from bruna.inference.describer import Describer
        from bruna.inference.settings import Settings

        make(folder / "a.jpg")
        return refusal(lambda: Describer(None, None, None, Settings()).describe(folder))

    return Damage(kind, _DESCRIBE, says, run)


def _barred(folder: Path) -> str:
    from bruna.inference.images import sources

    (folder / "deep").mkdir()
    with mock.patch("os.scandir", side_effect=PermissionError(errno.EACCES, "Permission denied")):
        return refusal(lambda: sources(folder))


ROWS = [
    *_NAMES,
    *(_seen(kind, says) for kind, (says, _) in (_IMAGES | _MASKS).items()),
    _described("a folder without images", "no image in", lambda path: path.with_suffix(".txt").write_text("")),
    _described("an image that is text", "cannot be read: it is not a JPEG, PNG", lambda path: path.write_text("text")),
    Damage(
        "a folder that may not be read",
        _DESCRIBE,
        "cannot be read: Permission denied. Make it readable, or move it",
        _barred,
    ),
    _described("a pipe among the images", f"cannot be read: it is {_PIPE}", _piped),
    _described("a link to nothing among them", "cannot be read: No such file", lambda path: _linked(path, "gone.jpg")),
    _described("an image whose name is not UTF-8", _NO_TEXT, _misnamed),
]
