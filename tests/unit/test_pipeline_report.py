"""The stage `report`: every picture is drawn, kept, shown on the page and logged, and what is missing is an error."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from bruna.batches.attribute_items import MEASURED_JUNK_EVERY, measured_draws, zoom
from bruna.batches.store import ImageStore
from bruna.dataset.dataset_file import DATASET
from bruna.dataset.schema import Task, as_json
from bruna.dataset.tables import read_table, write_table
from bruna.errors import BrunaError
from bruna.files import read_json, write_json
from bruna.headlines import FIGURES_FILE, HEADLINES
from bruna.params import Params, read_params
from bruna.pipeline import report
from bruna.pipeline.attribute_drawings import MeasuredImages
from bruna.pipeline.records import Records
from bruna.report.drawing import Drawing
from bruna.report.style import new_figure, save
from bruna.report.tiles import shown
from bruna.tracking.protocol import NullTracker
from course_schema import TASKS
from tiny_records import PROJECT, SIZE, tiny, write_records, write_test_set


class _Log(NullTracker):
    """Remembers what is logged to it and to the producers of its inputs."""

    def __init__(self, gone: str = "") -> None:
        self.gone = gone
        self.page = self.card = ""
        self.files: list[tuple[str, str | None]] = []
        self.producers: dict[str, _Log] = {}

    def file(self, path: Path, folder: str | None = None) -> None:
        self.files.append((path.name, folder))
        if path.name == report.PAGE:
            self.page = path.read_text(encoding="utf-8")
        if path.name == report.CARD:
            self.card = path.read_text(encoding="utf-8")

    def origin(self) -> dict[str, str]:
        return {"Commit": "0a1b2c3"}

    def producer(self, path: str) -> "_Log | None":
        return None if path == self.gone else self.producers.setdefault(path, _Log())


@pytest.fixture(scope="module")
def params() -> Params:
    return tiny(read_params(PROJECT / "params.yaml"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, params: Params) -> Path:
    """The artifacts folder of a tiny data set."""
    artifacts = tmp_path_factory.mktemp("artifacts")
    write_records(artifacts, params)
    return artifacts


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data set folder with nothing but its own file."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / DATASET).write_text("name: Tiny people\n")
    return tmp_path / "data"


METRICS = {name: 0.001 * number for number, name in enumerate(HEADLINES, start=1)}
INPUTS = {"data": "0123.dir", "artifacts/evaluate": "4567.dir"}


def _names(drawings: list[Drawing]) -> set[str]:
    return {drawing.file for drawing in drawings}


def test_every_picture_is_drawn_shown_and_logged(made: Path, data: Path, params: Params) -> None:
    artifacts = made
    log = _Log(gone="artifacts/train_bruna")
    counts = report.write_report(artifacts, data, METRICS, params, INPUTS, log)
    folder = artifacts / "report"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}
    assert files == _names(report.all_drawings(Records(artifacts), params))
    assert {f"train_attributes/confident_{task.name}.png" for task in TASKS} <= files
    assert counts == {
        "evaluate": 4,
        "train_attributes": 5 + len(TASKS),
        "train_bruna": 3,
        "train_unet": 3,
        "validate": 6,
    }
    for path in folder.rglob("*.png"):
        with Image.open(path) as image:
            assert min(image.size) > 250
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<img ") == len(files) == sum(counts.values())
    captions = re.findall("<figcaption>(.*?)</figcaption>", page)
    assert len(set(captions)) == len(files)
    assert all(len(alt) > 15 for alt in re.findall(' alt="(.*?)"', page))
    assert "0a1b2c3" not in page
    assert "Commit <code>0a1b2c3</code>" in log.page
    card = (folder / "model_card.md").read_text(encoding="utf-8")
    title, _, rest = card.partition("\n")
    assert log.card == f"{title}\n\nCommit: 0a1b2c3\n{rest}" and "Tiny people" in title
    assert page.count("<h2>Model card</h2>") == 1
    assert log.files == [
        ("report.html", None),
        ("model_card.md", None),
        *((stage, f"figures/{stage}") for stage in sorted(counts)),
    ]
    assert {path: found.files for path, found in log.producers.items()} == {
        "artifacts/evaluate": [("evaluate", "figures")],
        "artifacts/train_attributes": [("train_attributes", "figures")],
        "artifacts/train_unet": [("train_unet", "figures")],
        "artifacts/validate/manifest.parquet": [("validate", "figures")],
    }


def test_other_attributes_and_cameras_are_trained_drawn_and_shown(params: Params, data: Path, tmp_path: Path) -> None:
    schema = (Task("size", ("small", "middle", "large")), Task("glasses", ("no", "yes")), Task("coat", ("red", "blue")))
    group = params.train_attributes.model_copy(update={"camera_classes": (2,)})
    params = params.model_copy(update={"train_attributes": group})
    write_records(tmp_path, params, schema)
    settings = {name: read_json(tmp_path / name / "settings.json") for name in ("attributes", "bruna")}
    assert all(found["attributes"] == as_json(schema) for found in settings.values())
    counts = report.write_report(tmp_path, data, METRICS, params, INPUTS, NullTracker())
    sheets = {path.stem for path in (tmp_path / "report" / "train_attributes").glob("confident_*.png")}
    assert sheets == {f"confident_{name}" for name in ("size", "glasses", "coat", "camera2", "junk")}
    assert counts["train_attributes"] == 5 + len(sheets)
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "Mean of the 3 attributes" in page and "Mean of the 12" not in page
    table = page[page.index("Attributes as they are predicted") :]
    assert all(f">{title}<" in table for title in ("Size", "Glasses", "Coat"))
    assert "Backpack" not in page and "Camera4" not in page


def test_the_page_shows_the_metrics_the_settings_and_the_inputs(made: Path, params: Params, tmp_path: Path) -> None:
    report._write_page(tmp_path, [], report._findings(Records(made), METRICS, params, INPUTS))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    tiles = dict(re.findall('data-metric="(.*?)".*?class="value">(.*?)<', page))
    assert tiles == {name: shown(name, value) for name, value in METRICS.items()}
    labels = re.findall('class="label">(.*?)<', page)
    assert len(set(labels)) == len(labels)
    groups = re.findall('<div class="settings"><h4>(.*?)</h4>', page)
    assert groups == [name for name in params.model_dump(by_alias=True) if name != "runtime"]
    for path, md5 in INPUTS.items():
        assert f'<th scope="row">{path}</th><td class="">{md5}</td>' in page


def test_what_the_stages_warn_of_stands_above_the_numbers(made: Path, params: Params, tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    shutil.copytree(made, artifacts)
    for stage in report._WARNING:
        figures = read_json(artifacts / stage / FIGURES_FILE)
        write_json({**figures, "warnings": [f"{stage} is <bad>."]}, artifacts / stage / FIGURES_FILE)
    report._write_page(tmp_path, [], report._findings(Records(artifacts), METRICS, params, INPUTS))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    warned = [(found.start(), found[1]) for found in re.finditer('role="note">Warning: (.*?)</p>', page)]
    assert [text for _, text in warned] == [f"{stage} is &lt;bad&gt;." for stage in report._WARNING]
    assert page.index('class="lead"') < warned[0][0] and warned[-1][0] < page.index('class="tile"')


def test_without_a_threshold_nothing_is_drawn_and_the_page_says_why(made: Path, params: Params, tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    shutil.copytree(made, artifacts)
    figures = read_json(artifacts / "evaluate" / FIGURES_FILE)
    figures["validation"]["verification"] = {"people_needed": 4}
    write_json(figures, artifacts / "evaluate" / FIGURES_FILE)
    records = Records(artifacts)
    assert _names(report.all_drawings(records, params)) == _names(report.all_drawings(Records(made), params))
    report._write_page(tmp_path, [], report._findings(records, METRICS, params, INPUTS))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "There is no threshold: fewer than 4 people are seen twice." in page

    found = {"eer": {"value": 0.1}, "at_fmr": {}, "identity_pairs": 78, "method": "logistic", "ece": {"logistic": 0.1}}
    figures["validation"]["verification"] = found
    write_json(figures, artifacts / "evaluate" / FIGURES_FILE)
    with pytest.raises(BrunaError, match=r"evaluate/verification\.csv is missing"):
        report.all_drawings(records, params)
    pd.DataFrame({"fmr": [0.1, 1], "fnmr": [0.1, 0], "fnmr_low": [0.0, 0], "fnmr_high": [0.2, 0]}).to_csv(
        artifacts / "evaluate" / "verification.csv", index=False
    )
    pd.DataFrame({"predicted": [0.5], "observed": [0.5], "pairs": [9]}).to_csv(
        artifacts / "evaluate" / "reliability.csv", index=False
    )
    added = _names(report.all_drawings(records, params)) - _names(report.all_drawings(Records(made), params))
    assert added == {"evaluate/roc.png", "evaluate/reliability.png"}


def test_words_are_explained_where_they_are_first_used(made: Path, params: Params, tmp_path: Path) -> None:
    report._write_page(tmp_path, [], report._findings(Records(made), METRICS, params, INPUTS))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    retrieval = page.index('<section id="retrieval">')
    for word in ("mAP", "Rank-1", "mINP", "Junk, distractor", "Bruna, Task 1, U-Net"):
        explained = re.search(f"<p>[^<]*{word}[^<]*: ", page[retrieval:])
        assert explained and explained.start() < page[retrieval:].index("<table>")
    assert page.count("<summary>What the words mean</summary>") == 3  # no groups and no threshold here
    assert "scroll-behavior" not in page  # a long jump would show nothing but white


def test_a_picture_that_is_missing_is_an_error_and_the_report_of_before_stays(
    made: Path, data: Path, params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts = tmp_path / "artifacts"
    shutil.copytree(made, artifacts)
    write_json({}, artifacts / "report" / "before.json")
    kept = [Drawing("train_unet", "training", name, name, name, lambda: new_figure()[0]) for name in ("drawn", "lost")]
    monkeypatch.setattr(report, "all_drawings", lambda *_: kept)
    monkeypatch.setattr(report, "save", lambda figure, path: None if path.stem == "lost" else save(figure, path))
    with pytest.raises(BrunaError, match=r"shows train_unet/lost\.png, which is missing"):
        report.write_report(artifacts, data, METRICS, params, INPUTS, NullTracker())
    assert "before.json" in [path.name for path in (artifacts / "report").iterdir()]


def test_facts_decide_which_pictures_there_are(made: Path, params: Params, tmp_path: Path) -> None:
    artifacts = made
    everything = _names(report.all_drawings(Records(artifacts), params))
    write_test_set(artifacts)
    with_test = _names(report.all_drawings(Records(artifacts), params))
    assert with_test - everything == {f"evaluate/{name}_test.png" for name in ("rank_lists", "cmc", "ap", "attributes")}

    none = params.model_copy(update={"report": params.report.model_copy(update={"rank_list_queries": 0})})
    without_lists = _names(report.all_drawings(Records(artifacts), none))
    assert everything - without_lists == {"evaluate/rank_lists_validation.png"}

    settings = artifacts / "unet" / "settings.json"
    there = settings.read_bytes()
    write_json({"trained": False}, settings)
    without_masks = _names(report.all_drawings(Records(artifacts), params))
    settings.write_bytes(there)
    assert everything - without_masks == {f"train_unet/{name}.png" for name in ("overlays", "curves", "augmentation")}


def test_a_record_that_is_missing_is_an_error(made: Path, params: Params) -> None:
    artifacts = made
    epochs = artifacts / "train_unet" / "epochs.csv"
    epochs.rename(epochs.with_suffix(".away"))
    with pytest.raises(BrunaError, match=r"train_unet/epochs\.csv is missing"):
        report.all_drawings(Records(artifacts), params)
    epochs.with_suffix(".away").rename(epochs)


def test_rank_lists_of_a_test_set_take_each_side_from_its_own_table(made: Path, params: Params) -> None:
    artifacts = made
    write_test_set(artifacts)
    drawings = report.all_drawings(Records(artifacts), params)
    figure = next(d for d in drawings if d.name == "rank_lists_test").draw()
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count("✓") == texts.count("✗") == 3  # of two queries one has a match: the other is in no mean
    assert "c1 AP 100%" in texts and "c1 AP 0%" not in texts


def test_a_query_whose_whole_gallery_is_junk_has_an_empty_row(made: Path, params: Params, tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    shutil.copytree(made, artifacts)
    worst = (
        pd.read_csv(artifacts / "evaluate" / "queries_validation.csv").dropna(subset="market1501_ap")["path"].iloc[0]
    )
    ranked = read_table(artifacts / "evaluate" / "ranked_validation.parquet")
    write_table(ranked[ranked["query"] != worst], artifacts / "evaluate" / "ranked_validation.parquet")
    before, after = (
        next(d for d in report.all_drawings(Records(folder), params) if d.name == "rank_lists_validation").draw()
        for folder in (made, artifacts)
    )
    marks = [sum(text.get_text() in "✓✗" for text in figure.axes[0].texts) for figure in (before, after)]
    assert marks[0] - marks[1] == min((ranked["query"] == worst).sum(), params.report.rank_list_length) > 0


def test_the_measured_images_are_those_that_task_1_was_measured_on(made: Path) -> None:
    records = Records(made)
    table = read_table(made / "split" / "validation.parquet")
    store = ImageStore.decode(list(table["image"]), list(table["path"]), SIZE)
    seed = records.settings("attributes")["params"]["seed"]
    images = store.pixels[::MEASURED_JUNK_EVERY]
    junk = zoom(images, measured_draws(len(images), seed))
    seen = torch.cat([store.pixels, junk]).permute(0, 2, 3, 1).numpy()
    measured = MeasuredImages(records)
    for row in (0, 11, 12, 13):
        np.testing.assert_array_equal(measured.pixels(row), seen[row])
