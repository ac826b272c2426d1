"""How an index lies on disk: parquet as `src/bruna/index/store.py` writes it, against Lance.

    python benchmarks/index_format.py

Lance is no dependency of the project. Without it (`pip install --target FOLDER pylance`, then `PYTHONPATH=FOLDER`)
parquet is measured alone.
"""

import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
from index_search import FEATURES, rows
from measure import Cell, Report, parser, seconds, spread

from bruna.dataset.course import ATTRIBUTES
from bruna.files import files_below
from bruna.index.store import PART_ROWS, append, bytes_of, erase, parts_of, read_part

Table = Any


class Parquet:
    """Parts of 2,048 rows, rewritten as a whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, table: Table) -> None:
        """Append rows."""
        append(self.folder, table)

    def one(self, key: str) -> Table:
        """The row of a key: found in the column of keys, then the whole row read."""
        for part in parts_of(self.folder):
            keys = read_part(part, ["key"])["key"].to_pylist()
            if key in keys:
                return read_part(part).slice(keys.index(key), 1)
        raise KeyError(key)

    def features(self) -> Table:
        """All features."""
        return [read_part(part, ["key", "features"]) for part in parts_of(self.folder)]

    def remove(self, key: str) -> None:
        """Erase a row."""
        keys = [read_part(part, ["key"])["key"].to_numpy() for part in parts_of(self.folder)]
        erase(self.folder, [each == key for each in keys])


class Lance:
    """A dataset of Lance, compacted and cleaned after a removal."""

    def __init__(self, folder: Path) -> None:
        import lance  # noqa: PLC0415

        self.folder, self.lance = folder / "people.lance", lance

    def add(self, table: Table) -> None:
        """Append rows."""
        self.lance.write_dataset(table, self.folder, mode="append" if self.folder.exists() else "create")

    def one(self, key: str) -> Table:
        """The row of a key."""
        return self.lance.dataset(self.folder).to_table(filter=f"key = '{key}'")

    def features(self) -> Table:
        """All features."""
        return self.lance.dataset(self.folder).to_table(columns=["key", "features"])

    def remove(self, key: str, *, clean: bool = True) -> None:
        """Erase a row: mark it, write its fragment again, drop the old versions."""
        dataset = self.lance.dataset(self.folder)
        dataset.delete(f"key = '{key}'")
        if clean:
            dataset.optimize.compact_files(materialize_deletions_threshold=0.0)
            dataset.cleanup_old_versions(older_than=timedelta(0), delete_unverified=True)


def held(folder: Path, trace: bytes) -> bool:
    """Whether some bytes are in any file."""
    return any(trace in path.read_bytes() for path in files_below(folder))


def measured(make: Callable[[Path], Any], count: int, repeats: int, report: Report, name: str) -> list[list[Cell]]:
    """All operations of a format."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        store = make(Path(folder))
        tables = [rows(start, min(PART_ROWS, count - start), FEATURES, ATTRIBUTES, rng)
                  for start in range(0, count, PART_ROWS)]  # fmt: skip
        written = [sum(seconds(lambda table=table: store.add(table)) for table in tables)]
        size = bytes_of(Path(folder)) / 1e6
        keys = [f"photos/{at:08d}.jpg" for at in rng.integers(0, count, repeats)]
        read = [seconds(lambda key=key: store.one(key)) for key in keys]
        loaded = [seconds(store.features) for _ in range(repeats)]
        more = [rows(count + 1000 * i, 1000, FEATURES, ATTRIBUTES, rng) for i in range(repeats)]
        added = [seconds(lambda table=table: store.add(table)) for table in more]
        victims = [f"photos/{at:08d}.jpg" for at in rng.choice(count, repeats, replace=False)]
        traces = [store.one(key)["thumbnail"][0].as_py() for key in victims]
        assert all(held(Path(folder), trace) for trace in traces)
        gone = [seconds(lambda key=key: store.remove(key)) for key in victims]
        left = sum(held(Path(folder), trace) for trace in traces)
        if isinstance(store, Lance):
            key = next(key for key in (f"photos/{at:08d}.jpg" for at in range(count)) if key not in victims)
            trace = store.one(key)["thumbnail"][0].as_py()
            store.remove(key, clean=False)
            report.line(
                "Lance's delete alone "
                + ("leaves the picture in the files" if held(Path(folder), trace) else "leaves no picture")
                + ": the measured erasing compacts and drops old versions too."
            )
    times = {"write all": written, "one row by its key": read, "load all features": loaded, "append 1,000 rows": added,
             "erase one row": gone}  # fmt: skip
    lines: list[list[Cell]] = [[name, what, median(of), spread(of)] for what, of in times.items()]
    return [*lines, [name, "size on disk (MB)", size, ""], [name, f"erased pictures left, of {repeats}", left, ""]]


def main() -> None:
    """Measure and report."""
    options = parser(__doc__, repeats=5, threads=2)
    options.add_argument("--rows", type=int, default=20_000, help="rows (default 20,000)")
    args = options.parse_args()
    pa.set_cpu_count(args.threads)
    report = Report(
        "How an index lies on disk",
        f"{args.rows:,} random rows of {FEATURES:,} features, the {len(ATTRIBUTES)} attributes of the course and a "
        f"picture of 2,500 bytes. Seconds, medians of {args.repeats}; every file was in the system's memory.",
    )
    sides: dict[str, Callable[[Path], Any]] = {"parquet": Parquet}
    try:
        import lance  # noqa: PLC0415

        sides[f"Lance {lance.__version__}"] = Lance
    except ImportError:
        print("Lance is not installed: parquet alone is measured.", file=sys.stderr)
    lines = [line for name, make in sides.items() for line in measured(make, args.rows, args.repeats, report, name)]
    report.table(["format", "what", "value", "spread"], lines)
    report.line(
        "The index is parquet. Lance reads and appends faster; but a search reads all features once, and an append "
        "waits for the networks. Erasing is slower with Lance, and has to leave no byte: of parquet files that are "
        "written again this can be seen. And parquet needs nothing that the project has not."
    )
    report.line("The machine was shared with other work while this was measured.")
    report.write(args.docs / "index_format.md", args.threads)


if __name__ == "__main__":
    main()
