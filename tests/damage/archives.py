"""Archives, folders and attribute files that are imported."""

import io
import os
import shutil
import stat
import struct
import sys
import warnings
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
import scipy.io
from PIL import Image

from bruna.dataset.annotations import annotations_csv
from bruna.dataset.course import ANNOTATION_COLUMNS, ATTRIBUTES
from bruna.dataset.dataset_file import DatasetFile, dataset_text
from bruna.dataset.formats.course import course_annotations
from damage import Damage, bruna

Members = dict[str, bytes]
CENTRAL, LOCAL = b"PK\x01\x02", b"PK\x03\x04"


def picture(text: str, form: str = "JPEG") -> bytes:
    """A tiny image of its own content: decoders stop before the text at its end."""
    file = io.BytesIO()
    Image.fromarray(np.array([[0, 255]] * 2, dtype=np.uint8)).save(file, form)
    return file.getvalue() + text.encode()


def annotations(*identities: int) -> bytes:
    """An annotation file with a row an identity, every value 1."""
    ones = ",1" * (len(ANNOTATION_COLUMNS) - 1)
    return "\n".join([",".join(ANNOTATION_COLUMNS), *(f"{i}{ones}" for i in identities), ""]).encode()


IMAGE = "train/0002_c1_000000001.jpg"
GOOD = {
    IMAGE: picture("two"),
    "train/0007_c2_000000001.jpg": picture("seven"),
    "annotations_train.csv": annotations(2, 7),
}
_SCHEMA = {attribute.name: attribute.values for attribute in ATTRIBUTES}
LAID_OUT = {
    **{name: data for name, data in GOOD.items() if name.startswith("train/")},
    "annotations.csv": annotations_csv(course_annotations(annotations(2, 7), "annotations_train.csv")),
    "dataset.yaml": dataset_text(
        DatasetFile(
            name="Market-1501, course edition", terms="research use only, not to be redistributed", attributes=_SCHEMA
        )
    ).encode(),
}
"""What an import makes of GOOD."""
_CORRECTED = LAID_OUT | {"annotations.csv": LAID_OUT["annotations.csv"].replace(b"7,young", b"7,adult")}
MASKS = {"images/1.jpg": picture("photo"), "masks/1.png": picture("", "PNG")}
OFFICIAL = {f"bounding_box_train/000{n}_c1s1_000451_0{n}.jpg": picture(str(n)) for n in (2, 7)}


def packed(members: Members, method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def unpacked(folder: Path, members: Members) -> Path:
    for name, data in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def _archive(kind: str, says: str, make: Callable[[], bytes]) -> Damage:
    """A row of an archive, made by `make`."""

    def run(folder: Path) -> str:
        (folder / "people.zip").write_bytes(make())
        said = bruna(folder, "bruna import people.zip")
        assert [path.name for path in folder.iterdir()] == ["people.zip"]
        return said

    return Damage(kind, "bruna import people.zip", says, run)


def _holding(kind: str, says: str, members: Members, method: int = zipfile.ZIP_STORED) -> Damage:
    return _archive(kind, says, lambda: packed(members, method))


def _folder(kind: str, says: str, make: Callable[[Path], object], command: str = "bruna import people") -> Damage:
    """A row of what `make` does to a folder `people` that could be imported."""

    def run(folder: Path) -> str:
        make(unpacked(folder / "people", GOOD))
        return bruna(folder, command)

    return Damage(kind, command, says, run)


def _target(kind: str, says: str, members: Members, command: str = "bruna import people.zip") -> Damage:
    """A row of a folder `data` that holds something already, and that nothing happens to."""

    def run(folder: Path) -> str:
        data = unpacked(folder / "data", members)
        (folder / "people.zip").write_bytes(packed(GOOD))
        (folder / "masks.zip").write_bytes(packed(MASKS))
        said = bruna(folder, command)
        found = {p.relative_to(data).as_posix(): p.read_bytes() for p in data.rglob("*") if p.is_file()}
        assert found == members
        return said

    return Damage(kind, command, says, run)


def _changed(data: bytes, *changes: tuple[bytes, int, bytes]) -> bytes:
    """Bytes put in at places that count from the last occurrence of a marker."""
    found = bytearray(data)
    for marker, offset, new in changes:
        at = data.rindex(marker) + offset
        found[at : at + len(new)] = new
    return bytes(found)


def _linked() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        link = zipfile.ZipInfo(IMAGE)
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    return file.getvalue()


def _twice() -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(file, "w") as archive:
        archive.writestr(IMAGE, b"1")
        archive.writestr(IMAGE, b"2")
    return file.getvalue()


def _broken_lzma() -> bytes:
    data = packed(GOOD, zipfile.ZIP_LZMA)
    at = data.index(b"train/0007_c2_000000001.jpg") + 60
    return data[:at] + bytes(20) + data[at + 20 :]


def _overlapping() -> bytes:
    """Two hundred entries of the directory for one member."""
    data = packed({"test/000.jpg": bytes(range(256)) * 200})
    at, end = data.index(CENTRAL), data.index(b"PK\x05\x06")
    entries = b"".join(data[at:end].replace(b"000.jpg", b"%03d.jpg" % number) for number in range(200))
    return data[:at] + entries + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 200, 200, len(entries), at, 0)


_ARCHIVES = [
    _archive("a zip archive that is cut short", "cannot be opened as a zip archive", lambda: packed(GOOD)[:-40]),
    _archive("something else named .zip", "it is none, or is cut short", lambda: b"hello"),
    _archive("an empty archive", "is empty: it holds no files", lambda: packed({})),
    _archive(
        "changed bytes in an archive",
        "cannot be unpacked (Bad CRC-32",
        lambda: packed(GOOD).replace(b"seven", b"ELEVE"),
    ),
    _archive(
        "changed bytes in an LZMA member",
        "train/0007_c2_000000001.jpg cannot be unpacked",
        _broken_lzma,
    ),
    _archive(
        "a name marked as UTF-8 that is not",
        "cannot be opened as a zip archive ('utf-8' codec can't decode",
        lambda: _changed(packed({"\xe9.jpg": b"1"}), (CENTRAL, 46, b"\xff")),
    ),
    _archive(
        "an archive of an unknown version",
        "cannot be opened as a zip archive (zip file version",
        lambda: _changed(packed(GOOD), (CENTRAL, 6, b"\xff")),
    ),
    _archive(
        "a member without a name",
        "it holds a member without a name",
        lambda: _changed(packed(GOOD | {"x": b"1"}), (CENTRAL, 28, b"\0\0\1\0"), (LOCAL, 26, b"\0\0\1\0")),
    ),
    _archive(
        "an encrypted archive",
        f"is encrypted ({IMAGE})",
        lambda: _changed(packed({IMAGE: b"1"}), (CENTRAL, 8, b"\1"), (LOCAL, 6, b"\1")),
    ),
    _archive("a name twice", f"holds {IMAGE} more than once", _twice),
    _holding("a name that leads out of the folder", "would lead out of the data set folder", {"../x.jpg": b"1"}),
    _holding("an absolute name", "would lead out of the data set folder", {"/etc/x.jpg": b"1"}),
    _archive("a symbolic link in an archive", "would lead out of the data set folder", _linked),
    _holding(
        "a member that unpacks to 100 times its size",
        "more than 100 times as much, which images and tables never reach",
        GOOD | {"test/1.jpg": bytes(1 << 21)},
        zipfile.ZIP_DEFLATED,
    ),
    _archive("members that share their bytes", "all of it has", _overlapping),
    _archive(
        "a member that claims more bytes than any image has",
        "That is no data set of person images; nothing was unpacked",
        lambda: _changed(packed(GOOD), (CENTRAL, 24, struct.pack("<L", 1 << 30))),
    ),
    _archive(
        "a member that holds more than it claims",
        "cannot be unpacked (Bad CRC-32",
        lambda: _changed(
            packed(GOOD | {"test/1.jpg": bytes(10_000)}, zipfile.ZIP_DEFLATED),
            (CENTRAL, 24, struct.pack("<L", 10)),
            (LOCAL, 22, struct.pack("<L", 10)),
        ),
    ),
    _holding("an archive of something else", "is no data set that is known here", {"cats/tom/1.gif": b"1"}),
    _holding(
        "annotations without a schema",
        "holds annotations and no dataset.yaml",
        {IMAGE: b"1", "annotations.csv": b"identity"},
    ),
    _holding("no training images", "the sources hold no training images (found: test)", {"test/1.jpg": b"1"}),
    _holding(
        "an image under two cases of its name", "twice, as train/0002_c1_", GOOD | {IMAGE.replace("jpg", "JPG"): b"1"}
    ),
    _holding("a name without identity", "the name is not IDENTITY_cCAMERA", GOOD | {"train/x.jpg": b"1"}),
    _holding("a name of 256 bytes", "longer than 255 bytes", GOOD | {f"test/{'x' * 252}.jpg": b"1"}),
    _holding(
        "an identity without a row",
        "7: no row in the annotations",
        GOOD | {"annotations_train.csv": annotations(2)},
    ),
    _holding("half a mask pair", "masks/images/2: no masks/masks/2.png", GOOD | MASKS | {"images/2.jpg": b"1"}),
    _holding(
        "a row without images",
        "annotations, line 4 (identity 9): no image shows it",
        GOOD | {"annotations_train.csv": annotations(2, 7, 9)},
    ),
    _holding(
        "one image under two identities",
        f"train/0007_c2_000000001.jpg: the same content as {IMAGE}",
        GOOD | {"train/0007_c2_000000001.jpg": GOOD[IMAGE]},
    ),
    _holding("no second person whose images decode", "at least 2 are needed", GOOD | {IMAGE: b"no image"}),
]


def _strange_name(people: Path) -> None:
    path = people / "test" / "1.jpg"
    path.parent.mkdir()
    path.write_bytes(b"1")
    path.rename(path.with_name(os.fsdecode(b"\xff.jpg")))


def _pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _in_two(people: Path) -> None:
    unpacked(people.with_name("others"), {IMAGE: picture("another")})


_NO_FILE = "cannot be read: it is a pipe, a device or a socket, not a file"
_FOLDERS = [
    _folder("a path that does not exist", "does not exist (looked in", shutil.rmtree),
    _folder("an empty folder", "is empty: it holds no files", lambda p: (shutil.rmtree(p), p.mkdir())),
    _folder("a pipe for an archive", "is a pipe, a device or a socket", lambda p: (shutil.rmtree(p), os.mkfifo(p))),
    _folder("a device for an archive", "is a pipe, a device or a socket", lambda p: None, "bruna import /dev/zero"),
    _folder("a pipe among the images", _NO_FILE, lambda p: _pipe(p / IMAGE)),
    _folder("a pipe for annotations", _NO_FILE, lambda p: _pipe(p / "annotations_train.csv")),
    _folder("a link to a device", _NO_FILE, lambda p: (p / "train/0002_c2_000000001.jpg").symlink_to("/dev/zero")),
    _folder(
        "a link that leads nowhere",
        "cannot be read: No such file or directory",
        lambda p: (p / "train/0002_c2_000000001.jpg").symlink_to("nowhere"),
    ),
    _folder("a link that leads to itself", "Too many levels", lambda p: (shutil.rmtree(p), p.symlink_to(p.name))),
    _folder("a name that is not UTF-8", r"test/\xff.jpg: its name holds", _strange_name),
    _folder(
        "images of both editions",
        "import one of the two",
        lambda p: unpacked(p.with_name("others"), {"train/0009_c1s1_000451_03.jpg": b"1"}),
        "bruna import people others",
    ),
    _folder(
        "two sources that differ",
        f"both hold {IMAGE}, and they differ. Give one of them",
        _in_two,
        "bruna import people others",
    ),
    _folder("masks that are none", "holds no mask pairs", lambda p: None, "bruna import people --masks people"),
]
_TARGETS = [
    _target("images that the sources have not", "1 file in test/ that the", LAID_OUT | {"test/1.jpg": b"1"}),
    _target("a folder with files at any depth", "train/a/b/c/d/e/f.txt", LAID_OUT | {"train/a/b/c/d/e/f.txt": b"1"}),
    _target(
        "a folder whose annotations were corrected",
        "1 file that the sources have otherwise (annotations.csv), which would be lost",
        _CORRECTED,
    ),
    _target(
        "the same with --merge",
        "Use --merge --replace to take them from the sources",
        _CORRECTED,
        "bruna import people.zip --merge",
    ),
    _target(
        "a folder that is no data set",
        "data holds thesis.tex, which is no part of a data set",
        {"thesis.tex": b"years of work"},
        "bruna import people.zip --replace",
    ),
    _target("a file in the folder's place", "people.zip is a file", {}, "bruna import people.zip --to people.zip"),
    _target(
        "a source inside the folder",
        "lies inside",
        LAID_OUT | {"train/others.zip": packed(GOOD)},
        "bruna import data/train/others.zip --replace",
    ),
]


def _full(folder: Path) -> str:
    (folder / "people.zip").write_bytes(packed(GOOD))
    with mock.patch("shutil.disk_usage", return_value=shutil._ntuple_diskusage(1000, 900, 100)):
        return bruna(folder, "bruna import people.zip")


_TARGETS.append(Damage("a disk without room", "bruna import people.zip", "the disk there has 100 free", _full))


@cache
def _mat(name: str = "market_attribute", value: int = 1, length: int = 2, *, compressed: bool = False) -> bytes:
    """The structure of the real file: a struct of structs, 1 x N numbers, a 1 x N cell of strings."""
    root = {}
    for part, identities in {"train": ["0002", "0007"], "test": ["0003"]}.items():
        cell = np.empty((1, len(identities)), dtype=object)
        cell[0, :] = identities
        root[part] = {c: np.ones((1, len(identities)), dtype=np.uint8) for c in ANNOTATION_COLUMNS[1:]}
        root[part] |= {"image_index": cell}
    root["train"]["gender"] = np.full((1, length), value, dtype=np.uint8)
    file = io.BytesIO()
    scipy.io.savemat(file, {name: root}, do_compression=compressed)
    return file.getvalue()


def _attributes(kind: str, says: str, make: Callable[[], bytes], work: str | None = None) -> Damage:
    """A row of an attribute file; `work` is what the process that reads does in place of SciPy."""
    command = "bruna import market.zip market_attribute.mat"

    def run(folder: Path) -> str:
        (folder / "market.zip").write_bytes(packed(OFFICIAL))
        (folder / "market_attribute.mat").write_bytes(make())
        if work is None:
            return bruna(folder, command)
        with (
            mock.patch("bruna.dataset.formats.mat._COMMAND", [sys.executable, "-c", f"import os, time; {work}"]),
            mock.patch("bruna.dataset.formats.mat._SECONDS", 1 if "sleep" in work else 60),
        ):
            return bruna(folder, command)

    return Damage(kind, command, says, run)


_MATS = [
    _attributes("another file named .mat", "cannot be read as a MATLAB file", lambda: b"hello"),
    _attributes("an attribute file that is cut short", "market_attribute.mat) c", lambda: _mat()[:-400]),
    _attributes(
        "changed bytes in a packed attribute file",
        "cannot be read as a MATLAB file (Error -3 while decompressing",
        lambda: _mat(compressed=True)[:180] + bytes(4) + _mat(compressed=True)[184:],
    ),
    _attributes("an attribute file that crashes its reader", "died (status -11)", _mat, "os.kill(os.getpid(), 11)"),
    _attributes("an attribute file that takes for ever", "could not be read within", _mat, "time.sleep(60)"),
    _attributes("another struct", "has not the structure of the attribute file", lambda: _mat("duke_attribute")),
    _attributes("rows of other lengths", "gender of train has 3 values for 2 identities", lambda: _mat(length=3)),
    _attributes(
        "a value that is none",
        "market_attribute.mat (market_attribute.mat) has 2 wrong values",
        lambda: _mat(value=3),
    ),
]
ROWS = [*_ARCHIVES, *_FOLDERS, *_TARGETS, *_MATS]
