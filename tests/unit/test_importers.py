import os
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from bruna.dataset.annotations import read_annotations
from bruna.dataset.attributes import ANNOTATION_COLUMNS
from bruna.dataset.importers import import_dataset
from bruna.errors import BrunaError

HEADER = ",".join(ANNOTATION_COLUMNS)


def annotations(*identities):
    rows = [f"{i},2,1,2,1,2,1,1,1,1,2,2,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2" for i in identities]
    return "\n".join([HEADER, *rows, ""]).encode()


COURSE = {
    "train/0002_c1_016620005.jpg": b"two on one",
    "train/0002_c3_010187163.jpg": b"two on three",
    "train/1501_c6_090840332.jpg": b"last on six",
    "annotations_train.csv": annotations(2, 1501),
}
UNLABELLED = {"test/000000.jpg": b"t0", "test/000001.jpg": b"t1", "queries/000000.jpg": b"q0"}
MASKS = {"images/0001.jpg": b"photo", "masks/0001.png": b"mask"}


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
    assert content(tmp_path / "data") == COURSE | UNLABELLED | {f"masks/{name}": data for name, data in MASKS.items()}
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
    "bounding_box_train/0007_c1s1_000451_03.jpg": b"a",
    "bounding_box_train/0002_c2s1_000451_03.jpg": b"b",
    "bounding_box_train/Thumbs.db": b"thumbs",
    "bounding_box_test/-1_c1s1_000401_03.jpg": b"junk",
    "bounding_box_test/0000_c4s6_000810_05.jpg": b"distractor",
    "bounding_box_test/0003_c5s1_000451_03.jpg": b"c",
    "query/0003_c1s1_000551_00.jpg": b"d",
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
    assert found["train/0007_c1s1_000451_03.jpg"] == b"a"
    assert found["gallery/-1_c1s1_000401_03.jpg"] == b"junk"
    assert set(found) == {
        "annotations_train.csv",
        "annotations_test.csv",
        "train/0007_c1s1_000451_03.jpg",
        "train/0002_c2s1_000451_03.jpg",
        "query/0003_c1s1_000551_00.jpg",
        "gallery/-1_c1s1_000401_03.jpg",
        "gallery/0000_c4s6_000810_05.jpg",
        "gallery/0003_c5s1_000451_03.jpg",
    }
    assert summary.rows() == [("train", 2, 2, 2, 2), ("query", 1, 1, 1, None), ("gallery", 3, 1, 3, 1)]
    assert len(summary.ignored) == 3
    train = read_annotations(tmp_path / "data" / "annotations_train.csv")
    assert train.identities.tolist() == [2, 7]
    assert train.codes[:, 0].tolist() == [2, 0]  # age, adult and young
    assert train.codes[:, 10].tolist() == [2, 8]  # upper colour, red and multicolor
    assert train.codes[:, 11].tolist() == [9, 8]  # lower colour, multicolor and brown
    test = read_annotations(tmp_path / "data" / "annotations_test.csv")
    assert (test.identities.tolist(), test.codes[0, 0], test.codes[0, 9]) == ([3], 3, 1)


def test_unusable_attribute_files(tmp_path):
    market = write_zip(tmp_path / "market.zip", OFFICIAL)
    refused(tmp_path, [market], "no annotations", "market_attribute.mat")
    mat = tmp_path / "market_attribute.mat"
    mat.write_bytes(b"MATLAB 5.0 MAT-file, or so it says" * 20)
    refused(tmp_path, [market, mat], str(mat))
    scipy.io.savemat(mat, {"duke_attribute": {"train": 1}})
    refused(tmp_path, [market, mat], "has not the structure", "market_attribute")
    save_mat(mat, {"train": (["0002", "0007"], {"age": [1]}), "test": (["0003"], {})})
    refused(tmp_path, [market, mat], "age has 1 values for 2 identities")
    save_mat(mat, {"train": (["0002"], {}), "test": (["0003"], {})})
    refused(tmp_path, [market, mat], "1 training identity without a row", "0007")
    course = write_zip(tmp_path / "course.zip", {n: d for n, d in COURSE.items() if "csv" not in n})
    refused(tmp_path, [course, mat], "numbered differently")


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
    monkeypatch.setattr("bruna.dataset.import_sources.MAX_MEMBERS", 3)
    refused(tmp_path, [bomb], "4 members")
    refused(tmp_path, [write_folder(tmp_path / "bomb", COURSE)], "more than 3 files")
    monkeypatch.undo()
    monkeypatch.setattr("bruna.dataset.import_sources.MAX_MEMBER_BYTES", 100)
    refused(tmp_path, [bomb], "no data set of person images")


def test_failure_midway_leaves_the_old_data_set(tmp_path):
    import_dataset([write_zip(tmp_path / "course.zip", COURSE)], tmp_path / "data")
    new = COURSE | {"train/0002_c3_010187163.jpg": b"another two on three"}
    damaged = write_zip(tmp_path / "new.zip", new)
    flip(damaged, b"another two on three")
    refused(tmp_path, [damaged], "download it again", replace=True)
    assert content(tmp_path / "data") == COURSE


def test_a_reimport_replaces_merges_or_refuses(tmp_path):
    data = tmp_path / "data"
    course, masks = write_zip(tmp_path / "course.zip", COURSE), write_zip(tmp_path / "masks.zip", MASKS)
    import_dataset([course], data, masks)
    everything = content(data)
    refused(tmp_path, [masks], "3 files in train/", "--merge", "--replace")
    refused(tmp_path, [course], "2 files in masks/")
    import_dataset([write_zip(tmp_path / "rest.zip", UNLABELLED)], data, merge=True)
    assert content(data) == everything | UNLABELLED
    edited = COURSE | {"train/0002_c1_016620005.jpg": b"a better picture"}
    import_dataset([write_zip(tmp_path / "edited.zip", edited)], data, merge=True)
    assert content(data) == everything | UNLABELLED | edited
    import_dataset([course], data, replace=True)
    assert content(data) == COURSE
    refused(tmp_path, [masks], "no training images", target=tmp_path / "elsewhere", merge=True)


def test_sources_that_do_not_fit_together(tmp_path):
    course = write_zip(tmp_path / "course.zip", COURSE)
    refused(tmp_path, [tmp_path / "nothing.zip"], "does not exist")
    (tmp_path / "empty").mkdir()
    refused(tmp_path, [tmp_path / "empty"], "is empty")
    refused(tmp_path, [write_zip(tmp_path / "empty.zip", {})], "is empty")
    refused(tmp_path, [write_zip(tmp_path / "cats.zip", {"cats/tom/1.jpg": b"x"})], "no data set", "cats/tom/1.jpg")
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
    extra = write_zip(tmp_path / "extra.zip", {"train/0044_c1_000000001.jpg": b"x"})
    refused(tmp_path, [course, extra], "0044")
    header = write_zip(tmp_path / "header.zip", COURSE | {"annotations_train.csv": b"id,age\n2,1\n"})
    refused(tmp_path, [header], "header of annotations_train.csv")
    single = write_zip(tmp_path / "single.zip", MASKS | {"images/0002.jpg": b"x", "masks/0003.png": b"x"})
    refused(tmp_path, [course], "no mask for [0002]", "image for [0003]", masks=single)
    refused(tmp_path, [course], "no mask pairs", masks=course)


def test_a_target_that_is_no_data_set_is_never_replaced(tmp_path):
    course = write_zip(tmp_path / "course.zip", COURSE)
    home = write_folder(tmp_path / "home", {"thesis.tex": b"years of work"})
    refused(tmp_path, [course], "thesis.tex", target=home, replace=True)
    data = write_folder(tmp_path / "data", COURSE)
    inside = write_zip(data / "train" / "course.zip", COURSE)
    refused(tmp_path, [inside], "lies inside", replace=True)


@pytest.mark.skipif("BRUNA_REAL_DATA" not in os.environ, reason="BRUNA_REAL_DATA names no folder of real archives")
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
        for member in archive.infolist()[::500]:
            assert (tmp_path / "data" / member.filename).read_bytes() == archive.read(member)
