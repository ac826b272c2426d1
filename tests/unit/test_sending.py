"""A team's MLflow server: real processes of `mlflow server`, killed and started again; and what only looks like one."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from bruna.errors import BrunaError
from bruna.tracking import sending
from bruna.tracking.execution import Execution
from bruna.tracking.mlflow_run import open_store, stage_run
from bruna.tracking.sending import SENT_FROM, send, server_address, without_password
from bruna.tracking.store import store_url
from conftest import Run


class TeamServer:
    """`mlflow server` on a port of its own, with what it keeps in a folder."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        self._command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder / 'server.db'}"]
        self._command += ["--serve-artifacts", "--artifacts-destination", str(folder / "files")]
        self.start()

    def start(self) -> None:
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self._process = subprocess.Popen(
            self._command,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until = time.monotonic() + 180
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5):
                    return
            except OSError:
                assert self._process.poll() is None
                time.sleep(0.1)
        raise AssertionError("mlflow server does not answer")

    def kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def runs(self, experiment: str = "bruna") -> dict[str, Any]:
        """The runs that were sent, by the id that they have here; each is there once."""
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=self.url)
        found = client.get_experiment_by_name(experiment)
        runs = client.search_runs([found.experiment_id]) if found else []
        by_id = {run.data.tags[SENT_FROM]: run for run in runs}
        assert len(by_id) == len(runs)
        return by_id

    def points(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        from mlflow import MlflowClient

        history = MlflowClient(tracking_uri=self.url).get_metric_history(run_id, metric)
        return sorted((point.step, point.value) for point in history)

    def text(self, run_id: str, name: str) -> str:
        from mlflow import MlflowClient

        return Path(MlflowClient(tracking_uri=self.url).download_artifacts(run_id, name)).read_text()


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TeamServer]:
    server = TeamServer(tmp_path_factory.mktemp("server"))
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for is short, and MLflow's own settings are as a user has them after the test."""
    monkeypatch.setattr(sending, "_EVERY", 0.2)
    for name in (*sending._SETTINGS, "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
        monkeypatch.delenv(name)


@contextmanager
def stage(
    root: Path, name: str = "train", outputs: dict[str, str | None] | None = None, **inputs: str
) -> Iterator[Any]:
    """A stage of one execution that logs a loss."""
    execution = Execution("the execution", "first", {"train": {"epochs": 3}})
    with stage_run(
        root, name, execution, params={"epochs": 3}, inputs=inputs, outputs=outputs or {}, tags={}
    ) as tracker:
        yield tracker


def here(root: Path) -> dict[str, Any]:
    client, experiment = open_store(root)
    return {run.info.run_id: run for run in client.search_runs([experiment])}


def wait_until(holds: Any) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_stage_is_seen_on_the_server_while_it_runs_and_whole_afterwards(
    team: TeamServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", team.url)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "cameras of the station")
    (tmp_path / "sheet.txt").write_text("a picture")
    with stage(tmp_path, "split", {"table": "abc"}):
        pass
    with stage(tmp_path, table="abc") as tracker:
        for epoch in range(3):
            tracker.metrics({"loss": 1 / (epoch + 1)}, epoch)
        wait_until(
            lambda: any(r.data.metrics.get("loss") == 1 / 3 for r in team.runs("cameras of the station").values())
        )
        assert team.runs("cameras of the station")[tracker.run_id].info.status == "RUNNING"
        tracker.file(tmp_path / "sheet.txt", "pictures")
        tracker.tags({"of it": tracker.run_id})
    own, found = here(tmp_path), team.runs("cameras of the station")
    assert set(found) == set(own) and len(own) == 3
    ids = {run_id: run.info.run_id for run_id, run in found.items()}
    for run_id, run in own.items():
        sent = found[run_id]
        assert (sent.info.run_name, sent.info.status) == (run.info.run_name, "FINISHED")
        assert (sent.info.start_time, sent.info.end_time) == (run.info.start_time, run.info.end_time)
        assert sent.data.params == run.data.params
        tags = {name: ids.get(value, value) for name, value in run.data.tags.items()}
        assert {name: value for name, value in sent.data.tags.items() if name != SENT_FROM} == tags
        assert [each.dataset for each in sent.inputs.dataset_inputs] == [
            each.dataset for each in run.inputs.dataset_inputs
        ]
    trained = ids[tracker.run_id]
    assert team.points(trained, "loss") == [(0, 1.0), (1, 1 / 2), (2, 1 / 3)]
    assert team.text(trained, "pictures/sheet.txt") == "a picture"
    # The id of a producer is that of its run there.
    assert found[tracker.run_id].data.tags["bruna.producer.table"] in ids.values()


def test_a_server_that_dies_in_the_middle_ends_no_stage_and_gets_everything_later(
    team: TeamServer, top_folder: Path, bruna: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", team.url)
    monkeypatch.setattr(sending, "_PATIENCE", 5.0)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with stage(top_folder) as tracker:
        tracker.metrics({"loss": 4.0}, 0)
        wait_until(lambda: tracker.run_id in team.runs())
        team.kill()
        try:
            tracker.metrics({"loss": 3.0}, 1)
            said = ""
            while "does not take runs" not in said:
                said += capsys.readouterr().err
                time.sleep(0.05)
            tracker.metrics({"loss": 2.0}, 2)
        finally:
            said += capsys.readouterr().err
            team.start()
        wait_until(lambda: "takes runs again" in capsys.readouterr().err)
        assert said.count("warning:") == 1 and "is kept in mlflow.db; the next stage sends it, or `bruna send`" in said
        tracker.metrics({"loss": 1.0}, 3)
    status, out, _ = bruna("send")
    assert status == 0 and "has all runs" in out
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nobody listens there
        status, _, err = bruna("send")
    assert status == 1 and "http://127.0.0.1:9 does not take runs" in err
    found = team.runs()
    assert {run.info.status for run in found.values()} == {"FINISHED"} and set(found) == set(here(top_folder))
    there = found[tracker.run_id].info.run_id
    assert team.points(there, "loss") == [(0, 4.0), (1, 3.0), (2, 2.0), (3, 1.0)]
    # As after a kill between the making of a run and the note of it: nothing is doubled.
    (top_folder / "mlflow.sent.json").write_text("{")
    status, out, _ = bruna("send")
    assert status == 0 and f"Sent {len(found)} runs" in out
    assert set(team.runs()) == set(found) and team.points(there, "loss") == [(0, 4.0), (1, 3.0), (2, 2.0), (3, 1.0)]


def test_a_server_that_never_answers_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sending, "_PATIENCE", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:secret@127.0.0.1:{silent.getsockname()[1]}")
        with stage(tmp_path) as tracker:
            tracker.metrics({"loss": 1.0}, 0)
        with pytest.raises(ZeroDivisionError), stage(tmp_path, "other"):
            raise ZeroDivisionError
    said = capsys.readouterr().err
    assert "is slow. What it lacks is kept in mlflow.db" in said and "secret" not in said
    assert sorted(run.info.status for run in here(tmp_path).values()) == ["FAILED", "FAILED", "FINISHED"]


def test_credentials_are_mlflows_own_and_a_refusal_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["Authorization"])
            self.send_response(401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with stage(tmp_path):
        pass
    server = HTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    with pytest.raises(BrunaError, match=r"it refuses us .*MLFLOW_TRACKING_USERNAME") as refused:
        send(tmp_path, f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()
    assert set(asked) == {"Basic YW5uOnNlY3JldA=="} and "secret" not in str(refused.value)


def test_a_server_that_is_not_told_its_own_address_is_told_apart_from_one_that_refuses_us(tmp_path: Path) -> None:
    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = b"Invalid Host header - possible DNS rebinding attack detected"
            self.send_response(403)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with stage(tmp_path):
        pass
    server = HTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.raises(BrunaError, match=r"does not know this address as its own\. Start it with `--allowed-hosts"):
        send(tmp_path, f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()


def test_a_server_that_hides_what_it_lacks_is_sent_to(tmp_path: Path) -> None:
    """Where users log in, only an administrator is told that a run is missing; others are refused it."""
    asked: list[str] = []

    class Hiding(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path.partition("?")[0].rpartition("mlflow/")[2])
            self.send_response(403 if asked[-1] == "runs/get" else 401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with stage(tmp_path):
        pass
    server = HTTPServer(("127.0.0.1", 0), Hiding)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.raises(BrunaError, match=r"it refuses us .*401"):
        send(tmp_path, f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()
    assert asked == ["runs/get", "experiments/get-by-name"]


def test_a_server_that_shows_the_own_store_gets_nothing(tmp_path: Path) -> None:
    with stage(tmp_path):
        pass
    before = here(tmp_path)
    assert send(tmp_path, store_url(tmp_path / "mlflow.db")) == (0, 0)  # as `bruna ui` would
    assert set(here(tmp_path)) == set(before) and len(before) == 2


def test_which_address_is_a_server(top_folder: Path, bruna: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert server_address(top_folder) is None
    status, _, err = bruna("send")
    assert status == 1 and "no server is named" in err
    database = top_folder / "mlflow.db"
    for own in (f"sqlite:///{database}", f"sqlite+pysqlite:///{database}", "sqlite:///mlflow.db", "  "):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", own)
        assert server_address(top_folder) is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///team.db")
    assert server_address(top_folder) == "sqlite:///team.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    assert server_address(top_folder) == "https://mlflow.example.org"
    status, _, err = bruna("send")
    assert status == 1 and "there are no runs yet" in err
    assert without_password("at https://ann:secret@example.org/x: no") == "at https://example.org/x: no"
