"""What the stage scripts share: how they end, what they leave, and what their checkpoints belong to."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import stage_harness
from bruna.cli.main import main as command_line
from bruna.errors import UNSUPPORTED, BrunaError
from bruna.tracking.execution import Terminated
from bruna.tracking.mlflow_run import EXPERIMENT
from bruna.tracking.store import store_url
from project_copy import add_knob

Ends = Callable[[BaseException | None], tuple[object, str]]

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


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, in a project of the settings and one stage, `train_unet`, which reads a file and writes another."""
    module = stage_harness.load()
    monkeypatch.setattr(module, "PROJECT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["stages/train_unet.py"])
    monkeypatch.delenv("DVC_ROOT", raising=False)
    shutil.copy(PROJECT / "params.yaml", tmp_path)
    stage = {"deps": ["read.txt", "src/code.py"], "outs": [{"written.txt": {"cache": False}}, "never.txt"]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"train_unet": stage}}))
    (tmp_path / "src").mkdir()
    for name in stage["deps"]:
        (tmp_path / str(name)).write_text(str(name))
    return module


@pytest.fixture
def ends(harness: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ends:
    """Runs a stage that only raises something; returns its status, or its message, and what it printed."""

    def run(error: BaseException | None) -> tuple[object, str]:
        def work(*_: object) -> None:
            if error:
                raise error

        monkeypatch.setattr(harness, "_run", work)
        try:
            harness.main("stages/train_unet.py", None, work)
        except SystemExit as end:
            return end.code, capsys.readouterr().err
        return 0, capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (BrunaError("no images"), "error: no images"),
        (MemoryError("64 GiB"), "error: train_unet could not go on. The machine has too little memory (64 GiB).\n"),
        (RuntimeError("CUDA out of memory"), "lower train_unet.batch_size in params.yaml."),
        (
            OSError(errno.ENOSPC, "No space left on device", "a.png"),
            "device: 'a.png'\nThe disk is full",
        ),
        (OSError(errno.EISDIR, "Is a directory", "a.png"), "Something else is in its place"),
    ],
)
def test_a_stage_that_cannot_go_on_ends_with_a_message(ends: Ends, error: Exception, message: str) -> None:
    status, printed = ends(error)  # a text as the status is printed by Python, which then ends with 1
    assert message in str(status) and printed == ""


def test_a_stage_that_has_no_batches_is_not_told_to_make_them_smaller(harness: ModuleType) -> None:
    assert harness._batch_setting("train_bruna").startswith("train_bruna.batch_tuples ")
    assert harness._batch_setting("report") == ""


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt(), 130), (Terminated(), 143), (None, 0)])
def test_the_status_tells_how_a_stage_ended(ends: Ends, error: BaseException | None, status: int) -> None:
    found, printed = ends(error)
    assert found == status and ("goes on from its last checkpoint" in printed) == bool(status)


def test_an_error_of_the_code_is_no_message(ends: Ends) -> None:
    for error in (ValueError("a bug"), FileNotFoundError(errno.ENOENT, "No such file or directory", "a.png")):
        with pytest.raises(type(error)):
            ends(error)


def test_windows_is_refused_in_words(harness: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "resource", None)  # as there
    monkeypatch.delitem(sys.modules, "harness")
    for start in (stage_harness.load, command_line):
        with pytest.raises(SystemExit) as end:
            start()
        assert end.value.code == UNSUPPORTED


def runs(project: Path) -> list[Any]:
    """All MLflow runs of a stage, the latest first."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store_url(project / "mlflow.db"))
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    return list(client.search_runs([experiment], "tags.`dvc.stage` = 'train_unet'"))


def test_a_stage_from_end_to_end(harness: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Interrupted first, then to its end: one MLflow run, and no checkpoint stays."""
    places: list[Path] = []

    def work(stage: Any) -> None:
        assert stage.params.batch_size == 16 and set(stage.inputs) == {"read.txt"}
        (tmp_path / "written.txt").write_text("written")
        places.append(stage.checkpoints)
        if len(places) == 1:
            (stage.checkpoints / "00001-0000000.pt").touch()
            signal.raise_signal(signal.SIGTERM)
        stage.finish({"iou": 0.5, "pairs": 3})

    statuses = []
    for _ in range(2):
        try:
            harness.main("stages/train_unet.py", "Trains.", work)
        except SystemExit as end:
            statuses.append(end.code)
    assert statuses == [143] and places[0] == places[1] and not places[0].exists()
    (run,) = runs(tmp_path)
    assert (run.info.status, run.data.tags["bruna.resumed"]) == ("FINISHED", "1")
    assert run.data.tags["bruna.output.written.txt"] == harness.fingerprint(tmp_path / "written.txt")
    assert "bruna.output.never.txt" not in run.data.tags
    assert run.data.metrics["pairs"] == 3 and 10 < run.data.metrics["machine/peak_memory_mb"] < 100_000
    assert json.loads((tmp_path / "metrics" / "train_unet.json").read_text()) == {"unet_iou": 0.5}
    assert "unet_iou" in capsys.readouterr().out


def test_a_missing_input_is_named(harness: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "read.txt").unlink()
    with pytest.raises(BrunaError, match=r"train_unet needs read\.txt, which is missing\. `dvc repro train_unet`"):
        harness.declared("train_unet")


def test_checkpoints_belong_to_one_process_at_a_time(harness: ModuleType, tmp_path: Path) -> None:
    with harness._checkpoint_folder(tmp_path, "work") as first:
        first.mkdir()
        with harness._checkpoint_folder(tmp_path, "work") as second:
            assert (first.name, second.name) == ("work", f"work-{os.getpid()}")
        assert first.exists()
    assert not first.exists()
    with pytest.raises(BrunaError), harness._checkpoint_folder(tmp_path, "work") as kept:
        kept.mkdir()
        raise BrunaError("the disk is full")
    assert kept.exists()


def test_a_stage_that_dvc_has_begun_says_what_becomes_of_its_outputs(
    harness: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params.yaml").write_text("runtime: 3\n")
    monkeypatch.setenv("DVC_STAGE", "train_unet")
    with pytest.raises(BrunaError, match="Nothing is lost: DVC removed this stage's outputs"):
        harness._checked("train_unet")
