"""What a source is: recognised at any depth of folders, in any kind of archive, or refused with the nearest format."""

import io
import itertools
import re
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import scipy.io
from test_formats_attributes import pa100k, peta
from test_formats_reid import FORMS, Files, msmt17, refused, write_folder
from test_importers import annotations, save_mat

from bruna.dataset.annotations import read_annotations
from bruna.dataset.dataset_file import read_dataset_file
from bruna.dataset.facts import find_files
from bruna.dataset.formats import known, source_files, tar_archive, zip_archive
from bruna.dataset.formats.base import Format, flat_name
from bruna.dataset.formats.known import FORMATS, SIGNED, recognise
from bruna.dataset.formats.source_files import Source, SourceFile
from bruna.dataset.importers import import_dataset
from bruna.errors import BrunaError
from bruna.pipeline.misfits import lacks


@pytest.fixture(autouse=True)
def _without_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bruna.dataset.importers._validate", lambda *_: {})


def imported(folder: Path) -> Files:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def take(tmp_path: Path, files: Files, form: str = "folder", prefix: str = "") -> Files:
    """What an import makes of these files."""
    write, name, wrapping = FORMS[form]
    given = write(tmp_path / name, {f"{wrapping}{prefix}{path}": data for path, data in files.items()})
    import_dataset([given], tmp_path / "data")
    return imported(tmp_path / "data")


def fake(files: dict[str, bytes]) -> Source:
    top = Path("fake.zip")
    return Source(top, {name: SourceFile(top, len(data), partial(bytes, data)) for name, data in files.items()})


BESIDE: Files = {"readme.md": b"# people", "docs/licence.txt": b"free", "docs/list.csv": b"a,b\n1,2\n"}
PREFIXES = ["", "photos/", "a/b c/ä/"]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("form", FORMS)
def test_a_folder_for_each_person(form: str, prefix: str, tmp_path: Path) -> None:
    people: Files = {"anna/IMG 1.jpg": b"1", "anna/2.PNG": b"2", "ben/IMG 1.jpg": b"3", "Ben/x_c2_1.webp": b"4"}
    found = take(tmp_path, people | BESIDE, form, prefix)
    assert {place: data for place, data in found.items() if place != "dataset.yaml"} == {
        "train/0002_c0_anna_IMG 1.jpg": b"1",
        "train/0002_c0_anna_2.png": b"2",
        "train/0003_c0_ben_IMG 1.jpg": b"3",
        "train/0001_c0_Ben_x_c2_1.webp": b"4",
    }
    assert read_dataset_file(tmp_path / "data").identities


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("form", FORMS)
def test_images_alone(form: str, prefix: str, tmp_path: Path) -> None:
    photos: Files = {"1.jpg": b"1", "hall/2.JPG": b"2", "hall/deep/.hidden.jpg": b"no", "hall/deep/3.tif": b"3"}
    found = take(tmp_path, photos | BESIDE, form, prefix)
    wrapping = (FORMS[form][2] + prefix).replace("/", "_")
    del found["dataset.yaml"]
    assert found == {
        f"train/{wrapping}1.jpg": b"1",
        f"train/{wrapping}hall_2.jpg": b"2",
        f"train/{wrapping}hall_deep_3.tif": b"3",
    }
    dataset = read_dataset_file(tmp_path / "data")
    files = find_files(tmp_path / "data", identities=dataset.identities)
    assert {"attributes", "identities"} <= set(lacks(files, dataset)) and len(files) == 3


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("last", ["0007_c1_x.jpg", "0000_c1_x.jpg", "portrait.jpg"])
def test_images_whose_names_all_tell_identity_and_camera(last: str, prefix: str, tmp_path: Path) -> None:
    names = ["0002_c1_7.jpg", "0002_c3s1_000451_03.jpg", last]
    found = take(tmp_path, {f"{i}/{i}/{name}": name.encode() for i, name in enumerate(names)}, "zip", prefix)
    told = last == names[0] or last.startswith("0007")
    assert read_dataset_file(tmp_path / "data").identities is told
    assert ({f"train/{name}" for name in names} <= set(found)) is told
    assert sorted(data for place, data in found.items() if place != "dataset.yaml") == sorted(map(str.encode, names))


def test_two_images_of_one_flat_name(tmp_path: Path) -> None:
    refused(tmp_path, {"a/b_c.jpg": b"1", "a_b/c.JPG": b"2", "x.jpg": b"3"}, "two images get one name", "Rename one")


@pytest.mark.parametrize("path", ["../a/1.jpg", ".h/1.jpg", ".jpg", f"{'ü' * 300}/1.jpg", f"{'x' * 400}.jpeg"])
def test_a_flat_name_is_never_hidden_or_too_long(path: str) -> None:
    assert not flat_name(path).startswith(".")
    assert len(f"gallery/123456789_c1234_{flat_name(path)}".encode()) < 255
    assert flat_name(path) != flat_name(path.replace("1.", "2.").replace("xx", "xy", 1)) or path == ".jpg"


MARKET: Files = {
    "bounding_box_train/0007_c1s1_000451_03.jpg": b"a",
    "bounding_box_train/0002_c2s1_000451_03.jpg": b"b",
    "bounding_box_test/0003_c5s1_000451_03.jpg": b"c",
    "bounding_box_test/-1_c1s1_000401_03.jpg": b"junk",
    "query/0003_c1s1_000551_00.jpg": b"d",
    "readme.txt": b"x",
}


@pytest.fixture(scope="module")
def mat(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path: Path = tmp_path_factory.mktemp("mat") / "market_attribute.mat"
    save_mat(path, {"test": (["0003"], {"age": [4]}), "train": (["0007", "0002"], {"age": [1, 3]})})
    return path.read_bytes()


@pytest.mark.parametrize(
    ("form", "place"),
    [
        *((form, None) for form in FORMS),
        ("folder", ""),
        ("zip", "Attribute-master/"),
        ("tar.gz", "a/b/c/"),
        ("wrapped", "source of its own"),
    ],
)
def test_market1501_with_its_attributes_anywhere(form: str, place: str | None, mat: bytes, tmp_path: Path) -> None:
    write, name, prefix = FORMS[form]
    files = {f"{prefix}{path}": data for path, data in MARKET.items()}
    sources = []
    if place == "source of its own":
        (tmp_path / "market_attribute.mat").write_bytes(mat)
        sources = [tmp_path / "market_attribute.mat"]
    elif place is not None:
        files[f"{place}market_attribute.mat"] = mat
    summary = import_dataset([*sources, write(tmp_path / name, files)], tmp_path / "data")
    assert summary.images == {"train": 2, "query": 1, "gallery": 2}
    assert summary.identities == {"train": 2, "query": 1, "gallery": 1}
    assert summary.ignored == [f"{name}/{prefix}readme.txt"]
    assert summary.annotated == (dict.fromkeys(summary.images, 0) if place is None else summary.identities)
    dataset = read_dataset_file(tmp_path / "data")
    if place is not None:
        known_of = read_annotations(tmp_path / "data", dataset)
        ages = known_of.codes[:, list(dataset.attributes).index("age")]
        assert dict(zip(known_of.keys, ages.tolist(), strict=True)) == {2: 2, 3: 3, 7: 0}


@pytest.mark.parametrize(
    "folders", [c for n in (1, 2) for c in itertools.combinations(("_train", "_test", "query"), n)]
)
def test_some_of_the_folders_of_market1501(folders: tuple[str, ...], tmp_path: Path) -> None:
    files = {path: data for path, data in MARKET.items() if any(folder in path for folder in folders)}
    if "_train" not in folders:
        refused(tmp_path, files, "the sources hold no training images", "bounding_box_train/")
    else:
        assert {place.split("/")[0] for place in take(tmp_path, files)} - {"dataset.yaml"} == {
            {"_train": "train", "_test": "gallery", "query": "query"}[folder] for folder in folders
        }


def test_attributes_of_market1501_beside_other_names(mat: bytes, tmp_path: Path) -> None:
    for name in ("course", "two", "own"):
        (tmp_path / name).mkdir()
    course = {"train/0002_c1_016620005.jpg": b"1", "market_attribute.mat": mat}
    refused(tmp_path / "course", course, "not named as those are (such as 0002_c1_016620005.jpg)", "numbered diff")
    refused(tmp_path / "own", MARKET | {"market_attribute.mat": mat, "dataset.yaml": b"name: x"}, "Give one of them")
    twice = MARKET | {"a/market_attribute.mat": mat, "b/market_attribute.mat": mat + b"\0"}
    refused(tmp_path / "two", twice, "holds market_attribute.mat twice, and one of the two is in b/")


def test_two_annotations_of_a_course(tmp_path: Path) -> None:
    files = {"train/0002_c1_1.jpg": b"1", "annotations_train.csv": annotations(2), "annotations.csv": b"identity\n2\n"}
    refused(tmp_path, files, "annotations_train.csv", "Give one of them")


WHOLE: dict[str, Files] = {
    "MSMT17": msmt17()[1],
    "MSMT17, V2": msmt17("mask_train_v2", "mask_test_v2")[1],
    "PA-100K": pa100k()[1],
    "PETA": peta()[1],
}
LACKING = [
    (name, need)
    for name, files in WHOLE.items()
    for need in (
        ("list_train.txt", "list_val.txt", "list_query.txt", "list_gallery.txt", "train", "test")
        if name.startswith("MSMT17")
        else ("images",)
    )
]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(("name", "need"), LACKING)
def test_the_nearest_format_is_named_with_what_it_lacks(name: str, need: str, prefix: str, tmp_path: Path) -> None:
    folder = {"train": "mask_train_v2/", "test": "mask_test_v2/"} if "V2" in name else {"train": "train/"}
    gone = folder.get(need, f"{need}/" if need == "test" else need)
    images = need == "images"
    files = {
        f"{prefix}{path}": data
        for path, data in WHOLE[name].items()
        if not (path.startswith(gone) or (images and path.endswith((".jpg", ".png"))))
    }
    assert len(files) < len(WHOLE[name])
    text = refused(tmp_path, files, name.partition(",")[0])
    assert (gone in text) or images, text


def test_what_nothing_takes_is_told_with_every_format(tmp_path: Path) -> None:
    text = refused(tmp_path, {"cats/tom.gif": b"1", "notes.txt": b"2"}, "cats/tom.gif, notes.txt", "--formats")
    assert all(each.name in text for each in FORMATS)


def test_two_data_sets_in_one_source_are_not_joined(tmp_path: Path) -> None:
    one = {f"one/{path}": data for path, data in WHOLE["PETA"].items()}
    two = {f"two/{path}": data for path, data in WHOLE["PA-100K"].items()}
    refused(tmp_path, one | two, "holds two data sets, in one/ and in two/. Give one of them, such as")


def work(count: int, monkeypatch: pytest.MonkeyPatch, prefix: str) -> tuple[int, int]:
    """Calls of readers with the number of files that they are given, for so many folders of an image each."""
    calls: Counter[str] = Counter()
    placed = known.placed

    def count_placed(files: Files) -> Files:
        calls["files"] += len(files)
        calls["calls"] += 1
        return placed(files)  # type: ignore[arg-type, return-value]

    source = fake({f"{prefix}{i:06d}/a.jpg": b"" for i in range(1, count + 1)})
    with monkeypatch.context() as patch:
        patch.setattr(known, "placed", count_placed)
        found = recognise(source, [])
    assert len(found) == count and all(re.fullmatch(r"train/\d+_c0_a\.jpg", place) for place in list(found)[:9])
    return calls["calls"], calls["files"]


@pytest.mark.parametrize(("prefix", "counts"), [("", (100, 100_000)), ("a/b/c/", (100, 1000))])
def test_a_hundred_thousand_people_are_linear_work(
    prefix: str, counts: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each folder is looked into once, and a file once for each folder that it lies in."""
    depth = prefix.count("/") + 2
    for count in counts:
        assert work(count, monkeypatch, prefix) == (count + depth - 1, depth * count)


def test_600_000_files_are_no_attack() -> None:
    """The bound is reached with smaller numbers in test_importers.py, for tar in test_formats_archives.py."""
    assert source_files.MAX_FILES == zip_archive.MAX_FILES == tar_archive.MAX_FILES > 600_000


def test_a_name_of_thirty_thousand_folders_is_looked_into_no_further_than_a_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []
    placed = known.placed
    monkeypatch.setattr(known, "placed", lambda files: seen.append(1) or placed(files))
    recognise(fake({"a/" * 30_000 + "1.jpg": b"1"}), [])
    assert len(seen) == 33


def test_every_format_tells_its_layout_and_whom_it_follows() -> None:
    assert len({each.name for each in FORMATS}) == len(FORMATS)
    for each in FORMATS:
        assert isinstance(each, Format) and each.name and each.layout and each.follows
    assert all(each.signs for each in SIGNED)


def test_a_matlab_file_of_another_kind_is_left_to_its_format(tmp_path: Path) -> None:
    file = io.BytesIO()
    scipy.io.savemat(file, {"x": 1})
    with pytest.raises(BrunaError, match="is no data set that is known here"):
        import_dataset([write_folder(tmp_path / "source", {"other.mat": file.getvalue()})], tmp_path / "data")
