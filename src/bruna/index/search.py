"""Ranking an index for a query: exact, by the distance of the stage `evaluate`, by a description, or by both."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from bruna.index.conditions import Condition, named
from bruna.index.facts import Floats
from bruna.index.opened import Opened
from bruna.inference.described import Described
from bruna.models.attribute_logits import most_probable
from bruna.retrieval.calibration import Calibration
from bruna.retrieval.gallery import Gallery

COLUMNS = ("query", "rank", "key", "camera", "distance", "probability", "description", "agreeing", "differing")
"""Columns of a result."""

_DIRECT = "donot_use_mm_for_euclid_dist"


@dataclass(frozen=True)
class Query:
    """A person to look for.

    Attributes:
        name: the photo, or all of them.
        embedding: one row: the centroid of their features, the mean of their attribute features.
        codes: the most probable value by attribute, from the mean of their probabilities.
        cameras: results come from none of them.
    """

    name: str
    embedding: Gallery
    codes: dict[str, int]
    cameras: frozenset[str] = frozenset()


def one_query(found: Described) -> Query:
    """All described photos as one query."""
    assert found.gallery is not None and found.gallery.attributes is not None  # an index asks for Bruna
    probabilities = found.attribute_probabilities().mean(dim=0, keepdim=True)
    codes = most_probable(probabilities, found.schema)[0].tolist()
    embedding = Gallery.unlabelled(
        found.gallery.features.mean(dim=0, keepdim=True), found.gallery.attributes.mean(dim=0, keepdim=True)
    )
    return Query(", ".join(found.names), embedding, dict(zip((task.name for task in found.schema), codes, strict=True)))


def each_query(found: Described) -> list[Query]:
    """Each described photo as a query of its own."""
    assert found.gallery is not None
    codes = found.attribute_codes()
    names = [task.name for task in found.schema]
    return [
        Query(name, found.gallery.select(torch.tensor([i])), dict(zip(names, codes[i].tolist(), strict=True)))
        for i, name in enumerate(found.names)
    ]


def shows_several(found: Described, calibration: Calibration) -> bool:
    """Whether most pairs of the described photos are rather of two people than of one."""
    assert found.gallery is not None
    pairs = torch.ones(len(found), len(found)).triu(1).nonzero()
    if not len(pairs):
        return False
    rows = [
        _distances(found.gallery.select(torch.tensor([i])), found.gallery, found.settings.attribute_offset)
        for i in range(len(found))
    ]
    near = torch.cat(rows)[pairs[:, 0], pairs[:, 1]]
    return bool(np.median(calibration.probability(near.numpy())) < 0.5)


@dataclass(frozen=True)
class Wish:
    """What is asked of a ranking.

    Attributes:
        top: images at most.
        where: what is known of the images has to allow it; the attributes in it rank, or filter where `strict`.
        strict: the predicted values have to fit too.
        without: N booleans, images that are left out in any case; None for none.
        nearer: a distance that results lie below; None for any.
        calibration: None where there is none.
    """

    top: int = 20
    where: Condition | None = None
    strict: bool = False
    without: npt.NDArray[np.bool_] | None = None
    nearer: float | None = None
    calibration: Calibration | None = None


@torch.no_grad()
def search(
    index: Opened, queries: Sequence[Query], wish: Wish, kept: npt.NDArray[np.int64] | None = None
) -> pd.DataFrame:
    """Rank the images of an index for every query; without queries, once by the description.

    With a photo alone the nearest come first; with a description alone those of which it most probably holds; with
    both those of which the product of P(same person | distance) and that probability is greatest. At equal scores the
    earlier row of the index comes first.

    Args:
        index: the images.
        queries: none for a description alone.
        wish: what is asked.
        kept: what `candidates` gave, where it is known.

    Returns:
        `COLUMNS`, the queries in their order, each with its best images first. `query` is the name of the photos,
        `camera` None where unknown; `distance` and `probability` (of the same person) are NaN without a photo or a
        calibration, `description` (the probability that it holds) without a description; `agreeing` and `differing`
        are tuples of names of attributes, compared with the photos', or with the description where there is none.

    Raises:
        ValueError: a description ranks together with a photo, and there is no calibration.
    """
    kept = candidates(index, wish) if kept is None else kept
    described = None
    if wish.where is not None and named(wish.where) and not wish.strict:
        described = index.facts.probability(wish.where)
        if queries and wish.calibration is None:
            raise ValueError("without a calibration a description can only filter beside a photo: strict")
    if not queries:
        score = np.zeros(len(index)) if described is None else described
        return _table(index, None, _best(-score[kept], kept, wish.top), None, described, wish)
    tables = [_of_query(index, query, kept, described, wish) for query in queries]
    return pd.concat(tables, ignore_index=True)


def distances(index: Opened, query: Query) -> npt.NDArray[np.float32]:
    """N distances, as the stage `evaluate` measures them."""
    return _distances(query.embedding, index.gallery, index.header.settings.attribute_offset)[0].numpy()


def _distances(query: Gallery, gallery: Gallery, offset: float) -> Tensor:
    """1 x N: `ProductDistance(offset)` (paper, section 3.2.1).

    That forms all products of a block of queries in one matrix product, which pays for many. For one the differences
    are summed directly: no copy of the gallery, a tenth of the time.
    """
    near = torch.cdist(query.features, gallery.features, compute_mode=_DIRECT)
    if query.attributes is None or gallery.attributes is None or not query.attributes.shape[1]:
        return near
    return near.mul_(torch.cdist(query.attributes, gallery.attributes, compute_mode=_DIRECT).add_(offset))


def candidates(index: Opened, wish: Wish) -> npt.NDArray[np.int64]:
    """The rows of an index that may be results, by all but their distance."""
    kept = np.ones(len(index), np.bool_) if wish.without is None else ~wish.without
    if wish.where is not None:
        kept = kept & (index.facts.holds(wish.where) if wish.strict else index.facts.may_hold(wish.where))
    return kept.nonzero()[0]


def _best(cost: npt.NDArray[np.floating], rows: npt.NDArray[np.int64], top: int) -> npt.NDArray[np.int64]:
    """The rows of least cost, the earlier first at equal costs."""
    return rows[np.argsort(cost, kind="stable")[:top]]


def _of_query(
    index: Opened,
    query: Query,
    kept: npt.NDArray[np.int64],
    described: Floats | None,
    wish: Wish,
) -> pd.DataFrame:
    near = distances(index, query)
    if query.cameras:
        kept = kept[~np.isin(index.facts.columns["camera"][kept], list(query.cameras))]
    if wish.nearer is not None:
        kept = kept[near[kept] < wish.nearer]
    if described is None or wish.calibration is None:
        best = _best(near[kept], kept, wish.top)
    else:
        same = wish.calibration.probability(near[kept].astype(np.float64), index.persons)
        # The distance decides between scores that are equal, as those of a step of an isotonic fit.
        order = np.lexsort((kept, near[kept], -same * described[kept]))
        best = kept[order[: wish.top]]
    return _table(index, query, best, near, described, wish)


def _table(
    index: Opened,
    query: Query | None,
    rows: npt.NDArray[np.int64],
    near: npt.NDArray[np.float32] | None,
    described: Floats | None,
    wish: Wish,
) -> pd.DataFrame:
    nothing = np.full(len(rows), np.nan)
    far = nothing if near is None else near[rows].astype(np.float64)
    same = nothing if near is None or wish.calibration is None else wish.calibration.probability(far, index.persons)
    compared = _compared(index, query, rows, wish.where)
    columns = {
        "query": [""] * len(rows) if query is None else [query.name] * len(rows),
        "rank": np.arange(1, len(rows) + 1),
        "key": index.keys[rows],
        "camera": index.texts("camera")[rows],
        "distance": far,
        "probability": same,
        "description": nothing if described is None else described[rows],
        "agreeing": [tuple(name for name, fits in row.items() if fits) for row in compared],
        "differing": [tuple(name for name, fits in row.items() if not fits) for row in compared],
    }
    texts = ("query", "key", "camera", "agreeing", "differing")
    return pd.DataFrame({name: pd.Series(of, dtype=object if name in texts else None) for name, of in columns.items()})


def _compared(
    index: Opened, query: Query | None, rows: npt.NDArray[np.int64], where: Condition | None
) -> list[dict[str, bool]]:
    """Whether each attribute of a row is as the photos', or as described."""
    if query is not None:
        wanted = {name: frozenset({code}) for name, code in query.codes.items()}
    else:
        wanted = {part.attribute: part.codes for part in (named(where) if where is not None else ())}
    return [{name: int(index.facts.codes[name][row]) in codes for name, codes in wanted.items()} for row in rows]
