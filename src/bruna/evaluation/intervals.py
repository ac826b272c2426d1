"""The headline metrics by identity, and their intervals (`bruna.metrics.bootstrap`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from torch import Tensor

from bruna.dataset.schema import UNKNOWN, Task
from bruna.evaluation.attributes import measured
from bruna.evaluation.labelled import LabelledImages
from bruna.evaluation.retrieval import Ranked, Retrieval
from bruna.inference.described import Described, needs_bruna
from bruna.metrics.bootstrap import FEWEST, Integers, Sums, interval, resampled
from bruna.metrics.retrieval import inverse_negative_penalties
from bruna.params import Evaluate
from bruna.retrieval.protocols import COURSE, MARKET1501
from bruna.retrieval.results import RetrievalResults

Contents = npt.NDArray[np.uint64]
PREDICTED = "attributes_predicted"


@dataclass(frozen=True, eq=False)
class Measured:
    """One figure by unit: the identities that it was measured on, or the mask pairs.

    Attributes:
        units: P numbers of identities, or paths of pairs; an image of nobody known is a unit of its own, below 0.
        sums: what the figure is made of.
        cells: the C cells of `sums`: a group and the name of the cell in it.
        contents: P numbers that tell what was measured of each unit (`image_contents`).
        among: tells the gallery that was searched; 0 where none was.
        known: how many of the units are known people, or pairs.
    """

    units: npt.NDArray[Any]
    sums: Sums
    cells: Sequence[tuple[str, str]]
    contents: Contents
    among: int
    known: int


def ranking_measures(found: Ranked, query: LabelledImages, gallery: LabelledImages) -> dict[str, Measured]:
    """The figures of a ranking: `map`, `rank1` and `minp` by the Market-1501 protocol, `course_map` by the course's.

    Those of a protocol under which no query has a match are left out.
    """
    among = int(gallery.contents.sum(dtype=np.uint64))
    course = {"course_map": found[COURSE.name].average_precisions}
    return market_measures(found[MARKET1501.name], query, among) | _query_measures(course, query, among)


def market_measures(market: RetrievalResults, query: LabelledImages, among: int) -> dict[str, Measured]:
    """`map`, `rank1` and `minp` of a ranking by the Market-1501 protocol; nothing where no query has a match.

    Args:
        market: the ranking.
        query: its queries.
        among: tells the gallery that was searched (`Measured`).
    """
    values: dict[str, Tensor] = {
        "map": market.average_precisions,
        "rank1": (market.first_hits == 1).double().where(market.scored, np.nan),
        "minp": inverse_negative_penalties(market.ranks, market.offsets, market.totals),
    }
    return _query_measures(values, query, among)


def _query_measures(values: Mapping[str, Tensor], query: LabelledImages, among: int) -> dict[str, Measured]:
    people = query.gallery.identities.numpy()
    return {
        name: measure(people, each.numpy()[:, None], query.contents, [(name, "")], among)
        for name, each in values.items()
        if not bool(each.isnan().all())
    }


def attribute_measures(
    images: Described, people: Integers, codes: Integers, contents: Contents, params: Evaluate
) -> dict[str, Measured]:
    """`attribute_accuracy` and `attribute_balanced_accuracy` as `attribute_figures` has them, of N images.

    Args:
        images: as the networks see them.
        people, codes, contents: identities, N x A true codes (-1 where not annotated), `image_contents`.
        params: the group `evaluate`.
    """
    how = measured(params)[PREDICTED]
    if not (codes != UNKNOWN).any() or (images.gallery is None and needs_bruna(*how)):
        return {}
    found = predicted_measures(people, codes, images.attribute_codes(*how), images.schema, contents)
    return {f"attribute_{name}": each for name, each in found.items()}


def predicted_measures(
    people: Integers, codes: Integers, predicted: Integers, attributes: Sequence[Task], contents: Contents
) -> dict[str, Measured]:
    """`accuracy` and `balanced_accuracy` of N x A predicted codes beside the true ones, means over the attributes."""
    right = np.where(codes == UNKNOWN, np.nan, codes == predicted)
    values = [(i, code, value) for i, task in enumerate(attributes) for code, value in enumerate(task.values)]
    by_value = np.stack([np.where(codes[:, i] == code, right[:, i], np.nan) for i, code, _ in values], axis=1)
    return {
        "accuracy": measure(people, right, contents, [(task.name, "") for task in attributes]),
        "balanced_accuracy": measure(
            people, by_value, contents, [(attributes[i].name, value) for i, _, value in values]
        ),
    }


def set_measures(ranked: Retrieval, params: Evaluate) -> dict[str, Measured]:
    """All figures of a ranked set: its rankings by query, its attributes by gallery image."""
    gallery = ranked.gallery
    people = gallery.gallery.identities.numpy()
    return {
        **ranking_measures(ranked.results, ranked.query, gallery),
        **attribute_measures(gallery.found, people, gallery.codes, gallery.contents, params),
    }


def measure(
    units: npt.NDArray[Any],
    values: npt.NDArray[np.float64],
    contents: Contents,
    cells: Sequence[tuple[str, str]],
    among: int = 0,
) -> Measured:
    """Sum a figure by unit.

    Args:
        units: N identities, 0 or below where nobody is known; or N paths.
        values: N x C; NaN where a row counts nothing.
        contents: N, see `image_contents`.
        cells: the C cells: a group and a name in it.
        among: see `Measured`.
    """
    if units.dtype.kind != "O":
        units = np.where(units > 0, units, -1 - np.arange(len(units)))
    counted = ~np.isnan(values)
    rows = counted.any(axis=1)
    people, place = np.unique(units[rows], return_inverse=True)
    sums, counts = np.zeros((2, len(people), len(cells)))
    np.add.at(sums, place, np.where(counted, values, 0.0)[rows])
    np.add.at(counts, place, counted[rows].astype(np.float64))
    told = np.zeros(len(people), dtype=np.uint64)
    np.add.at(told, place, contents[rows])
    names = list(dict.fromkeys(group for group, _ in cells))
    groups = np.array([names.index(group) for group, _ in cells], dtype=np.int64)
    known = len(people) if people.dtype.kind == "O" else int((people > 0).sum())
    return Measured(people, Sums(groups, sums, counts), cells, told, among, known)


def interval_figures(found: Mapping[str, Measured]) -> dict[str, dict[str, float]]:
    """The interval of each figure by its name: `low`, `high`, and `resampled`, how many people were drawn from.

    `resampled` alone where they are too few, or where nobody is known.
    """
    figures = {}
    for name, each in found.items():
        enough = each.known >= FEWEST
        ends = interval(each.sums.value, resampled([each.sums])[:, 0], each.known) if enough else None
        known: dict[str, float] = {} if ends is None else dict(zip(("low", "high"), ends, strict=True))
        figures[name] = {**known, "resampled": each.known}
    return figures


def by_identity_table(found: Mapping[str, Measured]) -> pd.DataFrame:
    """All that `bruna compare` needs: a row a figure, unit and cell that counts something.

    Columns `headline`, `unit` (text: the number of an identity, or a path), `group`, `cell` (an attribute and a value
    of it, where the figure is a mean over them), `sum`, `count` (the figure: the mean over groups of the mean over
    cells of sum / count), `contents`, `among` (see `Measured`).
    """
    parts = []
    for name, each in found.items():
        rows, columns = (each.sums.counts > 0).nonzero()
        groups, cells = (np.array(texts, dtype=object) for texts in zip(*each.cells, strict=True))
        parts.append(
            pd.DataFrame(
                {
                    "headline": name,
                    "unit": each.units[rows].astype(str),
                    "group": groups[columns],
                    "cell": cells[columns],
                    "sum": each.sums.sums[rows, columns],
                    "count": each.sums.counts[rows, columns].astype(np.int64),
                    "contents": each.contents[rows],
                    "among": np.uint64(each.among),
                }
            )
        )
    columns_of = ["headline", "unit", "group", "cell", "sum", "count", "contents", "among"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns_of)
