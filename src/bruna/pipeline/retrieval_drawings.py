"""The pictures of a ranking: rank lists, CMC and average precisions, from its tables."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bruna.params import Report
from bruna.pipeline.records import Pixels, Records
from bruna.report.drawing import Drawing, Set
from bruna.report.figures import ap_profile, cmc_curves
from bruna.report.rank_list import Hit, RankRow, rank_lists
from bruna.retrieval.protocols import PROTOCOLS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class RankedSet:
    """A query set ranked against a gallery (tables of `bruna.evaluation.retrieval`).

    Attributes:
        queries: a row a query: average precisions.
        cmc: a row a rank.
        ranked: a row a query and retrieved image, under the protocol of the rank lists.
        cameras: of the queries, by path.
        query_of, image_of: give the pixels of a query and of a gallery image, by path.
    """

    queries: pd.DataFrame
    cmc: pd.DataFrame
    ranked: pd.DataFrame
    cameras: Mapping[str, int]
    query_of: Callable[[str], Pixels]
    image_of: Callable[[str], Pixels]


def recorded_set(records: Records, name: Set) -> RankedSet:
    """What `evaluate` kept of one set, `validation` or `test`."""
    sides = ("split/validation",) * 2 if name == "validation" else ("split/test/query", "split/test/gallery")
    query_of, image_of = (records.images(side).own_size for side in sides)
    return RankedSet(
        records.csv(f"evaluate/queries_{name}"),
        records.csv(f"evaluate/cmc_{name}"),
        records.table(f"evaluate/ranked_{name}"),
        dict(records.table(sides[0])[["path", "camera"]].to_numpy()),
        query_of,
        image_of,
    )


def retrieval_drawings(found: RankedSet, name: Set, words: str, params: Report) -> list[Drawing]:
    """The pictures of one set.

    Args:
        found: its ranking.
        name: where the pictures stand on the page, and the end of their files' names.
        words: what the set is called in titles.
        params: the group `report`.
    """
    # The one to compare by first; none under which no query has a match.
    protocols = {protocol.name: protocol.title for protocol in reversed(PROTOCOLS) if protocol.name in found.cmc}
    if not protocols:
        return []
    first = next(iter(protocols))
    shares = {title: found.cmc[key].to_numpy() for key, title in protocols.items()}
    precisions = {title: found.queries[f"{key}_ap"].dropna().to_numpy() for key, title in protocols.items()}
    rank_1 = ", ".join(f"{title} {share[0]:.1%}" for title, share in shares.items())
    drawing = partial(Drawing, "evaluate", name)
    drawings = [
        drawing(
            f"cmc_{name}",
            "Share of the queries with a match among the first k images.",
            f"Line chart from rank 1 to 20. At rank 1: {rank_1}.",
            partial(cmc_curves, shares, f"CMC, {words}"),
        ),
        drawing(
            f"ap_{name}",
            "Average precision of every query, the best first: the area under a line is the mAP.",
            "Falling line chart, one line a protocol.",
            partial(ap_profile, precisions, f"Average precision, {words}"),
        ),
    ]
    if params.rank_list_queries:
        lists = drawing(
            f"rank_lists_{name}",
            f"Rank lists (Figure 7 of the paper), {protocols[first]}: queries spread evenly from the worst "
            "average precision (AP) to the best, the nearest image first. Under each image: camera and distance.",
            f"Rows of a query and its {params.rank_list_length} nearest images; green frames show the same person, "
            "red ones another.",
            partial(_rank_lists, found, f"{first}_ap", f"Rank lists, {words}", params),
        )
        drawings.insert(0, lists)
    return drawings


def _rank_lists(found: RankedSet, by: str, title: str, params: Report) -> "Figure":
    """Queries spread evenly from the worst to the best average precision, so that the picture flatters nobody."""
    known = found.queries.dropna(subset=by).sort_values([by, "path"])
    chosen = known.iloc[np.unique(np.linspace(0, len(known) - 1, params.rank_list_queries).round().astype(int))]
    shown = found.ranked[found.ranked["rank"] <= params.rank_list_length].sort_values("rank")
    rows = []
    for path, precision in zip(chosen["path"], chosen[by], strict=True):
        near = shown[shown["query"] == path]  # nothing where the junk filter has left nothing
        images = zip(near["path"], near["distance"], near["match"], near["camera"], strict=True)
        hits = [Hit(found.image_of(hit), distance, match, camera) for hit, distance, match, camera in images]
        rows.append(RankRow(found.query_of(path), hits, int(found.cameras[path]), f"AP {precision:.0%}"))
    return rank_lists(rows, params.rank_list_length, title)
