"""Who is found less well: retrieval and false matches by camera and by each value of each attribute.

A query belongs to the group of its camera and to those of its true attribute values, a pair of images to the groups of
both. Intervals are of resampled people; each group stands beside all others by the same draws. Of twenty such
comparisons one differs by chance alone.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bruna.dataset.identities import UNKNOWN_CAMERA
from bruna.dataset.schema import Task
from bruna.evaluation.calibration import images_in_pairs
from bruna.evaluation.group_pairs import Members, PairCounts, near_pairs
from bruna.evaluation.pairs import ImagePairs
from bruna.evaluation.retrieval import Retrieval, shown_protocol
from bruna.evaluation.verification import operating_threshold
from bruna.metrics.bootstrap import Floats, Integers, difference, draws, interval
from bruna.params import Evaluate
from bruna.retrieval.distances import ProductDistance

CAMERA = "camera"
EVERYBODY = "all"
FIGURES = ("map", "rank1", "fmr")
BETTER, WORSE, NOISE = "better", "worse", "noise"
TOO_FEW = "too few people"
_NOTHING = 1e-6
"""Counts are whole numbers; what is below is what subtracting leaves of rounding."""


@dataclass(frozen=True)
class Breakdown:
    """The figures by group, and what they were measured at.

    Attributes:
        table: a row a group, the first `all`. Columns `by` (`camera`, or an attribute), `value`, `queries`, `people`;
            for each of `FIGURES` its value, `<figure>_low`, `<figure>_high`, then `<figure>_difference` from all others
            with `_low`, `_high`, and `<figure>_verdict`: `better`, `worse` or `noise`, or `too few people`; and
            `fmr_people`, who has an image of the group, and `fmr_pairs`. What is not known is NaN.
        protocol: name of the protocol of `map` and `rank1`.
        threshold: distance below which a pair is accepted; None where nobody is seen twice.
        rate: the false match rate of everybody that the threshold was chosen for; None where it is that of the equal
            error rate.
    """

    table: pd.DataFrame
    protocol: str
    threshold: float | None
    rate: float | None

    def facts(self) -> dict[str, Any]:
        """What figures.json keeps: `threshold`, `rate`, and by figure how many groups were `compared`, are `better` and
        `worse`."""
        counts = {name: self.table[f"{name}_verdict"].value_counts() for name in FIGURES}
        return {
            "protocol": self.protocol,
            **({} if self.threshold is None else {"threshold": self.threshold}),
            **({} if self.rate is None else {"rate": self.rate}),
            **{
                name: {
                    "compared": int(sum(found.get(word, 0) for word in (BETTER, WORSE, NOISE))),
                    BETTER: int(found.get(BETTER, 0)),
                    WORSE: int(found.get(WORSE, 0)),
                }
                for name, found in counts.items()
            },
        }


def breakdown(ranked: Retrieval, params: Evaluate) -> Breakdown | None:
    """Measure every group of a ranked set.

    Args:
        ranked: the set.
        params: the group `evaluate`.

    Returns:
        None where no camera and no attribute tells two groups of queries apart, or no query has a match.
    """
    query = ranked.query
    protocol = shown_protocol(ranked.results)
    result = ranked.results[protocol.name]
    scored = result.scored.numpy()
    groups = _groups(query.gallery.cameras.numpy(), query.codes, query.found.schema, scored)
    if not groups:
        return None
    members = _members(query.gallery.cameras.numpy(), query.codes, groups)[scored]
    values = {
        "map": result.average_precisions.numpy()[scored],
        "rank1": (result.first_hits.numpy()[scored] == 1).astype(np.float64),
    }
    people = query.gallery.identities.numpy()[scored]
    table = pd.DataFrame({"by": [g.by for g in groups], "value": [g.value for g in groups]})
    table["queries"] = members.sum(axis=0)
    table["people"] = [len(np.unique(people[of])) for of in members.T]
    for name, each in values.items():
        table = table.join(pd.DataFrame(_shares(people, each, members), columns=_columns(name)))
    rates, threshold, rate = _false_matches(ranked, groups, params)
    return Breakdown(table.join(rates), protocol.name, threshold, rate)


@dataclass(frozen=True)
class _Group:
    """Images with a camera, or with a value of the attribute in a column of the codes; or all images."""

    by: str
    value: str
    column: int = -1
    code: int = -1


def _groups(cameras: Integers, codes: Integers, schema: tuple[Task, ...], scored: Members) -> list[_Group]:
    """Everybody first, then the groups of what tells two apart; none where nothing does."""
    seen = sorted(set(cameras[scored].tolist()) - {UNKNOWN_CAMERA})
    found = [_Group(CAMERA, str(camera), code=camera) for camera in seen] if len(seen) > 1 else []
    for i, task in enumerate(schema):
        there = sorted(set(codes[scored, i].tolist()) - {-1})
        found += [_Group(task.name, task.values[code], i, code) for code in there] if len(there) > 1 else []
    return [_Group(EVERYBODY, ""), *found] if found else []


def _members(cameras: Integers, codes: Integers, groups: list[_Group]) -> Members:
    """N x G booleans."""
    columns = [
        np.ones(len(cameras), dtype=np.bool_)
        if group.by == EVERYBODY and group.code < 0
        else (cameras if group.column < 0 else codes[:, group.column]) == group.code
        for group in groups
    ]
    return np.stack(columns, axis=1)


def _columns(name: str) -> list[str]:
    ends = ("", "_low", "_high", "_difference", "_difference_low", "_difference_high", "_verdict")
    return [f"{name}{end}" for end in ends]


def _shares(people: Integers, values: Floats, members: Members) -> list[list[Any]]:
    """Rows of `_columns`: the mean of the values of each group's queries, beside that of the others."""
    units, place = np.unique(people, return_inverse=True)
    sums, counts = np.zeros((2, len(units), members.shape[1]))
    np.add.at(sums, place, members * values[:, None])
    np.add.at(counts, place, members.astype(np.float64))

    def shares(weights: Floats) -> Floats:
        return _beside_others(weights @ sums, weights @ counts)

    once = shares(np.ones((1, len(units))))[0]
    varied = np.concatenate([shares(weights) for weights in draws(len(units))])
    inside, others = (counts > 0).sum(axis=0), (counts[:, :1] > counts).sum(axis=0)
    return [_row(once[g], varied[:, g], int(inside[g]), int(others[g])) for g in range(members.shape[1])]


def _beside_others(sums: Floats, counts: Floats) -> Floats:
    """R x G x 2 shares of R x G sums and counts, the first column everybody's: of each group, and of all but it."""
    both = np.stack([sums, sums[:, :1] - sums], axis=2), np.stack([counts, counts[:, :1] - counts], axis=2)
    found: Floats = np.divide(*both, out=np.full(both[0].shape, np.nan), where=both[1] > _NOTHING)
    return found


def _row(
    once: Floats, varied: Floats, people: int, others: int, trials: float | None = None, sign: int = 1
) -> list[Any]:
    """One row of `_columns`.

    Args:
        once: the group's share and that of the others, as measured.
        varied: R x 2, resampled.
        people, others: in the group, and outside.
        trials: see `interval`.
        sign: -1 where less is better.
    """
    low, high = interval(float(once[0]), varied[:, 0], people, trials) or (np.nan, np.nan)
    if not others or np.isnan(once).any():
        return [float(once[0]), low, high, np.nan, np.nan, np.nan, TOO_FEW if np.isnan(low) else ""]
    found = difference(float(once[0]), float(once[1]), varied, min(people, others))
    if found is None:
        return [float(once[0]), low, high, np.nan, np.nan, np.nan, TOO_FEW]
    return [float(once[0]), low, high, *found, verdict(*found[1:], sign)]


def verdict(low: float, high: float, sign: int = 1) -> str:
    """What the interval of a difference says; `sign` is -1 where less is better."""
    if low <= 0 <= high:
        return NOISE
    return BETTER if sign * low > 0 else WORSE


def _false_matches(
    ranked: Retrieval, groups: list[_Group], params: Evaluate
) -> tuple[pd.DataFrame, float | None, float | None]:
    """False match rates of the pairs with an image of each group, with `_columns`, `fmr_people` and `fmr_pairs`."""
    images, codes = images_in_pairs(ranked, params)
    pairs = ImagePairs(images, ProductDistance(params.attribute_offset))
    members = _members(images.cameras.numpy(), codes, groups)[pairs.rows]
    at = None
    if len(pairs):
        at = operating_threshold(pairs, pairs.fold_histograms(np.zeros(len(pairs.identities), dtype=np.int64)))
    columns = [*_columns("fmr"), "fmr_people", "fmr_pairs"]
    if at is None:
        return pd.DataFrame(np.nan, index=range(len(groups)), columns=columns).assign(fmr_verdict=""), None, None
    inside = np.zeros((len(pairs.identities), len(groups)), dtype=np.bool_)
    np.logical_or.at(inside, pairs.person, members)
    people = inside.sum(axis=0)
    cameras = images.cameras.numpy()[pairs.rows]
    weights = np.concatenate([np.ones((1, len(inside))), *draws(len(inside))])
    every = PairCounts.of(pairs, cameras, members).weighted(weights)
    near = near_pairs(pairs, at[0], members, weights)
    shares = _beside_others(near, every)
    trials = people * (people - 1) / 2 + people * (len(inside) - people)
    outside = _outside(pairs, members)
    rows = [
        [
            *_row(shares[0, g], shares[1:, g], int(people[g]), int(outside[g]), max(1.0, float(trials[g])), sign=-1),
            int(people[g]),
            round(float(every[0, g])),
        ]
        for g in range(len(groups))
    ]
    return pd.DataFrame(rows, columns=columns), *at


def _outside(pairs: ImagePairs, members: Members) -> Integers:
    """How many people have an image that is in no group, for each."""
    found = np.zeros((len(pairs.identities), members.shape[1]), dtype=np.bool_)
    np.logical_or.at(found, pairs.person, ~members)
    outside: Integers = found.sum(axis=0)
    return outside
