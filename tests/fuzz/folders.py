"""Random damage to folders of images, masks and annotations."""

import io
import os
import random
import shutil
import socket
import stat
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from fuzz import mutated
from tiny_dataset import write_dataset

Members = dict[str, bytes]
_NAMES: tuple[bytes, ...] = (
    *(b"x", b".hidden.jpg", b"a b.jpg", b"a,b.jpg", b'a"b.jpg', b"=1+1.jpg", b"-o.jpg", b"[red]x.jpg", b"%2041?#.jpg"),
    *(b"caf\xe9.jpg", b"\xed\xa0\x80.jpg", b"\xc3\xa9.jpg", b"e\xcc\x81.jpg", b"\xe2\x80\xae.jpg"),
    *(b"two\nlines.jpg", b"\x1b[2J.jpg", b"x" * 251 + b".jpg", b"x" * 200, b"con.jpg", b"Thumbs.db", b".x.999999.part"),
    *(b"0002_c1_016620005.JPG", b"0002_c1_016620005.jpeg", b"0002_c1_1.png", b"0002_c1_1.jpg", b"00002_c1_1.jpg"),
    *("٠٠٠٢_c1_1.jpg".encode(), b"-1_c1_1.jpg", b"0000_c1_1.jpg", b"0002_c0_1.jpg", b"0002_c300_1.jpg"),
    *(b"999999999_c1_1.jpg", b"9999999999_c1_1.jpg", b"0002_c1s1_000451_03.jpg", b"0002_c1_1.jpg.jpg", b"0001.PNG"),
    *(b"0001.png", b"0001.jpg", b"0001.jpeg", b"masks", b"train", b"images", b"annotations_test.csv"),
    *(b"market_attribute.mat", b"0002_c99_1.jpg"),
)  # fmt: skip
_CELLS = (
    "",
    "0",
    "1",
    "2",
    "3",
    "9",
    "-1",
    "1.0",
    " 2 ",
    "٢",
    "0002",
    "2e0",
    "nan",
    "x" * 101,
    "x" * 99,
    '"',
    "2;1",
    "=1",
)
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "EPS", "PPM", "ICO", "TGA")
_MODES = ("1", "L", "P", "RGB", "RGBA", "CMYK", "LA", "PA", "I;16", "I", "F", "YCbCr", "LAB")
_SIZES = ((64, 128), (64, 128), (64, 128), (1, 1), (1, 128), (2, 2), (3000, 1), (33000, 1), (64, 127), (200, 300))
_LARGE = 1 << 24


@cache
def healthy() -> Members:
    """A small data set that the pipeline takes."""
    with tempfile.TemporaryDirectory() as folder:
        return {name: found for name, found in content(write_dataset(Path(folder))).items() if isinstance(found, bytes)}


def write(folder: Path, members: Members) -> Path:
    for name, data in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def content(folder: Path) -> dict[str, bytes | str]:
    """What lies below a folder, links not followed: the bytes of files, of anything else what it is."""
    found: dict[str, bytes | str] = {}
    for top, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(top, name)
            status = path.lstat()
            if _is_plain(path):
                what: bytes | str = path.read_bytes()
            elif path.is_symlink():
                what = str(path.readlink())
            else:
                what = "folder" if path.is_dir() else f"{stat.filemode(status.st_mode)} {status.st_size}"
            found[os.path.relpath(path, folder)] = what
    return found


def damage(folder: Path, draw: random.Random, times: Sequence[int] = (0, 1, 1, 1, 2, 3, 6)) -> None:
    """Do something to a few of the files and folders below a folder."""
    for _ in range(draw.choice(times)):
        paths = sorted(path for path in folder.rglob("*"))
        tables = [path for path in paths if path.suffix in (".csv", ".yaml")]
        path = draw.choice(tables if tables and draw.random() < 0.3 else paths or [folder / "x"])
        with suppress(OSError):  # two of them that exclude each other
            _damage(path, paths, draw)


def _damage(path: Path, others: Sequence[Path], draw: random.Random) -> None:
    name = os.fsdecode(draw.choice(_NAMES))
    what = draw.randrange(9)
    if what <= 3 and _is_plain(path):
        if what == 0:
            path.write_bytes(mutated(path.read_bytes(), draw))
        elif path.suffix == ".csv":
            path.write_bytes(_table(path.read_bytes(), draw))
        else:
            path.write_bytes(_picture(draw, mask="masks" in path.parts[-2:-1]))
    elif what == 4:
        path.rename(path.with_name(name))
    elif what == 5:
        _copy(path, draw.choice(others).parent / draw.choice((name, path.name, draw.choice(others).name)))
    elif what == 6:
        _remove(path)
    else:
        if draw.random() < 0.5:
            path = path.with_name(name)
        _remove(path)
        _something_else(path, others, draw)


def _something_else(path: Path, others: Sequence[Path], draw: random.Random) -> None:
    what = draw.randrange(6)
    if what == 0:
        path.mkdir()
    elif what == 1:
        os.mkfifo(path)
    elif what == 2:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(path))
    elif what == 3:
        with path.open("wb") as file:
            file.truncate(1 << 40)  # takes no space
    else:
        to = (
            path.name,
            "..",
            ".",
            "gone",
            "/dev/zero",
            "/dev/null",
            "/etc/passwd",
            draw.choice(others or [path.parent]),
            draw.choice(others or [path.parent]),
        )
        path.symlink_to(draw.choice(to))


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size < _LARGE


def _copy(path: Path, to: Path) -> None:
    if _is_plain(path):
        shutil.copy(path, to)
    elif path.is_dir() and path not in to.parents:
        shutil.copytree(path, to, symlinks=True, copy_function=_copy_plain)


def _copy_plain(path: str, to: str) -> None:
    """Large files are sparse: a copy would fill the disk."""
    if _is_plain(Path(path)):
        shutil.copy(path, to)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _picture(draw: random.Random, mask: bool) -> bytes:
    """An image in some mode, format and size; of two or three values where it stands for a mask."""
    size, mode, form = draw.choice(_SIZES), draw.choice(_MODES), draw.choice(_FORMATS)
    levels = draw.choice(((0, 255), (0, 1), (0,), (255,), (0, 128, 255))) if mask else range(256)
    pixels = np.random.default_rng(draw.randrange(1 << 30)).choice(np.array(levels, np.uint8), size[::-1])
    image = Image.fromarray(pixels)
    file = io.BytesIO()
    try:
        if mode.startswith("I;16"):
            image = Image.fromarray(pixels.astype(np.uint16) * draw.choice((1, 257)))
        elif mode == "P" and draw.random() < 0.5:
            image.putpalette(draw.randbytes(3 * draw.choice((1, 2, 256))))
        else:
            image = image.convert(mode)
        image.save(file, form, **draw.choice(({}, {}, {"compression": "tiff_lzw"}, {"compression": "group4"})))
    except (OSError, ValueError, KeyError, RuntimeError, SystemError):  # not in this mode
        image.convert("RGB").save(file, "PNG")
    return file.getvalue()


def _table(text: bytes, draw: random.Random) -> bytes:
    """A table with cells, rows or columns changed."""
    rows = [line.split(",") for line in text.decode("latin-1").splitlines()] or [[]]
    row = draw.choice(rows)
    what = draw.randrange(9)
    if what <= 2 and row:
        row[draw.randrange(len(row))] = draw.choice(_CELLS)
    elif what == 3:
        rows.remove(row)
    elif what == 4:
        rows.insert(draw.randrange(len(rows) + 1), list(row))
    elif what == 5:
        draw.shuffle(rows[1:] if draw.random() < 0.5 else row)
    elif what == 6:
        one, other = draw.randrange(30), draw.randrange(30)
        for cells in rows:
            if max(one, other) < len(cells):
                cells[one], cells[other] = cells[other], cells[one]
    elif what == 7:
        at = draw.randrange(30)
        rows = [[*cells[:at], *draw.choice(([], cells[at : at + 1] * 2)), *cells[at + 1 :]] for cells in rows]
    else:
        rows = [[f" {cell} " for cell in cells] + [""] * draw.randrange(2) for cells in rows]
    joined = draw.choice((",", ",", ",", ",", ";", "\t"))
    ending = draw.choice(("\n", "\n", "\r\n", "\r", "\n\n", "\n,,,\n"))
    return ending.join(joined.join(cells) for cells in rows).encode(
        draw.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16"))
    )
