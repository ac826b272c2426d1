"""`bruna evaluate FOLDER` on small untrained networks: figures, what was not measured, and what is no good."""

import re
from html import unescape
from pathlib import Path

import pytest

from bruna.dataset.tables import write_table
from bruna.files import read_json
from conftest import Run
from person_table import person_table
from tiny_dataset import write_dataset
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


def test_a_whole_folder_is_measured_without_a_word_about_files(people: Path, bruna: Run) -> None:
    write_dataset(people)
    status, out, err = bruna("evaluate", "others", "--json", "o.json")
    assert status == 0, err
    figures = read_json(Path("o.json"))
    assert figures["images"] == 8 and figures["retrieval"]["market1501"]["queries"] == 8
    assert "quarantined" not in figures and "are measured" not in err
    assert 0 < figures["retrieval"]["market1501"]["map"] <= 1
    assert re.search(r"images +8 ", out)
