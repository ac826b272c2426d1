"""The page's browser of queries, from tables: which queries are shown, and what is told of their images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bruna.dataset.schema import Tasks
from bruna.dataset.tables import attribute_codes, attributes_of
from bruna.pipeline.records import Records
from bruna.report.blocks import Block, Heading
from bruna.report.browser import Asked, Match, Shown, browser
from bruna.report.browser_images import mask_of, outline, small_image
from bruna.report.drawing import Set
from bruna.report.page import Section
from bruna.retrieval.protocols import PROTOCOLS
from bruna.retrieval.spread import BROWSED_QUERIES, BROWSED_RANKS, spread

_AVERAGED = (
    "Attributes are predicted over {} images each, an image and its nearest: what lies near each other agrees for that "
    "reason too."
)
_TRUE, _PREDICTED = "true/", "predicted/"


@dataclass(frozen=True)
class BrowsedSet:
    """A ranked query set.

    Attributes:
        queries: a row a query: average precisions (`bruna.evaluation.retrieval.per_query`).
        ranked: a row a query and retrieved image (`bruna.evaluation.browsed.told_ranking`).
        predicted: a row an image (`bruna.evaluation.labelled.predicted_table`), one table or two.
        images: columns path and image, one table or two.
        segments: columns path and mask, PNG files or null.
    """

    queries: pd.DataFrame
    ranked: pd.DataFrame
    predicted: Sequence[pd.DataFrame]
    images: Sequence[pd.DataFrame]
    segments: Sequence[pd.DataFrame]


def recorded_browsed_set(records: Records, name: Set) -> BrowsedSet:
    """What the stages have kept of one set, `validation` or `test`."""
    sides = ("validation",) if name == "validation" else ("test/query", "test/gallery")
    return BrowsedSet(
        records.csv(f"evaluate/queries_{name}"),
        records.table(f"evaluate/ranked_{name}"),
        [records.table(f"evaluate/predicted_{side.replace('/', '_')}") for side in sides],
        [records.table(f"split/{side}") for side in sides],
        [records.table(f"segment/{side}") for side in sides],
    )


def browser_sections(sets: Mapping[str, BrowsedSet], neighbors: int) -> list[Section]:
    """The section of the page; none where no query has a match.

    Args:
        sets: what a set is called -> the set.
        neighbors: how many images a predicted attribute is averaged over.
    """
    blocks: list[Block] = []
    for words, found in sets.items():
        shown = _browser(found, words)
        if shown and len(sets) > 1:
            blocks.append(Heading(words[0].upper() + words[1:]))
        blocks += shown
    if blocks and neighbors > 1:
        blocks.append(_AVERAGED.format(neighbors))
    return [Section("Queries", blocks)] if blocks else []


def _browser(found: BrowsedSet, words: str) -> list[Block]:
    columns = {f"{protocol.name}_ap": protocol.title for protocol in reversed(PROTOCOLS)}
    by = next((name for name in columns if name in found.queries and found.queries[name].notna().any()), None)
    if by is None:
        return []
    precisions = found.queries[by].to_numpy(float)
    chosen = spread(precisions, found.queries["path"].to_numpy(object), BROWSED_QUERIES)
    paths = found.queries["path"].iloc[chosen].tolist()
    ranked = found.ranked[found.ranked["query"].isin(paths) & (found.ranked["rank"] <= BROWSED_RANKS)]
    by_query = {query: hits.sort_values("rank") for query, hits in ranked.groupby("query", sort=False)}
    queries = [
        Asked([path], _matches(by_query[path]) if path in by_query else [], float(precision))
        for path, precision in zip(paths, precisions[chosen], strict=True)
    ]
    images = _images(found, [*paths, *ranked["path"]])
    known = int((~np.isnan(precisions)).sum())
    number = (
        f"All {known:,} queries" if len(queries) == known else f"{len(queries):,} of {known:,} queries, spread evenly"
    )
    text = (
        f"{number} from the worst average precision (AP) to the best, {columns[by]}, each with the first "
        f"{BROWSED_RANKS} images. Under an image: rank, camera, probability of the same person (without a calibration "
        "the distance). Choose an image to see why it was found; arrow keys lead from one to the next. The filter of "
        "attributes goes by what is annotated, or else predicted."
    )
    return [text, browser(f"Queries, {words}", images, queries, _schema(found), filtered=True)]


def _matches(hits: pd.DataFrame) -> list[Match]:
    return [
        Match(
            image=row["path"],
            match=bool(row["match"]),
            distance=float(row["distance"]),
            probability=float(row["probability"]),
            upper=float(row["upper"]),
            lower=float(row["lower"]),
        )
        for row in hits.to_dict("records")
    ]


def _images(found: BrowsedSet, paths: Sequence[str]) -> dict[str, Shown]:
    wanted = list(dict.fromkeys(paths))
    encoded, masks = _column(found.images, "image", wanted), _column(found.segments, "mask", wanted)
    cameras = _column(found.predicted, "camera", wanted)
    predicted, annotated = (_codes(found.predicted, prefix) for prefix in (_PREDICTED, _TRUE))
    return {
        path: Shown(
            path,
            str(cameras[path]) if cameras[path] else "",
            small_image(encoded[path]),
            outline(mask_of(masks[path])) if masks.get(path) is not None else None,
            predicted.get(path),
            annotated.get(path),
        )
        for path in wanted
    }


def _column(tables: Sequence[pd.DataFrame], column: str, paths: Sequence[str]) -> dict[str, Any]:
    """Path -> what stands there, of some paths."""
    some = set(paths)
    return {
        path: cell
        for table in tables
        for path, cell in table.loc[table["path"].isin(some), ["path", column]].itertuples(index=False, name=None)
    }


def _codes(tables: Sequence[pd.DataFrame], prefix: str) -> dict[str, list[int]]:
    """Path -> the code of each attribute; nothing without attributes."""
    return {
        path: codes
        for table in tables
        if attributes_of(table, prefix)
        for path, codes in zip(table["path"], attribute_codes(table, prefix).tolist(), strict=True)
    }


def _schema(found: BrowsedSet) -> Tasks:
    return attributes_of(found.predicted[0], _PREDICTED)
