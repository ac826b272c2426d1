"""MLflow's pages of this project's runs."""

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from bruna.errors import BrunaError
from bruna.tracking.execution import terminable
from bruna.tracking.mlflow_run import VIEW, open_store
from bruna.tracking.store import store_url

HOST = "127.0.0.1"
_SECONDS = 120
"""How long the server may take to answer: it imports for some twenty seconds."""


def runs_address(root: Path, port: int) -> str:
    """Where MLflow shows the runs of this project in the view for training.

    Without `workflowType` MLflow 3 opens a view for language models, which has neither parameters nor metrics; without
    the view no metric is among the columns.

    Args:
        root: where the store lies.
        port: of the server.

    Raises:
        BrunaError: there is no store, or it cannot be opened.
    """
    if not os.path.lexists(root / "mlflow.db"):
        raise BrunaError(
            f"there are no runs yet: {root.resolve() / 'mlflow.db'} is missing. Every stage of `dvc repro` makes one. "
            "Run this from the top folder of the project."
        )
    _, experiment = open_store(root.resolve())
    view = f"workflowType=machine_learning&viewStateShareKey={VIEW}"
    return f"http://{HOST}:{port}/#/experiments/{experiment}/runs?{view}"


@contextmanager
def server(root: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run MLflow's server until the block ends; the block begins when it answers.

    Args:
        root: where the store lies.
        port: a free one.

    Raises:
        BrunaError: the server ended by itself, or did not answer for two minutes.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", store_url(root.resolve() / "mlflow.db")]
    command += ["--default-artifact-root", (root.resolve() / "mlartifacts").as_uri()]
    environment = {
        **os.environ,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # for language models; starts ten seconds later with it
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with terminable(), tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            if not _answers(process, port):
                log.seek(0)
                said = log.read().decode(errors="replace").strip().splitlines()[-15:]
                raise BrunaError("\n".join(["MLflow did not start. It said:", *said]))
            yield process
        finally:
            _end(process)


def _answers(process: "subprocess.Popen[bytes]", port: int) -> bool:
    until = time.monotonic() + _SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            time.sleep(0.2)
    return False


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the server and its workers; after Ctrl-C in a terminal they are ending already."""
    with suppress(psutil.NoSuchProcess):
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        for end in (psutil.Process.terminate, psutil.Process.kill):
            for each in family:
                with suppress(psutil.NoSuchProcess):
                    end(each)
            _, family = psutil.wait_procs(family, timeout=10)
