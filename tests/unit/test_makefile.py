"""The Makefile: what it says before it does anything, and which columns `make experiments` leaves."""

import re
import shutil
import subprocess
from pathlib import Path

from bruna.headlines import HEADLINES
from project_copy import STAGES

ROOT = Path(__file__).parents[2]


def _printed(*arguments: str) -> str:
    command = ["make", "--no-print-directory", "-o", "env", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_a_folder_without_git_is_told_what_to_type(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    command = ["make", "--no-print-directory", "run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode and done.stdout == "" and not (tmp_path / ".venv").exists()
    assert "DVC needs a Git repository" in done.stderr and "git init && git add --all && git commit" in done.stderr


def test_the_check_comes_before_the_pipeline() -> None:
    commands = _printed("-n", "-o", "data", "run")
    places = [commands.index(part) for part in ("bruna check", "dvc repro", "bruna index data/", "bruna summary")]
    assert places == sorted(places)


def test_experiments_shows_settings_and_at_most_eight_figures_without_hashes() -> None:
    found = re.search(r"--drop '(.*)'", _printed("-n", "experiments"))
    assert found
    dropped = re.compile(found[1])
    assert 0 < sum(not dropped.match(name) for name in HEADLINES) <= 8
    assert not dropped.match("map")  # by which it sorts
    groups = ["runtime", *STAGES]
    assert not any(dropped.match(name) for name in ("Experiment", *(f"{group}.seed" for group in groups)))
    hashes = ("data", "artifacts/split/train.parquet", "src/bruna/losses.py", "stages/split.py", "Created", "State")
    assert all(dropped.match(name) for name in hashes)


def test_help_lists_every_command() -> None:
    listed = re.findall(r"^  make (\w+) ", _printed("help"), re.MULTILINE)
    assert {"run", "experiments", "ui", "docs", "test"} <= set(listed)
