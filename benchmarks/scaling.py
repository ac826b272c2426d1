"""How the cost of the stages grows with the data: the sample at 1, 2 and 4 times its size, one epoch of each training.

    python benchmarks/scaling.py [--sizes 1,2,4] [--threads 1]

Every size gets its own copy of the working tree, in a temporary folder, and runs there from `dvc add` to the last
stage; the sizes take turns. A straight line through the medians gives what a stage costs whatever the size, and R^2
says how straight the growth is.
"""

import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from measure import ROOT, Cell, Report, newest_execution, parser, spread

sys.path.insert(0, str(ROOT / "tests"))

from bruna.progress import track
from bruna.sample import render_sample
from project_copy import Project

IDENTITIES, TEST_IDENTITIES, MASK_PAIRS = 66, 16, 250
"""The sample at size 1. It has 300 mask pairs; the renderer draws at most 1,000, which is 4 times 250."""
ONE_EPOCH = {name: {"epochs": 1} for name in ("train_unet", "train_attributes", "train_bruna")}


def render(folder: Path, size: float) -> int:
    """Draw the sample at `size` times its size; the number of its images."""
    return render_sample(
        folder,
        identities=round(IDENTITIES * size),
        test_identities=round(TEST_IDENTITIES * size),
        mask_pairs=round(MASK_PAIRS * size),
        progress=track,
    ).images


def run_once(data: Path, threads: int) -> dict[str, float]:
    """Seconds of each stage on a data set, in a fresh copy of the project."""
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder), {**ONE_EPOCH, "runtime": {"device": "cpu", "threads": threads}})
        shutil.copytree(data, project.folder / "data")
        project.run("dvc", "add", "--quiet", "data")
        project.run("dvc", "repro")
        return {stage: run.seconds for stage, run in newest_execution(project.folder).items()}


def straight_line(sizes: Sequence[float], values: Sequence[float]) -> tuple[float, float, float]:
    """Intercept, slope and R^2 of the least squares line."""
    x, y = np.array(sizes), np.array(values)
    slope, intercept = np.polyfit(x, y, 1)
    total = float(((y - y.mean()) ** 2).sum())
    off = float(((y - intercept - slope * x) ** 2).sum())
    return float(intercept), float(slope), 1 - off / total if total else 1.0


def tabulate(report: Report, sizes: Sequence[float], runs: Sequence[Sequence[dict[str, float]]]) -> None:
    """Add the table: a row a stage and one for all of them.

    Args:
        runs: for each size the seconds of the stages in every repeat.
    """
    stages = list(runs[0][0])
    rows: list[list[Cell]] = []
    for stage in [*stages, "all"]:
        chosen = stages if stage == "all" else [stage]
        each = [[sum(run[name] for name in chosen) for run in repeats] for repeats in runs]
        medians = [statistics.median(values) for values in each]
        intercept, slope, r_squared = straight_line(sizes, medians)
        widest = max(each, key=lambda values: (max(values) - min(values)) / statistics.median(values))
        ratio = medians[-1] / medians[0]
        rows.append([stage, *medians, spread(widest), ratio, intercept, slope, f"{r_squared:.4f}"])
    columns = [f"{size:g}x (s)" for size in sizes]
    last = f"{sizes[-1]:g}x / {sizes[0]:g}x"
    report.table(["stage", *columns, "widest spread", last, "fixed (s)", "per size (s)", "R²"], rows)


def main() -> None:
    """Measure and report."""
    options = parser(__doc__, repeats=3, threads=1)
    options.add_argument("--sizes", default="1,2,4", help="multiples of the sample (default 1,2,4)")
    args = options.parse_args()
    sizes = [float(size) for size in args.sizes.split(",")]
    if len(sizes) < 2:
        sys.exit("error: growth needs at least two --sizes")
    runs: list[list[dict[str, float]]] = [[] for _ in sizes]
    with tempfile.TemporaryDirectory() as folder:
        data = [Path(folder) / f"{size:g}" for size in sizes]
        images = [render(path, size) for path, size in zip(data, sizes, strict=True)]
        for _ in track(range(args.repeats), "scaling", unit="repeats"):
            for path, measured in zip(data, runs, strict=True):
                measured.append(run_once(path, args.threads))
    report = Report(
        "Cost against size",
        f"The seven stages on the sample at {', '.join(f'{size:g}' for size in sizes)} times its size "
        f"({', '.join(f'{count:,}' for count in images)} images), one epoch of each training. Medians of "
        f"{args.repeats} runs of each size in turn, each in a fresh copy of the project.",
    )
    tabulate(report, sizes, runs)
    report.line(
        "`fixed` is where the least squares line meets size 0, `per size` its slope: fixed is what does not depend on "
        "the data (setting up MLflow's store, torch, figures), and 144 test images that the sample has at every size."
    )
    report.line("Seconds begin when a stage's imports are done; starting Python comes before them.")
    report.write(args.docs / "scaling.md", args.threads)


if __name__ == "__main__":
    main()
