"""`bruna evaluate FOLDER` on small untrained networks: figures, what was not measured, and what is no good."""

import re
import shutil
from html import unescape
from pathlib import Path

import pytest

from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.schema import Task
from bruna.dataset.tables import write_table
from bruna.files import read_json
from conftest import Run
from course_schema import NAMES
from person_table import person_table
from tiny_dataset import write_annotations, write_dataset, write_image
from tiny_models import save_tiny_models

DAMAGED = "train/0002_c1_000020001.jpg"


def _set(name: str, value: str) -> None:
    file = Path("params.yaml")
    text, count = re.subn(rf"^(  {name}: +)\S+", rf"\g<1>{value}", file.read_text(), flags=re.M)
    assert count == 1
    file.write_text(text)


@pytest.fixture
def people(top_folder: Path) -> Path:
    """Models, and a folder of eight images of four people, one of them damaged."""
    folder = write_dataset(top_folder / "others")
    for name in ("query", "gallery"):
        shutil.rmtree(folder / name)
    file = folder / "annotations.csv"
    file.write_text("".join(line for line in file.read_text().splitlines(True) if not line.startswith("20,")))
    save_tiny_models(top_folder / "artifacts")
    (folder / DAMAGED).write_bytes((folder / DAMAGED).read_bytes()[:400])
    return folder


def test_a_folder_with_a_damaged_image_is_refused_or_measured_without_it_and_that_is_said(
    people: Path, bruna: Run
) -> None:
    status, _, err = bruna("evaluate", "others")
    assert status == 1 and DAMAGED in err

    _set("on_bad_image", "quarantine")
    _set("junk_threshold", "0.000001")
    train = person_table((30,), 1)
    train.loc[0, "image"] = (people / DAMAGED.replace("c1_000020001", "c2_000020002")).read_bytes()
    write_table(train, Path("artifacts/split/train.parquet"))
    status, out, err = bruna("evaluate", "others", "--json", "o.json", "--html", "o.html")
    assert status == 0, err
    figures = read_json(Path("o.json"))
    assert (figures["images"], figures["identities"], figures["images_trained_on"]) == (7, 4, 1)
    assert figures["retrieval"]["market1501"]["queries"] == 6 and re.search(r"queries +6 ", out)
    assert [file["path"] for file in figures["quarantined"]] == [DAMAGED]
    reason = figures["quarantined"][0]["reason"]
    said = figures["warnings"]
    assert said[0].startswith("7 of 8 images are measured") and f"{DAMAGED}: {reason}" in said[0]
    assert said[1].startswith("the models were trained on 1 of 7 images")
    assert "left out 7 of 7 gallery images (100%)" in said[2] and "6 queries 6 have no right image left" in said[2]
    assert re.findall("^warning: (.*)", err, re.M) == said
    page = unescape(Path("o.html").read_text())
    assert all(f"Warning: {text}" in page for text in said)
    assert page.index("7 of 8 images") < page.index('class="tile"')


def test_queries_are_searched_for_in_the_gallery(people: Path, bruna: Run) -> None:
    write_dataset(people)
    shutil.rmtree(people / "train")  # nothing is trained
    file = people / "annotations.csv"
    header, *rows = file.read_text().splitlines()
    file.write_text("\n".join([header, *(row for row in rows if row.startswith("20,"))]))
    status, out, err = bruna("evaluate", "others", "--json", "o.json", "--html", "o.html")
    assert status == 0, err
    figures = read_json(Path("o.json"))
    assert (figures["images"], figures["identities"]) == (4, 1)
    assert figures["retrieval"]["market1501"]["queries"] == 1 and figures["retrieval"]["gallery"] == 3
    assert set(figures["attributes_predicted"]) == set(NAMES)
    assert "are measured" not in err and re.search(r"images +4 ", out)
    assert "1 query searched for among 3, by the models" in unescape(Path("o.html").read_text())


def test_without_both_query_and_gallery_the_training_images_are_measured(people: Path, bruna: Run) -> None:
    write_dataset(people)
    shutil.rmtree(people / "query")
    status, _, err = bruna("evaluate", "others", "--json", "o.json")
    assert status == 0, err
    figures = read_json(Path("o.json"))
    assert (figures["images"], figures["identities"]) == (8, 4)
    assert figures["retrieval"]["market1501"]["queries"] == figures["retrieval"]["gallery"] == 8
    shutil.rmtree(people / "train")
    status, _, err = bruna("evaluate", "others")
    assert (
        status == 1
        and "has no training images in others/train. It holds: annotations.csv, dataset.yaml, gallery" in err
    )


def test_what_is_damaged_elsewhere_is_no_concern(people: Path, bruna: Run) -> None:
    """Only what is measured is said to be left out; and whole frames are said to be that."""
    write_dataset(people)
    _set("on_bad_image", "quarantine")
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("image_size: [128, 64]", "image_size: null", 1))
    (people / DAMAGED).write_bytes(b"")
    (people / "gallery" / "0000_c3s1_000451_00.jpg").write_bytes(b"")
    write_image(people / "query" / "0020_c104_1.png", 7, 300, 200)
    status, _, err = bruna("evaluate", "others", "--json", "o.json")
    assert status == 0, err
    figures = read_json(Path("o.json"))
    assert [file["path"] for file in figures["quarantined"]] == ["gallery/0000_c3s1_000451_00.jpg"]
    assert figures["images"] == 4 and figures["retrieval"]["market1501"]["queries"] == 2
    left_out, wide, *_ = figures["warnings"]
    assert left_out.startswith("4 of 5 images are measured") and DAMAGED not in left_out
    assert wide.startswith("1 of 4 images are wider than high (such as query/0020_c104_1.png): whole frames?")


def test_without_cameras_the_course_protocol_is_measured(people: Path, bruna: Run) -> None:
    for path in (people / "train").iterdir():
        path.rename(path.with_name(path.name.replace("_c1_", "_c0_").replace("_c2_", "_c0_")))
    (people / DAMAGED.replace("c1", "c0")).unlink()
    status, out, err = bruna("evaluate", "others", "--json", "o.json", "--html", "o.html")
    assert status == 0, err
    figures = read_json(Path("o.json"))
    assert figures["retrieval"]["market1501"]["queries"] == 0 and 0 < figures["retrieval"]["course"]["map"] <= 1
    assert "others: no query has a match on another camera" in err and "course" in out


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        (tuple(task for task in ATTRIBUTES if task.name != "hat"), "hat (none; no/yes)"),
        (ATTRIBUTES[::-1], "the order of the attributes"),
        (
            tuple(Task("hat", ("yes", "no")) if task.name == "hat" else task for task in ATTRIBUTES),
            "hat (yes/no; no/yes)",
        ),
    ],
)
def test_attributes_are_not_mistaken_for_others(
    people: Path, bruna: Run, attributes: tuple[Task, ...], says: str
) -> None:
    write_dataset(people)
    write_annotations(people, {20: {}, 2: {}, 5: {}, 7: {}, 11: {}}, attributes)
    status, _, err = bruna("evaluate", "others", "--json", "o.json", "--html", "o.html")
    assert status == 0, err
    figures = read_json(Path("o.json"))
    assert figures["retrieval"]["gallery"] == 3 and "attributes_predicted" not in figures
    assert f"others has other attributes than the models tell ({says}: those of the folder, of the models)" in err
    assert re.findall("<h2>(.*?)</h2>", Path("o.html").read_text()) == ["Retrieval", "Settings"]


@pytest.mark.parametrize("attributes", [(), (Task("helmet", ("no", "yes")),)])
def test_people_of_another_schema_are_ranked_all_the_same(
    people: Path, bruna: Run, attributes: tuple[Task, ...]
) -> None:
    (people / DAMAGED).unlink()
    (people / "annotations.csv").unlink()
    write_annotations(people, {i: {} for i in (2, 5, 7, 11)} if attributes else {}, attributes)
    status, _, err = bruna("evaluate", "others", "--json", "o.json", "--html", "o.html")
    assert status == 0, err
    figures = read_json(Path("o.json"))
    assert 0 < figures["retrieval"]["market1501"]["map"] <= 1 and "attributes_predicted" not in figures
    assert ("others has other attributes than the models tell" in err) == bool(attributes)
    assert ("helmet (no/yes; none)" in err) == bool(attributes)


def test_unknown_cells_count_in_no_figure(people: Path, bruna: Run) -> None:
    (people / DAMAGED).unlink()
    hats = {2: "yes", 5: "no", 7: "", 11: "yes"}
    write_annotations(people, {i: {"hat": hat, "age": ""} for i, hat in hats.items()})
    status, _, err = bruna("evaluate", "others", "--json", "o.json")
    assert status == 0, err
    figures = read_json(Path("o.json"))["attributes_predicted"]
    assert "age" not in figures and figures["hat"]["majority"] == pytest.approx(3 / 5)


@pytest.mark.parametrize("attributes", [(), (Task("helmet", ("no", "yes")),)])
def test_of_nobody_without_the_models_attributes_there_is_nothing(
    people: Path, bruna: Run, attributes: tuple[Task, ...]
) -> None:
    (people / DAMAGED).rename(people / "train" / "crop 7.JPG")
    write_image(people / "train" / "crop 7.JPG", 7)
    (people / "annotations.csv").unlink()
    paths = [f"train/{path.name}" for path in (people / "train").iterdir()]
    values = {path: {} for path in paths} if attributes else {}
    write_annotations(people, values, attributes, identities=False)
    status, _, err = bruna("evaluate", "others", "--json", "o.json", "--html", "o.html")
    assert status == 0, err
    figures = read_json(Path("o.json"))
    assert (figures["images"], figures["identities"]) == (8, 0)
    assert "retrieval" not in figures and "attributes_predicted" not in figures
    assert ("other attributes than the models tell" in err) == bool(attributes)
    assert "<h2>Settings</h2>" in Path("o.html").read_text() and "8 images by the models" in Path("o.html").read_text()


def test_of_nobody_the_attributes_are_measured(people: Path, bruna: Run) -> None:
    (people / DAMAGED).unlink()
    (people / "annotations.csv").unlink()
    paths = [f"train/{path.name}" for path in (people / "train").iterdir()]
    write_annotations(people, {path: {"hat": "yes"} for path in paths}, identities=False, attributes_of="image")
    status, _, err = bruna("evaluate", "others", "--json", "o.json", "--html", "o.html")
    assert status == 0, err
    figures = read_json(Path("o.json"))
    assert "retrieval" not in figures and figures["attributes_predicted"]["hat"]["majority"] == 1
    assert "<h2>Attributes</h2>" in Path("o.html").read_text()
