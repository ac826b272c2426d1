"""`bruna index` and `bruna search`: what they print, write and refuse."""

import csv
import io
import re
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

import bruna as package
from bruna.files import read_json, write_json
from bruna.index.build import add_images
from bruna.index.gather import images_of
from bruna.index.header import begin
from bruna.index.store import writing
from bruna.inference.calibration import write_calibration
from bruna.inference.describer import load
from bruna.retrieval.calibration import Calibration, FittedOn
from conftest import Run
from tiny_dataset import write_dataset, write_image
from tiny_models import save_tiny_models


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, a data set and an index of it."""
    top = tmp_path_factory.mktemp("made")
    models = save_tiny_models(top / "artifacts")
    write_json({"junk_threshold": 0.999}, models / "evaluate" / "settings.json")
    write_dataset(top / "data")
    people = load(models, "cpu")
    header = begin(top / "people.index", people, models)
    with ExitStack() as stack, writing(top / "people.index"):
        add_images(top / "people.index", [images_of(top / "data", stack)], people, header)
    return top


@pytest.fixture
def project(top_folder: Path, made: Path) -> Path:
    for name in ("artifacts", "data", "people.index"):
        shutil.copytree(made / name, top_folder / name)
    return top_folder


PHOTO = "data/train/0002_c1_000020001.jpg"


def calibrate(distances: Sequence[float]) -> None:
    """Write a calibration: the probability falls evenly from 1 at the least distance to almost 0 at the greatest."""
    known = sorted(set(distances))  # two images have the same bytes
    shares = [i / len(known) for i in range(len(known))]
    falling = [1 - share for share in shares]
    knots = tuple(zip(known, falling, strict=True))
    fitted_on = FittedOn("tiny people", 15, 5, 10, 60, 12, cross_camera=True)
    calibration = Calibration("isotonic", knots, tuple(known), tuple(shares), tuple(falling), fitted_on)
    write_calibration(calibration, Path("artifacts/evaluate"))


@pytest.fixture
def distances(project: Path) -> list[float]:
    """Those of the photo to all images; a calibration is made of them."""
    found: list[float] = package.open_index("people.index").search(PHOTO).results["distance"].tolist()
    calibrate(found)
    return found


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_an_index_is_made_added_to_and_searched(project: Path, bruna: Run) -> None:
    shutil.rmtree("people.index")
    (project / "data" / "train" / "0009_c1_1.jpg").write_bytes(b"no image")
    status, out, err = bruna("index", "data")
    assert status == 0, err
    assert "people.index holds 15 images" in out and re.search(r"the same as described ones, under other keys +1 ", out)
    assert "left out: data/train/0009_c1_1.jpg: " in err and "14 described" in err
    status, out, err = bruna("index", "data", "--to", "people.index")
    assert status == 0 and re.search(r"there already +15 ", out)
    status, out, err = bruna("search", PHOTO, "--csv", "found.csv", "--json", "found.json")
    assert status == 0, err
    found = table(Path("found.csv").read_text())
    assert found[0]["key"] == PHOTO and float(found[0]["distance"]) < 1e-3 and found[0]["differing"] == ""
    assert len(found) == 15 and [row["rank"] for row in found] == [str(i) for i in range(1, 16)]
    rows = read_json(Path("found.json"))["results"]
    assert [row["key"] for row in rows] == [row["key"] for row in found]
    assert rows[0]["probability"] is None and len(rows[0]["agreeing"]) == 12 and rows[0]["camera"] == "1"
    assert PHOTO in out and "12 of 12" in out and "Written to found.csv and found.json" in out
    status, out, _ = bruna("search", PHOTO, "--gallery", "data", "--csv", "again.csv")
    assert status == 0 and [row["key"] for row in table(Path("again.csv").read_text())] == [row["key"] for row in found]


def test_where_ranks_filters_and_leaves_out(project: Path, bruna: Run) -> None:
    status, out, err = bruna("search", "--where", "upcolor = red and camera != 1", "--csv", "a.csv", "--top", "50")
    assert status == 0, err
    found = table(Path("a.csv").read_text())
    assert len(found) == 10 and "1" not in {row["camera"] for row in found}
    chances = [float(row["description"]) for row in found]
    assert chances == sorted(chances, reverse=True)
    status, out, _ = bruna("search", PHOTO, "--different-camera", "--csv", "b.csv")
    assert status == 0 and len(table(Path("b.csv").read_text())) == 10
    status, out, err = bruna("search", "--where", "camera = 77", "--csv", "c.csv", "--json", "c.json")
    assert status == 0 and "Not in the gallery: no image fits the conditions." in out and "known" not in err
    assert (
        "no image of people.index has a known time\n" in bruna("search", "--where", "time >= '2024' and camera > 0")[2]
    )
    assert table(Path("c.csv").read_text()) == [] and read_json(Path("c.json"))["results"] == []
    assert bruna("search", "--where", "camera = 77", "--csv", "c.csv")[0] == 0  # it writes over its own


def test_without_a_calibration_a_description_filters_beside_a_photo(project: Path, bruna: Run) -> None:
    value = package.open_index("people.index").rows.header.schema[0].values[0]
    name = package.open_index("people.index").rows.header.schema[0].name
    status, _, err = bruna("search", PHOTO, "--where", f"{name} = {value}", "--csv", "a.csv")
    assert status == 0 and "note: without a calibration beside the models the description filters" in err
    assert bruna("search", PHOTO, "--where", f"{name} = {value}", "--strict", "--csv", "b.csv")[0] == 0
    assert Path("a.csv").read_text() == Path("b.csv").read_text()
    status, _, err = bruna("search", PHOTO, "--max-fmr", "0.01")
    assert status == 1 and "--max-fmr needs a calibration, and artifacts/evaluate has none" in err
    status, _, err = bruna("search", "--where", "upcolor = red", "--max-fmr", "0.01")
    assert status == 1 and "--max-fmr needs a photo" in err and "calibration" not in err


def test_a_threshold_leaves_out_and_says_not_in_the_gallery(project: Path, distances: list[float], bruna: Run) -> None:
    status, out, err = bruna("search", PHOTO, "--csv", "a.csv")
    assert status == 0, err
    found = table(Path("a.csv").read_text())
    known = sorted(set(distances))
    falling = [1 - known.index(distance) / 14 for distance in distances]
    assert [float(row["probability"]) for row in found] == pytest.approx(falling, abs=0.01)
    assert "probability" in out and "not in the gallery" not in out
    status, _, err = bruna("search", PHOTO, "--max-fmr", "0.3", "--csv", "b.csv")
    passing = sum(distance < known[4] for distance in distances)
    assert status == 0 and f"only images nearer than {known[4]:.4g} are results: {passing} images pass\n" in err
    status, _, err = bruna("search", PHOTO, "--max-fmr", "0.3", "--top", "2")
    assert status == 0 and "2 or more images pass (--top shows more)" in err
    assert [row["key"] for row in table(Path("b.csv").read_text())] == [
        row["key"] for row, distance in zip(found, distances, strict=True) if distance < known[4]
    ]
    farthest = f"key = '{found[-1]['key']}'"
    status, out, _ = bruna("search", PHOTO, "--where", farthest)
    assert status == 0 and "probably not in the gallery: the greatest probability of the same person is 0.07." in out
    status, out, _ = bruna("search", PHOTO, "--where", farthest, "--max-fmr", "0.5", "--json", "n.json")
    assert status == 0 and f"not in the gallery: no image is nearer than {known[7]:.3f}" in out
    assert "the false match rate is 0.5" in read_json(Path("n.json"))["answers"][0]
    status, _, err = bruna("search", PHOTO, "--max-fmr", "0.001")
    smallest = re.search(r"too few people .* so small a rate\. The smallest that these 5 carry is ([\d.]+)\.", err)
    assert status == 1 and smallest, err
    assert bruna("search", PHOTO, "--max-fmr", smallest[1])[0] == 0
    for rate in ("0", "1.5", "nan"):
        status, _, err = bruna("search", PHOTO, "--max-fmr", rate)
        assert status == 1 and "a rate lies above 0 and is at most 1" in err


def test_a_photo_of_the_index_and_photos_of_several_people_are_told(
    project: Path, distances: list[float], bruna: Run
) -> None:
    several = "the photos seem to show several people: ask for each of them alone (--each)"
    write_image(Path("new.jpg"), 77)
    calibrate([distance * 1000 for distance in distances])  # all images are nearer than that
    status, _, err = bruna("search", PHOTO, "new.jpg")
    assert status == 0 and f"note: {Path(PHOTO).name} is in the index too, and found again" in err
    assert ("new.jpg" not in err) and several not in err
    assert "found again" not in bruna("search", PHOTO, "--where", f"key != '{PHOTO}'")[2]
    calibrate([distance / 1000 for distance in distances])  # and now farther
    assert several in bruna("search", PHOTO, "new.jpg")[2]
    assert several not in bruna("search", PHOTO, "new.jpg", "--each")[2]


def test_no_spreadsheet_runs_the_name_of_a_file(project: Path, bruna: Run) -> None:
    write_image(Path("crops/=1+1.jpg"), 5)
    write_image(Path("=HYPERLINK.jpg"), 6)
    options = ("--gallery", "crops", "--csv", "a.csv", "--json", "a.json")
    assert bruna("search", "./=HYPERLINK.jpg", *options)[0] == 0
    (row,) = table(Path("a.csv").read_text())
    assert row["query"] == "'=HYPERLINK.jpg" and row["key"] == "crops/=1+1.jpg"
    assert read_json(Path("a.json"))["results"][0]["query"] == "=HYPERLINK.jpg"


@pytest.mark.usefixtures("distances")
def test_with_both_the_probabilities_multiply(project: Path, bruna: Run) -> None:
    assert bruna("search", PHOTO, "--where", "upcolor = red", "--csv", "a.csv")[0] == 0
    found = table(Path("a.csv").read_text())
    scores = [float(row["probability"]) * float(row["description"]) for row in found]
    assert len(found) == 15 and scores == sorted(scores, reverse=True)


def test_photos_of_a_folder_are_one_query_or_many(project: Path, bruna: Run) -> None:
    shutil.copytree("data/train", "photos")
    assert bruna("search", "photos", "--csv", "a.csv", "--top", "3")[0] == 0
    assert len(table(Path("a.csv").read_text())) == 3
    assert bruna("search", "photos", "--each", "--csv", "a.csv", "--top", "3")[0] == 0
    found = table(Path("a.csv").read_text())
    assert len(found) == 24 and {row["key"] for row in found if row["rank"] == "1"} == {
        f"data/train/{path.name}" for path in Path("photos").iterdir()
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("search",), "there is nothing to look for: give photos, or a description with --where"),
        (("search", PHOTO, "--index", "a", "--gallery", "b"), "give --index or --gallery, not both"),
        (("search", PHOTO, "--index", "gone.index"), "gone.index does not exist. `bruna index SOURCE --to gone.index`"),
        (("search", PHOTO, "--index", "data"), "data is no index: it has no index.json"),
        (("search", PHOTO, "--gallery", "empty"), "no image in empty: folders and archives are searched for .jpg"),
        (("search", PHOTO, "--gallery", "broken"), "no image of broken can be read; the first is broken/a.jpg"),
        (("search", "gone.jpg"), "gone.jpg does not exist"),
        (("search", "broken/a.jpg"), "found 1 photo that cannot be read:\n  a.jpg cannot be read: "),
        (("search", "--where", "upcolr = red"), "Did you mean upcolor?"),
        (("search", "--where", "upcolor = purpel"), "upcolor has no value 'purpel'. Did you mean purple?"),
        (("search", "--where", "upcolor red"), "  upcolor red\n          ^\n"),
        (("search", "odd.jpg", "--different-camera"), "nobody knows the camera of odd.jpg"),
        (("search", PHOTO, "--models", "gone"), "gone is no folder"),
        (
            ("search", PHOTO, "--models", "empty"),
            "empty is no complete folder of models: empty/unet/settings.json is mi",
        ),
        (("search", PHOTO, "--gallery", "s3://a/b"), "s3:/a/b does not exist. An address is for `bruna index`"),
        (("index", "data", "--engine-workers", "Ray", "--engine", "ONNXRuntime"), "Ray's workers run torch"),
        (("index",), "there is nothing to add"),
        (("index", "data", "--remove", "a"), "give images to add, or --remove or --remove-where; not both"),
        (("index", "gone"), "gone does not exist (looked in "),
        (("index", "empty", "--to", "new.index"), "no image in empty: folders and archives are searched for .jpg"),
        (("index", "broken", "--to", "new.index"), "none of 1 image could be described"),
        (("index", "data", "--to", "data"), "--to: data is no index: it holds annotations.csv"),
        (("index", "data", "--to", "params.yaml"), "--to: params.yaml is no folder"),
        (("index", "--remove", "gone.jpg"), "no image of the key gone.jpg. Nothing was erased"),
        (("index", "--remove-where", "camera = 99"), "fits --remove-where. Nothing was erased"),
        (
            ("index", "--remove-where", "camera = 1 or upcolor = red"),
            "--remove-where names upcolor, which is predicted",
        ),
        (("index", "--remove-where", "camra = 1"), "--remove-where cannot be read:\n  camra = 1\n  ^\n"),
        (("index", "--to", "gone.index", "--remove", "a"), "gone.index does not exist"),
    ],
)
def test_a_mistake_is_one_message(project: Path, bruna: Run, arguments: tuple[str, ...], says: str) -> None:
    (project / "empty").mkdir()
    (project / "broken").mkdir()
    (project / "broken" / "a.jpg").write_bytes(b"no image")
    write_image(project / "odd.jpg", 5)
    before = {path: path.read_bytes() for path in Path("people.index").iterdir()}
    status, out, err = bruna(*arguments)
    assert status == 1 and says in err and "Traceback" not in err, err
    assert err.count("error: ") == 1 and "Written" not in out
    assert {path: path.read_bytes() for path in Path("people.index").iterdir()} == before
    assert not Path("new.index").exists()


def test_other_models_are_refused_by_name(project: Path, bruna: Run) -> None:
    save_tiny_models(Path("other/artifacts"), seed=3)
    for command in (("search", PHOTO), ("index", "data")):
        status, _, err = bruna(*command, "--models", "other/artifacts")
        assert status == 1 and "people.index was made by other models (fingerprint " in err, err
        assert "than those in other/artifacts" in err


def test_junk_is_kept_out_of_results_and_is_no_query(project: Path, bruna: Run) -> None:
    write_json({"junk_threshold": 1e-6}, Path("artifacts/evaluate/settings.json"))
    status, _, err = bruna("search", PHOTO)
    assert status == 1 and "Task 1 sees no person in 1 photo:" in err and "--keep-junk" in err
    assert bruna("search", PHOTO, "--keep-junk", "--csv", "a.csv")[0] == 0
    assert len(table(Path("a.csv").read_text())) == 15
    assert bruna("index", "data")[0] == 0  # the index takes over how the models are used now
    status, out, _ = bruna("search", "--where", "upcolor = red")
    assert status == 0 and "Not in the gallery" in out


def test_erasing_hands_over_a_receipt(project: Path, bruna: Run) -> None:
    status, out, err = bruna("index", "--remove", PHOTO, "--remove", "gone.jpg", "--remove-where", "camera = 3")
    assert status == 0, err
    assert "Erased from people.index: 3 images; 12 left." in out and f"  key      {PHOTO}\n" in out
    assert "warning: people.index had no image of the key gone.jpg" in err
    receipt = next(line.split()[1] for line in out.splitlines() if line.startswith("  receipt"))
    assert receipt not in Path("people.index/removed.csv").read_text()
    assert len(package.open_index("people.index")) == 12
    status, _, err = bruna("index", "--remove", "data/queries/000001.jpg")
    assert status == 0 and "the same image is still there as data/test/000001.jpg, and was not erased" in err
    assert len(Path("people.index/removed.csv").read_text().splitlines()) == 3


def test_a_result_file_is_never_one_that_is_read(project: Path, bruna: Run) -> None:
    part = "people.index/part-000001.parquet"
    for option in ("--csv", "--json"):
        for place in (PHOTO, part, "people.index/index.json", "params.yaml"):
            before = Path(place).read_bytes()
            status, _, err = bruna("search", PHOTO, option, place)
            assert status == 1 and f"{option} would write over " in err
            assert Path(place).read_bytes() == before


def test_in_python_an_index_is_searched_too(project: Path) -> None:
    people = package.open_index("people.index", "artifacts")
    assert isinstance(people, package.Index) and repr(people) == "Index(people.index: 15 images)"
    found = people.search(Path(PHOTO), top=3)
    assert found.results["key"][0] == PHOTO and len(found.results) == 3 and found.answers == ()
