"""The best rows of an index so far, while blocks of it are looked at."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bruna.index.facts import Floats
from bruna.index.opened import Integers


class Ranked(NamedTuple):
    """Rows of an index that are the best so far of a query.

    Attributes:
        rows: N numbers of rows.
        cost: N floats, by which they are ranked.
        near: N distances, by which equal costs are; NaN without a photo.
        described: N probabilities of the description; NaN without one that ranks.
    """

    rows: Integers
    cost: Floats
    near: Floats
    described: Floats

    def best(self, top: int) -> "Ranked":
        """Those of least cost; the nearer and then the earlier first at equal costs."""
        few = self
        if len(self.rows) > top:  # sorting all by three keys would take longer than all else
            few = self._at(self.cost <= np.partition(self.cost, top - 1)[top - 1])
        return few._at(np.lexsort((few.rows, few.near, few.cost))[:top])

    def _at(self, places: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> "Ranked":
        return Ranked(self.rows[places], self.cost[places], self.near[places], self.described[places])


def joined(parts: Sequence[Ranked]) -> Ranked:
    """All of several."""
    nothing = Ranked(np.empty(0, np.int64), *(np.empty(0) for _ in range(3)))
    return Ranked(*(np.concatenate(of) for of in zip(nothing, *parts, strict=True)))
