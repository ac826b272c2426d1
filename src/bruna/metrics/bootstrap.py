"""Intervals by resampled identities: how much a figure would differ with other people of the same kind.

The images of a person err together, so people are drawn, with replacement, and all that was measured of a person moves
with it (the subsets bootstrap: Bolle, Ratha, Pankanti, Error analysis of pattern recognition systems, CVIU 2004).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, stdtrit

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

ROUNDS = 1000
"""How often the people are drawn."""
FEWEST = 10
"""People that an interval needs. With fewer, draws of them vary too little to show what others would give: in the
simulations of tests/unit/test_bootstrap.py an interval that is called 95% holds the true value in clearly fewer."""
_SEED = 0
_OUTSIDE = 0.025
"""Share of the values below the interval, and above it."""
_BLOCK_NUMBERS = 1 << 22
"""Weights at a time: 32 MiB."""


@dataclass(frozen=True, eq=False)
class Sums:
    """What a figure is made of, by unit (an identity): the mean over groups of the mean over cells of sum / count.

        mean_g mean_{c in g} (sum_p w_p sums[p, c]) / (sum_p w_p counts[p, c])        w_p: how often p was drawn

    A cell without a count is in no mean, nor a group without such a cell. mAP has one cell: sum of the average
    precisions, count of the queries. Mean accuracy has one cell an attribute, a group each; mean balanced accuracy one
    cell a value, a group an attribute.

    Attributes:
        groups: C numbers of groups from 0, one a cell.
        sums, counts: P x C.
    """

    groups: Integers
    sums: Floats
    counts: Floats

    def __len__(self) -> int:
        """How many units there are."""
        return len(self.sums)

    @property
    def value(self) -> float:
        """The figure, every unit once; NaN where nothing is counted."""
        return float(self.values(np.ones((1, len(self))))[0])

    def values(self, weights: Floats) -> Floats:
        """The figure for each of R rows of P weights; NaN where nothing is counted."""
        sums, counts = weights @ self.sums, weights @ self.counts
        some = counts > 0
        shares = np.divide(sums, counts, out=np.zeros_like(sums), where=some)
        members = np.equal.outer(self.groups, np.arange(self.groups.max(initial=-1) + 1)).astype(np.float64)
        cells = some @ members
        means = np.divide(shares @ members, cells, out=np.zeros_like(cells), where=cells > 0)
        groups = (cells > 0).sum(axis=1)
        found: Floats = np.divide(means.sum(axis=1), groups, out=np.full(len(weights), np.nan), where=groups > 0)
        return found

    def select(self, units: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> "Sums":
        """Some of the units."""
        return Sums(self.groups, self.sums[units], self.counts[units])


def draws(units: int) -> Iterator[Floats]:
    """How often each of P units was drawn, `ROUNDS` rows in blocks; always the same for the same P."""
    random = np.random.default_rng(_SEED)
    rows = max(1, _BLOCK_NUMBERS // max(1, units))
    for start in range(0, ROUNDS, rows):
        count = min(rows, ROUNDS - start)
        yield random.multinomial(units, np.full(units, 1 / units), size=count).astype(np.float64)


def resampled(figures: Sequence[Sums]) -> Floats:
    """The values of F figures of the same units, `ROUNDS` x F, all of them by the same draws."""
    blocks = [np.stack([of.values(weights) for of in figures], axis=1) for weights in draws(len(figures[0]))]
    return np.concatenate(blocks)


def interval(value: float, varied: Floats, units: int, trials: float | None = None) -> tuple[float, float] | None:
    """The 95% interval of a figure, the figure itself in it.

    The percentiles of the resampled values, farther out the fewer units there are: their spread is too small by
    sqrt((n - 1) / n), and the normal distribution stands in for Student's (the expanded percentile interval:
    Hesterberg, What teachers should know about the bootstrap, 2015). Where all are right, or all wrong, nothing varies:
    there the rule of 3 says how far away the truth may lie.

    Args:
        value: that was measured.
        varied: its resampled values; those that are NaN (a draw without any of what counts) are left out.
        units: that were drawn from.
        trials: independent ones, for the rule of 3: the units, where it is not given.

    Returns:
        Low and high; None where there are fewer than `FEWEST` units, or nothing was measured.
    """
    known = varied[~np.isnan(varied)]
    if units < FEWEST or np.isnan(value) or not len(known):
        return None
    outside = float(ndtr(np.sqrt(units / (units - 1)) * stdtrit(units - 1, _OUTSIDE)))
    low, high = (float(end) for end in np.quantile(known, (outside, 1 - outside)))
    low, high = min(low, value), max(high, value)
    if low == high and value in (0.0, 1.0):
        about = 3 / (trials or units)
        return max(0.0, value - about), min(1.0, value + about)
    return low, high


def difference(one: float, other: float, varied: Floats, units: int) -> tuple[float, float, float] | None:
    """One figure less another of the same units, with its 95% interval.

    Args:
        one, other: the two figures.
        varied: R x 2 resampled values of both, by the same draws.
        units: that were drawn from.

    Returns:
        Difference, low, high; None as `interval` says.
    """
    found = interval(one - other, varied[:, 0] - varied[:, 1], units, trials=np.inf)
    return None if found is None else (one - other, *found)
