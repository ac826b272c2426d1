"""Several queue workers at once, in a project that has no MLflow store yet: every run is where it belongs.

    python tests/soak/four_workers.py [--workers 4] [--experiments 10] [--minutes 40] [--keep]

In a temporary copy of the project, on a tiny rendered data set, nothing has run. Short experiments are queued (they
differ in the seed of Bruna, of Task 1 or of the split, so that some find stages in DVC's cache and some do not) and
worked off by `dvc queue start`. Then this must hold:

* DVC calls every experiment a success;
* MLflow has one parent run for each experiment, FINISHED, with the tag of every stage, and a figure of each but
  `report`, which measures nothing;
* below it is one run, FINISHED, for each stage that DVC says it ran, and none for those that came from the cache;
* there are no other runs, none in another MLflow experiment, none RUNNING.

Expect a minute an experiment on two cores. Exit status: 0 if everything held, 1 if anything did not; what, is
printed. The workers are stopped in any case.
"""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil

from bruna.headlines import HEADLINES
from bruna.progress import table
from bruna.sample import render_sample
from bruna.tracking.execution import terminable
from bruna.tracking.mlflow_run import EXPERIMENT
from project_copy import STAGES, TINY, Project, temporary_folder

VARIED = ("train_bruna.seed", "train_attributes.seed", "split.seed")
"""Each has fewer stages in common with the other experiments than the one before."""
DONE = {"Success", "Failed"}
POLL = 5.0
"""Seconds between two looks at the queue, which cost processor time too."""


@dataclass
class Outcome:
    """What became of an experiment."""

    name: str
    state: str
    ran: list[str]
    children: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def prepared(folder: Path) -> Project:
    """A committed copy of the project with data, in which nothing has run."""
    short = {name: {**TINY[name], "epochs": 1} for name in ("train_unet", "train_attributes", "train_bruna")}
    short["train_attributes"]["network"] = "mobilenet_v3_small"
    project = Project(folder, {**TINY, **short})
    render_sample(folder / "data", identities=16, images_per_identity=4, test_identities=3, mask_pairs=12)
    project.run("dvc", "add", "--quiet", "data")
    project.commit()
    return project


def queue(project: Project, count: int) -> list[str]:
    """Queue so many experiments, all different; return their names."""
    names = []
    for i in range(count):
        key = VARIED[i % len(VARIED)]
        names.append(f"{key.split('.')[0].replace('_', '-')}-{i + 1}")
        project.run("dvc", "exp", "run", "--queue", "--name", names[-1], "-S", f"{key}={i + 1}")
    return names


@contextmanager
def workers(project: Project, count: int) -> Iterator[None]:
    """Start the queue's workers; whatever happens, none is left when the block ends."""
    try:
        command = ["dvc", "queue", "start", "--jobs", str(count)]
        nowhere = subprocess.DEVNULL  # the workers inherit it: reading a pipe would wait until they end
        subprocess.run(
            command, cwd=project.folder, env=project.environment(), stdout=nowhere, stderr=nowhere, check=True
        )
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


def wait(project: Project, names: list[str], seconds: float) -> None:
    """Wait until all experiments have ended, or for so long."""
    deadline = time.monotonic() + seconds
    told = ""
    while time.monotonic() < deadline:
        found = list(states(project).values())
        text = ", ".join(f"{found.count(state)} {state}" for state in sorted(set(found)))
        if text != told:
            print(text, flush=True)
        if len(found) == len(names) and set(found) <= DONE:
            return
        told = text
        time.sleep(POLL)
    print(f"not done after {seconds / 60:.0f} minutes", flush=True)


def outcomes(project: Project, names: list[str]) -> list[Outcome]:
    """What DVC says of each experiment: how it ended, and which stages it ran."""
    ended = states(project)
    found = []
    for name in names:
        state = ended.get(name, "missing")
        log = project.run("dvc", "queue", "logs", name) if state in DONE else ""
        outcome = Outcome(name, state, re.findall(r"Running stage '(\w+)'", log))
        if outcome.state != "Success":
            outcome.problems.append(f"DVC calls it {outcome.state}:\n{log[-3000:]}")
        found.append(outcome)
    return found


def check_runs(project: Project, found: list[Outcome]) -> list[str]:
    """Check the MLflow runs of each experiment, noting its problems with it; return those of no experiment."""
    client = project.client()
    families = list(project.parents().values())
    for outcome in found:
        own = [family for family in families if family[0].info.run_name == outcome.name]
        if len(own) == 1:
            _check_family(outcome, *own[0])
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
    return problems


def _check_family(outcome: Outcome, parent: Any, *children: Any) -> None:
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
    if missing := set(HEADLINES) - set(parent.data.metrics):
        outcome.problems.append(f"the parent lacks {', '.join(sorted(missing))}")


def report(found: list[Outcome], problems: list[str]) -> None:
    """Print a row an experiment, then everything that was wrong."""
    columns = ("experiment", "DVC", "stages run", "from the cache", "runs in MLflow", "right")
    rows = [(o.name, o.state, len(o.ran), len(STAGES) - len(o.ran), len(o.children), not o.problems) for o in found]
    table("Experiments of the queue", columns, rows)
    for line in [*(f"{o.name}: {problem}" for o in found for problem in o.problems), *problems]:
        print(line)


def main() -> None:
    """Queue, work off, check, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=4, help="that work at the same time (default: 4)")
    parser.add_argument("--experiments", type=int, default=10, help="in the queue (default: 10)")
    parser.add_argument("--minutes", type=float, default=40, help="to wait for the last (default: 40)")
    parser.add_argument("--keep", action="store_true", help="keep the copy of the project")
    arguments = parser.parse_args()
    with terminable(), temporary_folder("four-workers", keep=arguments.keep) as folder:
        project = prepared(folder)
        names = queue(project, arguments.experiments)
        with workers(project, arguments.workers):
            wait(project, names, 60 * arguments.minutes)
        found = outcomes(project, names)
        problems = check_runs(project, found)
        report(found, problems)
    sys.exit(bool(problems or any(outcome.problems for outcome in found)))


if __name__ == "__main__":
    main()
