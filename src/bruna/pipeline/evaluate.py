"""What `evaluate` leaves: figures of retrieval, rank lists, the course deliverables, the report page."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bruna.batches.store import ImageStore
from bruna.dataset.tables import read_table
from bruna.evaluation.attributes import all_figures, answers, chosen
from bruna.evaluation.retrieval import Retrieval, histogram_figures, nearest_unlabelled, per_query, retrieve
from bruna.evaluation.submission import classification_csv, reid_text
from bruna.files import whole_file, whole_folder
from bruna.inference.describe import Described, Models, describe
from bruna.params import Evaluate
from bruna.pipeline.common import keep_csv, keep_figure
from bruna.pipeline.report import write_page
from bruna.report.figures import ap_histogram, cmc_curves
from bruna.report.rank_list import Hit, RankRow, rank_lists
from bruna.tracking.protocol import Tracker

_CMC_DEPTH = 20
_TITLES = {"course": "course protocol", "market1501": "Market-1501 protocol"}


@dataclass(frozen=True)
class _Set:
    """A labelled set that was ranked, with its images for the pictures."""

    name: str
    retrieval: Retrieval
    queries: pd.DataFrame
    gallery: pd.DataFrame


def evaluate_and_keep(
    models: Models,
    params: Evaluate,
    *,
    untrained: Mapping[str, Any],
    artifacts: Path,
    plots: Path,
    tracker: Tracker,
) -> dict[str, Any]:
    """Measure the trained models on everything the split left for it, and write all that the stage writes.

    Args:
        models: the trained networks.
        params: the group `evaluate`.
        untrained: Bruna's figures before training, by protocol, to stand beside those after it.
        artifacts: the folder of all stages' outputs; this one's are `artifacts/evaluate`.
        plots: where the pictures go.
        tracker: the stage's run.

    Returns:
        The stage's metrics: `validation`, `test` (where there is a labelled test set), `baselines`.
    """
    sets = _labelled_sets(models, params, artifacts)
    metrics: dict[str, Any] = {found.name: found.retrieval.summary() for found in sets}
    validation = sets[0]
    metrics["baselines"] = {
        "untrained": dict(untrained),
        "histogram": histogram_figures(validation.gallery, models.bruna[1]),
    }
    for found in sets:
        metrics[found.name] |= all_figures(found.retrieval.gallery, params)
        _pictures(found, params, plots, tracker)
    with whole_folder(artifacts / "evaluate") as folder:
        for found in sets:
            table = per_query(found.retrieval)
            keep_csv(table, folder / f"queries_{found.name}.csv")
            tracker.table(table, f"tables/queries_{found.name}.json")
        _deliverables(models, params, artifacts, folder)
        write_page(folder / "report.html", metrics, artifacts=artifacts, plots=plots, settings=params.model_dump())
    tracker.file(artifacts / "evaluate", "evaluate")
    return metrics


def _labelled_sets(models: Models, params: Evaluate, artifacts: Path) -> list[_Set]:
    """The validation identities, every image both query and gallery; and the test set, if the data set has one."""

    def described(name: str) -> tuple[pd.DataFrame, Described]:
        table = read_table(artifacts / "split" / f"{name}.parquet")
        segments = read_table(artifacts / "segment" / f"{name}.parquet")
        label = PurePosixPath(name).name
        return table, describe(table, segments, models, params.batch_size, label, flip=params.flip)

    table, people = described("validation")
    sets = [_Set("validation", retrieve(people, people, params), table, table)]
    if all((artifacts / "split" / "test" / f"{part}.parquet").exists() for part in ("query", "gallery")):
        (queries, query), (images, gallery) = described("test/query"), described("test/gallery")
        sets.append(_Set("test", retrieve(query, gallery, params), queries, images))
    return sets


def _pictures(found: _Set, params: Evaluate, plots: Path, tracker: Tracker) -> None:
    results = found.retrieval.results
    depths = range(1, min(_CMC_DEPTH, len(found.gallery)) + 1)
    cmc = {_TITLES[name]: np.array(result.cmc(list(depths))) for name, result in results.items()}
    keep_figure(cmc_curves(cmc, f"CMC, {found.name}"), f"cmc_{found.name}", plots, tracker)
    scores = {_TITLES[n]: r.average_precisions[r.scored].numpy() for n, r in results.items()}
    keep_figure(
        ap_histogram(scores, f"Average precision of each query, {found.name}"), f"ap_{found.name}", plots, tracker
    )
    table = pd.DataFrame({"rank": list(depths), **{name: cmc[title] for name, title in _TITLES.items()}})
    keep_csv(table, plots / f"cmc_{found.name}.csv")
    if params.rank_list_queries:
        figure = rank_lists(_rank_rows(found, params), params.rank_list_length, f"Rank lists, {found.name}")
        keep_figure(figure, f"rank_lists_{found.name}", plots, tracker)


def _rank_rows(found: _Set, params: Evaluate) -> list[RankRow]:
    """Queries spread evenly from the worst to the best average precision, so that the picture flatters nobody."""
    retrieval = found.retrieval
    precision = retrieval.results["market1501"].average_precisions.numpy()
    order = np.argsort(precision, kind="stable")[: int(np.isfinite(precision).sum())]
    chosen = order[np.unique(np.linspace(0, len(order) - 1, params.rank_list_queries).round().astype(int))]
    nearest = retrieval.nearest.indices[chosen].numpy()
    query_pixels = _pixels(found.queries, chosen)
    hits = np.unique(nearest[nearest >= 0])
    gallery_pixels = _pixels(found.gallery, hits)
    query, gallery = retrieval.query.gallery, retrieval.gallery.gallery
    rows = []
    for i, row in enumerate(chosen):
        shown = [
            Hit(
                image=gallery_pixels[int(image)],
                distance=float(distance),
                correct=int(gallery.identities[image]) == int(query.identities[row]),
                camera=int(gallery.cameras[image]),
            )
            for image, distance in zip(nearest[i], retrieval.nearest.distances[row], strict=True)
            if image >= 0
        ]
        title = f"AP {precision[row]:.0%}"
        rows.append(RankRow(query_pixels[int(row)], shown, int(query.cameras[row]), title))
    return rows


def _pixels(table: pd.DataFrame, rows: npt.NDArray[np.int64]) -> dict[int, npt.NDArray[np.uint8]]:
    """Decode some rows: row to H x W x 3."""
    some = table.iloc[rows]
    size = (128, 64)
    store = ImageStore.decode(list(some["image"]), list(some["path"]), size)
    return dict(zip(rows.tolist(), store.pixels.permute(0, 2, 3, 1).numpy(), strict=True))


def _deliverables(models: Models, params: Evaluate, artifacts: Path, folder: Path) -> None:
    """`classification_test.csv` and `reid_test.txt` for unlabelled images (original.md)."""

    def described(part: str) -> Described | None:
        path = artifacts / "split" / "test" / f"{part}.parquet"
        if not path.exists():
            return None
        segments = read_table(artifacts / "segment" / "test" / f"{part}.parquet")
        return describe(read_table(path), segments, models, params.batch_size, part, flip=params.flip)

    gallery = described("test")
    if gallery is None:
        return
    names = [PurePosixPath(path).name for path in gallery.paths]
    with whole_file(folder / "classification_test.csv") as beside:
        beside.write_text(classification_csv(names, answers(gallery, chosen(params)).tolist()), encoding="utf-8")
    query = described("queries")
    if query is None:
        return
    queries = [PurePosixPath(path).name for path in query.paths]
    nearest = nearest_unlabelled(query, gallery, params)
    with whole_file(folder / "reid_test.txt") as beside:
        beside.write_text(reid_text(queries, names, nearest.indices.tolist()), encoding="utf-8")
