"""Data sets of other schemas, or without attributes, identities or cameras, and what is odd without being wrong."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from bruna.dataset.dataset_file import DatasetFile, dataset_text
from bruna.dataset.schema import Task
from bruna.dataset.tables import read_table
from bruna.dataset.validation import validate_dataset, wide_warnings
from bruna.errors import BrunaError
from bruna.files import read_json
from bruna.params import Validate, read_params
from tiny_dataset import write_annotations, write_dataset, write_image, write_mask
from tiny_records import PROJECT
from tiny_stages import run_stage

FAIL = Validate(image_size=(128, 64), on_bad_image="fail")
QUARANTINE = Validate(image_size=(128, 64), on_bad_image="quarantine")
IMAGE = "train/0005_c1_000050001.jpg"
HELMETS = (Task("helmet", ("no", "yes")), Task("vest", ("none", "orange", "yellow")))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data")


def test_another_schema_with_unknown_cells(data: Path) -> None:
    write_annotations(
        data, {i: {"helmet": "yes", "vest": "" if i == 5 else "orange"} for i in (2, 5, 7, 11, 20)}, HELMETS
    )
    result = validate_dataset(data, FAIL)
    assert result.summary["attributes"] == {"helmet": ["no", "yes"], "vest": ["none", "orange", "yellow"]}
    assert result.summary["annotated"] == 5
    assert result.constant == {"helmet": "yes", "vest": "orange"}
    assert result.figures()["warnings"][0] == "helmet is yes wherever it is known: a network can only learn to say so."
    table = pd.read_csv(data / "annotations.csv")
    table.sample(frac=1, random_state=0)[["vest", "helmet", "identity"]].to_parquet(data / "annotations.parquet")
    (data / "annotations.csv").unlink()
    assert validate_dataset(data, FAIL).summary == result.summary


def test_a_column_of_groups_is_expected_where_it_is_named(data: Path) -> None:
    (data / "annotations.csv").unlink()
    paths = sorted(f"{path.parent.name}/{path.name}" for path in data.glob("[tg]*/*_c*"))
    write_annotations(data, {path: {} for path in paths}, HELMETS, identities=False, group="person")
    with pytest.raises(BrunaError) as error:
        validate_dataset(data, FAIL)
    assert "a column path, and one for each attribute and the group of dataset.yaml" in str(error.value)
    assert "missing columns: person" in str(error.value)
    file = data / "annotations.csv"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0] + ",person", *(f"{line},{at % 3 or ''}" for at, line in enumerate(lines[1:]))]))
    assert validate_dataset(data, FAIL).summary["annotated"] == len(paths) == 11
    write_dataset(data)
    file.write_text("identity,person,hat\n")
    with pytest.raises(BrunaError, match="unknown columns: person"):
        validate_dataset(data, FAIL)


def test_attributes_may_have_the_names_of_other_things(data: Path) -> None:
    """Those of columns that the checks add, and of values that other readers take for nothing or for numbers."""
    odd = tuple(
        Task(name, ("NA", "nan", "1.0", "yes, no")) for name in ("row", "twice", "key_problem", "file", "größe")
    )
    write_annotations(data, {i: {} for i in (2, 5, 7, 11, 20)}, odd[:1])
    rows = "".join(f'{i},NA,nan,1.0,"yes, no",\n' for i in (2, 5, 7, 11))
    (data / "annotations.csv").write_text("identity," + ",".join(task.name for task in odd) + "\n" + rows)
    (data / "dataset.yaml").write_text(
        dataset_text(DatasetFile(name="odd", attributes={task.name: task.values for task in odd}))
    )
    result = validate_dataset(data, FAIL)
    assert result.constant == {"row": "NA", "twice": "nan", "key_problem": "1.0", "file": "yes, no", "größe": ""}
    (data / "annotations.csv").write_text((data / "annotations.csv").read_text().replace("2,NA,nan", "2,na,"))
    with pytest.raises(BrunaError) as error:
        validate_dataset(data, FAIL)
    assert "1 of its checks failed" in str(error.value)
    assert "  annotations, line 2 (identity 2): row is 'na'" in str(error.value).splitlines()


def test_every_wrong_cell_is_named_and_an_empty_one_is_not(data: Path) -> None:
    write_annotations(
        data,
        {2: {"helmet": "Yes"}, 5: {"helmet": "", "vest": ""}, 7: {"vest": "green"}, 11: {"vest": " orange "}},
        HELMETS,
    )
    with pytest.raises(BrunaError) as error:
        validate_dataset(data, QUARANTINE)
    lines = str(error.value).splitlines()
    assert [line for line in lines if line.startswith("  annotations")] == [
        "  annotations, line 2 (identity 2): helmet is 'Yes'",
        "  annotations, line 4 (identity 7): vest is 'green'",
    ]
    assert "Expected: helmet is no or yes, or empty. Not so in 1 place:" in lines
    assert "Expected: vest is none, orange or yellow, or empty. Not so in 1 place:" in lines


def test_an_attribute_that_varies_is_not_constant_and_one_that_is_never_known_is_said(data: Path) -> None:
    people = {i: {"helmet": "yes" if i == 2 else "no", "vest": "none" if i == 5 else ""} for i in (2, 5, 7, 11)}
    people[7]["vest"] = "orange"
    write_annotations(data, people, HELMETS)
    result = validate_dataset(data, FAIL)
    assert result.constant == {} and "warnings" not in result.figures()
    write_annotations(data, {i: {**of, "helmet": ""} for i, of in people.items()}, HELMETS)
    (said,) = validate_dataset(data, FAIL).figures()["warnings"]
    assert said == "helmet is empty in every row: nothing learns it and nothing is measured."


def test_the_stage_says_what_is_odd(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_annotations(data, {i: {"vest": "none" if i == 5 else "orange"} for i in (2, 5, 7, 11)}, HELMETS)
    write_image(data / "train" / "0002_c0_frame.jpg", 5, 200, 100)
    (data / "train" / "0005_c104_x.jpg").write_bytes(b"")
    params = read_params(PROJECT / "params.yaml")
    loose = Validate(image_size=None, on_bad_image="quarantine")
    stage = run_stage("validate", data.parent, params.model_copy(update={"validate_": loose}))
    figures = read_json(stage.figures_file)
    assert stage.finished == figures
    constant, wide, damaged = figures["warnings"]
    assert constant == "helmet is no wherever it is known: a network can only learn to say so."
    assert wide.startswith("1 of 16 images are wider than high (such as train/0002_c0_frame.jpg)")
    assert damaged.startswith("1 damaged file set aside")
    assert "note: train/0005_c104_x.jpg: the file is empty" in capsys.readouterr().out
    manifest = read_table(stage.artifacts / "validate" / "manifest.parquet").set_index("path")
    assert manifest.loc["train/0002_c0_frame.jpg", ["identity", "camera", "width", "height"]].tolist() == [
        2,
        0,
        200,
        100,
    ]
    assert figures["subsets"]["train"]["cameras"] == {"1": 4, "2": 4}


def test_attributes_of_images(data: Path) -> None:
    paths = sorted(f"train/{path.name}" for path in (data / "train").iterdir())
    write_annotations(data, {path: {"helmet": "yes"} for path in paths[1:]} | {"train/x.jpg": {}}, HELMETS)
    with pytest.raises(BrunaError) as error:
        validate_dataset(data, FAIL)
    assert f"  {paths[0]}: no row in the annotations" in str(error.value)
    assert "  annotations, line 9 (path train/x.jpg): there is no such image" in str(error.value)
    write_annotations(data, {path: {"helmet": "yes"} for path in paths}, HELMETS)
    assert validate_dataset(data, FAIL).summary["annotated"] == 8


def test_nobody_knows_who_is_who(data: Path) -> None:
    (data / "train" / "0002_c1_000020001.jpg").rename(data / "train" / "crop 7.jpeg")
    with pytest.raises(BrunaError, match=r"crop 7\.jpeg: the name is not IDENTITY_cCAMERA"):
        validate_dataset(data, FAIL)
    (data / "annotations.csv").unlink()
    write_annotations(data, {}, (), identities=False)
    result = validate_dataset(data, FAIL)
    assert result.manifest["identity"][result.manifest["subset"] == "train"].unique().tolist() == [-2]
    assert result.summary["annotated"] == 0


def test_who_is_nobody_is_annotated_by_path(data: Path) -> None:
    write_annotations(data, {i: {} for i in (2, 5, 7, 11)}, HELMETS, identities=False)
    with pytest.raises(BrunaError) as error:
        validate_dataset(data, FAIL)
    assert "1 of its checks failed" in str(error.value)
    assert "  annotations: missing columns: path; unknown columns: identity" in str(error.value)
    paths = sorted(f"train/{path.name}" for path in (data / "train").iterdir())
    shutil.copy(data / paths[0], data / "train" / "copy.jpg")  # of an image of whoever it is
    values = {path: {"vest": "yellow"} for path in [*paths, "train/copy.jpg", "gallery/0020_c2s1_000451_03.jpg"]}
    write_annotations(data, values, HELMETS, identities=False, attributes_of="image")
    result = validate_dataset(data, FAIL)
    assert result.summary["annotated"] == 10 and result.constant == {"helmet": "no", "vest": "yellow"}
    assert result.summary["subsets"]["train"] == {"images": 9, "identities": 0, "cameras": {}}
    assert "there are at least 2 training identities" not in [c["check"] for c in result.summary["checks"]]


@pytest.mark.parametrize("attributes", [HELMETS, ()])
def test_people_without_attributes_or_cameras_of_few_or_many_digits(data: Path, attributes: tuple[Task, ...]) -> None:
    shutil.rmtree(data / "train")
    numbers = (1, 23, 456, 78901, 123456789)
    for identity in numbers:
        for camera in (0, 104):
            write_image(data / "train" / f"{identity}_c{camera}_ä b.JPEG", identity % 1000 + camera)
    (data / "annotations.csv").unlink()
    write_annotations(data, {i: {} for i in numbers} if attributes else {}, attributes)
    result = validate_dataset(data, FAIL)
    train = result.manifest[result.manifest["subset"] == "train"]
    assert sorted(set(train["identity"])) == list(numbers) and set(train["camera"]) == {0, 104}
    assert result.summary["subsets"]["train"] == {"images": 10, "identities": 5, "cameras": {"104": 5}}
    assert result.summary["attributes"] == {task.name: list(task.values) for task in attributes}
    assert result.summary["annotated"] == (5 if attributes else 0)


def test_whole_frames_are_said_so(data: Path) -> None:
    write_image(data / "train" / "0002_c3_000000001.jpg", 5, 200, 100)
    warnings = validate_dataset(data, Validate(image_size=None, on_bad_image="fail")).figures()["warnings"]
    assert "1 of 16 images are wider than high (such as train/0002_c3_000000001.jpg): whole frames?" in warnings[-1]
    write_image(data / "train" / "0002_c3_000000001.jpg", 5, 100, 100)  # no higher, no wider
    write_image(data / "masks" / "images" / "0003.jpg", 6, 200, 100)  # of a pair nobody asks for a crop
    write_mask(data / "masks" / "masks" / "0003.png", 200, 100)
    assert wide_warnings(validate_dataset(data, Validate(image_size=None, on_bad_image="fail")).manifest) == []


def test_an_image_that_lies_on_its_side_is_seen_upright(data: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(data / IMAGE).transpose(Image.Transpose.ROTATE_90).save(data / IMAGE, exif=exif)
    result = validate_dataset(data, FAIL)
    assert result.manifest.set_index("path").loc[IMAGE, ["width", "height"]].tolist() == [64, 128]
    assert wide_warnings(result.manifest) == []


@pytest.mark.parametrize("of_images", [False, True])
def test_many_rows_take_no_time(data: Path, of_images: bool) -> None:
    """In each row of 20,000 a set of all identities would take minutes."""
    known = [f"train/{path.name}" for path in (data / "train").iterdir()] if of_images else [2, 5, 7, 11]
    unknown = [f"train/{i}.jpg" if of_images else i for i in range(100, 20_100)]
    write_annotations(data, {key: {} for key in [*known, *unknown]}, HELMETS)
    with pytest.raises(BrunaError, match=r"Not so in 20,000 places:(.|\n)*and 19990 more"):
        validate_dataset(data, FAIL)
