"""Exact resume: trainings that are killed at any moment end as if nothing had happened.

    python tests/soak/kill_and_resume.py [--kills 30] [--seed 0] [--keep]

In a temporary copy of the project, on a tiny rendered data set, `dvc repro` trains everything once without a
disturbance. Then each of the three training stages is started again and again by its script: most starts are
killed (SIGKILL to the whole process group), half of those at any time between the start of Python and the end of
the process, half soon after a checkpoint has been written. When a start ends well, this must hold:

* the outputs of the stage are those of the undisturbed training, byte for byte, with no file more or less;
* a start that found a checkpoint trained from the epoch after it, and logged to the MLflow run it had before;
* that run is FINISHED, and every metric of every epoch has one value in it, that of the undisturbed training;
* no run of the store is left RUNNING.

Then the outputs are removed and the next training begins, until the kills are spent. Expect half a minute a kill.
Exit status: 0 if everything held, 1 if anything did not; what, is printed.
"""

import argparse
import csv
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import yaml

from bruna.files import fingerprint
from bruna.progress import table
from bruna.sample import render_sample
from bruna.tracking.execution import terminable
from bruna.tracking.mlflow_run import EXPERIMENT
from project_copy import TINY, Project, temporary_folder

EPOCHS = {"train_unet": 6, "train_attributes": 6, "train_bruna": 8}
KILL_SHARE = 0.7
"""Share of the starts after a kill that are to be killed too; the others are left to end well."""
CLOCK_SHARE = 0.5
"""Share of the kills at a time drawn from the whole length of a training; the others follow a checkpoint."""
STUCK = 600.0
"""Seconds after which a start is taken to hang."""
BEFORE, BETWEEN, AFTER = "no checkpoint yet", "between epochs", "after training"


@dataclass(frozen=True)
class Moment:
    """When to kill: so many seconds after so many checkpoints have been written (0: after the start)."""

    checkpoints: int
    seconds: float


@dataclass(frozen=True)
class Start:
    """One start of a stage's script.

    Attributes:
        status: of the process; negative if it was killed.
        found: epochs in the newest checkpoint when it was started; 0 if there was none.
        reached: epochs in the newest checkpoint it left or wrote.
        times: of the start, of each checkpoint and of the end, in seconds.
        printed: on stdout and stderr.
    """

    status: int
    found: int
    reached: int
    times: list[float]
    printed: str

    @property
    def killed(self) -> bool:
        return self.status == -signal.SIGKILL

    @property
    def first_epoch(self) -> int | None:
        """The epoch the training began with, counted from 1."""
        match = re.search(r" epoch (\d+)/\d+: ", self.printed)
        return int(match[1]) if match else None


@dataclass(frozen=True)
class Undisturbed:
    """What a training leaves that is not killed.

    Attributes:
        files: MD5 of each output file by its path.
        tags: those of its MLflow run that say what it wrote.
        curves: epoch and value of every measure of every epoch.
        epoch: seconds between two checkpoints.
        closing: seconds from the last checkpoint to the end.
        seconds: from the start of the process to its end.
    """

    files: Mapping[str, str]
    tags: Mapping[str, str]
    curves: Mapping[str, list[tuple[int, float]]]
    epoch: float
    closing: float
    seconds: float


def _over(moment: Moment | None, times: list[float]) -> bool:
    """Whether to kill now a process that has been started, and has written checkpoints, at these times."""
    now = time.monotonic()
    if moment and moment.checkpoints < len(times) and now - times[moment.checkpoints] >= moment.seconds:
        return True
    return now - times[0] > STUCK


@dataclass
class Stage:
    """A training stage in a copy of the project."""

    project: Project
    name: str

    def __post_init__(self) -> None:
        entry = yaml.safe_load((self.project.folder / "dvc.yaml").read_text())["stages"][self.name]
        paths = entry["outs"] + entry["metrics"]
        self.outputs = [path if isinstance(path, str) else next(iter(path)) for path in paths]
        self.epochs = EPOCHS[self.name]
        self.client = self.project.client()

    def start(self, moment: Moment | None) -> Start:
        """Run the script to its end, or to the moment at which it is killed."""
        root = self.project.folder
        environment = {**self.project.environment(), "DVC_ROOT": str(root), "DVC_STAGE": self.name}
        command = [sys.executable, f"stages/{self.name}.py"]
        found = reached = self.checkpoint()
        with tempfile.TemporaryFile("w+") as log:
            times = [time.monotonic()]
            process = subprocess.Popen(
                command, cwd=root, env=environment, stdout=log, stderr=log, start_new_session=True
            )
            try:
                while process.poll() is None and not _over(moment, times):
                    newest = self.checkpoint()
                    times += [time.monotonic()] * (newest - reached)
                    reached = max(reached, newest)
                    time.sleep(0.002)
            finally:  # also if this script is interrupted
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            times.append(time.monotonic())
            log.seek(0)
            return Start(process.returncode, found, reached, [at - times[0] for at in times], log.read())

    def checkpoint(self) -> int:
        """Epochs in the newest checkpoint; 0 if there is none."""
        found = (self.project.folder / ".checkpoints" / self.name).glob("*/?????-*.pt")
        return max((int(path.name.split("-")[0]) for path in found), default=0)

    def runs(self) -> dict[str, Any]:
        """All MLflow runs of the stage by id, oldest first."""
        return {run.info.run_id: run for run in self._search(f"tags.`dvc.stage` = '{self.name}'")}

    def still_running(self) -> list[str]:
        """Names of all runs of the store that MLflow takes to be running."""
        return [run.info.run_name for run in self._search("attributes.status = 'RUNNING'")]

    def _search(self, query: str) -> list[Any]:
        experiment = self.client.get_experiment_by_name(EXPERIMENT).experiment_id
        return list(self.client.search_runs([experiment], query, order_by=["attributes.start_time ASC"]))

    def values(self, run: str, metric: str) -> list[tuple[int, float]]:
        """Every value a run has of a metric, with its epoch."""
        return sorted((value.step, value.value) for value in self.client.get_metric_history(run, metric))

    def files(self) -> dict[str, str]:
        """MD5 of every file among the outputs, hidden ones too."""
        root = self.project.folder
        paths = [path for output in self.outputs for path in [root / output, *(root / output).rglob("*")]]
        return {path.relative_to(root).as_posix(): fingerprint(path) for path in paths if path.is_file()}

    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """Value and epoch of every measure of every epoch, as the stage wrote them down."""
        path = self.project.folder / "artifacts" / self.name / "epochs.csv"
        curves: dict[str, list[tuple[int, float]]] = {}
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                epoch = int(row.pop("epoch"))
                for name, value in row.items():
                    curves.setdefault(name, []).extend([(epoch, float(value))] if value else [])
        return curves

    def output_tags(self, run: str) -> dict[str, str]:
        """The tags of a run that say what it wrote."""
        tags = self.client.get_run(run).data.tags
        return {name: value for name, value in tags.items() if name.startswith("bruna.output.")}

    def remove_outputs(self) -> None:
        for output in self.outputs:
            path = self.project.folder / output
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def undisturbed_training(stage: Stage) -> Undisturbed:
    """What `dvc repro` has left, and the times of one more start that is not killed."""
    files, curves, tags = stage.files(), stage.curves(), stage.output_tags(list(stage.runs())[-1])
    stage.remove_outputs()
    start = stage.start(None)
    if start.status or len(start.times) != stage.epochs + 2:
        sys.exit(f"{stage.name} does not even work undisturbed:\n{start.printed}")
    _, first, *_, last, end = start.times
    epoch = (last - first) / (stage.epochs - 1)
    print(
        f"{stage.name}: {first - epoch:.1f} s to start, {epoch * stage.epochs:.1f} s for {stage.epochs} epochs, "
        f"{end - last:.1f} s to end",
        flush=True,
    )
    return Undisturbed(files, tags, curves, epoch, end - last, end)


@dataclass
class Soak:
    """The kills of one stage, and what was wrong after them."""

    stage: Stage
    undisturbed: Undisturbed
    dice: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    trainings: int = 0
    resumes: int = 0
    problems: list[str] = field(default_factory=list)

    def run(self, kills: int) -> None:
        """Kill so often, and compare after each training; a start that fails of itself ends it all."""
        self._compare(self.stage.runs())
        while self.kills.total() < kills:
            self.trainings += 1
            self.stage.remove_outputs()
            earlier = set(self.stage.runs())
            if not self._ends_well(kills):
                return
            self._compare({name: run for name, run in self.stage.runs().items() if name not in earlier})

    def _ends_well(self, kills: int) -> bool:
        """Start the stage until it ends, killing most starts; tell whether it ended well."""
        before = self.kills.total()
        while True:
            # A training that nothing kills shows nothing.
            wanted = self.kills.total() == before or self.dice.random() < KILL_SHARE
            wanted = wanted and self.kills.total() < kills
            known = set(self.stage.runs())
            start = self.stage.start(self._moment() if wanted else None)
            self._note(start, new_runs=set(self.stage.runs()) - known)
            if not start.killed:
                return start.status == 0

    def _moment(self) -> Moment:
        left = self.stage.epochs - self.stage.checkpoint()
        if not left or self.dice.random() < CLOCK_SHARE:
            return Moment(0, self.dice.uniform(0, 1.1 * self.undisturbed.seconds))
        checkpoints = self.dice.randint(1, left)
        gap = self.undisturbed.closing if checkpoints == left else self.undisturbed.epoch
        # Mostly at once: what the checkpoint holds and what MLflow has been told must agree there too.
        return Moment(checkpoints, gap * self.dice.random() ** 3)

    def _note(self, start: Start, new_runs: set[str]) -> None:
        """Count where a kill hit, and check that a start went on from the checkpoint that it found."""
        if start.killed:
            where = BETWEEN if start.reached else BEFORE
            self.kills[AFTER if start.reached == self.stage.epochs else where] += 1
        what = "killed" if start.killed else f"ended with status {start.status}"
        epochs = f"epochs kept: {start.found}, then {start.reached}"
        print(f"{self.stage.name}: {what} after {start.times[-1]:.1f} s, {epochs}", flush=True)
        if start.status not in (0, -signal.SIGKILL) or start.times[-1] > STUCK:
            self._problem(f"a start hung or failed:\n{start.printed}")
        if start.first_epoch not in (None, start.found + 1):
            self._problem(f"a start that found {start.found} epochs went on with epoch {start.first_epoch}")
        if start.found and new_runs:
            self._problem(f"a start that found {start.found} epochs opened a new MLflow run")
        if start.found and (start.first_epoch or not start.killed):
            self.resumes += 1

    def _compare(self, runs: dict[str, Any]) -> None:
        """Compare a training that has ended well, outputs and MLflow runs, with the undisturbed one."""
        files, expected = self.stage.files(), self.undisturbed.files
        for path in sorted(files.keys() | expected.keys()):
            if files.get(path) != expected.get(path):
                self._problem(f"{path} {'differs' if path in files and path in expected else 'is there in one only'}")
        statuses = [run.info.status for run in runs.values()]
        if statuses[-1:] != ["FINISHED"] or set(statuses) - {"FINISHED", "KILLED"}:
            self._problem(f"its MLflow runs ended as {statuses}")
        if running := self.stage.still_running():
            self._problem(f"still RUNNING in MLflow: {running}")
        for run, status in zip(runs, statuses, strict=True):
            if status == "FINISHED":  # more than one if a kill hit a process that had done all but exit
                self._compare_run(run)

    def _compare_run(self, run: str) -> None:
        for name, expected in self.undisturbed.curves.items():
            if (values := self.stage.values(run, name)) != expected:
                self._problem(f"{name} in MLflow run {run} is {values}, and not {expected}")
        if (tags := self.stage.output_tags(run)) != self.undisturbed.tags:
            self._problem(f"MLflow run {run} is tagged with the outputs {tags}, and not {self.undisturbed.tags}")

    def _problem(self, text: str) -> None:
        self.problems.append(f"training {self.trainings}: {text}")


def prepared(folder: Path) -> Project:
    """A copy of the project in which everything up to the last training has run once."""
    epochs = {name: {**TINY[name], "epochs": count} for name, count in EPOCHS.items()}
    project = Project(folder, {**TINY, **epochs})
    render_sample(folder / "data", identities=30, images_per_identity=4, test_identities=6, mask_pairs=24)
    project.run("dvc", "add", "--quiet", "data")
    print("the undisturbed `dvc repro`", flush=True)
    project.run("dvc", "repro", *EPOCHS)
    return project


def report(soaks: list[Soak]) -> None:
    """Print a row a stage, then everything that was wrong."""
    columns = ("stage", "trainings", "kills", BEFORE, BETWEEN, AFTER, "resumes", "identical")
    rows = [
        (
            soak.stage.name,
            soak.trainings,
            soak.kills.total(),
            *(soak.kills[where] for where in (BEFORE, BETWEEN, AFTER)),
            soak.resumes,
            not soak.problems,
        )
        for soak in soaks
    ]
    table("Killed and resumed", columns, rows)
    for soak in soaks:
        for problem in soak.problems:
            print(f"{soak.stage.name}, {problem}")


def main() -> None:
    """Kill, compare, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30, help="of all three stages together (default: 30)")
    parser.add_argument("--seed", type=int, default=0, help="decides when the kills come (default: 0)")
    parser.add_argument("--keep", action="store_true", help="keep the copy of the project")
    arguments = parser.parse_args()
    with terminable(), temporary_folder("kill-and-resume", keep=arguments.keep) as folder:
        project = prepared(folder)
        soaks = []
        for i, name in enumerate(EPOCHS):
            stage = Stage(project, name)
            soaks.append(Soak(stage, undisturbed_training(stage), random.Random(f"{arguments.seed} {name}")))
            soaks[-1].run(arguments.kills // len(EPOCHS) + (i < arguments.kills % len(EPOCHS)))
        report(soaks)
    sys.exit(any(soak.problems for soak in soaks))


if __name__ == "__main__":
    main()
