"""What the benchmarks share: sides that take turns, median and spread, memory, the machine, the report.

Every benchmark is a script, `python benchmarks/NAME.py`. It measures all its sides in one run, prints the tables and
writes them to docs/benchmarks/NAME.md.
"""

import argparse
import datetime
import importlib.metadata
import math
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bruna.files import whole_file

ROOT = Path(__file__).resolve().parent.parent
_WIDTH = 120
"""Columns of a table where stdout is not a terminal."""

Work = Callable[[], object]
Cell = str | int | float | None


def parser(doc: str | None, *, repeats: int, threads: int | None = None) -> argparse.ArgumentParser:
    """The options that every benchmark has.

    Args:
        doc: the script's docstring.
        repeats: default of `--repeats`.
        threads: default of `--threads`; None for a benchmark that leaves the threads to what it runs.
    """
    options = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--repeats", type=int, default=repeats, help=f"measurements of each side (default {repeats})")
    if threads is not None:
        options.add_argument("--threads", type=int, default=threads, help=f"CPU threads (default {threads})")
    options.add_argument("--docs", type=Path, default=ROOT / "docs" / "benchmarks", help="folder of the written report")
    return options


def seconds(work: Work, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds that one call takes."""
    start = clock()
    work()
    return clock() - start


def alternate(
    works: Mapping[str, Work], repeats: int, *, clock: Callable[[], float] = time.perf_counter, warm_up: bool = True
) -> dict[str, list[float]]:
    """Seconds of `repeats` calls of each work; the works take turns, so that whatever slows the machine slows all.

    Args:
        works: what to measure, by name.
        repeats: measured calls of each.
        clock: `time.process_time` counts processor time instead of wall time.
        warm_up: call each once beforehand, unmeasured.
    """
    if warm_up:
        for work in works.values():
            work()
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            times[name].append(seconds(work, clock))
    return times


def number(value: float) -> str:
    """Three significant digits, at most six decimals, and never a whole digit dropped: 0.0123, 1.23, 12,345."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:,.{min(max(0, 2 - math.floor(math.log10(abs(value)))), 6)}f}"


def spread(values: Iterable[float]) -> str:
    """The smallest and the largest value."""
    listed = list(values)
    return f"{number(min(listed))} to {number(max(listed))}"


def median_and_spread(values: Sequence[float]) -> list[Cell]:
    """Two cells of a table."""
    return [statistics.median(values), spread(values)]


class ExtraMemory:
    """Within `with`: the most resident memory beyond that at the start, `mib`, looked at every 2 ms."""

    def __enter__(self) -> "ExtraMemory":
        self._process, self._stop = psutil.Process(), threading.Event()
        self._start = self._most = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.002):
            self._most = max(self._most, self._process.memory_info().rss)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.mib = (self._most - self._start) / 2**20


def machine(threads: int) -> str:
    """Processor, cores used, versions and the date."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "numpy"))
    return (
        f"{names[0] if names else platform.processor()}, {threads} of {os.cpu_count()} cores used, "
        f"Python {platform.python_version()}, {versions}, {datetime.date.today()}"
    )


class Report:
    """Tables and lines, printed as they come and then written as one Markdown file.

    Args:
        title: heading of the page.
        about: one or two sentences on what is compared.
    """

    def __init__(self, title: str, about: str) -> None:
        self._blocks = [f"# {title}", about]
        self._lines: list[str] = []
        width = None if sys.stdout.isatty() else _WIDTH
        self._console = Console(file=sys.stdout, width=width, highlight=False)
        self._console.print(f"[bold]{title}[/bold]\n{about}")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Cell]], title: str = "") -> None:
        """Add a table; columns that hold numbers stand right."""
        listed = [list(row) for row in rows]
        right = [any(isinstance(row[i], int | float) for row in listed) for i in range(len(columns))]
        view = Table(title=Text(title, style="bold") if title else None, title_justify="left", box=box.SIMPLE_HEAD)
        for column, numeric in zip(columns, right, strict=True):
            view.add_column(column, justify="right" if numeric else "left", overflow="fold")
        shown = [[_text(cell) for cell in row] for row in listed]
        for cells in shown:
            view.add_row(*(Text(cell) for cell in cells))
        self._console.print(view)
        rule = ["---:" if numeric else "---" for numeric in right]
        self._end_lines()
        self._blocks += [f"## {title}"] if title else []
        self._blocks.append("\n".join("| " + " | ".join(row) + " |" for row in [columns, rule, *shown]))

    def line(self, text: str) -> None:
        """Add a line below the tables so far."""
        self._console.print(f"- {text}", markup=False)
        self._lines.append(f"- {text}")

    def write(self, path: Path, threads: int) -> None:
        """Add the machine and write everything to `path`, whole."""
        self._console.print(f"\n{machine(threads)}", markup=False)
        self._end_lines()
        made_by = f"`python benchmarks/{Path(sys.argv[0]).name}`"
        text = "\n\n".join([*self._blocks, f"Measured on: {machine(threads)}. Written by {made_by}."])
        with whole_file(path) as beside:
            beside.write_text(text + "\n", encoding="utf-8")
        self._console.print(f"written to {path}", markup=False)

    def _end_lines(self) -> None:
        self._blocks += ["\n".join(self._lines)] if self._lines else []
        self._lines = []


def _text(cell: Cell) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, int):
        return f"{cell:,}"
    return number(cell) if isinstance(cell, float) else cell


def call(folder: Path, *command: str) -> str:
    """Run a command in `folder` with this environment's programs first, as the Makefile does; return its output.

    Raises:
        SystemExit: it failed.
    """
    done = _called(folder, command)
    if done.returncode:
        sys.exit(f"error: {' '.join(command)} failed in {folder}:\n{done.stdout}{done.stderr}")
    return done.stdout


def succeeds(folder: Path, *command: str) -> bool:
    """Whether a command run as by `call` ends well."""
    return _called(folder, command).returncode == 0


def _called(folder: Path, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHONPATH", "DVC_", "BRUNA_"))}
    environment = {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@dataclass(frozen=True)
class StageRun:
    """What MLflow knows of a stage's run.

    Attributes:
        seconds: from the reading of params.yaml to the end; starting Python and importing come before it.
        peak_memory_mb: largest resident memory of the process.
        params: as logged, all text.
        machine: system and device it ran on.
        resumed: it was interrupted, so that `seconds` are those after the last interruption.
    """

    seconds: float
    peak_memory_mb: float
    params: dict[str, str]
    machine: str
    resumed: bool


def stage_names(project: Path) -> list[str]:
    """The stages of dvc.yaml, in its order."""
    import yaml  # noqa: PLC0415 - a GPU machine need not have it

    return list(yaml.safe_load((project / "dvc.yaml").read_text(encoding="utf-8"))["stages"])


def newest_execution(project: Path) -> dict[str, StageRun]:
    """The runs of the newest execution that went to the pipeline's end, stages in the order of dvc.yaml.

    A stage that DVC did not run again counts with the run that made its output. Empty where none went to the end.
    """
    store = (project / "mlflow.db").resolve()
    if not store.exists():
        return {}
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    from mlflow import MlflowClient  # noqa: PLC0415

    client = MlflowClient(tracking_uri=f"sqlite:///{store}")
    runs = client.search_runs(
        [experiment.experiment_id for experiment in client.search_experiments()],
        "attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"],
    )
    stages = stage_names(project)
    parents = [run for run in runs if all(f"bruna.stage.{stage}" in run.data.tags for stage in stages)]
    found: dict[str, StageRun] = {}
    for stage in stages if parents else ():
        data = client.get_run(parents[0].data.tags[f"bruna.stage.{stage}"]).data
        if "machine/seconds" in data.metrics:
            where = [data.tags[tag] for tag in ("machine.system", "machine.device") if tag in data.tags]
            found[stage] = StageRun(
                seconds=data.metrics["machine/seconds"],
                peak_memory_mb=data.metrics["machine/peak_memory_mb"],
                params=dict(data.params),
                machine=", ".join(where),
                resumed="bruna.resumed" in data.tags,
            )
    return found
