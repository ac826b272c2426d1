"""`bruna ui`: the address of the runs, a port that is taken, and a server that ends when it is told to."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest

from bruna.cli import ui as module
from bruna.errors import BrunaError
from bruna.tracking.execution import Execution
from bruna.tracking.mlflow_run import EXPERIMENT, stage_run
from bruna.tracking.store import store_url
from bruna.tracking.ui import runs_address
from conftest import Run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder in which a stage has run; its name is a trap for whoever makes a URL."""
    around = tmp_path_factory.mktemp("ui")
    folder = around / "a 1%2041?x#"
    folder.mkdir()
    (around / "page.txt").write_text("page")
    with stage_run(folder, "split", Execution("e", "one"), params={}, inputs={}, outputs={}, tags={}) as tracker:
        tracker.file(around / "page.txt", "report")
    return folder


@pytest.fixture
def store(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder, as working folder."""
    monkeypatch.chdir(made)
    return made


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_port_that_is_taken_is_told_before_anything_starts(top_folder: Path, bruna: Run) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        status, out, err = bruna("ui", "--port", str(port))
    assert (status, out) == (1, "")
    assert f"port {port} cannot be used" in err and f"make ui PORT={port + 1}" in err
    assert bruna("ui", "--port", "70000")[0] == 2


def test_without_runs_no_store_is_made(top_folder: Path, bruna: Run) -> None:
    status, _, err = bruna("ui", "--port", str(_free_port()))
    assert status == 1 and "there are no runs yet" in err
    assert not (top_folder / "mlflow.db").exists()


def test_the_address_is_that_of_the_experiment_in_the_view_for_training(store: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store_url(store / "mlflow.db"))
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    address = runs_address(store, 5001)
    assert address.startswith(f"http://127.0.0.1:5001/#/experiments/{experiment}/runs?workflowType=machine_learning")


def test_the_server_answers_at_the_address_and_ends_with_ctrl_c(store: Path) -> None:
    port = _free_port()
    command = [sys.executable, "-u", "-c", "from bruna.cli.main import main; main()"]
    command += ["ui", "--no-browser", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        printed = [process.stdout.readline() for _ in range(3)]
        assert re.match(rf"All runs: http://127\.0\.0\.1:{port}/#/experiments/\d+/runs\?", printed[1]), printed
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as page:
            assert b"MLflow" in page.read()
        (run,) = [path.name for path in (store / "mlartifacts").iterdir()]
        shown = f"http://127.0.0.1:{port}/get-artifact?run_id={run}&path=report/page.txt"
        with urllib.request.urlopen(shown, timeout=30) as file:
            assert file.read() == b"page"
        family = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(timeout=30) == 0
        assert process.stdout.read() == "MLflow has ended.\n"
    assert {path.name for path in store.parent.iterdir()} == {store.name, "page.txt"}
    assert family and not [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def test_a_server_that_does_not_start_is_told_with_what_it_said(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bruna.tracking import ui

    monkeypatch.setattr(ui, "HOST", "no.such.host.invalid")
    with pytest.raises(BrunaError, match=r"MLflow did not start\. It said:"), ui.server(store, _free_port()):
        pass


def test_a_browser_is_opened_where_there_is_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not module._has_display()
    monkeypatch.setenv("DISPLAY", ":0")
    assert module._has_display()
