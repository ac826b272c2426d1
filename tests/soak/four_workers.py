"""Several queue workers at once, in a project that has no MLflow store yet: every run is where it belongs.

    python tests/soak/four_workers.py [--times 3] [--workers 4] [--experiments 10] [--minutes 40] [--keep]

In a temporary copy of the project, on a tiny rendered data set, nothing has run. Short experiments are queued (they
differ in the seed of Bruna, of Task 1 or of the split, so that some find stages in DVC's cache and some do not) and
worked off by `dvc queue start`. All of this so many times, each in a fresh copy. Then this must hold:

* DVC calls every experiment a success;
* MLflow has one parent run for each experiment, FINISHED, with the tag of every stage, the seed that the experiment
  was queued with, and the headline metrics that DVC shows of it;
* below it is one run, FINISHED, for each stage that DVC says it ran, and none for those that came from the cache; the
  runs of a stage have the same files;
* there are no other runs, none in another MLflow experiment, none RUNNING.

Expect a minute an experiment on two free cores. Exit status: 0 if everything held, 1 if anything did not; what,
is printed. The workers are stopped in any case.
"""

import argparse
import csv
import math
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil

from bruna.headlines import HEADLINES
from bruna.progress import table
from bruna.sample import render_sample
from bruna.tracking.execution import terminable
from bruna.tracking.store import EXPERIMENT
from project_copy import STAGES, TINY, Project, temporary_folder

VARIED = ("train_bruna.seed", "train_attributes.seed", "split.seed")
"""Each has fewer stages in common with the other experiments than the one before."""
DONE = {"Success", "Failed"}
_TIME = re.compile(r"\d{8}T\d{6}\.\d+Z")
"""When Great Expectations checked something, in the names of its pages."""
POLL = 30.0
"""Seconds between two looks at the queue, each of which costs two seconds of a processor and a message to workers."""


@dataclass
class Outcome:
    """What became of an experiment."""

    name: str
    changed: tuple[str, int]
    state: str
    ran: list[str]
    children: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def prepared(folder: Path, data: Path) -> Project:
    """A committed copy of the project with data, in which nothing has run."""
    short = {name: {**TINY[name], "epochs": 1} for name in ("train_unet", "train_attributes", "train_bruna")}
    short["train_attributes"]["network"] = "mobilenet_v3_small"
    # Task 1 takes most images for junk after one epoch: without its filter the metrics differ from zero.
    project = Project(folder, {**TINY, **short, "evaluate": {**TINY["evaluate"], "filter_junk": False}})
    shutil.copytree(data, folder / "data")
    project.run("dvc", "add", "--quiet", "data")
    project.commit()
    return project


def queue(project: Project, count: int) -> dict[str, tuple[str, int]]:
    """Queue so many experiments, all different; return the setting that each changes, by its name."""
    changed = {}
    for i in range(1, count + 1):
        key = VARIED[i % len(VARIED)]
        name = f"{key.split('.')[0].replace('_', '-')}-{i}"
        project.run("dvc", "exp", "run", "--queue", "--name", name, "-S", f"{key}={i}")
        changed[name] = (key, i)
    return changed


def start_workers(project: Project, count: int) -> None:
    """Have so many workers work off the queue; those that do already go on."""
    command = ["dvc", "queue", "start", "--jobs", str(count)]
    nowhere = subprocess.DEVNULL  # the workers inherit it: reading a pipe would wait until they end
    subprocess.run(command, cwd=project.folder, env=project.environment(), stdout=nowhere, stderr=nowhere, check=True)


@contextmanager
def workers(project: Project, count: int) -> Iterator[None]:
    """Start the queue's workers; whatever happens, none is left when the block ends."""
    try:
        start_workers(project, count)
        yield
    finally:
        try:
            project.run("dvc", "queue", "stop", "--kill")
        finally:
            _end_processes(project.folder)


def _end_processes(folder: Path) -> None:
    """End what still works in the folder: workers take a while to stop, and children may outlive them."""
    left = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder):
                process.terminate()
                left.append(process)
        except psutil.Error:  # gone, or somebody else's
            continue
    for process in psutil.wait_procs(left, timeout=20)[1]:
        process.kill()


def states(project: Project) -> dict[str, str]:
    """What DVC calls each experiment of the queue, by its name."""
    printed = project.run("dvc", "queue", "status")
    rows = (re.fullmatch(r"[0-9a-f]{7} +(\S+) .* (\w+)", line.strip()) for line in printed.splitlines())
    return {row[1]: row[2] for row in rows if row}


def wait(project: Project, experiments: int, workers: int, seconds: float) -> None:
    """Wait until all experiments have ended, or for so long, and replace workers that have ended before.

    DVC's workers talk through files: one that reads a message which another is still writing ends after its task.
    """
    deadline = time.monotonic() + seconds
    told = ""
    while time.monotonic() < deadline:
        found = list(states(project).values())
        text = ", ".join(f"{found.count(state)} {state}" for state in sorted(set(found)))
        if text != told:
            print(text, flush=True)
        if len(found) == experiments and set(found) <= DONE:
            return
        if "Queued" in found and found.count("Running") < workers:
            start_workers(project, workers)
        told = text
        time.sleep(POLL)
    print(f"not done after {seconds / 60:.0f} minutes", flush=True)


def outcomes(project: Project, queued: dict[str, tuple[str, int]]) -> list[Outcome]:
    """What DVC says of each experiment: how it ended, and which stages it ran."""
    ended = states(project)
    found = []
    for name, changed in queued.items():
        state = ended.get(name, "missing")
        log = project.run("dvc", "queue", "logs", name) if state in DONE else ""
        outcome = Outcome(name, changed, state, re.findall(r"Running stage '(\w+)'", log))
        if outcome.state != "Success":
            outcome.problems.append(f"DVC calls it {outcome.state}:\n{log[-3000:]}")
        found.append(outcome)
    return found


def check_runs(project: Project, found: list[Outcome]) -> list[str]:
    """Check the MLflow runs of each experiment, noting its problems with it; return those of no experiment."""
    client = project.client()
    families = list(project.parents().values())
    shown = project.run("dvc", "exp", "show", "--csv", "--precision", "12")
    rows = {row["Experiment"]: row for row in csv.DictReader(shown.splitlines())}
    for outcome in found:
        own = [family for family in families if family[0].info.run_name == outcome.name]
        if len(own) == 1:
            _check_family(outcome, rows.get(outcome.name, {}), *own[0])
        else:
            outcome.problems.append(f"{len(own)} parent runs in MLflow")
    names = {outcome.name for outcome in found}
    problems = [
        f"a parent run of nobody's: {family[0].info.run_name}"
        for family in families
        if family[0].info.run_name not in names
    ]
    known = {run.info.run_id for family in families for run in family}
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            if experiment.name != EXPERIMENT or run.info.run_id not in known:
                problems.append(f"a stray run in {experiment.name}: {run.info.run_name}")
            if run.info.status != "FINISHED":
                problems.append(f"{run.info.run_name} is {run.info.status}")
    return problems + _check_files([run for _, *children in families for run in children])


def _check_files(runs: list[Any]) -> list[str]:
    """Compare the files of all runs of a stage: a picture or table that only some of them have is missing elsewhere."""
    problems = []
    for stage in STAGES:
        folders = {
            run.info.run_name: Path(unquote(urlparse(run.info.artifact_uri).path))
            for run in runs
            if run.data.tags["dvc.stage"] == stage
        }
        files = {
            name: {_TIME.sub("TIME", str(path.relative_to(folder))) for path in folder.rglob("*") if path.is_file()}
            for name, folder in folders.items()
        }
        everything = set().union(*files.values())
        problems += [f"{name} lacks {sorted(everything - own)}" for name, own in files.items() if everything - own]
    return problems


def _check_family(outcome: Outcome, row: dict[str, str], parent: Any, *children: Any) -> None:
    """Check the parent run of an experiment and the runs below it."""
    outcome.children = [run.data.tags["dvc.stage"] for run in children]
    if sorted(outcome.children) != sorted(outcome.ran):
        outcome.problems.append(f"DVC ran {sorted(outcome.ran)}, in MLflow are {sorted(outcome.children)}")
    for run in children:
        if (owner := run.data.tags.get("dvc.exp")) != outcome.name:
            outcome.problems.append(f"its {run.info.run_name} is of experiment {owner}")
    for stage in STAGES:
        if f"bruna.stage.{stage}" not in parent.data.tags:
            outcome.problems.append(f"the parent does not say which run made {stage}")
    for name in HEADLINES:
        logged, shown = parent.data.metrics.get(name, math.nan), float(row.get(name) or math.nan)
        if not math.isclose(logged, shown, abs_tol=1e-9):
            outcome.problems.append(f"{name} is {logged} in MLflow and {shown} in DVC")
    key, value = outcome.changed
    if parent.data.params.get(key) != str(value):
        outcome.problems.append(f"the parent's {key} is {parent.data.params.get(key)}, and not {value}")


def report(found: list[Outcome], problems: list[str]) -> None:
    """Print a row an experiment, then everything that was wrong."""
    columns = ("experiment", "DVC", "stages run", "from the cache", "runs in MLflow", "right")
    rows = [(o.name, o.state, len(o.ran), len(STAGES) - len(o.ran), len(o.children), not o.problems) for o in found]
    table("Experiments of the queue", columns, rows)
    for line in [*(f"{o.name}: {problem}" for o in found for problem in o.problems), *problems]:
        print(line)


def once(folder: Path, data: Path, arguments: argparse.Namespace) -> bool:
    """Queue, work off, check, report; tell whether everything held."""
    began = time.monotonic()
    project = prepared(folder, data)
    queued = queue(project, arguments.experiments)
    with workers(project, arguments.workers):
        wait(project, len(queued), arguments.workers, 60 * arguments.minutes)
    found = outcomes(project, queued)
    problems = check_runs(project, found)
    report(found, problems)
    print(f"{time.monotonic() - began:.0f} s", flush=True)
    return not problems and not any(outcome.problems for outcome in found)


def main() -> None:
    """As often as asked for, each time in a fresh copy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3, help="to do it all (default: 3)")
    parser.add_argument("--workers", type=int, default=4, help="that work at the same time (default: 4)")
    parser.add_argument("--experiments", type=int, default=10, help="in the queue (default: 10)")
    parser.add_argument("--minutes", type=float, default=40, help="to wait for the last (default: 40)")
    parser.add_argument("--keep", action="store_true", help="keep the copies of the project")
    arguments = parser.parse_args()
    held = []
    with terminable(), temporary_folder("four-workers", keep=arguments.keep) as folder:
        data = folder / "data"
        render_sample(data, identities=16, images_per_identity=4, test_identities=2, mask_pairs=12)
        for number in range(1, arguments.times + 1):
            (folder / f"copy {number}").mkdir()
            held.append(once(folder / f"copy {number}", data, arguments))
    print(f"{held.count(True)} of {len(held)} rounds without a mistake")
    sys.exit(not all(held))


if __name__ == "__main__":
    main()
