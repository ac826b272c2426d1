"""`bruna evaluate FOLDER` on small untrained networks: figures, what was not measured, and what is no good."""

import re
import shutil
from html import unescape
from pathlib import Path

import pytest

from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.schema import Task
from bruna.dataset.tables import write_table
from bruna.files import read_json, write_json
from conftest import Run
from course_schema import NAMES
from person_table import person_table
from tiny_dataset import write_annotations, write_dataset, write_image
from tiny_models import save_tiny_models

DAMAGED = "train/0002_c1_000020001.jpg"
_VALUES = [(task.name, task.values) for task in ATTRIBUTES]


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
    assert said[1].startswith("the models were trained on 1 of 7 images, which show 1 of 4 identities")
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
    assert figures["intervals"]["map"] == {"resampled": 1} and re.search(r" map +\d\.\d{3} +too few people ", out)
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
    left_out, _, wide, *_ = figures["warnings"]
    assert left_out.startswith("4 of 5 images are measured") and DAMAGED not in left_out
    assert wide.startswith("1 of 4 images are wider than high (such as query/0020_c104_1.png): whole frames?")


def test_without_cameras_the_course_protocol_is_measured(people: Path, bruna: Run) -> None:
    for path in (people / "train").iterdir():
        path.rename(path.with_name(path.name.replace("_c1_", "_c0_").replace("_c2_", "_c0_")))
    (people / DAMAGED.replace("c1", "c0")).unlink()
    status, out, err = bruna("evaluate", "others", "--json", "o.json", "--html", "o.html")
    assert status == 0, err
    figures = read_json(Path("o.json"))
    retrieval = figures["retrieval"]
    assert retrieval["market1501"]["queries"] == 0 and 0 < retrieval["course"]["map"] <= 1
    assert (retrieval["course"]["queries"], retrieval["course"]["left_out"]) == (6, 1)  # one is left alone
    assert "others: no query has a match on another camera" in err and "without the query itself" in err
    assert "others: 1 of 7 queries without a right image in the gallery (course protocol) are in no mean" in err
    assert "course" in out and "itself counted" not in out
    page = unescape(Path("o.html").read_text())
    assert "the query itself is left out." in page and "1 without any are in no mean (course protocol)" in page
    assert "finds itself first" not in page


def test_where_nobody_is_seen_twice_there_is_no_ranking_to_draw(people: Path, bruna: Run) -> None:
    (people / DAMAGED).unlink()
    for path in (people / "train").iterdir():
        path.unlink() if "_c1_" in path.name else path.rename(path.with_name(path.name.replace("_c2_", "_c0_")))
    status, _, err = bruna("evaluate", "others", "--json", "o.json", "--html", "o.html")
    assert status == 0, err
    assert read_json(Path("o.json"))["retrieval"]["course"] == {"queries": 0, "left_out": 4}
    assert "others: no query has a right image in the gallery: nothing is measured of the ranking." in err
    assert "<h2>Retrieval</h2>" in Path("o.html").read_text()


def test_identities_that_were_trained_on_are_said(people: Path, bruna: Run) -> None:
    """By their images; by their numbers only where the data set has the same name."""
    (people / DAMAGED).unlink()

    def said(*more: str) -> tuple[dict[str, int], list[str]]:
        status, _, err = bruna("evaluate", "others", "--json", "o.json", *more)
        assert status == 0, err
        found = read_json(Path("o.json"))
        assert all(f"warning: {text}" in err for text in found["warnings"])
        counts = {name: found[name] for name in ("images_trained_on", "identities_trained_on") if name in found}
        return counts, [text for text in found["warnings"] if "trained on" in text]

    counts, sentences = said()
    assert counts == {} and sentences[0].startswith("artifacts/split/train.parquet is missing: nobody knows")
    train = person_table((2, 7, 30), 1)
    train.loc[0, "image"] = (people / "train/0011_c1_000110001.jpg").read_bytes()  # there it has another number
    write_table(train, Path("artifacts/split/train.parquet"))
    by_image = "the models were trained on 1 of 7 images, which show 1 of 4 identities: the figures say little"
    counts, sentences = said()
    assert counts == {"images_trained_on": 1, "identities_trained_on": 1}
    assert len(sentences) == 1 and sentences[0].startswith(by_image)
    write_json({"name": "Other people"}, Path("artifacts/validate/figures.json"))
    assert said() == (counts, sentences)
    write_json({"name": "Tiny people"}, Path("artifacts/validate/figures.json"))
    counts, sentences = said("--html", "o.html")
    page = unescape(Path("o.html").read_text())
    assert all(text in page for text in sentences)
    assert counts == {"images_trained_on": 1, "identities_trained_on": 3}
    assert sentences[1].startswith("2 of 4 identities have the numbers of identities that the models were trained on")
    assert "the data set has the same name (Tiny people)" in sentences[1] and sentences[0].startswith(by_image)
    write_table(train.assign(identity=[30, 31, 32]), Path("artifacts/split/train.parquet"))
    counts, sentences = said()
    assert counts == {"images_trained_on": 1, "identities_trained_on": 1} and len(sentences) == 1


def _with(*changed: Task) -> tuple[Task, ...]:
    """The models' attributes, some of them with other values."""
    new = {task.name: task for task in changed}
    return tuple(new.get(task.name, task) for task in ATTRIBUTES)


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        (ATTRIBUTES[::-1], ""),
        (_with(Task("hat", ("yes", "no"))), ""),
        (tuple(task for task in ATTRIBUTES if task.name != "hat"), "11 of 12 {}: hat (the folder does not have it)."),
        (
            _with(Task("hat", ("no", "yes", "cap"))),
            "11 of 12 {}: hat (its values are no/yes/cap, those of the models no/yes).",
        ),
        (
            (Task("helmet", ("no", "yes")), *ATTRIBUTES[:-1]),
            "11 of 12 {}: helmet (the models do not tell it), " + f"{NAMES[-1]} (the folder does not have it).",
        ),
    ],
)
def test_attributes_that_both_have_are_measured(
    people: Path, bruna: Run, attributes: tuple[Task, ...], says: str
) -> None:
    (people / DAMAGED).unlink()
    (people / "annotations.csv").unlink()
    values = {2: {"age": "old"}, 5: {"hat": "yes"}, 7: {"hat": "yes"}, 11: {}}
    both = [task for task in attributes if task.name in NAMES and set(task.values) == set(dict(_VALUES)[task.name])]
    known = {i: {name: of.get(name, dict(_VALUES)[name][0]) for name in NAMES} for i, of in values.items()}
    figures = {}
    for schema in (ATTRIBUTES, attributes):
        names = {task.name for task in schema}
        cells = {i: {name: value for name, value in of.items() if name in names} for i, of in known.items()}
        write_annotations(people, cells, schema)
        status, _, err = bruna("evaluate", "others", "--json", "o.json")
        assert status == 0, err
        figures[schema] = read_json(Path("o.json"))["attributes_predicted"]
    assert figures[attributes] == {task.name: figures[ATTRIBUTES][task.name] for task in both}
    sentence = says.format("attributes that the models tell can be measured; not measured")
    assert f"others: {sentence}" in err if says else "can be measured" not in err


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
    assert ("others: 0 of 12 attributes that the models tell can be measured" in err) == bool(attributes)
    assert ("helmet (the models do not tell it), age (the folder" in err) == bool(attributes)
    assert "and 3 more" in err or not attributes


def test_unknown_cells_count_in_no_figure(people: Path, bruna: Run) -> None:
    (people / DAMAGED).unlink()
    hats = {2: "yes", 5: "no", 7: "", 11: "yes"}
    write_annotations(people, {i: {"hat": hat, "age": ""} for i, hat in hats.items()})
    status, _, err = bruna("evaluate", "others", "--json", "o.json")
    assert status == 0, err
    figures = read_json(Path("o.json"))["attributes_predicted"]
    assert "age" not in figures and figures["hat"]["majority"] == pytest.approx(3 / 5)
    assert "others: 11 of 12 attributes that the models tell can be measured; not measured: age (empty in every" in err


def test_of_nobody_without_the_models_attributes_there_is_nothing(people: Path, bruna: Run) -> None:
    (people / DAMAGED).rename(people / "train" / "crop 7.JPG")
    write_image(people / "train" / "crop 7.JPG", 7)
    (people / "annotations.csv").unlink()
    paths = [f"train/{path.name}" for path in (people / "train").iterdir()]
    write_annotations(people, {path: {} for path in paths}, [Task("helmet", ("no", "yes"))], identities=False)
    status, _, err = bruna("evaluate", "others", "--json", "o.json", "--html", "o.html")
    assert status == 0, err
    figures = read_json(Path("o.json"))
    assert (figures["images"], figures["identities"]) == (8, 0)
    assert "retrieval" not in figures and "attributes_predicted" not in figures
    assert "0 of 12 attributes that the models tell" in err
    assert "<h2>Settings</h2>" in Path("o.html").read_text() and "8 images by the models" in Path("o.html").read_text()


def test_of_nobody_the_gallery_is_measured_where_there_is_one(people: Path, bruna: Run) -> None:
    shutil.rmtree(people / "train")
    (people / "annotations.csv").unlink()
    for i in range(3):
        write_image(people / "gallery" / f"crop {i}.jpg", i)
    values = {f"gallery/crop {i}.jpg": {"hat": ("no", "no", "yes")[i]} for i in range(3)}
    write_annotations(people, values, identities=False, attributes_of="image")
    status, out, err = bruna("evaluate", "others", "--json", "o.json", "--html", "o.html")
    assert status == 0, err
    figures = read_json(Path("o.json"))
    assert figures["attributes_predicted"]["hat"]["majority"] == pytest.approx(2 / 3)
    assert figures["images"] == 3 and "retrieval" not in figures and re.search("images +3 ", out)
    assert "3 images by the models" in unescape(Path("o.html").read_text())


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


def test_where_nothing_is_known_there_is_nothing_to_measure(people: Path, bruna: Run) -> None:
    (people / "annotations.csv").unlink()
    (people / "dataset.yaml").write_text("name: unknown people\nidentities: false\n")
    status, _, err = bruna("evaluate", "others")
    assert status == 1 and "there is nothing to measure. `bruna attributes others`" in err
