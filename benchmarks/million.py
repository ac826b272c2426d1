"""Searching indexes of 10,000 to 1,000,000 images: exactly, by FAISS (`--approximate`) and by LanceDB.

    python benchmarks/million.py --like people.index --work /somewhere/large

Embeddings are drawn in clusters as spread as those of the indexes of `--like`, some of whose images need an identity
(`bruna index artifacts/split/validation.parquet` has one for all). What is in `--work` already is not written again.
LanceDB is measured if it is installed; bruna does not need it.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from drawn_index import PER_IDENTITY, Spread
from measure import Report, alternate, parser, seconds

from bruna.dataset.identities import UNLABELLED
from bruna.index.approximate import Approximate, cover
from bruna.index.opened import Opened, open_rows
from bruna.index.search import Query, Wish, search
from bruna.index.store import bytes_of, writing
from bruna.index.streamed import Streamed
from bruna.retrieval.distances import ProductDistance
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.protocols import MARKET1501
from bruna.retrieval.ranking import evaluate_protocols

TOP = 50
ASKED = 20
"""Queries that recall is measured on."""
SMALL_ROWS = 100_000
"""Largest index that LanceDB, and a condition, are measured on."""
_CONDITION = "camera = 3"


def alone(work: Path, spread: Path, count: int, kind: str) -> dict[str, float]:
    """Seconds and peak memory of one search in a process of its own."""
    command = [sys.executable, __file__, "--alone", kind, "--work", str(work), "--rows", str(count), "--like", spread]
    done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure_alone(folder: Path, kind: str) -> None:
    """What `alone` starts: open an index and search it once, for an image of its own."""
    start = time.perf_counter()
    index = Approximate(folder) if kind == "approximate" else Streamed(folder)
    opened = time.perf_counter() - start
    _, block = next(iter(index.blocks(["features"])))
    query = Query("own", block.gallery.select(torch.tensor([7])), {task.name: 0 for task in index.header.schema})
    before = time.process_time()
    searched = seconds(lambda: search(index, [query], Wish(top=TOP, without=index.junk)))
    status = Path("/proc/self/status").read_text()  # resource.getrusage would count the parent before the fork
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 2**20
    print(json.dumps({"open": opened, "search": searched, "cpu": time.process_time() - before, "gib": peak}))


def recall(found: pd.DataFrame, exact: pd.DataFrame, queries: Sequence[Query]) -> float:
    """The mean share of the exact answer that was found."""
    keys = [[set(table.loc[table["query"] == query.name, "key"]) for query in queries] for table in (found, exact)]
    return float(np.mean([len(mine & true) / len(true) for mine, true in zip(*keys, strict=True)]))


class Lance:
    """LanceDB over the same vectors: IVF with product quantisation, refined by its own copy of the vectors."""

    def __init__(self, place: Path, index: Approximate) -> None:
        import lancedb  # noqa: PLC0415
        import pyarrow as pa  # noqa: PLC0415

        self.index, self.weight = index, index._shards.weight
        width = index.header.features + sum(task.width for task in index.header.schema)
        kind = pa.schema([("row", pa.int64()), ("vector", pa.list_(pa.float32(), width))])

        def batches() -> Any:
            for rows, block in index.blocks(["features"]):
                flat = pa.array(self.vectors(block.gallery).ravel())
                yield pa.record_batch([pa.array(rows), pa.FixedSizeListArray.from_arrays(flat, width)], schema=kind)

        start = time.perf_counter()
        table = lancedb.connect(place).create_table(
            "people", pa.RecordBatchReader.from_batches(kind, batches()), mode="overwrite"
        )
        table.create_index(
            metric="l2",
            vector_column_name="vector",
            num_partitions=256,
            num_sub_vectors=width // 8,
            sample_rate=64,
            max_iterations=10,
        )
        self.seconds, self.table = time.perf_counter() - start, table
        self.bytes = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())

    def vectors(self, gallery: Gallery) -> np.ndarray:
        """Features, and attribute features times the weight."""
        return torch.cat([gallery.features, gallery.attributes * self.weight], dim=1).numpy()

    def search(self, query: Query, probes: int, count: int = 200) -> set[str]:
        """The keys of the nearest by the product distance among `count` candidates."""
        vector = self.vectors(query.embedding)[0]
        asked = self.table.search(vector).distance_type("l2").nprobes(probes).refine_factor(10).limit(count)
        found = asked.select(["row", "vector"]).to_arrow()
        near = np.stack(found["vector"].to_numpy())
        width = self.index.header.features
        gallery = Gallery.unlabelled(
            torch.from_numpy(np.ascontiguousarray(near[:, :width])), torch.from_numpy(near[:, width:] / self.weight)
        )
        distance = ProductDistance(self.index.header.settings.attribute_offset).between(query.embedding, gallery)
        best = found["row"].to_numpy()[distance(0, 1)[0].numpy().argsort(kind="stable")[:TOP]]
        return set(self.index.take(best, ["key"]).keys)


def prepared(spread: Spread, folder: Path, count: int) -> tuple[float | None, float | None]:
    """Write an index and its shards unless they are there; how many seconds each took."""
    writes = None if folder.exists() else seconds(lambda: spread.write(folder, count))
    start = time.perf_counter()
    with writing(folder):
        taken, _ = cover(folder)
    return writes, time.perf_counter() - start if taken else None


def shorter(index: Opened, others: Opened) -> list[list[str | int | float | None]]:
    """Rows of a table: mAP and bytes of embeddings kept shorter, by the ranking of the stage `evaluate`.

    Args:
        index: what is ranked, every image a query.
        others: where the axes of the PCA come from; other people, or the axes know too much.
    """
    texts = [name if name is not None else str(UNLABELLED) for name in index.texts("identity")]
    cameras = [name if name is not None else "0" for name in index.texts("camera")]
    labels = torch.tensor([int(text) for text in texts]), torch.tensor([int(camera) for camera in cameras])
    features, attributes = index.gallery.features, index.gallery.attributes
    assert attributes is not None
    mean = others.gallery.features.mean(dim=0)
    some = others.gallery.features[:: len(others) // 5000 + 1] - mean
    axes = torch.linalg.svd(some, full_matrices=False).Vh
    kept = {
        "float32": (features, 4),
        "float16": (features.half().float(), 2),
        **{f"PCA to {k}, float32": ((features - mean) @ axes[:k].T, 4) for k in (512, 256, 128)},
        "PCA to 256, float16": (((features - mean) @ axes[:256].T).half().float(), 2),
    }
    itself, distance = torch.arange(len(features)), ProductDistance(index.header.settings.attribute_offset)
    rows: list[list[str | int | float | None]] = []
    for name, (of, size) in kept.items():
        gallery = Gallery(of, attributes, *labels)
        found = evaluate_protocols(gallery, gallery, distance, self_index=itself)[MARKET1501.name].summary()
        rows.append([name, of.shape[1] * size, found["map"], found["rank1"]])
    return rows


def sized(spread: Spread, work: Path, count: int, repeats: int, like: str) -> dict[str, list[Any]]:
    """Everything that is measured on one size, as rows of the tables."""
    folder = work / f"{count}.index"
    writes, covers = prepared(spread, folder, count)
    shards = sum(path.stat().st_size for path in folder.glob("approximate*"))
    exact, near = Streamed(folder), Approximate(folder)
    queries = spread.queries(ASKED, count // PER_IDENTITY)
    wish = Wish(top=TOP, without=exact.junk)
    true = search(exact, queries, wish)
    memory = {kind: alone(work, Path(like), count, kind) for kind in ("exact", "approximate")}
    works = {"approximate": lambda: search(near, queries[:1], wish)}
    often = alternate(works, repeats)["approximate"]
    work_often = alternate(works, repeats, clock=time.process_time)["approximate"]
    of_condition = None
    if count <= SMALL_ROWS:
        filtered = Wish(top=TOP, without=exact.junk, where=exact.condition(_CONDITION), strict=True)
        of_condition = recall(search(near, queries, filtered), search(exact, queries, filtered), queries)
    found = recall(search(near, queries, wish), true, queries)
    once, first = memory["exact"], memory["approximate"]
    rows: dict[str, list[Any]] = {"build": []}
    rows["search"] = [
        [count, "exact", once["open"], once["search"], once["cpu"], once["gib"], 1.0, None],
        [count, "approximate, first", first["open"], first["search"], first["cpu"], first["gib"], found, of_condition],
        [count, "approximate, next", None, float(np.median(often)), float(np.median(work_often)), None, found, None],
    ]
    rows["build"] = [
        [count, "the index", writes, bytes_of(folder) / 1e6 - shards / 1e6, None, None],
        [count, "approximate: FAISS", covers, shards / 1e6, float(np.median(often)), found],
    ]
    if count <= SMALL_ROWS and _has_lance():
        lance = Lance(work / f"{count}.lance", near)
        keys = [set(true.loc[true["query"] == query.name, "key"]) for query in queries]
        for probes in (16, 64, 256):
            hits = [len(lance.search(query, probes) & of) / len(of) for query, of in zip(queries, keys, strict=True)]
            took = alternate({"lance": lambda probes=probes: lance.search(queries[0], probes)}, repeats)["lance"]
            rows["build"].append(
                [count, f"LanceDB, IVF_PQ, {probes} of 256 lists", lance.seconds, lance.bytes / 1e6,
                 float(np.median(took)), float(np.mean(hits))]
            )  # fmt: skip
    return rows


def _has_lance() -> bool:
    try:
        import lancedb  # noqa: F401, PLC0415
    except ImportError:
        return False
    return True


def main() -> None:
    """Measure and report."""
    options = parser(__doc__, repeats=5, threads=2)
    options.add_argument("--like", default="people.index", help="indexes whose spread is taken, separated by commas")
    options.add_argument("--work", type=Path, required=True, help="folder of the drawn indexes (12 GB)")
    options.add_argument("--rows", default="10000,100000,1000000", help="images of each index")
    options.add_argument("--alone", choices=("exact", "approximate"), help="for the script itself")
    args = options.parse_args()
    torch.set_num_threads(args.threads)
    if args.alone:
        measure_alone(args.work / f"{args.rows}.index", args.alone)
        return
    like = [Path(name) for name in args.like.split(",")]
    spread = Spread.of(like)
    report = Report(
        "A million images",
        f"Drawn embeddings of {spread.header.features:,} features and {len(spread.header.schema)} attributes, "
        f"{PER_IDENTITY} images of an identity on average; {spread.share:.0%} of the variance lies between identities, "
        f"as measured. One query, top {TOP}, junk left out; recall on {ASKED} queries.",
    )
    found = [sized(spread, args.work, int(count), args.repeats, args.like) for count in args.rows.split(",")]
    report.table(
        ["images", "search", "open (s)", "search (s)", "processor (s)", "peak memory (GiB)", "recall@50",
         "with a condition"],
        [row for rows in found for row in rows["search"]],
        "Searching",
    )  # fmt: skip
    report.line(
        "Exact: every image is read from disk, a part at a time. Memory is that of a process that searches once."
    )
    report.line(f"The condition: `{_CONDITION}`, as a filter.")
    report.table(
        ["images", "what", "build (s)", "MB", "search (s)", "recall@50"],
        [row for rows in found for row in rows["build"]],
        "Building, and FAISS beside LanceDB",
    )
    report.table(
        ["features", "bytes an image", "mAP", "rank-1"],
        shorter(open_rows(like[0]), open_rows(like[-1])),
        "Shorter embeddings",
    )
    report.line(
        f"Every one of the {len(open_rows(like[0])):,} images of the first index of `--like` is a query; `market1501` "
        f"protocol, the product distance. The axes of the PCA come from the {len(open_rows(like[-1])):,} of the last."
    )
    report.line(
        f"The machine was shared with other work: its {os.cpu_count()} cores had work for {os.getloadavg()[0]:.0f}. "
        "`processor` is the time of all threads, without what they wait."
    )
    report.write(args.docs / "million.md", args.threads)


if __name__ == "__main__":
    main()
