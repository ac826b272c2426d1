"""`bruna import`: what it recognises, what it refuses, and that a folder never loses anything unasked."""

import io
import os
import shutil
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bruna.dataset.course import ANNOTATION_COLUMNS, ATTRIBUTES
from bruna.dataset.dataset_file import DatasetFile, dataset_text, read_dataset_file
from bruna.dataset.formats import mat as mat_reader
from bruna.dataset.formats.market1501 import annotations_of_mat
from bruna.dataset.importers import import_dataset
from bruna.errors import BrunaError

HEADER = ",".join(ANNOTATION_COLUMNS)


def picture(text, form="JPEG"):
    """A tiny image of its own content: decoders stop before the text at its end."""
    file = io.BytesIO()
    Image.fromarray(np.array([[0, 255]] * 2, dtype=np.uint8)).save(file, form)
    return file.getvalue() + text


def annotations(*identities):
    rows = [f"{i},2,1,2,1,2,1,1,1,1,2,2,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2" for i in identities]
    return "\n".join([HEADER, *rows, ""]).encode()


def tidy(*identities):
    header = ",".join(["identity", *(attribute.name for attribute in ATTRIBUTES)])
    rows = [f"{i},teenager,no,yes,no,pants,long,long,short,no,female,black,brown" for i in identities]
    return "\n".join([header, *rows, ""]).encode()


COURSE = {
    "train/0002_c1_016620005.jpg": picture(b"two on one"),
    "train/0002_c3_010187163.jpg": picture(b"two on three"),
    "train/1501_c6_090840332.jpg": picture(b"last on six"),
    "annotations_train.csv": annotations(2, 1501),
}
UNLABELLED = {f"{name}.jpg": picture(name.encode()) for name in ("test/000000", "test/000001", "queries/000000")}
MASKS = {"images/0001.jpg": picture(b"photo"), "masks/0001.png": picture(b"", "PNG")}


DATASET = dataset_text(
    DatasetFile(
        name="Market-1501, course edition",
        terms="research use only, not to be redistributed",
        attributes={attribute.name: attribute.values for attribute in ATTRIBUTES},
    )
).encode()
WRITTEN = {name: data for name, data in COURSE.items() if name.startswith("train/")}
"""What an import makes of COURSE."""
WRITTEN |= {"annotations.csv": tidy(2, 1501), "dataset.yaml": DATASET}


@pytest.fixture
def validated():
    """For tests of what the validation finds; it takes a second each time, and other tests go without."""


@pytest.fixture(autouse=True)
def _without_validation(request, monkeypatch):
    if "validated" not in request.fixturenames:
        monkeypatch.setattr("bruna.dataset.importers._validate", lambda *_: {})


def write_zip(path, members, prefix=""):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(prefix + name, data)
    return path


def write_folder(path, members):
    for name, data in members.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(tmp_path, sources, *messages, target=None, **options):
    """The import is refused with these words, and leaves neither a data set nor a temporary folder."""
    target = target or tmp_path / "data"
    before = content(target) if target.is_dir() else None
    neighbors = sorted(target.parent.iterdir())
    with pytest.raises(BrunaError) as error:
        import_dataset(sources, target, **options)
    for message in messages:
        assert message in str(error.value)
    assert (content(target) if target.is_dir() else None) == before
    assert sorted(target.parent.iterdir()) == neighbors


@pytest.mark.parametrize("prefix", ["", "market1501/"])
def test_course_parts_and_masks_become_one_data_set(tmp_path, prefix):
    course = write_zip(tmp_path / "course.zip", COURSE | {"Thumbs.db": b"", "__MACOSX/train/._x.jpg": b""}, prefix)
    rest = write_folder(tmp_path / "rest", UNLABELLED | {"readme.txt": b"hello"})
    masks = write_zip(tmp_path / "masks.zip", MASKS, prefix)
    summary = import_dataset([course, rest], tmp_path / "data", masks)
    assert content(tmp_path / "data") == WRITTEN | UNLABELLED | {f"masks/{name}": data for name, data in MASKS.items()}
    assert summary.rows() == [
        ("train", 3, 2, 3, 2),
        ("queries", 1, None, None, None),
        ("test", 2, None, None, None),
        ("masks (pairs)", 1, None, None, None),
    ]
    assert summary.ignored == ["rest/readme.txt"]
    again = import_dataset([tmp_path / "data"], tmp_path / "copy")
    assert content(tmp_path / "copy") == content(tmp_path / "data")
    assert again.images == summary.images


def save_mat(path, parts):
    """The structure of the real file: a 1 x 1 struct of 1 x 1 structs, 1 x N numbers, a 1 x N cell of strings."""
    root = {}
    for part, (identities, columns) in parts.items():
        cell = np.empty((1, len(identities)), dtype=object)
        cell[0, :] = identities
        ones = {c: np.ones((1, len(identities)), dtype=np.uint8) for c in ANNOTATION_COLUMNS[1:]}
        root[part] = ones | {c: np.array([v], dtype=np.uint8) for c, v in columns.items()} | {"image_index": cell}
    scipy.io.savemat(path, {"market_attribute": root})
    return path


OFFICIAL = {
    "bounding_box_train/0007_c1s1_000451_03.jpg": picture(b"a"),
    "bounding_box_train/0002_c2s1_000451_03.jpg": picture(b"b"),
    "bounding_box_train/Thumbs.db": b"thumbs",
    "bounding_box_test/-1_c1s1_000401_03.jpg": picture(b"junk"),
    "bounding_box_test/0000_c4s6_000810_05.jpg": picture(b"distractor"),
    "bounding_box_test/0003_c5s1_000451_03.jpg": picture(b"c"),
    "query/0003_c1s1_000551_00.jpg": picture(b"d"),
    "gt_query/0003_c1s1_000551_00_good.mat": b"truth",
    "gt_bbox/0003_c1s1_000551_00.jpg": b"box",
    "readme.txt": b"read",
}


@pytest.mark.parametrize("attributes", ["inside", "beside"])
def test_official_release(tmp_path, attributes):
    mat = save_mat(
        tmp_path / "market_attribute.mat",
        {
            "test": (["0003"], {"age": [4], "gender": [2]}),
            "train": (["0007", "0002"], {"age": [1, 3], "upred": [1, 2], "downbrown": [2, 1]}),
        },
    )
    members, sources = OFFICIAL, [tmp_path / "market.zip"]
    if attributes == "inside":
        members = {f"Market-1501-v15.09.15/{name}": data for name, data in OFFICIAL.items()}
        members |= {"Market-1501_Attribute-master/market_attribute.mat": mat.read_bytes()}
    else:
        sources.append(mat)
    write_zip(sources[0], members)
    summary = import_dataset(sources, tmp_path / "data")
    found = content(tmp_path / "data")
    assert found["train/0007_c1s1_000451_03.jpg"] == picture(b"a")
    assert found["gallery/-1_c1s1_000401_03.jpg"] == picture(b"junk")
    assert set(found) == {
        "annotations.csv",
        "dataset.yaml",
        "train/0007_c1s1_000451_03.jpg",
        "train/0002_c2s1_000451_03.jpg",
        "query/0003_c1s1_000551_00.jpg",
        "gallery/-1_c1s1_000401_03.jpg",
        "gallery/0000_c4s6_000810_05.jpg",
        "gallery/0003_c5s1_000451_03.jpg",
    }
    assert summary.rows() == [("train", 2, 2, 2, 2), ("query", 1, 1, 1, 1), ("gallery", 3, 1, 3, 1)]
    assert len(summary.ignored) == 3
    people = pd.read_csv(tmp_path / "data" / "annotations.csv", index_col="identity")
    assert people["age"].to_dict() == {2: "adult", 3: "old", 7: "young"}
    assert people["upcolor"].to_dict() == {2: "red", 3: "multicolor", 7: "multicolor"}
    assert people["downcolor"].to_dict() == {2: "multicolor", 3: "multicolor", 7: "brown"}
    assert people["gender"].to_dict() == {2: "male", 3: "female", 7: "male"}
    assert read_dataset_file(tmp_path / "data").name == "Market-1501"


def test_unusable_attribute_files(tmp_path):
    market = write_zip(tmp_path / "market.zip", OFFICIAL)
    mat = tmp_path / "market_attribute.mat"
    mat.write_bytes(b"MATLAB 5.0 MAT-file, or so it says" * 20)
    refused(tmp_path, [market, mat], str(mat))
    scipy.io.savemat(mat, {"duke_attribute": {"train": 1}})
    refused(tmp_path, [market, mat], "has not the structure", "market_attribute")
    save_mat(mat, {"train": (["0002", "0007"], {"age": [1]}), "test": (["0003"], {})})
    refused(tmp_path, [market, mat], "age of train has 1 value for 2 identities")
    save_mat(mat, {"train": (["0002"], {}), "test": (["0002"], {})})
    refused(tmp_path, [market, mat], "identity 2 has two rows")
    course = write_zip(tmp_path / "course.zip", {n: d for n, d in COURSE.items() if "csv" not in n})
    refused(tmp_path, [course, mat], "numbered differently")


@pytest.fixture(scope="module")
def mat(tmp_path_factory):
    """The bytes of small attribute files: plain, and packed."""
    path = tmp_path_factory.mktemp("mat") / "market_attribute.mat"
    save_mat(path, {"train": (["0002"], {}), "test": (["0003"], {})})
    plain = path.read_bytes()
    scipy.io.savemat(path, {"market_attribute": scipy.io.loadmat(path)["market_attribute"]}, do_compression=True)
    return plain, path.read_bytes()


def test_a_packed_attribute_file_is_read_alike(mat):
    assert annotations_of_mat(mat[1], "packed.mat") == annotations_of_mat(mat[0], "plain.mat")


READER = """
import sys, time, os, numpy
from bruna.dataset.formats import mat as mat_reader
sys.stdin.buffer.read()
mat_reader._limit()
"""


@pytest.mark.parametrize(
    ("work", "message"),
    [
        ("os.kill(os.getpid(), 11)", "the process that read it died (status -11)"),
        ("os._exit(0)", "the process that read it died (status 0)"),
        ("time.sleep(60)", "could not be read within 1 seconds"),
        ("numpy.ones(1 << 31, numpy.uint8)", "the process that read it died (status 1)"),
    ],
)
def test_a_reader_that_dies_takes_nothing_with_it(monkeypatch, mat, work, message):
    """The process that reads stands in for SciPy's mistakes: which file brings one up differs with its version."""
    monkeypatch.setattr(mat_reader, "_SECONDS", 1 if "sleep" in work else 60)
    monkeypatch.setattr(mat_reader, "_COMMAND", [mat_reader.sys.executable, "-c", READER + work])
    with pytest.raises(BrunaError) as error:
        annotations_of_mat(mat[0], "some.mat")
    assert message in str(error.value) and "some.mat" in str(error.value)


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "train/../../evil.jpg", "/etc/evil.jpg", "C:\\evil.jpg", "train\\..\\..\\evil.jpg"]
)
def test_archive_that_leads_out_is_refused(tmp_path, name):
    refused(tmp_path, [write_zip(tmp_path / "evil.zip", COURSE | {name: b"x"})], "lead out", "evil.jpg")
    assert not (tmp_path.parent / "evil.jpg").exists()


def test_archive_with_a_symbolic_link_is_refused(tmp_path):
    path = write_zip(tmp_path / "evil.zip", COURSE)
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("train/0009_c1_000000001.jpg")
        link.create_system = 3
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    refused(tmp_path, [path], "symbolic link", "train/0009_c1_000000001.jpg")


def flip(path, marker):
    """Damage the stored bytes of a member; its checksum then tells."""
    data = path.read_bytes()
    assert data.count(marker) == 1
    path.write_bytes(data.replace(marker, marker[::-1]))


def test_damaged_archives(tmp_path):
    cut = write_zip(tmp_path / "cut.zip", COURSE)
    cut.write_bytes(cut.read_bytes()[:-40])
    refused(tmp_path, [cut], "cut.zip")
    damaged = write_zip(tmp_path / "damaged.zip", COURSE)
    flip(damaged, b"two on three")
    refused(tmp_path, [damaged], "damaged.zip", "train/0002_c3_010187163.jpg", "download it again")
    encrypted = write_zip(tmp_path / "encrypted.zip", {"train/0002_c1_016620005.jpg": b"x"})
    data = bytearray(encrypted.read_bytes())
    data[6] |= 1  # the general purpose flags of the local header and of the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    encrypted.write_bytes(data)
    refused(tmp_path, [encrypted], "encrypted")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(cut, "w") as archive:
        archive.writestr("train/0002_c1_000000001.jpg", b"one")
        archive.writestr("train/0002_c1_000000001.jpg", b"two")
    refused(tmp_path, [cut], "more than once")


def test_archive_beyond_every_data_set(tmp_path, monkeypatch):
    bomb = write_zip(tmp_path / "bomb.zip", COURSE)
    formats = "bruna.dataset.formats"
    with monkeypatch.context() as patch:
        patch.setattr(f"{formats}.source_files.MAX_FILES", 3)
        patch.setattr(f"{formats}.zip_archive.MAX_FILES", 3)
        refused(tmp_path, [bomb], "4 members")
        refused(tmp_path, [write_folder(tmp_path / "bomb", COURSE)], "more than 3 files")
    monkeypatch.setattr(f"{formats}.zip_archive.MAX_BYTES", 100)
    monkeypatch.setattr(f"{formats}.source_files.MAX_BYTES", 100)
    refused(tmp_path, [bomb], "no data set of person images")
    refused(tmp_path, [tmp_path / "bomb"], "annotations_train.csv", "more than any such file")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archive_that_grows_beyond_what_images_do(tmp_path, method):
    packed = tmp_path / "bomb.zip"
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, data in COURSE.items():
            archive.writestr(name, data)
        archive.writestr("test/000000.jpg", bytes(2 << 20))
    refused(tmp_path, [packed], "test/000000.jpg has", "2,097,152 unpacked")
    with zipfile.ZipFile(packed, "w", method) as archive:
        for number in range(4):  # each of them small enough
            archive.writestr(f"test/{number}.jpg", bytes(1 << 20))
    refused(tmp_path, [packed], "all of it has", "4,194,304 unpacked")


def test_members_that_share_their_bytes_cannot_be_counted_twice(tmp_path):
    """As in quoted zip bombs: the directory names the same member again and again."""
    packed = write_zip(tmp_path / "bomb.zip", {"test/000000.jpg": bytes(range(256)) * 2000})
    data = packed.read_bytes()
    at, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entries = b"".join(data[at:end].replace(b"000000", b"%06d" % number) for number in range(200))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 200, 200, len(entries), at, 0)
    packed.write_bytes(data[:at] + entries + tail)
    refused(tmp_path, [packed], "all of it has", "102,400,000 unpacked")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_is_never_read_beyond_what_it_claims(tmp_path, method):
    packed = tmp_path / "lies.zip"
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, data in (COURSE | {"test/000000.jpg": bytes(2 << 20)}).items():
            archive.writestr(name, data)
    data = bytearray(packed.read_bytes())
    for at in (data.rindex(b"PK\x01\x02") + 24, data.rindex(b"PK\x03\x04") + 22):  # the size unpacked
        assert data[at : at + 4] == struct.pack("<L", 2 << 20)
        data[at : at + 4] = struct.pack("<L", 1000)
    packed.write_bytes(data)
    refused(tmp_path, [packed], "test/000000.jpg cannot be unpacked")


MEMBERS = COURSE | UNLABELLED


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_archive_is_read_or_refused(tmp_path, data):
    packed = tmp_path / "fuzz.zip"
    method = data.draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, content_ in MEMBERS.items():
            archive.writestr(name, content_)
    packed.write_bytes(damaged(packed.read_bytes(), data))
    read_or_refuse(packed)


def damaged(good, data):
    """One of: some bytes changed, the end or a piece cut off, bytes put in."""
    at = data.draw(st.integers(0, len(good) - 1))
    kind = data.draw(st.sampled_from(["change", "cut", "remove", "insert"]))
    if kind == "cut":
        return good[:at]
    piece = data.draw(st.binary(min_size=1, max_size=4))
    if kind == "remove":
        return good[:at] + good[at + len(piece) :]
    return good[:at] + piece + good[at + (len(piece) if kind == "change" else 0) :]


def read_or_refuse(path):
    from contextlib import ExitStack

    from bruna.dataset.formats.sources import open_source

    try:
        with ExitStack() as stack:
            for file in open_source(path, stack).files.values():
                assert len(file.read()) == file.size
    except BrunaError as error:
        assert path.name in str(error)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ((b"train/0002_c1_0166", b"train/0002\xff\xfe1_0166"), "cannot be opened as a zip archive"),
        ((b"PK\x01\x02\x14\x03\x14", b"PK\x01\x02\x14\x03\xff"), "zip file version"),
    ],
)
def test_names_and_versions_that_the_reader_stumbles_over(tmp_path, damage, message):
    packed = write_zip(tmp_path / "bad.zip", COURSE)
    data = bytearray(packed.read_bytes().replace(*damage))
    at = -1
    while (at := data.find(b"PK\x01\x02", at + 1)) >= 0:
        data[at + 9] |= 8  # names are UTF-8
    packed.write_bytes(data)
    refused(tmp_path, [packed], message, "bad.zip")


def test_a_member_without_a_name(tmp_path):
    packed = write_zip(tmp_path / "bad.zip", COURSE | {"x": b"nameless"})
    data = bytearray(packed.read_bytes())
    for at in (data.rindex(b"PK\x01\x02") + 28, data.rindex(b"PK\x03\x04") + 26):
        data[at : at + 4] = struct.pack("<2H", 0, 1)  # of the name's one character a field of other kind is made
    packed.write_bytes(data)
    refused(tmp_path, [packed], "a member without a name")


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    import socket

    before = Path.cwd()
    os.chdir(path.parent)  # the path of a socket has a hundred characters at most
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(before)


def make_link_to_device(path):
    path.symlink_to("/dev/zero")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("make", [make_pipe, make_socket, make_link_to_device])
def test_what_is_no_file_is_never_opened(tmp_path, make):
    make(tmp_path / "people.zip")
    refused(tmp_path, [tmp_path / "people.zip"], "a pipe, a device or a socket")
    refused(tmp_path, [tmp_path / "people.zip"], "is a file", target=tmp_path / "people.zip")
    for name in ("train/0002_c4_000000001.jpg", "annotations_train.csv"):
        course = write_folder(tmp_path / Path(name).stem, {n: d for n, d in COURSE.items() if n != name})
        make(course / name)
        refused(tmp_path, [course], str(course / name), "a pipe, a device or a socket")
    beside = write_folder(tmp_path / "beside", COURSE)
    make(beside / "other")
    assert import_dataset([beside], tmp_path / "fine").ignored == ["beside/other"]
    make(tmp_path / "fine" / "train" / "kept")
    refused(tmp_path, [beside], "train/kept", target=tmp_path / "fine")


def test_links_of_a_folder_are_followed(tmp_path):
    real = write_folder(tmp_path / "real", COURSE)
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "train").symlink_to(real / "train")
    (linked / "annotations_train.csv").symlink_to(real / "annotations_train.csv")
    (linked / "again").symlink_to(linked)  # a circle
    import_dataset([linked], tmp_path / "data")
    assert content(tmp_path / "data") == WRITTEN
    for name in ("up", "again"):  # two circles, in the target: through each the other, and so on
        (tmp_path / "data" / "train" / name).symlink_to("..")
    assert import_dataset([linked], tmp_path / "data").unchanged
    (linked / "queries").mkdir()
    (linked / "queries" / "000001.jpg").symlink_to("nowhere.jpg")
    refused(tmp_path, [linked], "queries/000001.jpg", "No such file", target=tmp_path / "other")
    (tmp_path / "round").symlink_to("round")
    refused(tmp_path, [tmp_path / "round"], "Too many levels")


def test_names_that_no_table_or_disk_can_hold(tmp_path):
    folder = write_folder(tmp_path / "course", COURSE)
    (folder / "test").mkdir()
    strange = Path(os.fsdecode(os.fsencode(folder / "test") + b"/\xff.jpg"))
    strange.write_bytes(b"x")
    refused(tmp_path, [folder], "test/\\xff.jpg", "not UTF-8")
    strange.rename(folder / "notes\x1b.txt")
    assert import_dataset([folder], tmp_path / "data").ignored == ["course/notes\\x1b.txt"]
    long = write_zip(tmp_path / "long.zip", COURSE | {f"test/{'a' * 252}.jpg": b"x"})
    refused(tmp_path, [long], "longer than 255 bytes", target=tmp_path / "other")


def test_failure_midway_leaves_the_old_data_set(tmp_path):
    import_dataset([write_zip(tmp_path / "course.zip", COURSE)], tmp_path / "data")
    new = COURSE | {"train/0002_c3_010187163.jpg": picture(b"another two on three")}
    damaged = write_zip(tmp_path / "new.zip", new)
    flip(damaged, b"another two on three")
    refused(tmp_path, [damaged], "download it again", replace=True)
    assert content(tmp_path / "data") == WRITTEN


def test_a_reimport_adds_replaces_or_refuses(tmp_path):
    data = tmp_path / "data"
    course, masks = write_zip(tmp_path / "course.zip", COURSE), write_zip(tmp_path / "masks.zip", MASKS)
    import_dataset([course], data, masks)
    everything = content(data)
    refused(tmp_path, [masks], "3 files in train/", "2 files at its top", "--merge", "--replace")
    refused(tmp_path, [course], "2 files in masks/")
    import_dataset([write_zip(tmp_path / "rest.zip", UNLABELLED)], data, merge=True)
    assert content(data) == everything | UNLABELLED
    edited = write_zip(tmp_path / "edited.zip", COURSE | {"train/0002_c1_016620005.jpg": picture(b"better")})
    refused(tmp_path, [edited], "1 file that the sources have otherwise", "--merge --replace", merge=True)
    import_dataset([edited], data, merge=True, replace=True)
    everything |= UNLABELLED | {"train/0002_c1_016620005.jpg": picture(b"better")}
    assert content(data) == everything
    import_dataset([course], data, replace=True)
    assert content(data) == WRITTEN
    refused(tmp_path, [masks], "no training images", target=tmp_path / "elsewhere", merge=True)


def test_importing_the_same_again_writes_nothing(tmp_path):
    data = tmp_path / "data"
    course = write_zip(tmp_path / "course.zip", COURSE)
    assert not import_dataset([course], data).unchanged
    inode = data.stat().st_ino
    (data / "Thumbs.db").write_bytes(b"a file manager was here")
    for options in ({}, {"merge": True}, {"replace": True}):
        again = import_dataset([course], data, **options)
        assert again.unchanged and again.rows() == [("train", 3, 2, 3, 2)]
    assert data.stat().st_ino == inode


LOSSES = {
    "annotations.csv": tidy(2, 1501).replace(b"black", b"white"),  # of the same length
    "dataset.yaml": DATASET + b"source: of mine\n",
    "annotations_train.csv": annotations(2, 1501),
    "annotations_test.csv": annotations(7),
    "train/0002_c3_010187163.jpg": picture(b"two on THREE"),
    "train/.notes": b"of mine",
    "train/blurred/0009_c1_000000001.jpg": b"set aside",
    "masks/a/b/c/d/e.txt": b"far below",
}


@pytest.mark.parametrize("name", LOSSES)
def test_no_file_of_the_folder_is_lost_or_changed_unasked(tmp_path, name):
    data = write_folder(tmp_path / "data", WRITTEN | {name: LOSSES[name]})
    course = write_zip(tmp_path / "course.zip", COURSE)
    refused(tmp_path, [course], name, "would be lost", "--replace")
    import_dataset([course], data, replace=True)
    assert content(data) == WRITTEN


@pytest.mark.usefixtures("validated")
def test_people_without_attributes(tmp_path):
    course = {name: data for name, data in COURSE.items() if "csv" not in name}
    assert import_dataset([write_zip(tmp_path / "a.zip", course)], tmp_path / "data").annotated == {"train": 0}
    assert content(tmp_path / "data") == course | {"dataset.yaml": b'name: "a"\nattributes: {}\n'}
    refused(tmp_path, [write_zip(tmp_path / "b.zip", COURSE)], "would be lost", "dataset.yaml")
    import_dataset([tmp_path / "b.zip"], tmp_path / "data", replace=True)
    assert content(tmp_path / "data") == WRITTEN


@pytest.mark.parametrize("top", ["", "photos/2026/"])
@pytest.mark.parametrize(("anna", "ben"), [("anna", "ben"), ("7", "0012"), ("7", "ben")])
def test_a_folder_per_identity(tmp_path, top, anna, ben):
    photos = {f"{anna}/IMG 1.jpg": picture(b"1"), f"{anna}/2.png": picture(b"2"), f"{ben}/IMG 1.jpg": picture(b"3")}
    source = write_folder(
        tmp_path / "people", {top + name: data for name, data in photos.items()} | {"notes.txt": b"x"}
    )
    summary = import_dataset([source], tmp_path / "data")
    # A name that is no number stays in the names of the images.
    first, second = ("0007_c0_", "0012_c0_") if ben == "0012" else (f"0001_c0_{anna}_", f"0002_c0_{ben}_")
    assert content(tmp_path / "data") == {
        f"train/{first}IMG 1.jpg": picture(b"1"),
        f"train/{first}2.png": picture(b"2"),
        f"train/{second}IMG 1.jpg": picture(b"3"),
        "dataset.yaml": b'name: "people"\nattributes: {}\n',
    }
    assert summary.rows() == [("train", 3, 2, 0, 0)]
    write_folder(source, {f"{top}007/9.jpg": picture(b"9")})
    if ben == "0012":
        refused(tmp_path, [source], "the same identity, 7", replace=True, target=tmp_path / "data")


def test_a_folder_of_an_earlier_version_is_converted(tmp_path):
    data = write_folder(tmp_path / "data", COURSE | {"annotations_test.csv": annotations(7)} | UNLABELLED)
    import_dataset([data], data)
    assert content(data) == WRITTEN | UNLABELLED | {"annotations.csv": tidy(2, 7, 1501)}
    assert import_dataset([data], data).unchanged


def test_a_merge_converts_and_adds_annotations(tmp_path):
    data = write_folder(tmp_path / "data", COURSE)
    more = {"train/0009_c1_000000001.jpg": picture(b"nine"), "annotations_train.csv": annotations(9)}
    import_dataset([write_zip(tmp_path / "more.zip", more)], data, merge=True)
    images = {"train/0009_c1_000000001.jpg": picture(b"nine")}
    assert content(data) == WRITTEN | images | {"annotations.csv": tidy(9, 2, 1501)}
    other = {"annotations_train.csv": annotations(2).replace(b"\n2,2,", b"\n2,3,"), **images}
    refused(tmp_path, [write_zip(tmp_path / "other.zip", other)], "annotations.csv", "would be lost", merge=True)


@pytest.mark.usefixtures("validated")
def test_merging_keeps_every_file_or_refuses(tmp_path):
    data = write_folder(tmp_path / "data", WRITTEN | {"train/.notes": b"of mine"})
    rest = write_zip(tmp_path / "rest.zip", UNLABELLED)
    import_dataset([rest], data, merge=True)
    assert content(data) == WRITTEN | UNLABELLED | {"train/.notes": b"of mine"}
    write_folder(data, {"train/blurred/0009_c1_000000001.jpg": b"set aside"})
    masks = write_zip(tmp_path / "masks.zip", MASKS)
    refused(tmp_path, [masks], "train/blurred: a folder", merge=True)


REFUSED = {
    "value": {"annotations_train.csv": annotations(2, 1501).replace(b"1501,2,", b"1501,9,")},
    "column": {"annotations_train.csv": annotations(2, 1501).replace(b"upblack", b"upwhite", 1)},
    "ragged": {"annotations_train.csv": annotations(2, 1501) + b"7,1"},
    "no images": {"annotations_train.csv": annotations(2, 8, 1501)},
    "no row": {"train/0044_c1_000000001.jpg": picture(b"new")},
    "one image, two people": {"train/1501_c6_090840332.jpg": COURSE["train/0002_c1_016620005.jpg"]},
    "leak": {"test/000000.jpg": COURSE["train/0002_c1_016620005.jpg"]},
    "one person left": {"train/1501_c6_090840332.jpg": b"no image"},
}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("value", "line 3 (id 1501): age is '9'"),
        ("column", "columns that occur twice: upwhite"),
        ("ragged", "line 4 has 2 cells where the header has 28"),
        ("no images", "annotations, line 3 (identity 8): no image shows it"),
        ("no row", "44: no row in the annotations"),
        ("one image, two people", "the same content as train/0002_c1_016620005.jpg"),
        ("leak", "the same content as test/000000.jpg"),
        ("one person left", "at least 2 are needed"),
    ],
)
@pytest.mark.usefixtures("validated")
def test_what_the_validation_refuses_replaces_nothing(tmp_path, kind, message):
    write_folder(tmp_path / "data", WRITTEN)
    wrong = write_zip(tmp_path / "wrong.zip", COURSE | REFUSED[kind])
    with pytest.raises(BrunaError) as error:
        import_dataset([wrong], tmp_path / "data", replace=True)
    assert message in str(error.value) and str(wrong) in str(error.value)
    assert ".part" not in str(error.value)
    assert content(tmp_path / "data") == WRITTEN
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "wrong.zip"]


@pytest.mark.usefixtures("validated")
def test_single_damaged_images_are_told_and_imported(tmp_path):
    damaged = COURSE | {"train/0002_c3_010187163.jpg": b"no image"}
    summary = import_dataset([write_folder(tmp_path / "course", damaged)], tmp_path / "data")
    assert content(tmp_path / "data") == WRITTEN | {"train/0002_c3_010187163.jpg": b"no image"}
    assert list(summary.damaged) == ["train/0002_c3_010187163.jpg"]


def test_a_disk_without_room_is_told_before_anything_is_copied(tmp_path, monkeypatch):
    course = write_zip(tmp_path / "course.zip", COURSE)
    size = sum(map(len, WRITTEN.values()))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=size - 1))
    refused(tmp_path, [course], f"has {size:,} bytes", f"{size - 1:,} free")


def test_sources_that_do_not_fit_together(tmp_path):
    course = write_zip(tmp_path / "course.zip", COURSE)
    refused(tmp_path, [tmp_path / "nothing.zip"], "does not exist")
    (tmp_path / "empty").mkdir()
    refused(tmp_path, [tmp_path / "empty"], "is empty")
    refused(tmp_path, [write_zip(tmp_path / "empty.zip", {})], "is empty")
    refused(tmp_path, [write_zip(tmp_path / "cats.zip", {"cats/tom/1.gif": b"x"})], "no data set", "cats/tom/1.gif")
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    refused(tmp_path, [text], "no data set")
    refused(tmp_path, [write_zip(tmp_path / "rest.zip", UNLABELLED)], "no training images", "queries, test")
    other = write_zip(tmp_path / "other.zip", {"train/0002_c1_016620005.jpg": b"not the same"})
    refused(tmp_path, [course, other], "both hold train/0002_c1_016620005.jpg")
    official = write_zip(tmp_path / "official.zip", {"train/0002_c1s1_000451_03.jpg": b"x"})
    refused(tmp_path, [course, official], "import one of the two")
    named = write_zip(tmp_path / "named.zip", COURSE | {"train/portrait.jpg": b"x"})
    refused(tmp_path, [named], "train/portrait.jpg")
    header = write_zip(tmp_path / "header.zip", COURSE | {"annotations_train.csv": b"id,age\n2,1\n"})
    refused(tmp_path, [header], "annotations_train.csv", "wrong header: missing columns")
    single = write_zip(tmp_path / "single.zip", MASKS | {"images/0002.jpg": b"x", "masks/0003.png": b"x"})
    refused(tmp_path, [course], "masks/images/0002: no masks/masks/0002.png", "no masks/images/0003.jpg", masks=single)
    refused(tmp_path, [course], "no mask pairs", masks=course)


def test_a_target_that_is_no_data_set_is_never_replaced(tmp_path, monkeypatch):
    course = write_zip(tmp_path / "course.zip", COURSE)
    home = write_folder(tmp_path / "home", {"thesis.tex": b"years of work"})
    refused(tmp_path, [course], "thesis.tex", target=home, replace=True)
    data = write_folder(tmp_path / "data", COURSE)
    inside = write_zip(data / "train" / "course.zip", COURSE)
    refused(tmp_path, [inside], "lies inside", replace=True)
    for here in (data, data / "train"):
        monkeypatch.chdir(here)
        refused(tmp_path, [course], "is the working folder, or holds it", replace=True)


@pytest.mark.skipif("BRUNA_REAL_DATA" not in os.environ, reason="BRUNA_REAL_DATA names no folder of real archives")
@pytest.mark.usefixtures("validated")
def test_real_course_archives(tmp_path):
    real = Path(os.environ["BRUNA_REAL_DATA"])
    sources = [real / "market1501-course.zip", real / "market1501-course-test.zip"]
    summary = import_dataset(sources, tmp_path / "data", real / "person-masks.zip")
    assert summary.rows() == [
        ("train", 10_340, 600, 6, 600),
        ("queries", 2_248, None, None, None),
        ("test", 19_688, None, None, None),
        ("masks (pairs)", 1_003, None, None, None),
    ]
    assert summary.ignored == []
    with zipfile.ZipFile(sources[0]) as archive:
        for member in [each for each in archive.infolist() if each.filename.startswith("train/")][1::500]:
            assert (tmp_path / "data" / member.filename).read_bytes() == archive.read(member)
