"""The code of docs/how-to/python.md runs as it stands, one block after the other, in the folder that the page names."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import bruna
from bruna.files import write_json
from bruna.sample import render_sample
from tiny_models import save_tiny_models

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "python.md"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's top folder after the pipeline has run: networks, and images of two people."""
    save_tiny_models(tmp_path / "artifacts")
    write_json({"flip": False, "attribute_neighbors": 3}, tmp_path / "artifacts" / "evaluate" / "settings.json")
    render_sample(tmp_path / "drawn", identities=2, images_per_identity=4, test_identities=0, mask_pairs=0)
    for i, image in enumerate(sorted((tmp_path / "drawn" / "train").rglob("*.jpg"))):
        target = tmp_path / "data" / ("query" if i < 2 else "gallery") / image.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, target)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_runs(project: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 8
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert isinstance(names["people"], bruna.Describer)
    recorded = names["people"].settings
    assert names["careful"].settings == replace(recorded, flip=True, attribute_offset=1.0) != recorded
    assert names["papers"].settings == bruna.Settings()
    gallery = names["gallery"]
    assert len(gallery) == len(list((project / "data" / "gallery").iterdir())) > 3
    assert set(names["ranking"]["image"]) <= set(gallery.names)
    averaged, alone = (found.probabilities["age"].to_numpy() for found in (names["found"], gallery))
    assert names["found"].neighbors == 3 and abs(averaged - alone).max() > 0
