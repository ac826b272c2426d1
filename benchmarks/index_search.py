"""How long a search takes: 13,000 and 100,000 rows of synthetic features, by photo, by description and by both.

    python benchmarks/index_search.py

Rows are random: what a search costs does not depend on what they show.
"""

import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from measure import Report, alternate, median_and_spread, parser

from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.schema import Tasks, logit_count
from bruna.index.header import Header
from bruna.index.opened import open_rows
from bruna.index.rows import probabilities_of
from bruna.index.search import Query, Wish, search
from bruna.index.store import append, bytes_of
from bruna.inference.settings import Settings
from bruna.retrieval.gallery import Gallery

FEATURES = 1600
DESCRIPTION = "upcolor = red and backpack = yes and gender = female and camera != 3"
_THUMBNAIL = 2500
"""Bytes of a JPEG of 64 x 128."""


def rows(start: int, count: int, features: int, schema: Tasks, rng: np.random.Generator) -> Any:
    """An Arrow table of `count` rows of an index, keys numbered from `start`."""

    def matrix(values: np.ndarray) -> Any:
        return pa.FixedSizeListArray.from_arrays(pa.array(values.astype(np.float32).ravel()), values.shape[1])

    columns: dict[str, Any] = {
        "key": [f"photos/{start + i:08d}.jpg" for i in range(count)],
        "digest": [rng.bytes(32).hex() for _ in range(count)],
        "identity": pa.nulls(count, pa.string()),
        "camera": [str(camera) for camera in rng.integers(1, 7, count)],
        "time": pa.nulls(count, pa.string()),
        "junk": pa.array(rng.random(count).astype(np.float32) / 2.1),
        "features": matrix(rng.standard_normal((count, features), dtype=np.float32)),
        "attribute_features": matrix(rng.random((count, logit_count(schema)))),
        "thumbnail": [rng.bytes(_THUMBNAIL) for _ in range(count)],
    }
    for task in schema:
        found = rng.dirichlet(np.ones(len(task.values)), count)
        columns[task.name] = np.array(task.values, dtype=object)[found.argmax(axis=1)].tolist()
        columns[probabilities_of(task.name)] = matrix(found)
    return pa.table(columns)


class Halving:
    """A stand-in for a calibration: the probability falls with the distance."""

    def probability(self, distances: np.ndarray) -> np.ndarray:
        """N probabilities."""
        return np.exp2(-distances / 1000)

    def threshold(self, max_fmr: float) -> float | None:
        """None."""
        return None


def measured(count: int, repeats: int) -> list[list[str | int | float | None]]:
    """Write an index of so many rows, read it, search it."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Header("0" * 64, FEATURES, ATTRIBUTES, Settings(attribute_offset=0.1)).write(folder)
        for start in range(0, count, 2048):
            append(folder, rows(start, min(2048, count - start), FEATURES, ATTRIBUTES, rng))
        size = bytes_of(folder)
        start_time = time.perf_counter()
        index = open_rows(folder)
        loading = time.perf_counter() - start_time
    queries = [
        Query(
            "photo",
            Gallery.unlabelled(torch.randn(1, FEATURES), torch.rand(1, logit_count(ATTRIBUTES))),
            {task.name: 0 for task in ATTRIBUTES},
        )
    ]
    where = index.condition(DESCRIPTION)
    works = {
        "photo": lambda: search(index, queries, Wish()),
        "description": lambda: search(index, [], Wish(where=where)),
        "both": lambda: search(index, queries, Wish(where=where, calibration=Halving())),
        "photo, filtered": lambda: search(index, queries, Wish(where=where, strict=True)),
    }
    times = alternate(works, repeats)
    work = alternate(works, repeats, clock=time.process_time)
    return [
        [count, size / 1e6, loading, name, *median_and_spread(of), median(work[name])] for name, of in times.items()
    ]


def main() -> None:
    """Measure and report."""
    options = parser(__doc__, repeats=7, threads=2)
    options.add_argument("--rows", default="13000,100000", help="rows of each index (default 13000,100000)")
    args = options.parse_args()
    torch.set_num_threads(args.threads)
    report = Report(
        "Searching an index",
        f"Indexes of random rows: {FEATURES:,} features, the {len(ATTRIBUTES)} attributes of the course. Loading reads "
        f"all but the pictures, once; a search is the median of {args.repeats}, for one query, top 20.",
    )
    columns = ["rows", "MB on disk", "loading (s)", "query", "search (s)", "spread", "processor (s)"]
    report.table(columns, [row for count in args.rows.split(",") for row in measured(int(count), args.repeats)])
    report.line(f"The description: `{DESCRIPTION}`.")
    report.line(
        "The machine was shared with other work while this was measured: its two cores had work for "
        f"{os.getloadavg()[0]:.0f}. `processor` is the time of all its threads, without what they wait."
    )
    report.write(args.docs / "index_search.md", args.threads)


if __name__ == "__main__":
    main()
