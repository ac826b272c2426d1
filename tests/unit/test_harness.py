"""What the stage scripts share, as far as it can be seen without running a stage."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from project_copy import add_knob

PROJECT = Path(__file__).resolve().parents[2]
_PRINT_KEY = """
import sys
sys.path.insert(0, "stages")
import harness
from bruna.params import read_params
params = read_params(harness.PROJECT / "params.yaml").group(sys.argv[1]).model_dump(mode="json")
inputs, code, _ = harness.declared(sys.argv[1])
print(harness.checkpoint_key(sys.argv[1], params, inputs, code))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The code and the settings, with a few bytes for every input of the trainings."""
    for name in ("src", "stages"):
        shutil.copytree(PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(PROJECT / name, tmp_path)
    for stage in yaml.safe_load((tmp_path / "dvc.yaml").read_text())["stages"].values():
        for path in stage["deps"]:
            if not (tmp_path / path).exists():
                (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / path).write_text(path)
    return tmp_path


def checkpoint_key(project: Path, stage: str) -> str:
    command = [sys.executable, "-c", _PRINT_KEY, stage]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=True).stdout.strip()


def append(file: Path, line: str = "# edited") -> None:
    file.write_text(f"{file.read_text()}\n{line}\n")


def test_a_new_setting_of_evaluate_keeps_the_checkpoints_of_trainings(project: Path) -> None:
    before = [checkpoint_key(project, stage) for stage in ("train_bruna", "evaluate")]
    add_knob(project, "evaluate")
    for file in ("evaluation/retrieval.py", "report/figures.py", "tracking/protocol.py", "errors.py", "__init__.py"):
        append(project / "src/bruna" / file)
    after = [checkpoint_key(project, stage) for stage in ("train_bruna", "evaluate")]
    assert before[0] == after[0] and before[1] != after[1]


@pytest.mark.parametrize("changed", ["src/bruna/losses.py", "artifacts/segment/train.parquet", "params.yaml"])
def test_a_training_that_changes_starts_anew(project: Path, changed: str) -> None:
    before = checkpoint_key(project, "train_bruna")
    if changed == "params.yaml":
        add_knob(project, "train_bruna")
    else:
        append(project / changed)
    assert checkpoint_key(project, "train_bruna") != before
