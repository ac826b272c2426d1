"""What the pipeline costs beside the work itself: DVC with nothing to do, starting a stage; and each stage's own cost.

    python benchmarks/pipeline.py [--project FOLDER] [--name course]

1. `dvc repro` of a finished project against `dvc repro` of a pipeline of one trivial stage that has run.
2. Starting each stage script (`--help`, which imports all that the stage imports) against starting Python alone.
3. Seconds, images a second and peak memory of each stage in the project's newest finished execution, from MLflow.

What needs a finished project is left out, with a line that says so, where `dvc status` is not clean or nothing has run.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import yaml
from measure import (
    ROOT,
    Cell,
    Report,
    StageRun,
    alternate,
    call,
    median_and_spread,
    newest_execution,
    parser,
    stage_names,
    succeeds,
)

AGAINST_EMPTY = 2.0
"""How many times the trivial pipeline's seconds this project may take to find that there is nothing to do."""
HEAVY = ("torch", "torchvision", "pandas", "pyarrow", "sklearn", "matplotlib", "mlflow", "great_expectations", "dvc")
TUPLE, ANCHORS = 12, 4
"""Images of a tuple of Task 2, and those of its own person."""
_TRIVIAL = {"stages": {"copy": {"cmd": "cp from.txt to.txt", "deps": ["from.txt"], "outs": ["to.txt"]}}}
_LIST_IMPORTS = """
import contextlib, io, json, runpy, sys
from pathlib import Path
script, *names = sys.argv[1:]
sys.argv[:] = [script, "--help"]
sys.path.insert(0, str(Path(script).parent))
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    runpy.run_path(script, run_name="__main__")
print(json.dumps([name for name in names if name in sys.modules]))
"""


def nothing_to_do(report: Report, project: Path, repeats: int) -> None:
    """Compare `dvc repro` where all is up to date, here and in a trivial pipeline."""
    if not (succeeds(project, "dvc", "status", "--quiet") and (project / "dvc.lock").exists()):
        report.line(f"`dvc repro` with nothing to do was not measured: `dvc status` is not clean in {project.name}.")
        return
    with tempfile.TemporaryDirectory() as folder:
        trivial = Path(folder)
        make_trivial(trivial)
        sides = {
            "a pipeline of one trivial stage": partial(call, trivial, "dvc", "repro"),
            f"this project, {len(stage_names(project))} stages": partial(call, project, "dvc", "repro"),
        }
        times = alternate(sides, repeats)
    medians = [statistics.median(values) for values in times.values()]
    rows: list[list[Cell]] = [
        [name, *median_and_spread(values), median / medians[0]]
        for (name, values), median in zip(times.items(), medians, strict=True)
    ]
    report.table(["`dvc repro` with nothing to do", "seconds (median)", "spread", "times"], rows, "Nothing to do")
    ratio = medians[1] / medians[0]
    report.line(f"Goal: at most {AGAINST_EMPTY:g} times; {'met' if ratio <= AGAINST_EMPTY else 'not met'}.")


def make_trivial(folder: Path) -> None:
    """A DVC project of one stage that has run, set up as this one is."""
    call(folder, "git", "init", "--quiet")
    call(folder, "dvc", "init", "--quiet")
    for setting in ("core.analytics", "core.check_update"):
        call(folder, "dvc", "config", setting, "false")
    (folder / "from.txt").write_text("text\n")
    (folder / "dvc.yaml").write_text(yaml.safe_dump(_TRIVIAL))
    call(folder, "dvc", "repro")


def start_up(report: Report, repeats: int) -> None:
    """Compare the start of every stage with that of Python and of torch."""
    scripts = {name: f"stages/{name}.py" for name in stage_names(ROOT)}
    sides = {
        "Python alone": partial(call, ROOT, "python", "-c", "pass"),
        "Python and `import torch`": partial(call, ROOT, "python", "-c", "import torch"),
        **{name: partial(call, ROOT, "python", script, "--help") for name, script in scripts.items()},
    }
    times = alternate(sides, repeats)
    rows: list[list[Cell]] = []
    for name, values in times.items():
        found: list[str] = []
        if name in scripts:
            found = json.loads(call(ROOT, "python", "-c", _LIST_IMPORTS, scripts[name], *HEAVY))
        rows.append([name, *median_and_spread(values), ", ".join(found) or "–"])
    report.table(["", "seconds (median)", "spread", "heavy packages that are imported"], rows, "Starting a stage")
    report.line("MLflow is imported when a run begins, not with `--help`, and so is whatever else a stage puts off.")


def rows_of(path: Path) -> int:
    """Number of rows of a parquet file, from its last bytes."""
    return int(pq.ParquetFile(path).metadata.num_rows)


def images_handled(project: Path) -> Mapping[str, Callable[[StageRun], int]]:
    """For each stage how many images its run went through, an image counting once an epoch or a tuple."""
    split = project / "artifacts" / "split"

    def epochs(run: StageRun) -> int:
        return int(run.params["epochs"])

    def column(path: Path, name: str) -> list[object]:
        return list(pq.read_table(path, columns=[name])[name].to_pylist())

    def accepted(_: StageRun) -> int:
        return rows_of(project / "artifacts" / "validate" / "manifest.parquet")

    def tables(*names: str) -> int:
        return sum(rows_of(split / name) for name in names) + sum(map(rows_of, (split / "test").glob("*.parquet")))

    def drawn(run: StageRun) -> int:
        identities = len(set(column(split / "train.parquet", "identity")))
        images = TUPLE if run.params["negatives"] == "own" else ANCHORS
        return identities * int(run.params["tuples_per_identity"]) * images

    return {
        "validate": accepted,
        "split": accepted,
        "train_unet": lambda run: epochs(run) * column(split / "masks.parquet", "part").count("train"),
        "segment": lambda _: tables("train.parquet", "validation.parquet"),
        "train_attributes": lambda run: epochs(run) * rows_of(split / "train.parquet"),
        "train_bruna": lambda run: epochs(run) * drawn(run),
        "evaluate": lambda _: tables("validation.parquet"),
    }


def stage_costs(report: Report, project: Path) -> None:
    """Add what MLflow knows of the newest finished execution."""
    runs = newest_execution(project)
    if not runs or not (project / "artifacts" / "split" / "train.parquet").exists():
        report.line(f"Nothing is said of the stages' own cost: no execution has finished in {project.name}.")
        return
    handled = images_handled(project)
    rows: list[list[Cell]] = []
    for stage, run in runs.items():
        images = handled[stage](run) if stage in handled else None
        rate = None if images is None else images / run.seconds
        rows.append([stage, run.seconds, images, rate, round(run.peak_memory_mb)])
    rows.append(["all", sum(run.seconds for run in runs.values()), None, None,
                 round(max(run.peak_memory_mb for run in runs.values()))])  # fmt: skip
    report.table(["stage", "seconds", "images", "images/s", "peak memory (MiB)"], rows, "The stages")
    train, accepted = (
        rows_of(project / "artifacts" / path) for path in ("split/train.parquet", "validate/manifest.parquet")
    )
    report.line(
        f"From the newest execution that went to the end: {accepted:,} images, {train:,} of them to train on. In the "
        "trainings an image counts once an epoch, and in `train_bruna` as often as it is drawn. Seconds begin when a "
        "stage's imports are done."
    )
    report.line(f"Its longest stage ran on: {max(runs.values(), key=lambda run: run.seconds).machine}")
    for stage in (stage for stage, run in runs.items() if run.resumed):
        report.line(f"`{stage}` was interrupted: its seconds are those after the last interruption.")


def main() -> None:
    """Measure and report."""
    options = parser(__doc__, repeats=5)
    options.add_argument("--project", type=Path, default=Path(), help="folder of a finished project (default: this)")
    options.add_argument("--name", help="write pipeline_NAME.md, for another data set")
    args = options.parse_args()
    project = args.project.resolve()
    if not (project / "dvc.yaml").exists():
        sys.exit(f"error: {project} holds no dvc.yaml")
    report = Report(
        f"The pipeline{f' ({args.name})' if args.name else ''}",
        "What DVC costs with nothing to do, beside a pipeline of one trivial stage; what starting a stage costs, "
        f"beside Python alone; and what the stages themselves cost. {args.repeats} measurements of each side in turn; "
        "the stages' own figures are of one execution.",
    )
    nothing_to_do(report, project, args.repeats)
    start_up(report, args.repeats)
    stage_costs(report, project)
    report.write(args.docs / f"pipeline{f'_{args.name}' if args.name else ''}.md", 1)


if __name__ == "__main__":
    main()
