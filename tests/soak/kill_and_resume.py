"""Stages that are killed at any moment end as if nothing had happened.

    python tests/soak/kill_and_resume.py [--kills 30] [--others 20] [--processes 1] [--seed 0] [--keep]

In a temporary copy of the project, on a tiny rendered data set, `dvc repro` runs everything once without a
disturbance. Then the three trainings, and after them `split`, `segment`, `evaluate` and `report`, are started again
and again, some by `dvc repro`, most by their scripts: most starts are killed (SIGKILL to the whole process group),
half of those at any time between the start of Python and the end of the process, half soon after a checkpoint or an
output has been written. When a start ends well, this must hold:

* the outputs of the stage are those of the undisturbed start, byte for byte, with no file more or less;
* a training that found a checkpoint went on from the epoch after it, and logged to the MLflow run it had before;
* that run is FINISHED, every metric of every epoch has one value in it, that of the undisturbed one, and its
  artifacts are the same files;
* no run of the store is left RUNNING, no unfinished file and no checkpoint is left anywhere.

With `--processes 2` two processes train together, and one of them, drawn, is killed in the place of the group: the
other one must end too.

Then the outputs are removed and the next round begins, until the kills are spent. In the end DVC must find everything
up to date. Expect half a minute a kill on two free cores. Exit status: 0 if everything held, 1 if anything did
not; what, is printed.
"""

import argparse
import csv
import os
import random
import re
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import yaml

from bruna.files import fingerprint
from bruna.progress import table
from bruna.sample import render_sample
from bruna.tracking.execution import terminable
from bruna.tracking.store import EXPERIMENT
from project_copy import TINY, Project, killed_when, temporary_folder, unfinished

EPOCHS = {"train_unet": 6, "train_attributes": 6, "train_bruna": 8}
OTHERS = ("split", "segment", "evaluate", "report")
KILL_SHARE = 0.7
"""Share of the starts after a kill that are to be killed too; the others are left to end well."""
CLOCK_SHARE = 0.5
"""Share of the kills at a time drawn from the whole length of a start; the others follow a checkpoint or an output."""
DVC_SHARE = 0.25
"""Share of the starts by `dvc repro`, which is killed with the stage."""
STUCK = 600.0
"""Seconds after which a start is taken to hang."""
BEFORE, BETWEEN, AFTER = "nothing written yet", "in between", "all written"


@dataclass(frozen=True)
class Moment:
    """When to kill: so many seconds after so much has been written (0: after the start), checkpoints or outputs."""

    written: int
    seconds: float


@dataclass(frozen=True)
class Start:
    """One start of a stage.

    Attributes:
        status: of the process; negative if it was killed.
        found: epochs in the newest checkpoint when a training was started; 0 if there was none.
        reached: epochs in the newest checkpoint, or files of other stages, that it left or wrote.
        times: of the start, of each checkpoint or file and of the end, in seconds.
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
        """The epoch a training began with, counted from 1."""
        match = re.search(r" epoch (\d+)/\d+: ", self.printed)
        return int(match[1]) if match else None


@dataclass(frozen=True)
class Undisturbed:
    """What a stage leaves that is not killed.

    Attributes:
        files: MD5 of each output file by its path.
        tags: those of its MLflow run that say what it wrote.
        metrics: step and value of every metric in that run.
        artifacts: paths of the files in that run.
        written: how many checkpoints or files it writes.
        gap: seconds between two of them.
        closing: seconds from the last of them to the end.
        seconds: from the start of the process to its end; by `dvc repro`, which takes longer.
    """

    files: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, list[tuple[int, float]]]
    artifacts: list[str]
    written: int
    gap: float
    closing: float
    seconds: float


@dataclass
class Stage:
    """A stage in a copy of the project."""

    project: Project
    name: str
    dice: random.Random | None = None
    """Draws the process that is killed; None kills the whole group."""

    def __post_init__(self) -> None:
        entry = yaml.safe_load((self.project.folder / "dvc.yaml").read_text())["stages"][self.name]
        paths = entry["outs"] + entry["metrics"] if "metrics" in entry else entry["outs"]
        self.outputs = [path if isinstance(path, str) else next(iter(path)) for path in paths]
        self.client = self.project.client()

    def start(self, moment: Moment | None, *, dvc: bool = False) -> Start:
        """Start it, and let it run to its end or to the moment at which it is killed."""
        root = self.project.folder
        script = [sys.executable, f"stages/{self.name}.py"]
        command = ["dvc", "repro", "--single-item", "--force", self.name] if dvc else script
        by_hand = {"DVC_ROOT": str(root), "DVC_STAGE": self.name}
        began = time.time_ns()
        found = reached = self.checkpoint()
        times = [time.monotonic()]

        def over() -> bool:
            nonlocal reached
            written = self.checkpoint() if self.name in EPOCHS else self._files_since(began)
            now = time.monotonic()
            times.extend([now] * (written - reached))
            reached = max(reached, written)
            due = moment and moment.written < len(times) and now - times[moment.written] >= moment.seconds
            return bool(due) or now - times[0] > STUCK

        environment = self.project.environment() | ({} if dvc else by_hand)
        chosen = self.dice.choice if self.dice and self.name in EPOCHS else None
        status, printed = killed_when(over, command, root, environment, chosen)
        times.append(time.monotonic())
        return Start(status, found, reached, [at - times[0] for at in times], printed)

    def checkpoint(self) -> int:
        """Epochs in the newest checkpoint; 0 if there is none."""
        found = (self.project.folder / ".checkpoints" / self.name).glob("*/?????-*.pt")
        return max((int(path.name.split("-")[0]) for path in found), default=0)

    def _files_since(self, began: int) -> int:
        """How many outputs have been written since, whole or not; time in nanoseconds."""
        count = 0
        for folder in ("artifacts", "metrics"):
            for below, _, names in os.walk(self.project.folder / folder):
                for name in names:
                    with suppress(OSError):  # renamed or removed by now
                        count += os.stat(f"{below}/{name}").st_mtime_ns >= began  # noqa: PTH116 - asked all the time
        return count

    def runs(self) -> dict[str, Any]:
        """All MLflow runs of the stage by id, oldest first."""
        return {run.info.run_id: run for run in self._search(f"tags.`dvc.stage` = '{self.name}'")}

    def still_running(self) -> list[str]:
        """Names of all runs of the store that MLflow takes to be running."""
        return [run.info.run_name for run in self._search("attributes.status = 'RUNNING'")]

    def _search(self, query: str) -> list[Any]:
        experiment = self.client.get_experiment_by_name(EXPERIMENT).experiment_id
        return list(self.client.search_runs([experiment], query, order_by=["attributes.start_time ASC"]))

    def metrics(self, run: str) -> dict[str, list[tuple[int, float]]]:
        """Every value that a run has of every metric, with its step; without what tells of the machine."""
        names = [name for name in self.client.get_run(run).data.metrics if not name.startswith("machine/")]
        history = {name: self.client.get_metric_history(run, name) for name in names}
        return {name: sorted((value.step, value.value) for value in values) for name, values in history.items()}

    def artifacts(self, run: str) -> list[str]:
        """Paths of the files that a stage logged to its run; the pictures there are from `report`."""
        return sorted(
            path for path in self._artifacts(run, None) if not path.startswith("figures/") or self.name == "report"
        )

    def _artifacts(self, run: str, folder: str | None) -> Iterator[str]:
        for found in self.client.list_artifacts(run, folder):
            if found.is_dir:
                yield from self._artifacts(run, found.path)
            else:
                yield found.path

    def files(self) -> dict[str, str]:
        """MD5 of every file among the outputs, hidden ones too."""
        root = self.project.folder
        paths = [path for output in self.outputs for path in [root / output, *(root / output).rglob("*")]]
        return {path.relative_to(root).as_posix(): fingerprint(path) for path in paths if path.is_file()}

    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """Epoch and value of every measure of every epoch, as a training wrote them down."""
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

    def left_behind(self) -> list[str]:
        """What a start that ended well must not leave: unfinished files, and checkpoints."""
        root = self.project.folder
        checkpoints = (root / ".checkpoints" / self.name).glob("*/")
        return [path.relative_to(root).as_posix() for path in [*unfinished(root), *checkpoints]]

    def remove_outputs(self) -> None:
        for output in self.outputs:
            path = self.project.folder / output
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def undisturbed_start(stage: Stage) -> Undisturbed:
    """What the `dvc repro` of everything has left, and the times of two more starts that are not killed."""
    run = list(stage.runs())[-1]
    files, metrics, tags, artifacts = stage.files(), stage.metrics(run), stage.output_tags(run), stage.artifacts(run)
    epochs = EPOCHS.get(stage.name)
    if epochs and {name: metrics.get(name) for name in stage.curves()} != stage.curves():
        sys.exit(f"{stage.name}: MLflow has other curves than epochs.csv")
    stage.remove_outputs()
    start, by_dvc = stage.start(None), stage.start(None, dvc=True)
    written = len(start.times) - 2
    if start.status or by_dvc.status or written != (epochs or written) or written < 2:
        sys.exit(f"{stage.name} does not even work undisturbed:\n{start.printed}\n{by_dvc.printed}")
    _, first, *_, last, end = start.times
    gap = (last - first) / (written - 1)
    print(
        f"{stage.name}: {first:.1f} s to the first of {written} {'checkpoints' if epochs else 'files'}, "
        f"{last - first:.1f} s to the last, {end - last:.1f} s to end; by dvc repro {by_dvc.times[-1]:.1f} s in all",
        flush=True,
    )
    return Undisturbed(files, tags, metrics, artifacts, written, gap, end - last, by_dvc.times[-1])


@dataclass
class Soak:
    """The kills of one stage, and what was wrong after them."""

    stage: Stage
    undisturbed: Undisturbed
    dice: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    resumes: int = 0
    problems: list[str] = field(default_factory=list)

    def run(self, kills: int) -> None:
        """Kill so often, and compare after each round; a start that fails of itself ends it all."""
        self._compare(self.stage.runs())
        while self.kills.total() < kills:
            self.rounds += 1
            self.stage.remove_outputs()
            earlier = set(self.stage.runs())
            if not self._ends_well(kills):
                return
            self._compare({name: run for name, run in self.stage.runs().items() if name not in earlier})

    def _ends_well(self, kills: int) -> bool:
        """Start the stage until it ends, killing most starts; tell whether it ended well."""
        before = self.kills.total()
        while True:
            # A round in which nothing is killed shows nothing.
            wanted = self.kills.total() == before or self.dice.random() < KILL_SHARE
            wanted = wanted and self.kills.total() < kills
            known = set(self.stage.runs())
            dvc = self.dice.random() < DVC_SHARE
            start = self.stage.start(self._moment() if wanted else None, dvc=dvc)
            self._note(start, "dvc repro" if dvc else "script", new_runs=set(self.stage.runs()) - known)
            if not start.killed:
                return start.status == 0

    def _moment(self) -> Moment:
        left = self.undisturbed.written - self.stage.checkpoint()
        if not left or self.dice.random() < CLOCK_SHARE:
            return Moment(0, self.dice.uniform(0, 1.1 * self.undisturbed.seconds))
        written = self.dice.randint(1, left)
        gap = self.undisturbed.closing if written == left else self.undisturbed.gap
        # Mostly at once: what the checkpoint holds and what MLflow has been told must agree there too.
        return Moment(written, gap * self.dice.random() ** 3)

    def _note(self, start: Start, by: str, new_runs: set[str]) -> None:
        """Count where a kill hit, and check that a start went on from the checkpoint that it found."""
        if start.killed:
            where = BETWEEN if start.reached else BEFORE
            self.kills[AFTER if start.reached >= self.undisturbed.written else where] += 1
        what = f"kill {self.kills.total()}" if start.killed else f"ended with status {start.status}"
        kept = f"epochs kept: {start.found}, then" if self.stage.name in EPOCHS else "files written:"
        print(f"{self.stage.name} ({by}): {what} after {start.times[-1]:.1f} s, {kept} {start.reached}", flush=True)
        if start.status not in (0, -signal.SIGKILL) or start.times[-1] > STUCK:
            self._problem(f"a start hung or failed:\n{start.printed}")
        if start.first_epoch not in (None, start.found + 1):
            self._problem(f"a start that found {start.found} epochs went on with epoch {start.first_epoch}")
        if start.found and new_runs:
            self._problem(f"a start that found {start.found} epochs opened a new MLflow run")
        if start.found and (start.first_epoch or not start.killed):
            self.resumes += 1

    def _compare(self, runs: dict[str, Any]) -> None:
        """Compare what a start that has ended well left, outputs and MLflow runs, with the undisturbed one."""
        files, expected = self.stage.files(), self.undisturbed.files
        for path in sorted(files.keys() | expected.keys()):
            if files.get(path) != expected.get(path):
                self._problem(f"{path} {'differs' if path in files and path in expected else 'is there in one only'}")
        if left := self.stage.left_behind():
            self._problem(f"left behind: {', '.join(left)}")
        statuses = [run.info.status for run in runs.values()]
        if statuses[-1:] != ["FINISHED"] or set(statuses) - {"FINISHED", "KILLED"}:
            self._problem(f"its MLflow runs ended as {statuses}")
        if running := self.stage.still_running():
            self._problem(f"still RUNNING in MLflow: {running}")
        for run, status in zip(runs, statuses, strict=True):
            if status == "FINISHED":  # more than one if a kill hit a process that had done all but exit
                self._compare_run(run)

    def _compare_run(self, run: str) -> None:
        expected = self.undisturbed
        metrics = self.stage.metrics(run)
        for name in sorted(metrics.keys() | expected.metrics.keys()):
            if metrics.get(name) != expected.metrics.get(name):
                was = expected.metrics.get(name)
                self._problem(f"{name} in MLflow run {run} is {metrics.get(name)}, and not {was}")
        if (tags := self.stage.output_tags(run)) != expected.tags:
            self._problem(f"MLflow run {run} is tagged with the outputs {tags}, and not {expected.tags}")
        if different := set(self.stage.artifacts(run)) ^ set(expected.artifacts):
            self._problem(f"MLflow run {run} has these artifacts too many or too few: {sorted(different)}")

    def _problem(self, text: str) -> None:
        self.problems.append(f"round {self.rounds}: {text}")
        print(f"  PROBLEM: {text}", flush=True)


def prepared(folder: Path, processes: int) -> Project:
    """A copy of the project in which everything has run once, so many processes a training."""
    short = {name: {**TINY[name], "epochs": count, "processes": processes} for name, count in EPOCHS.items()}
    short["train_attributes"]["network"] = "mobilenet_v3_small"
    project = Project(folder, {**TINY, **short})
    render_sample(folder / "data", identities=30, images_per_identity=4, test_identities=6, mask_pairs=24)
    project.run("dvc", "add", "--quiet", "data")
    print("the undisturbed `dvc repro`", flush=True)
    project.run("dvc", "repro")
    return project


def report(soaks: list[Soak], seconds: float) -> None:
    """Print a row a stage, then everything that was wrong."""
    columns = ("stage", "rounds", "kills", BEFORE, BETWEEN, AFTER, "resumes", "identical")
    rows = [
        (
            soak.stage.name,
            soak.rounds,
            soak.kills.total(),
            *(soak.kills[where] for where in (BEFORE, BETWEEN, AFTER)),
            soak.resumes if soak.stage.name in EPOCHS else None,
            not soak.problems,
        )
        for soak in soaks
    ]
    table("Killed and started again", columns, rows)
    print(f"{sum(soak.kills.total() for soak in soaks)} kills in {seconds:.0f} s")
    for soak in soaks:
        for problem in soak.problems:
            print(f"{soak.stage.name}, {problem}")


def main() -> None:
    """Kill, compare, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30, help="of the three trainings together (default: 30)")
    parser.add_argument("--others", type=int, default=20, help=f"of {', '.join(OTHERS)} together (default: 20)")
    parser.add_argument("--processes", type=int, default=1, help="that share each training (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="decides when the kills come (default: 0)")
    parser.add_argument("--keep", action="store_true", help="keep the copy of the project")
    arguments = parser.parse_args()
    began = time.monotonic()
    with terminable(), temporary_folder("kill-and-resume", keep=arguments.keep) as folder:
        project = prepared(folder, arguments.processes)
        ranks = random.Random(arguments.seed) if arguments.processes > 1 else None
        soaks = []
        for names, kills in ((tuple(EPOCHS), arguments.kills), (OTHERS, arguments.others)):
            for i, name in enumerate(names):
                if share := kills // len(names) + (i < kills % len(names)):
                    stage = Stage(project, name, ranks)
                    soaks.append(Soak(stage, undisturbed_start(stage), random.Random(f"{arguments.seed} {name}")))
                    soaks[-1].run(share)
        report(soaks, time.monotonic() - began)
        status = project.run("dvc", "status")
        print(status)
    sys.exit(any(soak.problems for soak in soaks) or "up to date" not in status)


if __name__ == "__main__":
    main()
