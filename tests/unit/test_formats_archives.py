"""Tar archives are read as zip archives are; what is damaged or hostile is refused, and none of it hangs or is lost."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_formats_reid import Files, write_zip
from test_importers import damaged

from bruna.dataset.formats.sources import open_source
from bruna.dataset.importers import import_dataset
from bruna.errors import BrunaError

PEOPLE: Files = {
    "anna/1.jpg": b"one" * 300,
    "anna/long name " + "ü" * 90 + ".jpg": b"two",
    "ben/1.jpg": b"",
    "ben/2.jpg": bytes(range(256)) * 4,
    "readme.md": b"#",
}
PACKED: Mapping[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "tar.gz": gzip.compress,
    "tgz": gzip.compress,
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
}
ZEROS = bytes(1024)


def tar(files: Files, form: int = tarfile.PAX_FORMAT, **fields: object) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            for field, value in fields.items():
                setattr(member, field, value)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def listed(path: Path) -> Files:
    """The files of a source, read."""
    with ExitStack() as stack:
        return {name: file.read() for name, file in open_source(path, stack).files.items()}


def refused(path: Path, data: bytes, *messages: str) -> None:
    path.write_bytes(data)
    with pytest.raises(BrunaError) as error:
        listed(path)
    for message in (str(path), *messages):
        assert message in str(error.value)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("ending", PACKED)
def test_equal_to_zip(ending: str, form: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bruna.dataset.importers._validate", lambda *_: {})
    packed = tmp_path / f"people.{ending}"
    packed.write_bytes(PACKED[ending](tar({"./" + name: data for name, data in PEOPLE.items()}, form)))
    assert listed(packed) == PEOPLE
    written = []
    for source in (packed, write_zip(tmp_path / "people.zip", PEOPLE)):
        summary = import_dataset([source], tmp_path / source.suffix)
        assert summary.ignored == [f"{source.name}/readme.md"]
        written.append({p.relative_to(summary.target): p.read_bytes() for p in summary.target.glob("*/*")})
        assert (summary.target / "dataset.yaml").read_text() == 'name: "people"\nattributes: {}\n'
    assert written[0] == written[1] and len(written[0]) == 4


def test_the_bytes_tell_the_kind_and_not_the_name(tmp_path: Path) -> None:
    for ending, pack in PACKED.items():
        if ending != "tgz":
            (tmp_path / "download").write_bytes(pack(tar(PEOPLE)))
            assert listed(tmp_path / "download") == PEOPLE


@pytest.mark.parametrize("ending", PACKED)
def test_cut_short_at_every_tenth_byte(ending: str, tmp_path: Path) -> None:
    whole = tar(PEOPLE)
    needed = len(whole.rstrip(b"\0")) // 512 * 512 + 1024  # up to the first block of zeros, which ends it
    data = PACKED[ending](whole)
    for end in range(0, min(needed, len(data)), 10):
        refused(tmp_path / f"people.{ending}", data[:end], "cannot be opened as a tar archive")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), ending=st.sampled_from(list(PACKED)))
def test_a_damaged_archive_is_read_or_refused(data: st.DataObject, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"people.{ending}"
    path.write_bytes(damaged(PACKED[ending](tar(PEOPLE)), data))
    try:
        found = listed(path)
    except BrunaError as error:
        assert path.name in str(error)
    else:  # a byte of a member may have changed: tar has no checksum for them
        assert found.keys() == PEOPLE.keys() or ending == "tar"


def header(name: str, kind: bytes = b"0", size: int = 0) -> bytes:
    """A header block as GNU writes it; a size that is negative or huge in binary."""
    member = tarfile.TarInfo(name)
    member.type = kind
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    binary = b"\xff" if size < 0 else b"\x80"
    octal = b"%011o\0" % size if 0 <= size < 8**11 else binary + (b"\xff" if size < 0 else b"\0") * 3
    block[124:136] = octal if len(octal) == 12 else octal + struct.pack(">q", size)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def pax(**fields: str) -> bytes:
    member = tarfile.TarInfo("a/1.jpg")
    member.pax_headers = {name.replace("_", "."): value for name, value in fields.items()}
    return bytes(member.tobuf(tarfile.PAX_FORMAT))


FIRST = header("a/0.jpg") + header("b/0.jpg")
UNSAFE = "would lead out of the data set folder, or is no plain file"
DAMAGED = "cannot be opened as a tar archive"
HOSTILE: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "a link": (tar({"x/1.jpg": b""}, type=tarfile.SYMTYPE, linkname="/etc/passwd"), (UNSAFE, "x/1.jpg")),
    "a hard link": (tar({"x/1.jpg": b""}, type=tarfile.LNKTYPE, linkname="x/0.jpg"), (UNSAFE,)),
    "a device": (tar({"x/1.jpg": b""}, type=tarfile.CHRTYPE, devmajor=1, devminor=5), (UNSAFE,)),
    "a pipe": (tar({"x/1.jpg": b""}, type=tarfile.FIFOTYPE), (UNSAFE,)),
    "up": (tar({"train/../../x.jpg": b"1"}), (UNSAFE, "train/../../x.jpg")),
    "absolute": (tar({"/etc/x.jpg": b"1"}), (UNSAFE, "/etc/x.jpg")),
    "up by a header of its own": (FIRST + pax(path="../x.jpg") + ZEROS, (UNSAFE, "../x.jpg")),
    "a folder that leads up": (tar({"..": b""}, type=tarfile.DIRTYPE), (UNSAFE,)),
    "sparse": (FIRST + header("c/1.jpg", b"S") + bytes(512) + ZEROS, (UNSAFE, "c/1.jpg")),
    "sparse, of this century": (FIRST + pax(GNU_sparse_map="0,1", GNU_sparse_size="1") + ZEROS, (UNSAFE,)),
    "sparse, broken": (FIRST + pax(GNU_sparse_major="1", GNU_sparse_minor="0") + ZEROS, (DAMAGED,)),
    "twice": (tar({"a/1.jpg": b"1"})[:1024] + tar({"./a/1.jpg": b"2"}), ("holds a/1.jpg more than once",)),
    "huge": (FIRST + header("c/1.jpg", size=1 << 50) + ZEROS, ("1,125,899,906,842,624 bytes", "nothing was unpacked")),
    "a huge name": (FIRST + header("x", b"L", 1 << 50) + ZEROS, (DAMAGED,)),
    "a huge header": (FIRST + header("x", b"x", 1 << 50) + ZEROS, (DAMAGED,)),
    "round and round": (FIRST + header("c/1.jpg", size=-1024) + ZEROS, (DAMAGED, "-1,024 bytes")),
    "round by an unknown kind": (FIRST + header("c/1.jpg", b"Z", -1024) + ZEROS, (DAMAGED, "-1,024 bytes")),
    "round by a header of its own": (FIRST + pax(size="-2048") + ZEROS, (DAMAGED, "-2,048 bytes")),
    "a negative name": (FIRST + header("x", b"L", -1024) + ZEROS, (DAMAGED,)),
    "names of names": ((header("x", b"L", 1) + b"a".ljust(512, b"\0")) * 400 + FIRST + ZEROS, (DAMAGED, "recursion")),
    "a header of zeros": (FIRST + bytes(512) + header("c/1.jpg") + ZEROS, (DAMAGED, "or two archives were joined")),
    "joined": (tar(PEOPLE) + tar({"c/1.jpg": b"1"}), (DAMAGED, "or two archives were joined")),
    "no end": (FIRST, (DAMAGED, "it is cut short")),
    "nothing": (bytes(10_240), ("is empty: it holds no files",)),
    "folders alone": (tar({"a": b"", "b": b""}, type=tarfile.DIRTYPE), ("is empty: it holds no files",)),
    "no bytes": (b"", (DAMAGED, "empty file")),
    "text": (b"hello\n" * 200, (DAMAGED,)),
}


@pytest.mark.parametrize("ending", ["tar", "tar.xz"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_refused(kind: str, ending: str, tmp_path: Path) -> None:
    data, messages = HOSTILE[kind]
    refused(tmp_path / f"x.{ending}", PACKED[ending](data), *messages)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("ending", ["tar.gz", "tar.bz2", "tar.xz"])
def test_a_bomb_is_unpacked_no_further_than_images_are_packed(ending: str, tmp_path: Path) -> None:
    bomb = PACKED[ending](header("a/1.jpg", size=20 << 20) + bytes(20 << 20) + ZEROS)
    refused(tmp_path / f"x.{ending}", bomb, "packed are more than", "unpacked, which images and tables never reach")


def test_a_packed_file_that_is_no_archive(tmp_path: Path) -> None:
    refused(tmp_path / "people.csv.gz", gzip.compress(b"path\n1.jpg\n"), "cannot be opened as a tar archive")


def test_many_and_large_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("bruna.dataset.formats.tar_archive.MAX_FILES", 4)
        refused(tmp_path / "x.tar", tar(PEOPLE), "holds more than 4 files")
    monkeypatch.setattr("bruna.dataset.formats.tar_archive.MAX_BYTES", 1000)
    refused(tmp_path / "x.tar", tar(PEOPLE), "one of 1,024 bytes")


def test_clutter_is_left_out(tmp_path: Path) -> None:
    more = {"__MACOSX/anna/._1.jpg": b"1", "anna/.DS_Store": b"2", ".git/1.jpg": b"3", "anna/Thumbs.db": b"4"}
    (tmp_path / "x.tar").write_bytes(tar(PEOPLE | more))
    assert listed(tmp_path / "x.tar") == PEOPLE


@pytest.mark.parametrize("ending", ["zip", *PACKED])
def test_a_folder_in_an_archive(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"both.{ending}"
    files = {f"in/{part}/{name}": name.encode() + part.encode() for part in ("a", "ab") for name in PEOPLE}
    write_zip(path, files) if ending == "zip" else path.write_bytes(PACKED[ending](tar(files)))
    assert listed(path / "in" / "a") == {name: name.encode() + b"a" for name in PEOPLE}
    assert len(listed(path / "in")) == 2 * len(PEOPLE)
    for inner in ("b", "in/a/readme.md", "../in", "in/a/anna/1.jpg/x"):
        with pytest.raises(BrunaError) as error:
            listed(path / inner)
        assert f"{path} holds no folder {inner}/. It holds in/a/anna/1.jpg, " in str(error.value)
        assert f" and {2 * len(PEOPLE) - 3} more" in str(error.value)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nothing.tar", "does not exist (looked in"),
        ("nothing.zip/inner", "does not exist"),
        ("x" * 300, "cannot be read: File name too long"),
        (f"{'x' * 300}/inner", "cannot be read: File name too long"),
        ("notes.txt/inner", "holds no folder inner/. It holds notes.txt"),
    ],
)
def test_paths_that_lead_nowhere(path: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(BrunaError) as error:
        listed(tmp_path / path)
    assert message in str(error.value) and path in str(error.value).replace("notes.txt holds", "notes.txt/inner")


def test_a_zip_that_is_named_as_a_tar_archive_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.tar", "w") as archive:
        archive.writestr("a/1.jpg", b"1")
    assert listed(tmp_path / "x.tar") == {"a/1.jpg": b"1"}
