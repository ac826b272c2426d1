"""Which queries of a ranking are shown: spread evenly from the worst to the best, so that no picture flatters."""

import numpy as np
import numpy.typing as npt

BROWSED_QUERIES, BROWSED_RANKS = 300, 10
"""Queries of a set that the page's browser shows at most, and images of each: 3,300 small pictures, about 6 MB."""


def spread(precisions: npt.NDArray[np.floating], names: npt.NDArray[np.object_], count: int) -> npt.NDArray[np.int64]:
    """At most `count` of N queries, evenly from the worst average precision to the best, both ends included.

    Args:
        precisions: N average precisions; a NaN (no match in the gallery) is never shown.
        names: N names, which decide between equal precisions.
        count: how many, at least 1.

    Returns:
        Their rows, the worst first.
    """
    known = np.flatnonzero(~np.isnan(precisions))
    ordered = known[np.lexsort((names[known].astype(str), precisions[known]))]
    return ordered[np.unique(np.linspace(0, len(ordered) - 1, count).round().astype(int))] if len(ordered) else ordered
