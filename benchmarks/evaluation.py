"""Evaluation speed at the size of Market-1501's test set: ours, argsort, and torchreid's rank.py.

    python benchmarks/evaluation.py

Draws embeddings (1,600 features and 32 attributes, 3,368 queries, 13,115 labelled gallery images and 2,798
distractors), measures everything `--repeats` times in turn and prints a table. torchreid's Python version is
measured on the first `--torchreid-queries` queries. Nothing is read or written.
"""

import argparse
import importlib.metadata
import importlib.util
import platform
import statistics
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import psutil
import torch
from torch import Tensor

from bruna.progress import table
from bruna.retrieval.distances import BlockDistances, ProductDistance
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.protocols import MARKET1501
from bruna.retrieval.ranking import evaluate_retrieval

PEOPLE, DISTRACTORS, FEATURES, ATTRIBUTES = 750, 2798, 1600, 32
NOISE = 1.5  # of an image about its identity's centre; the centres have a spread of 1
BLOCK = 256


@dataclass(frozen=True)
class Held:
    """Distances computed beforehand, so that only the ranking is measured."""

    matrix: Tensor

    def between(self, query: Gallery, gallery: Gallery) -> BlockDistances:
        """See `bruna.retrieval.distances.Distance`."""
        return lambda start, stop: self.matrix[start:stop].clone()


def draw(n: int, distractors: int, centres: Tensor, seed: int) -> Gallery:
    """Embeddings of n images round their identity's centre, at a mAP like a trained network's."""
    make = torch.Generator().manual_seed(seed)
    identities = torch.randint(1, PEOPLE + 1, (n,), generator=make)
    identities[:distractors] = 0
    own = centres[identities]
    own[:distractors] = torch.randn(distractors, centres.shape[1], generator=make)
    embedding = own + NOISE * torch.randn(own.shape, generator=make)
    cameras = torch.randint(1, 7, (n,), generator=make)
    return Gallery(embedding[:, :FEATURES], embedding[:, FEATURES:].contiguous(), identities, cameras)


def torchreid_rank() -> Any:
    """torchreid's rank.py, loaded by its path: numpy only, the package is not imported."""
    try:
        path = importlib.metadata.distribution("torchreid").locate_file("torchreid/reid/metrics/rank.py")
    except importlib.metadata.PackageNotFoundError:
        sys.exit("torchreid is absent: pip install --no-deps -r tests/oracle-requirements.txt")
    spec = importlib.util.spec_from_file_location("torchreid_rank", Path(str(path)))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with mock.patch.dict(sys.modules, {"torchreid": None}), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(module)
    return module


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


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
    """Processor, threads and versions."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor()
    return f"{processor}, {threads} threads, torch {torch.__version__}, numpy {np.__version__}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=3368)
    parser.add_argument("--gallery", type=int, default=15913)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--torchreid-queries", type=int, default=100)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    make = torch.Generator().manual_seed(0)
    centres = torch.randn(PEOPLE + 1, FEATURES + ATTRIBUTES, generator=make)
    query = draw(args.queries, 0, centres, 1)
    gallery = draw(args.gallery, min(DISTRACTORS, args.gallery // 6), centres, 2)
    distance = ProductDistance()
    blocks = [(start, min(start + BLOCK, args.queries)) for start in range(0, args.queries, BLOCK)]

    with ExtraMemory() as extra:
        results = evaluate_retrieval(query, gallery, distance, MARKET1501)

    between = distance.between(query, gallery)
    matrix = torch.cat([between(*block) for block in blocks])
    distances = matrix.numpy()
    features, attributes = gallery.features.T, gallery.attributes.T  # type: ignore[union-attr]
    peer, some = torchreid_rank(), args.torchreid_queries

    def products() -> None:
        for a, b in blocks:
            _ = query.features[a:b] @ features
            _ = query.attributes[a:b] @ attributes  # type: ignore[index]

    def torchreid() -> tuple[Any, float]:
        sides = (query.identities[:some], gallery.identities, query.cameras[:some], gallery.cameras)
        answer: tuple[Any, float] = peer.evaluate_rank(distances[:some], *(x.numpy() for x in sides))
        return answer

    works: dict[str, Callable[[], object]] = {
        "matrix products alone": products,
        "ours, everything": lambda: evaluate_retrieval(query, gallery, distance, MARKET1501),
        "ours, ranking alone": lambda: evaluate_retrieval(query, gallery, Held(matrix), MARKET1501),
        "numpy argsort": lambda: [distances[a:b].argsort(axis=1) for a, b in blocks],
        "numpy argsort, stable": lambda: [distances[a:b].argsort(axis=1, kind="stable") for a, b in blocks],
        "torch argsort": lambda: [matrix[a:b].argsort(dim=1) for a, b in blocks],
        f"torchreid rank.py, {some} queries": torchreid,
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(args.repeats):
        for name, work in works.items():
            times[name].append(seconds(work))

    rows = [
        [name, f"{statistics.median(values):.2f}", f"{min(values):.2f} to {max(values):.2f}"]
        for name, values in times.items()
    ]
    table(
        f"{args.queries:,} queries x {args.gallery:,} gallery, {FEATURES} + {ATTRIBUTES} numbers",
        ["", "seconds (median)", f"spread of {args.repeats}"],
        rows,
    )
    median = {name: statistics.median(values) for name, values in times.items()}
    theirs = torchreid()
    ours = float(results.average_precisions[:some][results.scored[:some]].mean())
    print(machine(args.threads))
    print(f"everything / matrix products: {median['ours, everything'] / median['matrix products alone']:.2f}")
    print(f"numpy argsort / our ranking: {median['numpy argsort'] / median['ours, ranking alone']:.1f}")
    scaled = median[f"torchreid rank.py, {some} queries"] * args.queries / some
    print(f"torchreid rank.py for all queries, by proportion: {scaled:.0f} s")
    print(f"memory beyond the embeddings: {extra.mib:.0f} MiB")
    print(f"mAP of the first {some} queries: ours {ours:.9f}, torchreid {theirs[1]:.9f}")
    print(f"all queries: {results.summary()}")


if __name__ == "__main__":
    main()
