"""The MLflow runs of stages, on a real store in a temporary folder."""

import json
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st

from bruna.errors import BrunaError
from bruna.headlines import HEADLINES
from bruna.tracking import mlflow_run, store
from bruna.tracking.execution import Execution, alive, process_identity
from bruna.tracking.mlflow_run import EXPERIMENT, VIEW, origin_of_output, stage_run
from bruna.tracking.mlflow_tracker import MlflowTracker
from bruna.tracking.protocol import NullTracker, Tracker
from bruna.tracking.store import StoreClient, connect, lock, store_url

pytestmark = pytest.mark.filterwarnings("ignore")  # of mlflow's own imports


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that has its tables and nothing in them: making those takes MLflow a second or two."""
    folder = tmp_path_factory.mktemp("empty")
    client_of(folder).search_experiments()
    return folder / "mlflow.db"


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A project folder without a store."""
    folder = tmp_path / "a project"  # a space, as users have it
    folder.mkdir()
    return folder


@pytest.fixture
def root(fresh: Path, empty_store: Path) -> Path:
    """A project folder with an empty store."""
    shutil.copy(empty_store, fresh)
    return fresh


def client_of(root: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=store_url(root / "mlflow.db"))


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A locked store is told of at once, and given up soon."""
    monkeypatch.setattr(store, "SAY_AFTER", 0.2)
    monkeypatch.setattr(store, "GIVE_UP_AFTER", 1.5)


def locked(root: Path) -> Any:
    """A context in which another program has begun to write to the store."""
    other = sqlite3.connect(root / "mlflow.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    return closing(other)


def purge(client: Any, run: str) -> None:
    """What `mlflow gc` does after a run has been deleted."""
    client.delete_run(run)
    client._tracking_client.store._hard_delete_run(run)


def runs_of(root: Path) -> dict[str, Any]:
    """The latest run of every stage by the stage's name, and the parents by theirs."""
    client = client_of(root)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    found = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    return {run.data.tags.get("dvc.stage", run.info.run_name): run for run in found}


def run_stage(
    root: Path,
    stage: str,
    execution: str,
    *,
    inputs: Mapping[str, str] | None = None,
    outputs: Mapping[str, str] | None = None,
    figures: Mapping[str, Any] | None = None,
    log: Callable[[MlflowTracker], None] | None = None,
    **more: Any,
) -> str:
    with stage_run(
        root,
        stage,
        Execution(execution, execution),
        params={"lr": 0.1, "augment": {"flip": 0.5}},
        inputs=inputs or {},
        outputs=outputs or {},
        tags={"bruna.fingerprint": "f" * 32},
        **more,
    ) as tracker:
        if figures:
            tracker.figures(figures)
        if log:
            log(tracker)
        return tracker.run_id


def files_of(root: Path, run: str) -> list[str]:
    """What MLflow lists of a run's files, in folders, one deep."""
    client = client_of(root)
    folders = client.list_artifacts(run)
    return [file.path for folder in folders for file in client.list_artifacts(run, folder.path)]


def script(root: Path, body: str) -> subprocess.Popen[str]:
    """Start a process that opens the run of a stage and does `body` in it."""
    program = f"""
import os, signal, sys, time
from pathlib import Path
from bruna.tracking.execution import Execution
from bruna.tracking.mlflow_run import stage_run
with stage_run(Path({str(root)!r}), sys.argv[1], Execution(sys.argv[1], sys.argv[1]), params={{}}, inputs={{}},
               outputs={{}}, tags={{}}) as tracker:
{textwrap.indent(textwrap.dedent(body), "    ")}
"""
    return subprocess.Popen(
        [sys.executable, "-c", program, "stage"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_stages_of_an_execution_are_children_of_one_parent(root: Path) -> None:
    first = run_stage(root, "validate", "repro 1")
    second = run_stage(root, "split", "repro 1")
    run_stage(root, "split", "repro 2")
    client = client_of(root)
    runs = runs_of(root)
    assert set(runs) == {"repro 1", "repro 2", "validate", "split"}
    parent = runs["repro 1"].info.run_id
    for run_id in (first, second):
        run = client.get_run(run_id)
        assert run.data.tags["mlflow.parentRunId"] == parent
        assert run.data.params == {"lr": "0.1", "augment.flip": "0.5"}
        assert run.info.status == "FINISHED"
        assert run.info.artifact_uri.startswith((root / "mlartifacts").as_uri())
        assert run.info.run_name == f"{run.data.tags['dvc.stage']} · repro 1"
    assert runs["repro 1"].info.status == "FINISHED"
    assert runs["repro 1"].data.tags["bruna.stage.split"] == second
    assert runs["split"].data.tags["mlflow.parentRunId"] == runs["repro 2"].info.run_id


def test_a_parent_tells_what_executions_are_compared_by(root: Path) -> None:
    execution = Execution(
        "e", "short", params={"split": {"seed": 0}, "runtime": {}}, tags={"dvc.exp": "short"}, data="0" * 32 + ".dir"
    )
    later = replace(execution, name="short, a minute later", params={"split": {"seed": 1}})
    for stage, changed in (("validate", execution), ("split", later)):
        with stage_run(
            root, stage, changed, params={}, inputs={}, outputs={"x": "1"}, tags={}, description="Splits."
        ) as tracker:
            tracker.figures({"train_identities": 3})
    client = client_of(root)
    parent = client.get_run(tracker.parent_id)
    assert parent.data.params == {"split.seed": "0", "runtime": "{}"}  # as the execution began
    assert list(parent.data.metrics) == ["map", "train_identities"]  # the first is what MLflow's compare page draws
    assert math.isnan(parent.data.metrics["map"]) and parent.data.metrics["train_identities"] == 3
    assert [(d.dataset.name, d.dataset.digest) for d in parent.inputs.dataset_inputs] == [("data", "0" * 32 + ".dir")]
    assert "experiment `short`" in parent.data.tags["mlflow.note.content"]
    child = client.get_run(tracker.run_id)
    assert (child.info.run_name, child.data.tags["mlflow.note.content"]) == ("split · short", "Splits.")
    tags = client.get_experiment_by_name(EXPERIMENT).tags
    assert "Compare" in tags["mlflow.note.content"]
    columns = json.loads(tags[f"mlflow.sharedViewState.{VIEW}"])["selectedColumns"]
    assert columns and {column.split("`")[1] for column in columns} <= set(HEADLINES)
    facts = {"MLflow run": f"short ({tracker.parent_id})", "Experiment": "short"}
    assert tracker.origin() == origin_of_output(root, "x", "1") == facts
    assert origin_of_output(root, "x", "2") == {}


def test_everything_a_tracker_takes_is_in_the_run(root: Path) -> None:
    (root / "page.txt").write_text("page")
    with stage_run(
        root, "evaluate", Execution("a", "a"), params={}, inputs={"data": "0" * 32}, outputs={}, tags={"x": "y"}
    ) as tracker:
        tracker.metrics({"loss/total": 2.0}, step=1)
        tracker.metrics({"loss/total": 1.0}, step=2)
        tracker.metrics({f"many/{i}": float(i) for i in range(1200)})
        tracker.file(root / "page.txt", "report")
        tracker.table(pd.DataFrame({"attribute": ["age"], "accuracy": [0.5]}), "tables/table1.json")
        tracker.tags({"note": "n"})
        tracker.figures({"validation": {"market1501": {"map": 0.5}, "gallery": 3}, "protocol": "paper"})
    client = client_of(root)
    run = client.get_run(tracker.run_id)
    assert run.data.metrics["loss/total"] == 1.0
    assert [m.step for m in client.get_metric_history(tracker.run_id, "loss/total")] == [1, 2]
    assert run.data.metrics["many/1199"] == 1199.0
    assert run.data.metrics["validation/market1501/map"] == 0.5 and run.data.metrics["validation/gallery"] == 3
    assert "protocol" not in run.data.metrics
    assert run.data.tags["note"] == "n" and run.data.tags["x"] == "y"
    assert [(d.dataset.name, d.dataset.digest) for d in run.inputs.dataset_inputs] == [("data", "0" * 32)]
    artifacts = root / "mlartifacts" / tracker.run_id / "artifacts"
    assert (artifacts / "report" / "page.txt").read_text() == "page"
    table = json.loads((artifacts / "tables" / "table1.json").read_text())
    assert table == {"columns": ["attribute", "accuracy"], "data": [["age", 0.5]]}
    assert run.data.tags["mlflow.loggedArtifacts"] == '[{"path": "tables/table1.json", "type": "table"}]'
    assert client.get_run(tracker.parent_id).data.metrics == {"map": 0.5}


def test_a_failed_stage_fails_its_parent_until_it_is_run_again(root: Path) -> None:
    with (
        pytest.raises(BrunaError, match="no images"),
        stage_run(root, "split", Execution("e", "e"), params={}, inputs={}, outputs={}, tags={}),
    ):
        raise BrunaError("no images")
    run_stage(root, "validate", "e")
    runs = runs_of(root)
    assert runs["split"].info.status == "FAILED"
    assert runs["split"].data.tags["bruna.error"] == "BrunaError: no images"
    assert runs["e"].info.status == "FAILED"
    run_stage(root, "split", "e")
    assert runs_of(root)["e"].info.status == "FINISHED"


def test_the_end_of_an_interrupted_run_can_be_added_to_it(root: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        stage_run(
            root, "train_bruna", Execution("e1", "e1"), params={"lr": 1}, inputs={}, outputs={}, tags={}
        ) as tracker,
    ):
        tracker.metrics({"loss": 2.0}, step=1)
        tracker.figures({"trained": {"market1501": {"map": 0.5}}})
        tracker.table(pd.DataFrame({"value": [1]}), "tables/table1.json")
        raise KeyboardInterrupt
    client = client_of(root)
    assert client.get_run(tracker.run_id).info.status == "KILLED"
    with stage_run(
        root,
        "train_bruna",
        Execution("e2", "e2"),
        params={"lr": 1},
        inputs={},
        outputs={},
        tags={},
        continue_run=tracker.run_id,
    ) as again:
        assert client.get_run(again.run_id).info.status == "RUNNING"
        assert again.last_step("loss") == 1 and again.last_step("accuracy") == 0
        again.metrics({"loss": 1.0}, step=2)
        again.figures({"trained": {"market1501": {"map": 0.5}}})
        again.table(pd.DataFrame({"value": [2]}), "tables/table1.json")
    run = client.get_run(tracker.run_id)
    assert again.run_id == tracker.run_id and run.info.status == "FINISHED"
    assert run.data.tags["mlflow.parentRunId"] == again.parent_id
    assert [m.value for m in client.get_metric_history(tracker.run_id, "loss")] == [2.0, 1.0]
    assert len(client.get_metric_history(tracker.run_id, "trained/market1501/map")) == 1
    assert client.get_metric_history(again.parent_id, "features_map")[0].value == 0.5
    file = client.download_artifacts(tracker.run_id, "tables/table1.json")
    assert json.loads(Path(file).read_text())["data"] == [[2]]
    assert run.data.tags["bruna.resumed"] == "1" and run.info.run_name == "train_bruna · e2"


def test_a_run_to_continue_that_was_deleted_is_begun_anew(root: Path) -> None:
    run_id = run_stage(root, "train_bruna", "e1")
    client_of(root).delete_run(run_id)
    again = run_stage(root, "train_bruna", "e2", continue_run=run_id)
    assert again != run_id
    assert run_stage(root, "train_bruna", "e3", continue_run="0" * 32) not in (run_id, again)


def test_inputs_are_linked_to_the_runs_that_wrote_them(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    table = {"artifacts/train.parquet": "a" * 32}
    net = {"artifacts/unet.safetensors": "b" * 32}
    split = run_stage(root, "split", "first", outputs=table, figures={"train_identities": 3, "values": 41})
    unet = run_stage(root, "train_unet", "first", inputs=table, outputs=net, figures={"iou": 0.5})
    run_stage(root, "train_unet", "other", inputs=table, outputs={"artifacts/unet.safetensors": "c" * 32})
    # A later execution in which only `evaluate` runs, because DVC restored the rest.
    run_stage(root, "evaluate", "second", inputs=net, figures={"validation": {"market1501": {"map": 0.75}}})
    runs = runs_of(root)
    assert runs["evaluate"].data.tags["bruna.producer.artifacts/unet.safetensors"] == unet
    assert client_of(root).get_run(unet).data.tags["bruna.producer.artifacts/train.parquet"] == split
    parent = runs["second"].data
    assert parent.tags["bruna.stage.split"] == split and parent.tags["bruna.stage.train_unet"] == unet
    assert parent.metrics == {"train_identities": 3, "unet_iou": 0.5, "map": 0.75}  # the headline metrics alone
    assert capfd.readouterr() == ("", "")  # MLflow says nothing on the user's screen


def test_of_equal_producers_the_one_of_this_execution_is_linked(root: Path) -> None:
    table = {"artifacts/train.parquet": "a" * 32}
    own = run_stage(root, "split", "first", outputs=table)
    run_stage(root, "split", "second", outputs=table)
    run_stage(root, "evaluate", "first", inputs=table)
    assert runs_of(root)["evaluate"].data.tags["bruna.producer.artifacts/train.parquet"] == own
    assert runs_of(root)["first"].data.tags["bruna.stage.split"] == own


def test_what_a_linked_run_stands_on_is_linked_by_whichever_stage_comes_first(root: Path) -> None:
    """Any stage of a later execution, and each only once: the next finds it there."""
    table, net = {"artifacts/train.parquet": "a" * 32}, {"artifacts/unet": "b" * 32}
    split = run_stage(root, "split", "first", outputs=table, figures={"train_identities": 3, "values": 41})
    unet = run_stage(root, "train_unet", "first", inputs=table, outputs=net)
    run_stage(root, "segment", "second", inputs=net)
    run_stage(root, "train_bruna", "second", inputs=table | net)
    parent = runs_of(root)["second"]
    assert (parent.data.tags["bruna.stage.split"], parent.data.tags["bruna.stage.train_unet"]) == (split, unet)
    assert len(client_of(root).get_metric_history(parent.info.run_id, "train_identities")) == 1


def test_a_stage_that_was_run_here_stays_linked_whatever_older_runs_stand_on(root: Path) -> None:
    table, net = {"artifacts/train.parquet": "a" * 32}, {"artifacts/unet": "b" * 32}
    run_stage(root, "split", "first", outputs=table)
    run_stage(root, "train_unet", "first", inputs=table, outputs=net)
    own = run_stage(root, "split", "second", outputs=table)
    run_stage(root, "segment", "second", inputs=net)  # stands on the U-Net, which stands on the first split
    assert runs_of(root)["second"].data.tags["bruna.stage.split"] == own


def test_a_picture_is_logged_to_the_run_that_it_shows(root: Path) -> None:
    picture = root / "curves.png"
    picture.write_bytes(b"1")
    records, gone = {"artifacts/train_unet": "a" * 32}, {"artifacts/train_bruna": "b" * 32}
    unet = run_stage(root, "train_unet", "first", outputs=records)
    bruna = run_stage(root, "train_bruna", "first", outputs=gone)
    for text in (b"1", b"2"):  # a second report puts its picture in the place of the first
        picture.write_bytes(text)
        with stage_run(
            root, "report", Execution("e", "e"), params={}, inputs={**records, **gone, "data": "0"}, outputs={}, tags={}
        ) as tracker:
            assert tracker.producer("data") is None and tracker.producer("no input") is None
            if text == b"1":
                client_of(root).delete_run(bruna)  # while the report is being drawn
            assert tracker.producer("artifacts/train_bruna") is None
            shown = tracker.producer("artifacts/train_unet")
            assert shown is not None and shown.run_id == unet
            shown.file(picture, "figures")
    client = client_of(root)
    assert [file.path for file in client.list_artifacts(unet, "figures")] == ["figures/curves.png"]
    assert Path(client.download_artifacts(unet, "figures/curves.png")).read_bytes() == b"2"
    assert client.get_run(unet).info.status == "FINISHED"


def test_a_producer_that_the_store_has_forgotten_is_passed_over(root: Path) -> None:
    """`mlflow gc` removes deleted runs for good; other runs still name them."""
    table, net = {"artifacts/train.parquet": "a" * 32}, {"artifacts/unet": "b" * 32}
    split = run_stage(root, "split", "first", outputs=table)
    run_stage(root, "train_unet", "first", inputs=table, outputs=net)
    client = client_of(root)
    purge(client, split)
    run_stage(root, "segment", "second", inputs=net)
    assert "bruna.stage.split" not in runs_of(root)["second"].data.tags


def test_four_processes_on_a_fresh_store(fresh: Path) -> None:
    workers = [script(fresh, "tracker.metrics({'x': 1.0})") for _ in range(4)]
    for worker in workers:
        out, err = worker.communicate(timeout=120)
        assert (worker.returncode, out) == (0, "")
        assert all("waiting for it" in line for line in err.splitlines()), err
    client = client_of(fresh)
    experiments = {e.name: e.experiment_id for e in client.search_experiments()}
    runs = client.search_runs([experiments[EXPERIMENT]])
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert [run.info.status for run in runs] == ["FINISHED"] * 5
    assert len({run.data.tags["mlflow.parentRunId"] for run in children}) == 1 and len(children) == 4
    assert not client.search_runs(["0"])  # none landed in "Default"


# Short sleeps: a signal that comes just before a long one would wait for its end.
OPEN = "print('open', flush=True); [time.sleep(0.1) for _ in range(600)]"


def test_sigterm_and_sigkill_leave_no_run_running(root: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        process = script(root, OPEN)
        assert process.stdout and process.stdout.readline() == "open\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
        assert process.returncode != 0
        runs = runs_of(root)
        if number == signal.SIGTERM:
            assert "Terminated" in err
        else:
            assert runs["stage"].info.status == "RUNNING"  # nobody could write that it is dead ...
            run_stage(root, "other", "next")  # ... until the next stage starts
            runs = runs_of(root)
        assert runs["stage"].info.status == "KILLED"


@pytest.mark.parametrize(("killed_in", "status"), [("_child_run", "KILLED"), ("_end_parent", "FINISHED")])
def test_an_execution_that_is_killed_before_or_after_its_stages_run_is_ended_by_the_next(
    root: Path, monkeypatch: pytest.MonkeyPatch, killed_in: str, status: str
) -> None:
    def killed(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(mlflow_run, killed_in, killed)
        run_stage(root, "split", "first")
    (parent,) = (run for run in runs_of(root).values() if "bruna.execution" in run.data.tags)
    assert parent.info.status == "RUNNING"
    run_stage(root, "split", "second")
    assert client_of(root).get_run(parent.info.run_id).info.status == status


def test_a_living_process_keeps_its_run(root: Path) -> None:
    process = script(root, OPEN)
    try:
        assert process.stdout and process.stdout.readline() == "open\n"
        run_stage(root, "other", "next")
        assert runs_of(root)["stage"].info.status == "RUNNING"
    finally:
        process.kill()
        process.communicate()


@given(st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1))
def test_a_folder_of_any_name_is_spelled_in_the_address(name: str) -> None:
    database = Path("/projects", name, "mlflow.db")
    assert sqlalchemy.make_url(store_url(database)).database == str(database)


@pytest.mark.parametrize("name", ["a 1%2041?x", "a#b 'c' \"d\"", "dé 数\n%", "%00 +&=;@:~\\"])
def test_the_store_is_in_a_project_of_any_name(name: str, empty_store: Path, tmp_path: Path) -> None:
    root = tmp_path / "projects" / name
    root.mkdir(parents=True)
    shutil.copy(empty_store, root)
    run_id = run_stage(root, "split", "e", outputs={"x": "1"}, log=lambda tracker: tracker.file(empty_store, "figures"))
    assert {path.name for path in root.iterdir()} == {"mlflow.db", "mlflow.db.lock", "mlartifacts"}
    assert [path.name for path in root.parent.iterdir()] == [name] and len(list(tmp_path.iterdir())) == 1
    assert files_of(root, run_id) == ["figures/mlflow.db"]
    assert origin_of_output(root, "x", "1")["MLflow run"].startswith("e (")


def test_a_folder_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrunaError, match="has a name that is not UTF-8"):
        run_stage(tmp_path / os.fsdecode(b"\xff"), "split", "e")


def test_the_runs_stay_together_at_whatever_path_the_project_is(root: Path, tmp_path: Path) -> None:
    """A container and its host see one folder at two paths, in turn."""
    places = [root, tmp_path / "here", tmp_path / "hereafter"]
    picture = tmp_path / "curves.png"
    picture.touch()
    runs: list[str] = []
    for i in range(7):
        here = places[i % 3]
        if i:
            places[(i - 1) % 3].rename(here)
        runs.append(run_stage(here, "split", f"e{i}", log=lambda tracker: tracker.file(picture, "figures")))
        assert [files_of(here, run) for run in runs] == [["figures/curves.png"]] * len(runs)
    client = client_of(here)
    assert {experiment.name for experiment in client.search_experiments()} == {"Default", EXPERIMENT}
    assert len(runs_of(here)) == 8  # an execution each, and the latest `split`
    assert {path.name for path in tmp_path.iterdir()} == {here.name, picture.name}


def test_files_stay_in_the_project_while_another_process_has_it_at_another_path(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "seen from the host"
    picture = tmp_path / "curves.png"
    picture.write_bytes(b"1")

    def log(tracker: MlflowTracker) -> None:
        with closing(sqlite3.connect(root / "mlflow.db")) as connection, connection:
            store._relocate(connection, (other / "mlartifacts").as_uri())
        tracker.file(picture, "figures")
        tracker.table(pd.DataFrame({"a": [1]}), "tables/a.json")

    run_id = run_stage(root, "split", "e", log=log)
    assert not other.exists()
    origin_of_output(root, "x", "1")  # the next to open the store here
    assert files_of(root, run_id) == ["figures/curves.png", "tables/a.json"]


def test_files_that_were_put_elsewhere_stay_there(root: Path, tmp_path: Path) -> None:
    client = client_of(root)
    elsewhere = client.create_experiment(EXPERIMENT, (tmp_path / "elsewhere").as_uri())
    before = client.create_run(elsewhere).info.run_id
    client.log_text(before, "text", "notes/note.txt")
    run_id = run_stage(root, "split", "e", log=lambda tracker: tracker.file(root / "mlflow.db.lock", "a"))
    assert (files_of(root, before), files_of(root, run_id)) == (["notes/note.txt"], ["a/mlflow.db.lock"])


@pytest.mark.parametrize("end", ["delete", "purge", "delete the experiment"])
def test_a_run_that_is_deleted_while_it_is_logged_to(root: Path, end: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The stage has more to give than its log."""

    def log(tracker: MlflowTracker) -> None:
        client = client_of(root)
        if end == "purge":
            purge(client, tracker.run_id)
            purge(client, tracker.parent_id)
        elif end == "delete":
            client.delete_run(tracker.run_id)
        else:
            client.delete_experiment(client.get_experiment_by_name(EXPERIMENT).experiment_id)
        tracker.metrics({"loss": 1.0}, step=1)
        tracker.figures({"iou": 0.5})
        tracker.file(root / "mlflow.db.lock")
        tracker.table(pd.DataFrame({"a": [1]}), "tables/a.json")
        assert tracker.producer("data") is None and tracker.last_step("loss") == 0
        assert (tracker.origin() == {}) == (end != "delete")

    run_id = run_stage(root, "train_unet", "e", log=log)
    assert capfd.readouterr().err.count(f"MLflow's run {run_id} was deleted: nothing more is logged to it.") == 1
    run_stage(root, "train_unet", "later")
    assert runs_of(root)["later"].info.status == "FINISHED"


def test_an_execution_that_was_purged_is_no_origin(root: Path) -> None:
    run_stage(root, "split", "e", outputs={"x": "1"})
    purge(client_of(root), runs_of(root)["e"].info.run_id)
    assert origin_of_output(root, "x", "1") == {}


def test_a_dead_run_whose_execution_was_purged(root: Path) -> None:
    run_id = run_stage(root, "split", "e")
    client = client_of(root)
    purge(client, runs_of(root)["e"].info.run_id)
    client.update_run(run_id, status="RUNNING")
    client.set_tag(run_id, "bruna.process", process_identity().replace(f"{os.getpid()}@", f"{os.getpid()}@1"))
    run_stage(root, "split", "later")
    assert client.get_run(run_id).info.status == "KILLED"


@pytest.mark.usefixtures("hurried")
def test_a_locked_store_is_waited_for_with_a_word(root: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with locked(root) as other:
        threading.Timer(0.6, other.rollback).start()
        run_stage(root, "split", "e")
    assert capfd.readouterr().err.count("mlflow.db is locked by another program: waiting for it") == 1

    def log(tracker: MlflowTracker) -> None:
        with locked(root) as other:
            threading.Timer(0.6, other.rollback).start()
            tracker.metrics({"loss": 1.0}, step=1)

    run_id = run_stage(root, "split", "e", log=log)
    assert "mlflow.db is locked by another program: waiting for it" in capfd.readouterr().err
    assert client_of(root).get_run(run_id).data.metrics == {"loss": 1.0}


@pytest.mark.usefixtures("hurried")
def test_a_store_that_stays_locked_ends_the_stage_in_words(root: Path) -> None:
    with locked(root), pytest.raises(BrunaError, match="was locked by another program for 5 minutes"):
        run_stage(root, "split", "e")
    with lock(root), pytest.raises(BrunaError, match=r"mlflow\.db\.lock\. It hangs: end it"):
        run_stage(root, "split", "e")
    client = StoreClient(_Failing("database is locked", "SQLITE_BUSY"), root / "mlflow.db")
    with pytest.raises(BrunaError, match="was locked by another program for 5 minutes"):
        client.log_batch("run")
    attempts = client._client.attempts
    with pytest.raises(BrunaError):  # at once: what closes the run does not wait once more
        client.set_tag("run", "x", "y")
    assert attempts > 1 and client._client.attempts == attempts


@pytest.mark.parametrize(
    ("said", "name", "told"),
    [
        ("database or disk is full", "SQLITE_FULL", "the disk is full"),
        ("attempt to write a readonly database", "SQLITE_READONLY", "cannot be used: attempt to write"),
        ("disk I/O error", "SQLITE_IOERR", "cannot be used: disk I/O error"),
    ],
)
def test_what_goes_wrong_with_the_store_is_told_in_words(root: Path, said: str, name: str, told: str) -> None:
    client = StoreClient(_Failing(said, name), root / "mlflow.db")
    with pytest.raises(BrunaError, match=told):
        client.log_batch("run")


class _Failing:
    """A client of MLflow's whose database always fails in the same way."""

    def __init__(self, said: str, name: str) -> None:
        self.attempts = 0
        self.said, self.name = said, name

    def log_batch(self, run: str) -> None:
        from mlflow.exceptions import MlflowException

        self.attempts += 1
        time.sleep(0.1)
        error = sqlite3.OperationalError(self.said)
        error.sqlite_errorname = self.name
        raise MlflowException("as MLflow wraps it") from sqlalchemy.exc.OperationalError("INSERT", {}, error)

    def set_tag(self, run: str, key: str, value: str) -> None:
        self.log_batch(run)


def test_a_stage_that_fails_says_why_though_the_store_fails_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def log(tracker: MlflowTracker) -> None:
        monkeypatch.setattr(tracker._client, "_refused", BrunaError("the store"))
        raise OSError("the stage")

    with pytest.raises(OSError, match="the stage"):
        run_stage(root, "split", "e", log=log)


def test_a_store_that_is_being_made_is_whole_or_absent(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def begin(tracking_uri: str) -> None:
        Path(str(sqlalchemy.make_url(tracking_uri).database)).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("mlflow.MlflowClient", begin)
    with pytest.raises(KeyboardInterrupt):
        connect(fresh)
    assert not list(fresh.iterdir())


def test_an_empty_file_becomes_a_store(fresh: Path) -> None:
    (fresh / "mlflow.db").touch()  # as a disk that was full leaves it
    run_stage(fresh, "split", "e")
    assert runs_of(fresh)["split"].info.status == "FINISHED"


def test_execution() -> None:
    assert Execution.find({"BRUNA_EXECUTION": "mine", "DVC_EXP_NAME": "exp"}) == Execution("mine", "mine")
    experiment = Execution.find({"DVC_EXP_NAME": "brave-name"})
    assert experiment.name == "brave-name" and experiment.key.startswith("brave-name ")
    by_hand = Execution.find({})
    assert by_hand.key == process_identity() and by_hand.name.startswith("by hand ")
    assert alive(process_identity())
    number, started, host = process_identity().split("@")
    assert not alive(f"{number}@{float(started) - 100}@{host}")  # the number was given to another process
    assert alive(f"{number}@0@another-{host}")
    assert os.getpid() == int(number)


def test_both_trackers_are_trackers() -> None:
    trackers: list[Tracker] = [NullTracker(), MlflowTracker(None, Path(), "run", "parent", "stage")]
    trackers[0].metrics({"a": 1.0})
    assert trackers[0].producer("artifacts/unet") is None
