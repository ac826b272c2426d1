"""False match and false non-match rates over the distance, with intervals bootstrapped over identities.

An interval holds the middle 95% of what resampled people give: the images of a person err together, so people are
drawn, not pairs (Bolle, Ratha, Pankanti, Error analysis of pattern recognition systems: the subsets bootstrap, CVIU
2004, for genuine pairs; for impostor pairs, which involve two people, the vertex bootstrap of Fogliato, Patil, Perona,
Confidence intervals for error rates in 1:1 matching tasks, IJCV 2024). Where no pair errs nothing varies: there the
rule of 3 gives the upper limit.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bruna.evaluation.pairs import Counts, Floats, FoldHistograms, ImagePairs, lower_edges
from bruna.retrieval.calibration import people_needed, smallest_rate

RATES = (1e-2, 1e-3, 1e-4)
"""False match rates at which the false non-match rate is told."""
_ROUNDS = 400
_SEED = 0
_STEPS = 200
"""Points of the curve along each axis."""
_MIDDLE = (2.5, 97.5)


@dataclass(frozen=True)
class Verification:
    """Rates at E thresholds: row 0 of each array is what was measured, the others are resamplings of the people.

    Attributes:
        thresholds: E ascending distances; a pair is accepted below.
        fmr, fnmr: (1 + rounds) x E shares of the impostor pairs accepted and of the genuine pairs refused.
        genuine_pairs, impostor_pairs: of images.
        people, identity_pairs: people with a genuine pair; pairs of people with an impostor pair.
    """

    thresholds: Floats
    fmr: Floats
    fnmr: Floats
    genuine_pairs: int
    impostor_pairs: int
    people: int
    identity_pairs: int

    def figures(self) -> dict[str, Any]:
        """Equal error rate, and false non-match rate at `RATES`.

        Returns:
            `eer` with `value`, `low`, `high`, `threshold`; and `at_fmr.<rate>` with `threshold`, `fnmr`, `low`, `high`,
            `fmr`, `fmr_low`, `fmr_high`, or with `people_needed` alone where there are too few people.
        """
        low, high = _interval(_eer(self.fmr, self.fnmr), 1 / max(1, self.people))
        crossing = int(np.argmax(self.fmr[0] >= self.fnmr[0]))
        return {
            "eer": {
                "value": float(_eer(self.fmr[:1], self.fnmr[:1])[0]),
                "low": low,
                "high": high,
                "threshold": float(self.thresholds[crossing]),
            },
            "at_fmr": {f"{rate:g}": self._at(rate) for rate in RATES},
        }

    def _at(self, rate: float) -> dict[str, Any]:
        if rate < smallest_rate(self.identity_pairs):
            return {"people_needed": people_needed(rate)}
        at = (self.fmr <= rate).sum(axis=1) - 1
        fnmr = np.take_along_axis(self.fnmr, at[:, None], 1)[:, 0]
        (low, high), (fmr_low, fmr_high) = (
            _interval(values, 1 / count)
            for values, count in ((fnmr, max(1, self.people)), (self.fmr[:, at[0]], self.identity_pairs))
        )
        return {
            "threshold": float(self.thresholds[at[0]]),
            "fnmr": float(fnmr[0]),
            "low": low,
            "high": high,
            "fmr": float(self.fmr[0, at[0]]),
            "fmr_low": fmr_low,
            "fmr_high": fmr_high,
        }

    def curve(self) -> pd.DataFrame:
        """A row a threshold: `threshold`, `fmr`, `fnmr`, and `fnmr_low`, `fnmr_high` at this false match rate."""
        at = [(self.fmr <= rate).sum(axis=1) - 1 for rate in self.fmr[0]]
        varied = np.stack([np.take_along_axis(self.fnmr, each[:, None], 1)[1:, 0] for each in at])
        low, high = np.percentile(varied, _MIDDLE, axis=1)
        return pd.DataFrame(
            {
                "threshold": self.thresholds,
                "fmr": self.fmr[0],
                "fnmr": self.fnmr[0],
                "fnmr_low": np.minimum(low, self.fnmr[0]),
                "fnmr_high": np.maximum(high, self.fnmr[0]),
            }
        )


def verify(pairs: ImagePairs, found: FoldHistograms) -> Verification:
    """Measure the rates; see `Verification`.

    Args:
        pairs: of the images.
        found: their histograms, in any folds.

    Raises:
        ValueError: there is no genuine or no impostor pair.
    """
    genuine, impostor = found.genuine.sum(axis=0), found.impostor.sum(axis=0)
    edges = _edges(found.bins, genuine, impostor)
    people = len(pairs.identities)
    random = np.random.default_rng(_SEED)
    drawn = random.multinomial(people, np.full(people, 1 / people), size=_ROUNDS)
    weights = np.concatenate([np.ones((1, people)), drawn.astype(np.float64)])
    near_genuine, near_impostor, identity_pairs = pairs.weighted(weights, edges)
    some = (near_genuine[:, -1] > 0) & (near_impostor[:, -1] > 0)  # a draw may lack either, of very few people
    near_genuine, near_impostor = near_genuine[some], near_impostor[some]
    return Verification(
        lower_edges(edges),
        near_impostor[:, :-1] / near_impostor[:, -1:],
        1 - near_genuine[:, :-1] / near_genuine[:, -1:],
        int(genuine.sum()),
        int(impostor.sum()),
        int(pairs.twice_seen.sum()),
        identity_pairs,
    )


def operating_threshold(pairs: ImagePairs, found: FoldHistograms) -> tuple[float, float | None] | None:
    """One threshold to compare groups of people at: that of the largest of `RATES`, or, where too few people carry it,
    of the equal error rate; both as `Verification.figures` has them.

    Returns:
        The threshold, and the false match rate that it stands for (None for the equal error rate); None where there is
        no genuine or no impostor pair.
    """
    genuine, impostor = found.genuine.sum(axis=0), found.impostor.sum(axis=0)
    if not genuine.any() or not impostor.any():
        return None
    edges = _edges(found.bins, genuine, impostor)
    below = np.searchsorted(found.bins, edges)
    fmr, matched = (np.append(0, of.cumsum())[below] / of.sum() for of in (impostor, genuine))
    if RATES[0] >= smallest_rate(pairs.identity_pairs):
        return float(lower_edges(edges)[(fmr <= RATES[0]).sum() - 1]), RATES[0]
    return float(lower_edges(edges)[np.argmax(fmr >= 1 - matched)]), None


def _edges(bins: Counts, genuine: Counts, impostor: Counts) -> Counts:
    """The thresholds to measure at, as bins: evenly over the false non-match rates, and over the logarithm of the
    false match rates; of those that accept as much the largest."""
    if not genuine.any() or not impostor.any():
        raise ValueError("rates need a genuine and an impostor pair")
    fmr = np.append(0, impostor.cumsum() / impostor.sum())
    matched = np.append(0, genuine.cumsum() / genuine.sum())
    round_rates = [lead * 10.0**power for power in range(-6, 0) for lead in (1, 2, 5)]
    wanted = np.concatenate([np.geomspace(1 / impostor.sum(), 1, _STEPS), round_rates])
    places = [
        np.searchsorted(fmr, wanted, side="right") - 1,
        np.searchsorted(matched, np.linspace(0, 1, _STEPS), side="right") - 1,
        np.array([0, len(bins)]),
    ]
    return np.append(bins, bins[-1] + 1)[np.unique(np.concatenate(places).astype(np.int64))]


def _eer(fmr: Floats, fnmr: Floats) -> Floats:
    """Where the two rates cross, linear between thresholds; a value a row."""
    at = np.argmax(fmr >= fnmr, axis=1)  # at the last threshold all pairs are accepted
    before = np.maximum(at - 1, 0)
    rows = np.arange(len(fmr))
    gap, gap_before = (fmr[rows, k] - fnmr[rows, k] for k in (at, before))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        share = np.where(gap > gap_before, -gap_before / (gap - gap_before), 1.0)
    return np.asarray(fmr[rows, before] + share * (fmr[rows, at] - fmr[rows, before]))


def _interval(values: Floats, trial: float) -> tuple[float, float]:
    """95% interval of a rate: its resampled values stand behind the measured one.

    Args:
        values: 1 + rounds.
        trial: one over the number of independent trials.
    """
    low, high = np.percentile(values[1:], _MIDDLE) if len(values) > 1 else (0.0, 1.0)
    if values[0] == 0:
        high = max(high, min(1.0, 3 * trial))
    return float(min(low, values[0])), float(max(high, values[0]))


def sentences(found: Mapping[str, Any]) -> list[str]:
    """What a person wants to know of the figures that `bruna.evaluation.calibration.calibrate` gives, or of none."""
    if "eer" not in found:
        return [f"No threshold: fewer than {found['people_needed']} people are seen twice."]
    eer = found["eer"]
    known = {rate: at for rate, at in found["at_fmr"].items() if "fnmr" in at}
    missed = [
        f"{at['fnmr']:.1%} (95% interval {at['low']:.1%} to {at['high']:.1%}) at {float(rate):.2%}"
        for rate, at in known.items()
    ]
    few = [f"{float(rate):.2%} ({at['people_needed']:,})" for rate, at in found["at_fmr"].items() if rate not in known]
    return [
        f"Same person or not: equal error rate {eer['value']:.1%} (95% interval {eer['low']:.1%} to "
        f"{eer['high']:.1%}), {found['identities']:,} people.",
        *([f"False non-match rate at a false match rate: {'; '.join(missed)}."] if missed else []),
        *([f"Too few people for a false match rate of (people needed): {', '.join(few)}."] if few else []),
    ]
