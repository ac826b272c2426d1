"""A copy of the working tree with settings for a tiny data set, for what runs the whole pipeline."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

from bruna.tracking.store import EXPERIMENT, connect, lock

SOURCE = Path(__file__).resolve().parents[1]
STAGES = ["validate", "split", "train_unet", "segment", "train_attributes", "train_bruna", "evaluate", "report"]
TINY: Mapping[str, Mapping[str, Any]] = {
    "runtime": {"device": "cpu", "threads": 1},
    "split": {"train_share": 0.6, "mask_train_share": 0.7},
    "train_unet": {"image_size": [64, 32], "width": 4, "depth": 3, "epochs": 2, "batch_size": 8},
    "train_attributes": {
        "image_size": [64, 32],
        "network": "mobilenet_v3_small",
        "epochs": 1,
        "batch_size": 16,
        "weak_below": 4,
    },
    "train_bruna": {
        "image_size": [64, 32],
        "features": 32,
        "epochs": 3,
        "warmup_epochs": 0,
        "tuples_per_identity": 2,
        "batch_tuples": 4,
        "validate_every": 0,
    },
    "evaluate": {"reid_test_length": 5, "junk_threshold": 0.8},  # after one epoch junk is as likely as not
    "report": {"rank_list_queries": 2, "rank_list_length": 5},
}
_NOT_INHERITED = ("PYTHONPATH", "DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", "BRUNA_EXECUTION")


class _Settings(yaml.SafeDumper):
    """Writes a list in one line, as they are in params.yaml: `bruna import --adapt` and `bruna preset` change lines."""


_Settings.add_representer(list, lambda to, of: to.represent_sequence("tag:yaml.org,2002:seq", of, flow_style=True))


class Project:
    """A copy of the working tree (also of what is not committed) in a Git repository of its own."""

    def __init__(self, folder: Path, overrides: Mapping[str, Mapping[str, Any]]) -> None:
        self.folder = folder
        command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
        listed = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=True).stdout
        generated = ("metrics/", "dvc.lock", "data.dvc")
        for name in filter(None, listed.split("\0")):
            if (SOURCE / name).is_file() and not name.startswith(generated):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(SOURCE / name, folder / name)
        params = yaml.safe_load((folder / "params.yaml").read_text())
        for group, values in overrides.items():
            params[group].update(values)
        (folder / "params.yaml").write_text(yaml.dump(params, Dumper=_Settings, sort_keys=False))
        self.run("git", "init", "--quiet", "--initial-branch", "main")
        self.run("git", "config", "user.name", "Test")
        self.run("git", "config", "user.email", "test@localhost")

    @classmethod
    def of_copied(cls, folder: Path, copy: Path) -> "Project":
        """A copy of a whole project, with its data, its cache, its commits and its MLflow runs."""
        shutil.copytree(folder, copy, symlinks=True)
        with lock(copy):
            connect(copy)  # corrects in the store where the files of the runs are, as every stage does
        project = cls.__new__(cls)
        project.folder = copy
        return project

    def commit(self) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "state")

    def environment(self) -> dict[str, str]:
        """That of a user whose environment is not activated, as the Makefile makes it."""
        kept = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
        return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def run(self, *command: str, fails: bool = False) -> str:
        """Run a command here; return what it printed. It must succeed, or fail if `fails`."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, text=True, check=False
        )
        assert (done.returncode != 0) == fails, f"{command}, status {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def metrics(self, stage: str) -> dict[str, Any]:
        return dict(json.loads((self.folder / "metrics" / f"{stage}.json").read_text()))

    def client(self) -> Any:
        """A client of this project's MLflow store."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=f"sqlite:///{self.folder / 'mlflow.db'}")

    def parents(self) -> dict[str, list[Any]]:
        """The parent runs in MLflow by id, oldest first, each with its children."""
        client = self.client()
        experiment = client.get_experiment_by_name(EXPERIMENT)
        runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
        found: dict[str, list[Any]] = {r.info.run_id: [r] for r in runs if "bruna.execution" in r.data.tags}
        for run in runs:
            if "mlflow.parentRunId" in run.data.tags:
                found[run.data.tags["mlflow.parentRunId"]].append(run)
        return found


def stages_of(runs: list[Any]) -> dict[str, Any]:
    """Runs in MLflow by their stage."""
    return {run.data.tags["dvc.stage"]: run for run in runs}


def written_by(stage: str) -> list[str]:
    """The paths that a stage writes, as dvc.yaml names them."""
    listed = yaml.safe_load((SOURCE / "dvc.yaml").read_text())["stages"][stage]
    entries = [entry for key in ("outs", "metrics") for entry in listed.get(key, [])]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def add_knob(folder: Path, group: str) -> None:
    """Give a group one more setting, as a change to the code does: in params.py and in params.yaml."""
    for name, line, knob in (
        ("src/bruna/params.py", rf'^    """Group `{group}`.*$', "    knob: int"),
        ("params.yaml", rf"^{group}:.*$", "  knob: 1"),
    ):
        text, count = re.subn(line, rf"\g<0>\n{knob}", (folder / name).read_text(), flags=re.MULTILINE)
        assert count == 1, name
        (folder / name).write_text(text)


def killed_when(
    over: Callable[[], bool],
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    chosen: Callable[[Sequence[psutil.Process]], psutil.Process] | None = None,
) -> tuple[int, str]:
    """Run a command to its end, or until `over`, which is asked all the time, has its whole process group killed.

    Args:
        over: tells when.
        command, folder, environment: what to run, and where.
        chosen: of the processes that torchrun has started, the one to kill in the place of the group, if there is any
            yet. The others have a minute to end.

    Returns:
        Its status, -9 if it, or one of them, was killed, and what it printed.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
        lost = False
        try:
            while process.poll() is None and not over():
                time.sleep(0.002)
            if process.poll() is None and chosen and (ranks := _ranks_below(process.pid)):
                lost = True
                chosen(ranks).kill()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(60)
                assert not any(rank.is_running() for rank in ranks), f"of the processes {ranks} some are left"
        finally:  # also if this process is interrupted
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        log.seek(0)
        status = -signal.SIGKILL if lost and process.returncode else process.returncode
        return status, log.read()


def _ranks_below(pid: int) -> list[psutil.Process]:
    """The processes of a training that several share: those that torchrun has given a rank."""
    found = []
    with suppress(psutil.Error):
        for process in psutil.Process(pid).children(recursive=True):
            if "RANK" in process.environ() and "RANK" not in psutil.Process(process.ppid()).environ():
                found.append(process)
    return found


def unfinished(folder: Path) -> list[Path]:
    """What processes have left below a folder of files and folders that they had not finished or had moved aside."""
    return [path for path in folder.rglob(".*") if path.suffix in (".part", ".old")]


@contextmanager
def temporary_folder(name: str, *, keep: bool) -> Iterator[Path]:
    """Yield an empty folder; remove it when the block ends, or say where it is."""
    folder = Path(tempfile.mkdtemp(prefix=f"bruna-{name}-"))
    try:
        yield folder
    finally:
        if keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
