"""Evaluation speed at the size of Market-1501's test set: ours, argsort, and torchreid.

    python benchmarks/evaluation.py

Draws embeddings (1,600 features and 32 attributes, 3,368 queries, 13,115 labelled gallery images and 2,798
distractors) and measures everything `--repeats` times in turn. torchreid's Python ranking, rank.py, is measured on
the first `--torchreid-queries` queries. Both must find the same mAP and CMC on these, otherwise the exit status is 1.
"""

import argparse
import importlib.metadata
import importlib.util
import statistics
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from measure import Cell, ExtraMemory, Report, Work, alternate, median_and_spread, number, parser
from torch import Tensor

from bruna.retrieval.distances import BlockDistances, Distance, Euclidean, ProductDistance
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.protocols import MARKET1501
from bruna.retrieval.ranking import evaluate_retrieval
from bruna.runtime import prepare_torch

PEOPLE, DISTRACTORS, FEATURES, ATTRIBUTES = 750, 2798, 1600, 32
FEATURE_NOISE, ATTRIBUTE_NOISE = 3.0, 1.0  # of an image about its identity's centre; the centres have a spread of 1
BLOCK = 256
DEPTH = 50
"""torchreid's own number of ranks of the CMC."""
TOLERANCE = 1e-6
"""Largest difference of mAP."""
DISTANCES: Mapping[str, Distance] = {"product": ProductDistance(), "Euclidean": Euclidean()}


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
    noise = torch.randn(own.shape, generator=make)
    features = own[:, :FEATURES] + FEATURE_NOISE * noise[:, :FEATURES]
    attributes = own[:, FEATURES:] + ATTRIBUTE_NOISE * noise[:, FEATURES:]
    cameras = torch.randint(1, 7, (n,), generator=make)
    return Gallery(features, attributes, identities, cameras)


def torchreid_module(name: str) -> Any:
    """One of torchreid's metrics files, loaded by its path: the package, which wants much else, is not imported."""
    try:
        path = importlib.metadata.distribution("torchreid").locate_file(f"torchreid/reid/metrics/{name}.py")
    except importlib.metadata.PackageNotFoundError:
        sys.exit("torchreid is absent: pip install --no-deps -r tests/oracle-requirements.txt")
    spec = importlib.util.spec_from_file_location(f"torchreid_{name}", Path(str(path)))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with mock.patch.dict(sys.modules, {"torchreid": None}), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(module)
    return module


class Torchreid:
    """torchreid's own way from embeddings to metrics: the whole distance matrix, then rank.py."""

    def __init__(self, query: Gallery, gallery: Gallery) -> None:
        self._query, self._gallery = query, gallery
        self._distance, self._rank = torchreid_module("distance"), torchreid_module("rank")

    def distances(self) -> Tensor:
        """Squared Euclidean distances of the features: Q x G."""
        found: Tensor = self._distance.compute_distance_matrix(self._query.features, self._gallery.features)
        return found

    def rank(self, matrix: Tensor) -> tuple[Any, float]:
        """CMC to rank 50 and mAP of the first `len(matrix)` queries."""
        some = slice(len(matrix))
        sides = (
            self._query.identities[some], self._gallery.identities, self._query.cameras[some], self._gallery.cameras
        )  # fmt: skip
        answer: tuple[Any, float] = self._rank.evaluate_rank(
            matrix.numpy(), *(side.numpy() for side in sides), max_rank=DEPTH
        )
        return answer


def agreement(query: Gallery, gallery: Gallery, peer: Torchreid) -> tuple[list[list[Cell]], bool]:
    """MAP and CMC of both sides on the same distances; the rows, and whether they agree.

    The last row goes the whole way on both sides, from embeddings to mAP. There a rounded distance may turn two
    neighbors round, so it is shown and not demanded.
    """
    rows: list[list[Cell]] = []
    agree = True
    for name, distance in DISTANCES.items():
        matrix = distance.between(query, gallery)(0, len(query))
        ours = evaluate_retrieval(query, gallery, Held(matrix), MARKET1501)
        cmc, theirs = peer.rank(matrix)
        difference = abs(ours.mean_average_precision - theirs)
        depths = range(1, len(cmc) + 1)
        equal = bool((np.array(ours.cmc(depths), dtype=np.float32) == np.asarray(cmc, dtype=np.float32)).all())
        rows.append([name, *_maps(ours.mean_average_precision, theirs), "equal" if equal else "not equal"])
        agree &= equal and difference < TOLERANCE
    whole = evaluate_retrieval(query, gallery, Euclidean(), MARKET1501).mean_average_precision
    theirs = peer.rank(peer.distances()[: len(query)])[1]
    return [*rows, ["Euclidean, each side its own", *_maps(whole, theirs), "–"]], agree


def _maps(ours: float, theirs: float) -> list[Cell]:
    return [f"{ours:.9f}", f"{theirs:.9f}", f"{abs(ours - theirs):.1e}"]


def sides(query: Gallery, gallery: Gallery, matrix: Tensor, peer: Torchreid, some: int) -> dict[str, Work]:
    """Everything that is measured, by its name in the table."""
    blocks = [(start, min(start + BLOCK, len(query))) for start in range(0, len(query), BLOCK)]
    distances = matrix.numpy()
    features, attributes = gallery.features.T, gallery.attributes.T  # type: ignore[union-attr]

    def products() -> None:
        for a, b in blocks:
            _ = query.features[a:b] @ features
            _ = query.attributes[a:b] @ attributes  # type: ignore[index]

    def everything(distance: Distance) -> Work:
        return lambda: evaluate_retrieval(query, gallery, distance, MARKET1501)

    return {
        "matrix products alone": products,
        **{f"Bruna, everything, {name} distance": everything(distance) for name, distance in DISTANCES.items()},
        "Bruna, ranking alone": everything(Held(matrix)),
        "numpy argsort": lambda: [distances[a:b].argsort(axis=1) for a, b in blocks],
        "numpy argsort, stable": lambda: [distances[a:b].argsort(axis=1, kind="stable") for a, b in blocks],
        "torch argsort": lambda: [matrix[a:b].argsort(dim=1) for a, b in blocks],
        "torchreid, Euclidean distance matrix": peer.distances,
        f"torchreid rank.py, {some:,} queries": lambda: peer.rank(matrix[:some]),
    }


def compare(report: Report, times: Mapping[str, list[float]], queries: int, some: int) -> None:
    """Add the table of seconds and the ratios that matter."""
    median = {name: statistics.median(values) for name, values in times.items()}
    report.table(["", "seconds (median)", "spread"], [[name, *median_and_spread(v)] for name, v in times.items()])
    ranking = median[f"torchreid rank.py, {some:,} queries"] * queries / some
    whole = median["torchreid, Euclidean distance matrix"] + ranking
    ours = median["Bruna, everything, Euclidean distance"]
    product = median["Bruna, everything, product distance"]
    report.line(
        f"From embeddings to metrics, Euclidean distance on both sides: Bruna is {number(whole / ours)} times faster "
        f"than torchreid's rank.py ({number(whole)} s: its distance matrix, and rank.py for all {queries:,} queries by "
        f"proportion, {number(ranking)} s). With the product distance on Bruna's side, two matrices "
        f"instead of one: {number(whole / product)} times."
    )
    report.line(f"Everything against the matrix products alone: {number(product / median['matrix products alone'])}")
    report.line(
        f"numpy's argsort against Bruna's ranking: {number(median['numpy argsort'] / median['Bruna, ranking alone'])}"
    )


def main() -> None:
    """Measure and report."""
    args = _arguments()
    prepare_torch("cpu", args.threads)
    make = torch.Generator().manual_seed(0)
    centres = torch.randn(PEOPLE + 1, FEATURES + ATTRIBUTES, generator=make)
    query = draw(args.queries, 0, centres, 1)
    gallery = draw(args.gallery, min(DISTRACTORS, args.gallery // 6), centres, 2)
    some = min(args.torchreid_queries, args.queries)
    with ExtraMemory() as extra:
        results = evaluate_retrieval(query, gallery, ProductDistance(), MARKET1501)
    peer = Torchreid(query, gallery)
    first = query.select(torch.arange(some))
    agreed, agree = agreement(first, gallery, Torchreid(first, gallery))

    between = ProductDistance().between(query, gallery)
    parts = range(0, len(query), BLOCK)
    matrix = torch.cat([between(start, min(start + BLOCK, len(query))) for start in parts])
    times = alternate(sides(query, gallery, matrix, peer, some), args.repeats)
    report = Report(
        "Evaluation at the size of Market-1501",
        f"From embeddings to mAP and CMC under the Market-1501 protocol: {len(query):,} queries, {len(gallery):,} "
        f"gallery images, {FEATURES:,} features and {ATTRIBUTES} attributes (drawn). {args.repeats} measurements of "
        "each in turn; torchreid is its Python code, as pip installs it.",
    )
    compare(report, times, len(query), some)
    report.line(f"Memory beyond the embeddings: {extra.mib:.0f} MiB")
    report.line(f"mAP {results.mean_average_precision:.4f}, rank-1 {results.cmc([1])[0]:.4f} over all queries")
    columns = ["distance", "mAP, Bruna", "mAP, torchreid", "difference", f"CMC to rank {DEPTH}"]
    report.table(columns, agreed, f"Agreement on the first {some:,} queries")
    if not agree:
        sys.exit(
            f"error: Bruna and torchreid do not agree (mAP within {TOLERANCE:g}, CMC exactly): nothing was written"
        )
    report.write(args.docs / "evaluation.md", args.threads)


def _arguments() -> argparse.Namespace:
    options = parser(__doc__, repeats=5, threads=2)
    options.add_argument("--queries", type=int, default=3368)
    options.add_argument("--gallery", type=int, default=15913)
    options.add_argument("--torchreid-queries", type=int, default=100)
    return options.parse_args()


if __name__ == "__main__":
    main()
