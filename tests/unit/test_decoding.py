"""Which files are images and masks, and that whatever looks at one, validation or a training, sees the same."""

import io
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from bruna.batches.store import decode_image
from bruna.dataset.decoding import LONGEST_SIDE, MOST_PIXELS, open_image, open_mask, read_size
from bruna.dataset.filenames import SUFFIXES
from bruna.dataset.inspection import inspect_file
from bruna.inference.images import sources

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("ignore")  # of Pillow: pytest takes the package's own filter away
Array = npt.NDArray[Any]


def _file(image: Image.Image, file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png16(pixels: Array) -> bytes:
    """A 16-bit PNG of H x W (grey), H x W x 2 (and transparency), 3 (colour) or 4; Pillow writes grey only."""
    height, width, channels = pixels.reshape(*pixels.shape[:2], -1).shape
    rows = pixels.astype(">u2").reshape(height, -1).view(np.uint8)
    data = zlib.compress(np.hstack([np.zeros((height, 1), np.uint8), rows]).tobytes())
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _tiff16(pixels: Array, mode: str) -> bytes:
    image = Image.frombytes(mode, pixels.shape[::-1], pixels.astype(">u2" if mode == "I;16B" else "<u2").tobytes())
    return _file(image, "TIFF")


SIXTEEN: dict[str, Callable[[Array], bytes]] = {
    "PNG": _png16,
    "TIFF II": lambda pixels: _tiff16(pixels, "I;16"),
    "TIFF MM": lambda pixels: _tiff16(pixels, "I;16B"),
    "PNG and transparency": lambda pixels: _png16(np.stack([pixels, np.full_like(pixels, 65535)], axis=-1)),
    "PNG in colour": lambda pixels: _png16(np.stack([pixels] * 3, axis=-1)),
}


@pytest.mark.parametrize("written", SIXTEEN)
@settings(max_examples=30, deadline=None)
@given(
    grey=arrays(np.uint8, (3, 5)),
    low=st.sampled_from([lambda v: v * 256, lambda v: v * 257, lambda v: v * 256 + 255]),
)
@example(grey=np.arange(256, dtype=np.uint8).reshape(16, 16), low=lambda v: v * 257)
@example(grey=np.full((2, 2), 64, np.uint8), low=lambda v: v * 256)
def test_16_bits_are_within_1_of_their_8_bit_twin(written: str, grey: Array, low: Callable[[Array], Array]) -> None:
    assume(grey.max() >= 64)  # darker 16 bits may be values of fewer, see below
    encoded, twin = SIXTEEN[written](low(grey.astype(np.uint16))), _file(Image.fromarray(grey), "PNG")
    for kind in ("rgb", "gray"):
        found, wanted = (decode_image(each, grey.shape, kind).astype(int) for each in (encoded, twin))  # type: ignore[arg-type]
        assert np.abs(found - wanted).max() <= 1
    assert np.abs(np.asarray(open_image(encoded), int) - grey[:, :, None]).max() <= 1


@pytest.mark.parametrize(
    ("encoded", "says"),
    [
        (_file(Image.fromarray(np.full((4, 4), 0.5, np.float32)), "TIFF"), "floating-point numbers"),
        (_file(Image.fromarray(np.full((4, 4), 200, np.int32)), "TIFF"), "signed numbers of 32 bits"),
        (_file(Image.fromarray(np.full((4, 4), 200, np.uint16)), "PNG"), "brightest is below 16,384"),
        (_png16(np.full((4, 4, 3), 255)), "brightest is below 16,384"),
        (_file(Image.fromarray(np.full((4, 4), 255, np.uint16)), "TIFF"), "brightest is below 16,384"),
        *((encode(np.full((4, 4), 4095)), "brightest is below 16,384") for encode in SIXTEEN.values()),
        *((encode(np.full((4, 4), (1 << 14) - 1)), "brightest is below 16,384") for encode in SIXTEEN.values()),
        (_file(Image.fromarray(np.full((4, 4), 9000, np.uint16)), "TIFF", tiffinfo={262: 0}), "0 means white"),
    ],
    ids=[
        *("floats", "32 bits", "8 bits in 16", "8 bits in 16, colour", "8 bits in a TIFF of 16"),
        *(f"{bits} bits in 16, {name}" for bits in (12, 14) for name in SIXTEEN),
        "inverted",
    ],
)
def test_what_has_no_known_white_is_refused(encoded: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        open_image(encoded)


def test_pixels_of_12_bits_are_refused() -> None:
    """Pillow gives them as 16: a white one of 4,095 would be a dark grey."""
    tags = [(256, 4, 2), (257, 4, 1), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 200), (277, 3, 1), (278, 4, 1)]
    tags += [(279, 4, 3)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    head = b"II\x2a\x00" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0)
    with pytest.raises(ValueError, match="unsigned numbers of 12 bits"):
        open_image(head.ljust(200, b"\0") + b"\xff\xff\xff")


MASKS: dict[str, Callable[[Array, int], bytes]] = {
    "1": lambda mask, _: _file(Image.fromarray(mask), "PNG"),
    "1, TIFF": lambda mask, _: _file(Image.fromarray(mask), "TIFF", compression="group4"),
    "L": lambda mask, white: _file(Image.fromarray(mask.astype(np.uint8) * np.uint8(white)), "PNG"),
    "L, transparent": lambda mask, white: _file(
        Image.fromarray(mask.astype(np.uint8) * np.uint8(white)), "PNG", transparency=0
    ),
    "L, BMP": lambda mask, white: _file(Image.fromarray(mask.astype(np.uint8) * np.uint8(white)), "BMP"),
    "16 bits": lambda mask, white: _file(Image.fromarray(mask.astype(np.uint16) * np.uint16(white)), "PNG"),
    "16 bits, TIFF": lambda mask, white: _tiff16(mask.astype(np.uint16) * np.uint16(white), "I;16B"),
}


def _palette(mask: Array, white: int, colors: list[int], **options: Any) -> bytes:
    image = Image.fromarray(mask.astype(np.uint8) * np.uint8(white))
    image.putpalette(colors + [7] * (768 - len(colors)))
    return _file(image, "PNG", **options)


@settings(deadline=None)
@given(
    mask=arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 9))),
    mode=st.sampled_from([*MASKS, "P"]),
    white=st.sampled_from([1, 2, 127, 254, 255]),
    colors=st.lists(st.sampled_from([0, 1, 128, 255]), min_size=6, max_size=6),
    transparent=st.booleans(),
)
@example(np.eye(3, dtype=bool), "P", 1, [0, 0, 0, 255, 255, 255], True)
@example(np.eye(3, dtype=bool), "P", 1, [128, 64, 0, 0, 0, 0], False)  # by colour: inverted
@example(np.eye(3, dtype=bool), "P", 255, [128, 64, 0, 0, 0, 0], False)  # by colour: all person
@example(np.eye(3, dtype=bool), "P", 1, [255, 255, 255, 0, 0, 0], False)
@example(np.eye(3, dtype=bool), "P", 1, [0, 0, 1, 0, 0, 0], False)
@example(np.eye(3, dtype=bool), "P", 255, [128, 128, 128, 0, 0, 0], False)
def test_an_accepted_mask_decodes_to_its_values(
    mask: Array, mode: str, white: int, colors: list[int], transparent: bool
) -> None:
    if mode == "P":
        encoded = _palette(mask, white, colors, **({"transparency": b"\0\x80"} if transparent else {}))
    else:
        encoded = MASKS[mode](mask, white)
    try:
        found = np.asarray(open_mask(encoded))
    except ValueError as error:
        allowed = white in (1, 255) or mode.startswith("1,") or mode == "1"
        # Entries 0 and 1 of the palette, or 0 and 255, are greys; the first is the brighter.
        background, person = colors[:3], colors[3:] if white == 1 else [7, 7, 7]
        greys = all(max(color) - min(color) <= 16 for color in (background, person))
        ambiguous = mode == "P" and greys and sum(background) > sum(person)
        assert ambiguous or mask.all() or not mask.any() or not allowed, error
        with pytest.raises(ValueError):
            decode_image(encoded, mask.shape, "binary")
        return
    np.testing.assert_array_equal(found, mask * np.uint8(255))
    np.testing.assert_array_equal(decode_image(encoded, mask.shape, "binary")[0], found)


@pytest.mark.parametrize(
    ("encoded", "says"),
    [
        (_palette(np.eye(4, dtype=bool), 1, [255, 255, 255, 0, 0, 0]), "shows the value 0 brighter than 1"),
        (_palette(np.eye(4, dtype=bool), 255, [240, 235, 230] + [9] * 765), "shows the value 0 brighter than 255"),
        (_file(Image.new("RGB", (4, 4)), "PNG"), r"several channels \(RGB\)"),
        (_file(Image.new("LA", (4, 4)), "PNG"), r"several channels \(LA\)"),
        (_file(Image.fromarray(np.eye(4, dtype=np.float32)), "TIFF"), "floating-point"),
        (
            _file(Image.fromarray(np.arange(16, dtype=np.uint8)), "PNG"),
            r"holds the values 0, 1, 2, .*7, \.\.\.; a mask",
        ),
        (_file(Image.new("L", (4, 4), 255), "PNG"), "holds the values 255; a mask holds two"),
    ],
    ids=["inverted palette", "inverted greys", "colour", "transparency", "floats", "many values", "one value"],
)
def test_what_is_no_mask(encoded: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "0001.png").write_bytes(encoded)
    problem = inspect_file(str(tmp_path / "0001.png"), mask=True).problem
    with pytest.raises(ValueError, match=says) as error:
        decode_image(encoded, (4, 4), "binary")
    assert problem == str(error.value)


def test_a_list_of_formats_decides_by_content(tmp_path: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 8, 3), dtype=np.uint8))
    readers: list[Callable[[Path], object]] = [
        lambda path: open_image(path.read_bytes()),
        lambda path: open_mask(path.read_bytes()),
        read_size,
        lambda path: sources(path)[0].open(),
    ]
    for suffix in SUFFIXES:
        picture.save(tmp_path / f"a{suffix}")
        (tmp_path / "x.jpg").write_bytes((tmp_path / f"a{suffix}").read_bytes())
        assert inspect_file(str(tmp_path / "x.jpg")).problem is None and read_size(tmp_path / "x.jpg") == (16, 8)
        assert sources(tmp_path / "x.jpg")[0].open().size == (8, 16)
    for other in ("EPS", "GIF", "PPM", "ICO", "TGA", "PCX", "SGI", "PDF", "DDS", "DIB", "SPIDER", "MSP"):
        image = picture.convert({"GIF": "P", "SPIDER": "F", "MSP": "1"}.get(other, "RGB"))
        (tmp_path / "x.jpg").write_bytes(_file(image, other))
        problem = inspect_file(str(tmp_path / "x.jpg")).problem
        assert problem == "it is not a JPEG, PNG, WebP, BMP or TIFF image, or its beginning is damaged", other
        for read in readers:
            with pytest.raises(ValueError, match="it is not a JPEG, PNG, WebP, BMP or TIFF image"):
                read(tmp_path / "x.jpg")


def test_of_several_frames_the_first_counts() -> None:
    red, blue = (Image.new("RGB", (4, 4), color) for color in ("red", "blue"))
    for file_format in ("TIFF", "PNG", "WEBP"):
        options = {"lossless": True} if file_format == "WEBP" else {}
        encoded = _file(red, file_format, save_all=True, append_images=[blue], **options)
        np.testing.assert_array_equal(np.asarray(open_image(encoded)), np.asarray(red))


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
def test_pixels_that_pillow_refuses_are_refused(file_format: str) -> None:
    """Asking for EXIF data loads a PNG, and what was raised there was once lost: a second try gave other pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 20, 3), dtype=np.uint8)
    whole = _file(Image.fromarray(pixels), file_format)
    refused = 0
    for at in range(2 * len(whole) // 3, len(whole), 5):  # behind what tells size and format
        encoded = whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :]
        try:
            with Image.open(io.BytesIO(encoded)) as image:
                wanted = np.asarray(image.convert("RGB"))
        except Exception:
            refused += 1
            with pytest.raises(ValueError):
                open_image(encoded)
        else:
            np.testing.assert_array_equal(np.asarray(open_image(encoded)), wanted)
    assert refused or file_format != "PNG"


def _huge_png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"\0" * 100))


@pytest.mark.parametrize(
    ("width", "height"), [(1, LONGEST_SIDE + 1), (40_000, 2), (8192, 8193), (10_000, 10_000), (30_000, 30_000)]
)
def test_an_image_that_claims_to_be_huge_is_not_decoded(width: int, height: int, tmp_path: Path) -> None:
    """And one of more than 32,767 pixels a side would not fit into the manifest."""
    (tmp_path / "x.png").write_bytes(_huge_png(width, height))
    problem = inspect_file(str(tmp_path / "x.png")).problem
    assert problem is not None and f"{MOST_PIXELS:,} at most can be read" in problem
    with pytest.raises(ValueError, match="at most can be read"):
        read_size(tmp_path / "x.png")


def test_pillow_s_warnings_are_not_for_users(tmp_path: Path) -> None:
    (tmp_path / "huge.png").write_bytes(_huge_png(10_000, 10_000))
    palette = Image.new("P", (2, 2))
    palette.save(tmp_path / "palette.png", transparency=b"\x80\0")
    code = (
        "import sys; from bruna.dataset.inspection import inspect_file\n"
        "print([inspect_file(path).problem for path in sys.argv[1:]])"
    )
    files = [str(tmp_path / name) for name in ("huge.png", "palette.png")]
    command = [sys.executable, "-W", "default", "-c", code, *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == "" and "10000 x 10000 pixels" in done.stdout and done.stdout.endswith("None]\n")


def test_images_are_opened_in_one_place() -> None:
    """Elsewhere only the project's own pictures, with their format; and an export's example, which has no bruna."""
    calls = []
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "stages").glob("*.py")]
    files.remove(ROOT / "src" / "bruna" / "export" / "example.py")
    for file in files:
        lines = file.read_text(encoding="utf-8").splitlines()
        calls += [(file.stem, line) for line in lines if re.search(r"Image\.open\(|imread\(|read_image\(", line)]
    assert [file for file, line in calls if "formats=" not in line] == []
    assert {file for file, _ in calls} == {"decoding", "blocks"}


_LYING = Image.Exif()
_LYING[0x0112] = 6
_WHOLE = [
    _file(Image.fromarray(np.eye(8, dtype=bool)).convert(mode), file_format)
    for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16")
    for file_format, modes in {
        "JPEG": ("L", "RGB", "CMYK"),
        "PNG": ("1", "L", "P", "RGBA", "I;16"),
        "WEBP": ("RGB", "RGBA"),
        "BMP": ("1", "P", "RGB"),
        "TIFF": ("1", "L", "P", "RGB", "CMYK", "I;16"),
    }.items()
    if mode in modes
] + [_file(Image.new("RGB", (8, 4), "red"), file_format, exif=_LYING) for file_format in ("JPEG", "PNG", "WEBP")]


@settings(deadline=None)
@given(
    encoded=st.sampled_from(_WHOLE),
    changes=st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=4), st.integers(0, 4)), max_size=4),
    length=st.none() | st.integers(0, 400),
)
def test_validation_accepts_what_is_decoded_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory,
    encoded: bytes,
    changes: list[tuple[int, bytes, int]],
    length: int | None,
) -> None:
    """Whatever the damage: it is said in a line, or the image can be used."""
    for at, new, old in changes:
        encoded = encoded[:at] + new + encoded[at + old :]
    file = tmp_path_factory.getbasetemp() / "x.jpg"
    file.write_bytes(encoded := encoded[:length])
    for mask in (False, True):
        problem = inspect_file(str(file), mask=mask).problem
        if problem is None:
            assert decode_image(encoded, (8, 8), "binary" if mask else "rgb").dtype == np.uint8
        else:
            assert problem and len(problem.splitlines()) == 1
            with pytest.raises(ValueError, match=re.escape(problem)):
                decode_image(encoded, (8, 8), "binary" if mask else "rgb")
