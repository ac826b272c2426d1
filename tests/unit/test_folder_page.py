"""The page of `bruna evaluate FOLDER --html PAGE`, on small untrained networks."""

import re
from pathlib import Path

import pytest
import torch

from bruna.evaluation.attributes import all_figures
from bruna.evaluation.folder import MeasuredFolder
from bruna.evaluation.labelled import describe_table
from bruna.evaluation.retrieval import retrieve
from bruna.inference.describer import load
from bruna.inference.settings import Settings
from bruna.params import Params, read_params
from bruna.pipeline.folder_page import figures_of_set, write_folder_page
from person_table import person_table
from tiny_models import save_tiny_models

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def params() -> Params:
    return read_params(PROJECT / "params.yaml")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, params: Params) -> MeasuredFolder:
    models = save_tiny_models(tmp_path_factory.mktemp("models"))
    people = load(models, torch.device("cpu"), settings=Settings.of(params.evaluate.model_dump()))
    table = person_table([1, 2, 3], 4)
    images = describe_table(people, table, None, "tiny")
    ranked = retrieve(images, images, params.evaluate)
    known = {"images": 12, "identities": 3, "images_trained_on": 5, "warnings": ["7 of <9> images.", "Trained on 5."]}
    return MeasuredFolder(
        {**known, "retrieval": ranked.summary(), **all_figures(images.found, images.codes, params.evaluate)},
        ranked,
        table,
        table,
    )


def _page(path: Path, measured: MeasuredFolder, params: Params) -> str:
    write_folder_page(path, measured, params, name="other <folder>", models=Path("some/models"))
    return path.read_text(encoding="utf-8")


def test_the_page_has_the_figures_and_the_pictures(tmp_path: Path, measured: MeasuredFolder, params: Params) -> None:
    page = _page(tmp_path / "page.html", measured, params)
    tiles = dict(re.findall('data-metric="(.*?)".*?class="value">(.*?)<', page))
    found = figures_of_set(measured.figures)
    means = found["attribute_means"]["attributes_predicted"]
    assert tiles == {
        "map": f"{found['market1501']['map']:.1%}",
        "rank1": f"{found['market1501']['rank1']:.1%}",
        "minp": f"{found['market1501']['minp']:.1%}",
        "course_map": f"{found['course']['map']:.1%}",
        "attribute_accuracy": f"{means['accuracy']:.1%}",
        "attribute_balanced_accuracy": f"{means['balanced_accuracy']:.1%}",
    }
    assert re.findall("<h2>(.*?)</h2>", page) == ["Retrieval", "Attributes", "Settings"]
    assert page.count("<img ") == 4  # rank lists, CMC, average precisions, attributes
    assert "12 images of 3 identities" in page
    warned = [page.index(f'role="note">Warning: {text}</p>') for text in ("7 of &lt;9&gt; images.", "Trained on 5.")]
    assert page.index("</h1>") < warned[0] < warned[1] < page.index('class="tile"')  # before any number
    assert "other &lt;folder&gt;" in page


def test_a_folder_without_annotations_has_no_attributes(
    tmp_path: Path, measured: MeasuredFolder, params: Params
) -> None:
    figures = {key: value for key, value in measured.figures.items() if not key.startswith(("attribute", "warnings"))}
    page = _page(
        tmp_path / "page.html",
        MeasuredFolder(figures | {"images_trained_on": 0}, measured.retrieval, measured.query, measured.gallery),
        params,
    )
    assert re.findall("<h2>(.*?)</h2>", page) == ["Retrieval", "Settings"]
    assert "Warning" not in page
