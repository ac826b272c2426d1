"""Each way a data set can be broken is refused with the file, line or person named; damaged images can be set aside."""

import os
import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from bruna.dataset.annotations import Annotations, annotations_csv
from bruna.dataset.formats.course import course_annotations
from bruna.dataset.validation import validate_dataset
from bruna.errors import BrunaError
from bruna.files import read_json, write_json
from bruna.params import Validate
from tiny_dataset import write_annotations, write_dataset, write_image, write_mask

FAIL = Validate(image_size=(128, 64), on_bad_image="fail")
QUARANTINE = Validate(image_size=(128, 64), on_bad_image="quarantine")
IMAGE = "train/0005_c1_000050001.jpg"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data")


def _without_tests(data: Path) -> None:
    """No query and no gallery, and nobody of them annotated."""
    for name in ("query", "gallery"):
        shutil.rmtree(data / name)
    file = data / "annotations.csv"
    file.write_text("".join(line for line in file.read_text().splitlines(True) if not line.startswith("20,")))


def test_whole_data_set(data: Path, tmp_path: Path) -> None:
    (data / "train" / "Thumbs.db").write_bytes(b"left behind by a file manager")
    (data / ".gitignore").write_text("*")
    Image.new("RGB", (64, 128), (51, 51, 51)).save(data / IMAGE)
    result = validate_dataset(data, FAIL, docs=tmp_path / "docs")
    manifest = result.manifest.set_index("path")
    assert len(manifest) == 17
    assert list(manifest.index) == sorted(manifest.index)
    assert manifest["subset"].value_counts().to_dict() == {
        "train": 8, "query": 1, "gallery": 3, "queries": 1, "test": 2, "mask_pair": 2
    }  # fmt: skip
    row = manifest.loc[IMAGE]
    assert (row["identity"], row["camera"], row["width"], row["height"]) == (5, 1, 64, 128)
    assert row["brightness"] == pytest.approx(0.2, abs=1e-6) and row["sharpness"] == 0
    assert manifest.loc["gallery/-1_c3s1_000451_00.jpg", "identity"] == -1
    assert manifest.loc["test/000001.jpg", ["identity", "camera"]].tolist() == [-2, 0]
    assert manifest.loc["masks/images/0001.jpg", "mask_path"] == "masks/masks/0001.png"
    assert str(manifest.dtypes["identity"]) == "int32" and str(manifest.dtypes["sharpness"]) == "float32"
    assert result.summary["subsets"]["train"] == {"images": 8, "identities": 4, "cameras": {"1": 4, "2": 4}}
    assert result.summary["subsets"]["gallery"]["identities"] == 1
    assert (result.summary["checks_failed"], result.summary["same_content_twice"]) == (0, 1)
    assert result.problems == [] and result.quarantined == {}
    assert (tmp_path / "docs" / "index.html").exists()
    write_json(result.summary, tmp_path / "a.json")
    write_json(validate_dataset(data, FAIL, docs=tmp_path / "docs").summary, tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert read_json(tmp_path / "a.json")["annotated"] == 5


def test_damaged_images_fail_or_are_set_aside(data: Path) -> None:
    truncated, empty, text, small = sorted(f"train/{p.name}" for p in (data / "train").glob("*_c1_*"))
    (data / truncated).write_bytes((data / truncated).read_bytes()[:-900])
    (data / empty).write_bytes(b"")
    (data / text).write_text("not an image")
    write_image(data / small, 1, 32, 64)
    for number in range(3, 10):
        write_image(data / f"masks/images/{number:04d}.jpg", number, 96, 160)
        write_mask(data / f"masks/masks/{number:04d}.png", 96, 160, (0, 1))
    (data / "masks/images/0003.jpg").unlink()
    (data / "masks/masks/0004.png").unlink()
    write_mask(data / "masks/masks/0005.png", 48, 80)
    write_mask(data / "masks/masks/0006.png", 96, 160, (0, 100, 255))
    write_image(data / "masks/masks/0007.png", 3, 96, 160)
    (data / "masks/masks/0008.png").write_text("no")
    write_mask(data / "masks/masks/0009.png", 96, 160, (255,))
    expected = {
        truncated: "truncated",
        empty: "the file is empty",
        text: "it is not a JPEG, PNG, WebP, BMP or TIFF image",
        small: "size is '64 x 32'",
        "masks/masks/0003.png": "no image masks/images/0003.jpg",
        "masks/images/0004.jpg": "no mask masks/masks/0004.png",
        "masks/images/0005.jpg": "masks/masks/0005.png is 80 x 48, the image 160 x 96",
        "masks/images/0006.jpg": "masks/masks/0006.png: it holds the values 0, 100, 255",
        "masks/images/0007.jpg": "several channels (RGB)",
        "masks/images/0008.jpg": "masks/masks/0008.png: it is not a JPEG, PNG",
        "masks/images/0009.jpg": "holds the values 255;",
    }
    with pytest.raises(BrunaError) as error:
        validate_dataset(data, FAIL)
    lines = str(error.value).splitlines()
    for path, says in expected.items():
        assert any(line.startswith(f"  {path}: ") and says in line for line in lines), (path, says)
    assert "4 of its checks failed" in lines[0]
    assert "on_bad_image to quarantine" in lines[-1]

    result = validate_dataset(data, QUARANTINE)
    assert list(result.quarantined) == sorted(expected)
    assert all(expected[path] in reason for path, reason in result.quarantined.items())
    assert not set(expected) & set(result.manifest["path"])
    assert len(result.manifest) == 13
    assert result.summary["quarantined"] == [{"path": p, "reason": r} for p, r in result.quarantined.items()]
    assert result.summary["checks_failed"] == 4
    assert len(result.problems) == 11


def test_broken_structure_fails_even_with_quarantine(data: Path, tmp_path: Path) -> None:
    image = "train/0005_c1_000050001.jpg"
    write_image(data / "train/person.jpg", 9)
    (data / "train/0002").mkdir()
    write_image(data / "train/0099_c1_000000001.jpg", 9)  # not annotated
    for path in (data / "train").glob("0011*"):  # annotated, without images
        path.unlink()
    shutil.copy(data / image, data / "train/0002_c3_000000009.jpg")  # two people
    shutil.copy(data / "train/0002_c1_000020001.jpg", data / "test/000009.jpg")  # leak
    write_image(data / "gallery/0007_c4s1_000001_01.jpg", 77)  # a training person
    file = data / "annotations.csv"
    first = file.read_text().splitlines()[1]
    file.write_text(file.read_text().replace("\n5,adult,", "\n5,grown,") + first + "\n0x" + first[1:] + "\n")
    with pytest.raises(BrunaError) as error:
        validate_dataset(data, QUARANTINE, docs=tmp_path / "docs")
    lines = str(error.value).splitlines()
    for line in (
        "  train/person.jpg: the name is not IDENTITY_cCAMERA_ANYTHING, such as 0002_c1_000451.jpg "
        "(camera 0 where it is unknown)",
        "  train/0002: a folder; images lie directly in it",
        "  99: no row in the annotations",
        "  annotations, line 7 (identity 2): it has a row already",
        "  annotations, line 8 (identity 0x): it is no number from 1, without leading zeros",
        "  annotations, line 5 (identity 11): no image shows it",
        f"  {image}: the same content as train/0002_c3_000000009.jpg",
        f"  train/0002_c3_000000009.jpg: the same content as {image}",
        "  train/0002_c1_000020001.jpg: the same content as test/000009.jpg",
        "  identity 7 (2 images, such as train/0007_c1_000070001.jpg): "
        "gallery/0007_c4s1_000001_01.jpg has the same identity",
        "  annotations, line 3 (identity 5): age is 'grown'",
        "Expected: age is young, teenager, adult or old, or empty. Not so in 1 place:",
    ):
        assert line in lines, line
    assert str(data) in lines[0]
    assert str(tmp_path / "docs" / "index.html") in lines[-1]
    assert "on_bad_image" not in lines[-1]
    assert (tmp_path / "docs" / "index.html").exists()


def test_wrong_header_is_said_and_nothing_else(data: Path) -> None:
    file = data / "annotations.csv"
    file.write_text(file.read_text().replace(",hat,", ",cap,"))
    with pytest.raises(BrunaError, match=r"1 of its checks failed") as error:
        validate_dataset(data, QUARANTINE)
    assert "  annotations: missing columns: hat; unknown columns: cap" in str(error.value)


def test_many_findings_are_cut_and_counted(data: Path) -> None:
    _without_tests(data)
    for number in range(14):
        write_image(data / f"test/{number:06d}x.jpg", number, 10, 10)
    with pytest.raises(BrunaError, match=r"(?s)Not so in 14 places.*000009x\.jpg.*and 4 more") as error:
        validate_dataset(data, FAIL)
    assert "000010x" not in str(error.value)
    assert len(validate_dataset(data, Validate(image_size=None, on_bad_image="fail")).manifest) == 27


def test_no_data_set_at_all(tmp_path: Path) -> None:
    with pytest.raises(BrunaError, match=r"data is missing.*bruna import.*bruna sample"):
        validate_dataset(tmp_path / "data", FAIL)
    (tmp_path / "data" / "Train").mkdir(parents=True)
    with pytest.raises(BrunaError, match=r"dataset\.yaml is missing: the name of the data set, and its attributes"):
        validate_dataset(tmp_path / "data", FAIL)
    (tmp_path / "data" / "annotations_train.csv").write_text("id,age")
    with pytest.raises(BrunaError, match=r"an earlier version .*`bruna import .*data --to .*data` converts it"):
        validate_dataset(tmp_path / "data", FAIL)
    (tmp_path / "data" / "annotations_train.csv").unlink()
    write_annotations(tmp_path / "data", {2: {}})
    with pytest.raises(BrunaError, match=r"no training images in .*train.*It holds: .*Train.*bruna import"):
        validate_dataset(tmp_path / "data", FAIL)
    write_image(tmp_path / "data" / "train" / "0002_c1_000000001.jpg", 1)
    (tmp_path / "data" / "annotations.csv").unlink()
    with pytest.raises(BrunaError, match=r"annotations\.csv is missing\. It holds the values of the 12 attributes"):
        validate_dataset(tmp_path / "data", FAIL)
    (tmp_path / "data" / "annotations.csv").write_text("identity")
    (tmp_path / "data" / "annotations.parquet").write_text("")
    with pytest.raises(BrunaError, match=r"holds annotations\.csv and annotations\.parquet\. Remove one"):
        validate_dataset(tmp_path / "data", FAIL)


def test_one_identity_is_too_few(data: Path) -> None:
    for path in (data / "train").iterdir():
        if not path.name.startswith("0002"):
            path.unlink()
    _without_tests(data)
    write_annotations(data, {2: {}})
    with pytest.raises(BrunaError, match="Expected: there are at least 2 training identities"):
        validate_dataset(data, QUARANTINE)


def test_quarantine_must_leave_two_identities(data: Path) -> None:
    for path in (data / "train").iterdir():
        if not path.name.startswith("0002"):
            path.write_bytes(b"")
    with pytest.raises(BrunaError, match="1 training identity left without 6 damaged files"):
        validate_dataset(data, QUARANTINE)


@pytest.mark.skipif("BRUNA_REAL_DATA" not in os.environ, reason="BRUNA_REAL_DATA is not set")
def test_part_of_the_course_data_is_valid(tmp_path: Path) -> None:
    with zipfile.ZipFile(Path(os.environ["BRUNA_REAL_DATA"]) / "market1501-course.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".jpg") and name.split("/")[-1] < "0150"]
        archive.extractall(tmp_path, names)
        coded = course_annotations(archive.read("annotations_train.csv"), "annotations_train.csv")
    identities = {int(Path(name).name[:4]) for name in names}
    known = coded.keys.isin(identities)
    write_annotations(tmp_path, {})
    kept = Annotations("identity", coded.keys[known], coded.codes[known], coded.attributes)
    (tmp_path / "annotations.csv").write_bytes(annotations_csv(kept))
    result = validate_dataset(tmp_path, FAIL)
    assert result.summary["subsets"]["train"]["images"] == len(names) > 500
    assert result.summary["subsets"]["train"]["identities"] == len(identities) == result.summary["annotated"]
    assert result.quarantined == {}
