"""The diffs of the how-to pages apply to the code as it is, and what they add does its work."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

PROJECT = Path(__file__).resolve().parents[2]
_CHANGED = ("src", "stages", "tests", "presets", "dvc.yaml", "params.yaml", "pyproject.toml")


@pytest.fixture
def patched(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the code with the diffs of the page that the test names."""
    text = (PROJECT / "docs" / "how-to" / f"{request.param}.md").read_text(encoding="utf-8")
    diffs = re.findall(r"^```diff\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert diffs
    for name in _CHANGED:
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(PROJECT / name, tmp_path / name)
    subprocess.run(
        ["git", "apply", "--verbose", "-"],
        cwd=tmp_path,
        input="".join(diffs),
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)},  # it is not part of any repository
        text=True,
        check=True,
    )
    return tmp_path


def python(project: Path, *arguments: str) -> str:
    """Run Python in a copy, with the copy's code; return what it printed."""
    path = os.pathsep.join(str(project / name) for name in ("src", "tests"))
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def passed(project: Path, *selection: str) -> int:
    """Run some of a copy's tests; return how many there were. All must pass."""
    printed = python(project, "-m", "pytest", "-p", "no:cacheprovider", "-o", "addopts=", *selection)
    found = re.search(r"(\d+) passed", printed)
    return int(found[1]) if found else 0


def weights(project: Path) -> dict[str, str]:
    """The MD5 of the networks after a few steps of every training."""
    return dict(json.loads(python(project, "tests/tiny_trainings.py")))


@pytest.mark.parametrize("patched", ["new-backbone"], indirect=True)
def test_a_new_backbone_trains(patched: Path) -> None:
    assert passed(patched, "tests/unit/test_models.py", "-k", "efficientnet_b0 or names_of_the_parameters") == 3


@pytest.mark.parametrize("patched", ["new-loss"], indirect=True)
def test_a_new_loss_changes_nothing_until_it_has_a_weight(patched: Path) -> None:
    assert passed(patched, "tests/unit/test_losses.py", "-k", "center") == 1
    before, without = weights(PROJECT), weights(patched)
    assert without == before
    settings = patched / "params.yaml"
    text, count = re.subn(r"(?m)^  center_weight: 0\.0", "  center_weight: 1.0", settings.read_text(encoding="utf-8"))
    assert count == 1
    settings.write_text(text, encoding="utf-8")
    with_it = weights(patched)
    assert [name for name in before if with_it[name] != before[name]] == ["bruna"]


@pytest.mark.parametrize("patched", ["new-stage"], indirect=True)
def test_a_new_stage_has_its_place_and_runs(patched: Path) -> None:
    python(patched, "tests/stage_dependencies.py")  # make deps
    assert passed(patched, "tests/unit/test_architecture.py", "-k", "not mlflow") >= 19
    program = """
from pathlib import Path
from bruna.dataset.tables import write_table
from person_table import person_table
from tiny_models import save_tiny_models

save_tiny_models(Path("artifacts"))
write_table(person_table([1, 2], 3), Path("artifacts/split/validation.parquet"))
"""
    python(patched, "-c", program)
    python(patched, "stages/features.py")
    table = pd.read_parquet(patched / "artifacts" / "features" / "features.parquet")
    assert [len(row) for row in table["features"]] == [16] * 6
    assert json.loads((patched / "metrics" / "features.json").read_text()) == {"embedded_images": 6}


@pytest.mark.parametrize("patched", ["new-format"], indirect=True)
def test_a_new_format_is_imported(patched: Path) -> None:
    program = """
from pathlib import Path
from bruna.dataset.importers import import_dataset
from tiny_dataset import write_image

top = Path("downloads/PRCC")
for i, name in enumerate(("train/001/A_1.jpg", "train/002/C_1.jpg", "val/001/B_1.jpg", "test/A/053/1.jpg",
                          "test/B/053/1.jpg", "test/C/053/1.jpg")):
    write_image(top / "rgb" / name, i)
write_image(top / "sketch" / "train" / "001" / "1.jpg", 9)
found = import_dataset([Path("downloads")], Path("data"))
print(sorted(path.name for path in Path("data").rglob("*.jpg")), found.ignored)
"""
    printed = python(patched, "-c", program).splitlines()[-1]
    names = ["0001_c1_A_1.jpg", "0001_c2_B_1.jpg", "0002_c3_C_1.jpg", "0053_c1_1.jpg", "0053_c2_1.jpg", "0053_c3_1.jpg"]
    assert printed == f"{names} ['downloads/PRCC/sketch/train/001/1.jpg']"
