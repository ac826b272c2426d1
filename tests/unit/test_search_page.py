"""`bruna search --html`: the results and why, from small pictures, originals or none; hostile names do no harm."""

import json
import re
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import bruna as package
from bruna.files import write_json
from bruna.index.build import add_images
from bruna.index.gather import images_of
from bruna.index.header import begin
from bruna.index.pictures import pictures_of
from bruna.index.store import writing
from bruna.inference.calibration import write_calibration
from bruna.inference.describer import load
from bruna.inference.explaining import Halves, write_typical
from bruna.report.browser import Asked, Match, Shown, browser
from bruna.report.browser_images import mask_of, outline, small_image
from bruna.report.scripts import json_block
from bruna.retrieval.calibration import Calibration, FittedOn
from bruna.retrieval.spread import BROWSED_QUERIES, BROWSED_RANKS
from bruna.sample import render_sample
from conftest import Run
from tiny_dataset import write_dataset, write_image
from tiny_models import save_tiny_models

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PHOTO = "data/train/0002_c1_000020001.jpg"
HOSTILE = "</script><img src=x onerror='window.hurt=1'>\u202e \"'`.jpg".replace("/", "")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models with all that `evaluate` leaves, a data set, an index with small pictures and one without."""
    top = tmp_path_factory.mktemp("made")
    models = save_tiny_models(top / "artifacts")
    write_json({"junk_threshold": 0.999}, models / "evaluate" / "settings.json")
    write_typical(Halves(np.zeros((1, 16), np.float32), np.zeros((1, 16), np.float32)), models / "evaluate")
    fitted_on = FittedOn("tiny people", 15, 5, 10, 60, 12, cross_camera=True)
    fitted = Calibration("isotonic", ((0.0, 1.0), (9.0, 0.0)), (0.0, 9.0), (0.0, 0.5), (1.0, 0.0), fitted_on)
    write_calibration(fitted, models / "evaluate")
    write_dataset(top / "data")
    write_image(top / "data" / "train" / f"0002_c1_{HOSTILE}", 77)
    people = load(models, "cpu")
    for name, thumbnails in (("people.index", True), ("bare.index", False)):
        header = begin(top / name, people, models)
        with ExitStack() as stack, writing(top / name):
            images = [images_of(top / "data", stack)]
            add_images(top / name, images, people, header, thumbnails=thumbnails)
    return top


@pytest.fixture
def project(top_folder: Path, made: Path) -> Path:
    for name in ("artifacts", "data", "people.index", "bare.index"):
        shutil.copytree(made / name, top_folder / name)
    return top_folder


def _data(page: Path) -> dict[str, Any]:
    found = re.findall('<script type="application/json">(.*?)</script>', page.read_text(encoding="utf-8"))
    assert len(found) == 1
    return dict(json.loads(found[0]))


def test_a_page_has_every_result_and_the_reasons(project: Path, bruna: Run) -> None:
    status, out, err = bruna("search", PHOTO, "--html", "found.html", "--json", "found.json")
    assert status == 0 and "Written to found.json and found.html" in out, err
    data, page = _data(Path("found.html")), Path("found.html").read_text(encoding="utf-8")
    rows = json.loads(Path("found.json").read_text())["results"]
    (query,) = data["queries"]
    assert [data["images"][hit["image"]]["name"] for hit in query["hits"]] == [row["key"] for row in rows]
    distances = [[of["distance"] for of in found] for found in (query["hits"], rows)]
    assert np.allclose(*distances, rtol=1e-3)
    assert query["hits"][0]["upper"] > 0.99 and query["hits"][0]["probability"] == 1.0  # the photo itself
    assert all(image["image"].startswith("data:image/webp;base64,") for image in data["images"])
    first = data["images"][query["hits"][0]["image"]]
    schema = {task["name"]: task["values"] for task in data["attributes"]}
    predicted = [values[code] for values, code in zip(schema.values(), first["predicted"], strict=True)]
    agreeing = [name for name, value in zip(schema, predicted, strict=True) if query["attributes"][name] == value]
    assert agreeing == rows[0]["agreeing"] == list(schema)
    assert "Halves and outlines are told from the small pictures" in page and "is no proof of it" in page


def test_a_description_and_several_photos_are_shown(project: Path, bruna: Run) -> None:
    status, _, err = bruna(
        "search", "--where", "upcolor in (red, white) or hat = yes", "--html", "a.html", "--top", "3"
    )
    assert status == 0, err
    (query,) = _data(Path("a.html"))["queries"]
    assert query["images"] == [] and query["attributes"]["hat"] == "yes"
    assert set(query["attributes"]["upcolor"].split(" or ")) == {"red", "white"}
    assert len(query["hits"]) == 3 and all("description" in hit and "upper" not in hit for hit in query["hits"])
    assert {name for hit in query["hits"] for name in (*hit["agreeing"], *hit["differing"])} == set(query["attributes"])
    status, _, err = bruna("search", "data/queries", PHOTO, "--where", "hat = no", "--html", "b.html")
    assert status == 0, err
    (query,) = _data(Path("b.html"))["queries"]
    assert len(query["images"]) == 2 and {"upper", "probability", "description"} <= set(query["hits"][0])
    status, _, err = bruna("search", "data/queries", PHOTO, "--each", "--html", "b.html")  # over its own
    assert status == 0, err
    assert [query["name"] for query in _data(Path("b.html"))["queries"]] == ["000001.jpg", Path(PHOTO).name]


def test_who_is_not_there_is_answered_on_the_page(project: Path, bruna: Run) -> None:
    assert bruna("search", PHOTO, "--where", "camera = 77", "--html", "a.html")[0] == 0
    assert f"{Path(PHOTO).name}: not in the gallery: no image fits the conditions." in Path("a.html").read_text()
    assert _data(Path("a.html"))["queries"][0]["hits"] == []
    assert bruna("search", "--where", "camera = 77", "--html", "a.html")[0] == 0


def test_pictures_come_from_the_originals_where_there_are_no_small_ones(project: Path, bruna: Run) -> None:
    people = package.open_index("bare.index")
    keys = list(people.rows.keys)
    assert set(pictures_of(people, keys)) == set(keys)
    (project / PHOTO).write_bytes((project / "data/queries/000001.jpg").read_bytes())  # another image by now
    changed = pictures_of(people, keys)
    assert set(keys) - set(changed) == {PHOTO}
    status, _, err = bruna("search", "data/queries", "--index", "bare.index", "--html", "a.html")
    assert status == 0, err
    without = [image["name"] for image in _data(Path("a.html"))["images"] if "image" not in image]
    assert without == [PHOTO]
    shutil.move("data", "gone")
    assert pictures_of(people, keys) == {}
    assert bruna("search", "--where", "hat = no", "--index", "bare.index", "--html", "a.html")[0] == 0
    status, _, err = bruna("search", f"gone/{PHOTO[5:]}", "--gallery", "gone", "--html", "a.html")
    assert status == 0, err
    assert all("mask" in image or "image" in image for image in _data(Path("a.html"))["images"])
    assert "small pictures" not in Path("a.html").read_text(encoding="utf-8")


def test_nothing_is_written_over(project: Path, bruna: Run) -> None:
    Path("kept.html").write_text("a,b\n")
    status, _, err = bruna("search", PHOTO, "--html", "kept.html")
    assert status == 1 and "--html: kept.html is there and is no HTML page" in err
    status, _, err = bruna("search", PHOTO, "--html", "same", "--csv", "same")
    assert status == 1 and "are the same file" in err


@pytest.mark.parametrize("width", [390, 1400])
def test_in_a_browser_hostile_names_do_no_harm(project: Path, bruna: Run, chrome: "Browser", width: int) -> None:
    name = f"0002_c1_{HOSTILE}"
    assert bruna("search", f"data/train/{name}", "--html", "found.html")[0] == 0
    tab = chrome.new_page(viewport={"width": width, "height": 844})
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda asked: said.append(asked.url) if not asked.url.startswith("data:") else None)
    tab.goto(Path("found.html").resolve().as_uri())
    tab.locator(".browser-hit").first.focus()
    tab.keyboard.press("Enter")
    why = tab.locator("dialog[open]")
    assert why.locator(".why-name").all_text_contents() == [name, f"data/train/{name}"]
    assert "12 of 12 attributes agree" in why.inner_text() and "Upper half\n1.00" in why.inner_text()
    tab.keyboard.press("Escape")
    assert tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    assert said == [Path("found.html").resolve().as_uri()] and tab.evaluate("window.hurt") is None
    tab.close()


@pytest.mark.parametrize("text", ["</script>", "<!--<script", "&lt;", "\u2028", "'\"`", "\udcff", "\0"])
def test_data_in_a_page_end_no_element(text: str) -> None:
    block = json_block({text: [text, 1.5, None]})
    inside = block.removeprefix('<script type="application/json">').removesuffix("</script>")
    assert not set("<>&") & set(inside) and inside.isascii()
    assert json.loads(inside) == {text: [text, 1.5, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_block([float("nan")])


def test_as_many_images_as_a_set_can_show_stay_below_its_share_of_a_page(tmp_path: Path) -> None:
    """9 MB of 15: the rest of the page has about 5.5 with the course's data set."""
    render_sample(tmp_path / "data", identities=8, images_per_identity=4, test_identities=0, mask_pairs=8)
    pictures = [small_image(path.read_bytes()) for path in sorted((tmp_path / "data").rglob("train/*.jpg"))]
    masks = [mask_of(path.read_bytes()) for path in sorted((tmp_path / "data").rglob("masks/*.png"))]
    lines = [line for line in map(outline, masks) if line]
    assert len(pictures) > 20 and len(lines) == 8
    count = BROWSED_QUERIES * (BROWSED_RANKS + 1)
    images = {
        str(i): Shown(f"train/{i:04d}_c1s1_{i:06d}_01.jpg", "1", pictures[i % 20], lines[i % 8], [1] * 12, [1] * 12)
        for i in range(count)
    }
    match = {"distance": 123.456, "probability": 0.123456, "upper": 0.123456, "lower": -0.123456}
    queries = [
        Asked(
            [str(i)], [Match(str(BROWSED_QUERIES + 10 * i + k), True, **match) for k in range(BROWSED_RANKS)], 0.12345
        )
        for i in range(BROWSED_QUERIES)
    ]
    assert len(browser("all", images, queries, (), filtered=True).html) < 9e6
