"""What the page's browser of queries tells beside the ranking: the same person's probability, halves alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from bruna.evaluation.labelled import predicted_table
from bruna.evaluation.retrieval import Retrieval, per_query, ranked_table, shown_protocol
from bruna.inference.describer import Describer
from bruna.inference.explaining import Halves, Similar, explain, similarity
from bruna.inference.unet import segment_images
from bruna.params import Evaluate
from bruna.retrieval.calibration import Calibration
from bruna.retrieval.spread import BROWSED_QUERIES, BROWSED_RANKS, spread

_TYPICAL = 1024
"""Images, evenly from a table, that its mean image is made of: of more it would hardly be another."""


class Images(NamedTuple):
    """`table`: columns path and image; `segments`: the table of the stage `segment`, or None, which runs the U-Net."""

    table: pd.DataFrame
    segments: pd.DataFrame | None

    def at(self, paths: Sequence[str]) -> "Images":
        """Those of some paths alone, in this order."""
        return Images(self.table.set_index("path").loc[list(paths)].reset_index(), self.segments)

    def halves(self, people: Describer, progress: str | None = None) -> Halves:
        """The halves of all of them."""
        encoded, paths = list(self.table["image"]), list(self.table["path"])
        return explain(people, encoded, paths, self.segments, progress).halves


def typical_halves(people: Describer, images: Images) -> Halves:
    """The halves of the mean image of a table, which `similarity` takes away."""
    rows = np.unique(np.linspace(0, len(images.table) - 1, _TYPICAL).round().astype(int))
    return Images(images.table.iloc[rows], images.segments).halves(people, "mean image").mean()


def browsed_hits(found: Retrieval, ranked: pd.DataFrame) -> pd.DataFrame:
    """The rows of a `ranked_table` that the browser shows."""
    queries = per_query(found)
    precisions = queries[f"{shown_protocol(found.results).name}_ap"].to_numpy()
    shown = spread(precisions, queries["path"].to_numpy(object), BROWSED_QUERIES)
    return ranked[ranked["query"].isin(queries["path"].iloc[shown]) & (ranked["rank"] <= BROWSED_RANKS)]


def told_ranking(
    people: Describer,
    found: Retrieval,
    sides: tuple[Images, Images],
    typical: Halves | None,
    calibration: Calibration | None,
) -> pd.DataFrame:
    """The `ranked_table` with three more columns, float32.

    `probability` of the same person in a gallery of this size, NaN without a calibration; `upper` and `lower`, how
    alike the halves of query and image are (`bruna.inference.explaining`), NaN but for the rows that the browser shows.

    Args:
        people: the networks.
        found: the ranking.
        sides: the images of queries and gallery.
        typical: the mean image; None tells nothing of the halves.
        calibration: of the distance; None for none.
    """
    ranked = ranked_table(found)
    nothing = np.full(len(ranked), np.nan, np.float32)
    ranked = ranked.assign(probability=nothing, upper=nothing, lower=nothing)
    if calibration is not None:
        distances = ranked["distance"].to_numpy(np.float64)
        ranked["probability"] = calibration.probability(distances, len(sides[1].table)).astype(np.float32)
    shown = browsed_hits(found, ranked)
    if len(shown) and typical is not None:
        alike = _similarities(people, shown, sides, typical)
        ranked.loc[shown.index, ["upper", "lower"]] = np.stack(alike, axis=1)
    return ranked


@dataclass(frozen=True)
class Browsed:
    """All that the browser shows of a folder, beside its images.

    Attributes:
        ranked: see `told_ranking`.
        predicted: see `predicted_table`; of queries and gallery, once where they are the same.
        segments: columns path and mask of the images that are shown; in the same way.
    """

    ranked: pd.DataFrame
    predicted: list[pd.DataFrame]
    segments: list[pd.DataFrame]


def browse(
    people: Describer,
    found: Retrieval,
    tables: tuple[pd.DataFrame, pd.DataFrame],
    typical: Halves | None,
    calibration: Calibration | None,
    params: Evaluate,
) -> Browsed:
    """What the browser tells of a folder that the pipeline has not seen.

    Args:
        people: the networks.
        found: the ranking.
        tables: the images of queries and gallery; the same object where every image is both.
        typical, calibration: see `told_ranking`.
        params: the group `evaluate`.
    """
    hits = browsed_hits(found, ranked_table(found))
    query, gallery = (sorted(set(hits[column])) for column in ("query", "path"))
    one = tables[0] is tables[1]
    shown = [_with_masks(people, tables[0], sorted({*query, *gallery}) if one else query)]
    shown += [] if one else [_with_masks(people, tables[1], gallery)]
    images = [found.query] if one else [found.query, found.gallery]
    return Browsed(
        told_ranking(people, found, (shown[0], shown[-1]), typical, calibration),
        [predicted_table(each, params.attributes_from, params.attribute_neighbors) for each in images],
        [each.segments[["path", "mask"]] for each in shown if each.segments is not None],
    )


def _similarities(people: Describer, hits: pd.DataFrame, sides: tuple[Images, Images], typical: Halves) -> Similar:
    """Of the query and the image of each row; every image is looked at once."""
    queries, images = hits["query"], hits["path"]
    if sides[0].table is sides[1].table:
        of_each = [_halves_by_path(people, sides[0], {*queries, *images})] * 2
    else:
        of_each = [
            _halves_by_path(people, side, set(paths)) for side, paths in zip(sides, (queries, images), strict=True)
        ]
    query, found = (
        Halves(*(part[places.get_indexer(pd.Index(paths))] for part in halves))
        for (places, halves), paths in zip(of_each, (queries, images), strict=True)
    )
    return similarity(query, found, typical)


def _halves_by_path(people: Describer, images: Images, paths: set[str]) -> tuple["pd.Index[str]", Halves]:
    """The halves of some images, and the paths of their rows."""
    ordered = sorted(paths)
    return pd.Index(ordered), images.at(ordered).halves(people)


def _with_masks(people: Describer, table: pd.DataFrame, paths: Sequence[str]) -> Images:
    """Some images with what the U-Net finds in them; without a U-Net as they are."""
    some = Images(table, None).at(paths)
    if people.unet is None or not paths:
        return some
    return Images(some.table, segment_images(some.table, people.unet, people.settings.batch_size))
