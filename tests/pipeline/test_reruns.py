"""What runs again after the first run of the whole pipeline: a killed training, an experiment, a queued one."""

import csv
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
import yaml

from bruna.files import fingerprint
from bruna.headlines import HEADLINES
from project_copy import STAGES, Project, stages_of

pytestmark = pytest.mark.pipeline
MEASURING = [stage for stage in STAGES if stage != "report"]
SHOW = "timeout 120 dvc exp show --csv || timeout 600 dvc exp show --csv"
"""Twice, because on a busy machine it may wait for itself: `readinto` of pygit2's BlobIO can miss that it is ready."""


def test_a_killed_training_goes_on_to_the_same_weights(project: Project) -> None:
    folder = project.folder / "artifacts" / "bruna"
    expected = fingerprint(folder)
    shutil.rmtree(folder)
    command = [sys.executable, "stages/train_bruna.py"]
    process = subprocess.Popen(command, cwd=project.folder, env=project.environment(), stderr=subprocess.PIPE)
    kept = project.folder / ".checkpoints" / "train_bruna"
    deadline = time.monotonic() + 600  # seconds, most of them where other work has the processor
    while not list(kept.glob("*/*.pt")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(kept.glob("*/*.pt")) and not folder.exists()
    project.run(*command)
    assert fingerprint(folder) == expected
    assert not list(kept.glob("*/*.pt"))  # a training that has ended well needs none
    *_, killed, _resumed = project.parents().values()
    assert {run.info.status for run in killed} == {"KILLED"}
    assert "up to date" in project.run("dvc", "status")


def test_two_processes_end_with_the_first_that_is_killed_and_go_on_to_the_same_weights(project: Project) -> None:
    file = project.folder / "params.yaml"
    before = file.read_text()
    params = yaml.safe_load(before)
    params["train_unet"] |= {"processes": 2, "epochs": 8}
    file.write_text(yaml.safe_dump(params))
    folder = project.folder / "artifacts" / "unet"
    command = [sys.executable, "stages/train_unet.py"]
    project.run(*command)
    expected = fingerprint(folder)
    kept = project.folder / ".checkpoints" / "train_unet"
    shutil.rmtree(folder)
    process = subprocess.Popen(
        command, cwd=project.folder, env=project.environment(), stderr=subprocess.PIPE, text=True
    )
    while not list(kept.glob("*/*.pt")) and process.poll() is None:
        time.sleep(0.01)
    ranks = psutil.Process(process.pid).children()
    assert len(ranks) == 2
    ranks[1].send_signal(signal.SIGKILL)
    _, told = process.communicate(timeout=60)
    # Torch's agent, which ends the others, may be faster than the first process that sees the other one gone.
    assert process.returncode in (1, 143) and not any(rank.is_running() for rank in ranks)
    (error,) = [line for line in told.splitlines() if not line.startswith("train_unet epoch")]
    assert "`dvc repro` goes on from " in error
    assert not folder.exists()
    assert "train_unet epoch 1/8" not in project.run(*command)
    assert fingerprint(folder) == expected
    file.write_text(before)
    project.run("dvc", "checkout", "--force", "--quiet")
    project.run("git", "checkout", "--quiet", "--", "metrics")
    assert "up to date" in project.run("dvc", "status")


def test_an_experiment_runs_what_it_changes(project: Project) -> None:
    before = list(project.parents())
    baseline_commit = project.run("git", "rev-parse", "HEAD").strip()
    project.run("dvc", "exp", "run", "--name", "short", "-S", "evaluate.reid_test_length=4")
    rows = list(csv.DictReader(project.run("sh", "-c", SHOW).splitlines()))
    row = next(row for row in rows if row["Experiment"] == "short")
    baseline = next(row for row in rows if row["rev"] == "main")
    assert (row["evaluate.reid_test_length"], baseline["evaluate.reid_test_length"]) == ("4", "5")
    assert all(
        float(row[name]) > 0 and float(baseline[name]) > 0 for name in HEADLINES
    )  # DVC puts no file's name before
    new = [runs for parent, runs in project.parents().items() if parent not in before]
    assert len(new) == 1
    parent, *children = new[0]
    assert parent.info.run_name == "short" and parent.info.status == "FINISHED"
    assert (parent.data.params["evaluate.reid_test_length"], parent.data.tags["dvc.exp"]) == ("4", "short")
    assert parent.data.tags["mlflow.source.git.commit"] == parent.data.tags["dvc.baseline"] == baseline_commit
    assert sorted(stages_of(children)) == ["evaluate", "report"]
    # The stages that DVC did not run again are on the parent too, with their headline metrics.
    assert {name for name in STAGES if f"bruna.stage.{name}" in parent.data.tags} == set(STAGES)
    measured = {name: value for stage in MEASURING for name, value in project.metrics(stage).items()}
    assert parent.data.metrics == pytest.approx(measured)


def test_a_queued_experiment_uses_its_own_code_and_this_store(project: Project) -> None:
    before = list(project.parents())
    project.run("dvc", "exp", "run", "--queue", "--name", "queued", "-S", "report.rank_list_length=4")
    file = project.folder / "src" / "bruna" / "pipeline" / "report.py"
    text = file.read_text()
    file.write_text("raise RuntimeError('the code as it was queued must run, not this')\n")
    try:
        project.run("dvc", "exp", "run", "--run-all")
    finally:
        file.write_text(text)
    new = [runs for parent, runs in project.parents().items() if parent not in before]
    assert [(runs[0].info.run_name, runs[0].info.status) for runs in new] == [("queued", "FINISHED")]
    assert new[0][1].info.artifact_uri.startswith((project.folder / "mlartifacts").as_uri())
