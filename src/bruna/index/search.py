"""Ranking an index for a query: exact, by the distance of the stage `evaluate`, by a description, or by both."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from bruna.index.conditions import Condition, known, named
from bruna.index.opened import Integers, Opened, Searchable
from bruna.index.ranked import Ranked, joined
from bruna.index.rows import probabilities_of
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

    def needs_all(self, queries: Sequence[Query]) -> bool:
        """Whether the distance alone does not tell which images of an index are the likely results of some query."""
        return self.ranking is not None or not queries or any(query.cameras for query in queries)

    @property
    def ranking(self) -> Condition | None:
        """The description that ranks; None where there is none, or it only filters."""
        return self.where if self.where is not None and named(self.where) and not self.strict else None


@torch.no_grad()
def search(index: Searchable, queries: Sequence[Query], wish: Wish, kept: Integers | None = None) -> pd.DataFrame:
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
    if queries and wish.ranking is not None and wish.calibration is None:
        raise ValueError("without a calibration a description can only filter beside a photo: strict")
    asked: Sequence[Query | None] = queries or [None]
    found: list[list[Ranked]] = [[] for _ in asked]
    may_be = np.zeros(len(index), np.bool_)
    may_be[kept] = True
    exact: list[tuple[list[Ranked], Query | None]] = []
    for mine, query in zip(found, asked, strict=True):
        likely = _likely(index, query, kept, wish)
        if likely is None:
            exact.append((mine, query))
        for block in likely or ():
            _rank(block, query, may_be, wish, index.persons, mine)
    for block in index.blocks(_needed(queries, wish), kept) if exact and len(kept) else ():
        for mine, query in exact:
            _rank(block, query, may_be, wish, index.persons, mine)
    tables = [_table(index, query, joined(mine), wish) for query, mine in zip(asked, found, strict=True)]
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


def candidates(index: Searchable, wish: Wish) -> Integers:
    """The rows of an index that may be results, by all but their distance; ascending."""
    kept = np.ones(len(index), np.bool_) if wish.without is None else ~wish.without
    if wish.where is not None:
        index.settle(wish.where)
        columns = {part.column for part in known(wish.where)}
        columns |= {part.attribute for part in named(wish.where)} if wish.strict else set()
        for rows, each in index.blocks(columns):
            facts = each.facts
            kept[rows] &= facts.holds(wish.where) if wish.strict else facts.may_hold(wish.where)
    return kept.nonzero()[0]


def _needed(queries: Sequence[Query], wish: Wish) -> set[str]:
    """The columns that a ranking looks at."""
    columns = {"features"} if queries else set()
    if any(query.cameras for query in queries):
        columns.add("camera")
    if wish.ranking is not None:
        columns |= {part.column for part in known(wish.ranking)}
        columns |= {probabilities_of(part.attribute) for part in named(wish.ranking)}
    return columns


def _likely(
    index: Searchable, query: Query | None, kept: Integers, wish: Wish
) -> Iterator[tuple[Integers, Opened]] | None:
    """Blocks in which the best of a query very probably are; None where only all tell: a description ranks."""
    if query is None or wish.needs_all([query]):
        return None
    return index.likely(query.embedding, kept, wish.top)


def _rank(
    block: tuple[Integers, Opened],
    query: Query | None,
    may_be: npt.NDArray[np.bool_],
    wish: Wish,
    persons: int,
    best: list[Ranked],
) -> None:
    """Put the best of the best and of a block in place of the best; the whole index has so many persons."""
    rows, index = block
    kept = may_be[rows].nonzero()[0]
    if query is not None and query.cameras:
        kept = kept[~np.isin(index.facts.columns["camera"][kept], list(query.cameras))]
    near = np.full(len(rows), np.nan) if query is None else distances(index, query).astype(np.float64)
    if wish.nearer is not None and query is not None:
        kept = kept[near[kept] < wish.nearer]
    near = near[kept]
    described = np.full(len(kept), np.nan) if wish.ranking is None else index.facts.probability(wish.ranking)[kept]
    if query is None:
        cost = np.zeros(len(kept)) if wish.ranking is None else -described
    elif wish.ranking is None or wish.calibration is None:
        cost = near
    else:
        # The distance decides between scores that are equal, as those of a step of an isotonic fit.
        cost = -wish.calibration.probability(near, persons) * described
    best[:] = [joined([*best, Ranked(rows[kept], cost, near, described)]).best(wish.top)]


def _table(index: Searchable, query: Query | None, found: Ranked, wish: Wish) -> pd.DataFrame:
    wanted = _wanted(query, wish.where)
    rows, count = index.take(found.rows, {"key", "camera", *wanted}), len(found.rows)
    same = np.full(count, np.nan)
    if query is not None and wish.calibration is not None:
        same = wish.calibration.probability(found.near, index.persons)
    compared = [{name: int(rows.facts.codes[name][row]) in of for name, of in wanted.items()} for row in range(count)]
    columns = {
        "query": ["" if query is None else query.name] * count,
        "rank": np.arange(1, count + 1),
        "key": rows.keys,
        "camera": rows.texts("camera"),
        "distance": found.near,
        "probability": same,
        "description": found.described,
        "agreeing": [tuple(name for name, fits in row.items() if fits) for row in compared],
        "differing": [tuple(name for name, fits in row.items() if not fits) for row in compared],
    }
    texts = ("query", "key", "camera", "agreeing", "differing")
    return pd.DataFrame({name: pd.Series(of, dtype=object if name in texts else None) for name, of in columns.items()})


def _wanted(query: Query | None, where: Condition | None) -> dict[str, frozenset[int]]:
    """The codes of attributes as the photos', or as described."""
    if query is not None:
        return {name: frozenset({code}) for name, code in query.codes.items()}
    return {part.attribute: part.codes for part in (named(where) if where is not None else ())}
