"""Retrieval metrics of the ranks of a query's matches: AP, CMC and INP, as in the Market-1501 evaluation.

The functions take every query at once: `ranks` holds the 1-based ranks of all matches, ascending within a
query, and `ranks[offsets[q]:offsets[q + 1]]` are those of query q. `totals[q]` is how many matches query q
has in all; matches that are never retrieved (filtered out of the gallery) are among the total and have no
rank. A query without any match (total 0) has no metric: NaN.
"""

import torch
from torch import Tensor


def average_precisions(ranks: Tensor, offsets: Tensor, totals: Tensor) -> Tensor:
    """AP of each query: the mean of the precision at each of its matches.

        AP = 1 / total * sum_i i / rank_i

    where rank_i is the rank of the i-th nearest match. This is the sum that Market-1501's and torchreid's
    evaluations compute (no trapezoids, no interpolation). A match never retrieved adds precision 0.

    Args:
        ranks: R integers.
        offsets: Q + 1 integers.
        totals: Q integers.

    Returns:
        Q float64 from 0 to 1, NaN where a query has no match.

    >>> average_precisions(torch.tensor([1, 3, 2]), torch.tensor([0, 2, 3, 3]), torch.tensor([2, 2, 0]))
    tensor([0.8333, 0.2500,    nan], dtype=torch.float64)
    """
    query, position = _places(offsets)
    precisions = (position + 1).double() / ranks.double()
    sums = torch.zeros(len(totals), dtype=torch.float64).index_add_(0, query, precisions)
    return sums / totals  # 0 / 0 is NaN


def first_hits(ranks: Tensor, offsets: Tensor) -> Tensor:
    """Rank of each query's nearest match, 0 where none is retrieved; Q int64.

    >>> first_hits(torch.tensor([1, 3, 2]), torch.tensor([0, 2, 3, 3]))
    tensor([1, 2, 0])
    """
    _, position = _places(offsets)
    hits = torch.zeros(len(offsets) - 1, dtype=torch.int64)
    hits[offsets.diff() > 0] = ranks[position == 0]
    return hits


def cumulative_matches(ranks: Tensor, offsets: Tensor, totals: Tensor, depths: Tensor) -> Tensor:
    """CMC: the share of the queries with a match whose nearest match is among the first k.

        CMC(k) = |{q : first hit of q <= k}| / |{q : total_q > 0}|

    Args:
        ranks, offsets, totals: see the top of this file.
        depths: K integers, the k.

    Returns:
        K float64; NaN where no query has a match.

    >>> ranks, offsets, totals = torch.tensor([1, 3, 2]), torch.tensor([0, 2, 3, 3]), torch.tensor([2, 2, 0])
    >>> cumulative_matches(ranks, offsets, totals, torch.tensor([1, 5]))
    tensor([0.5000, 1.0000], dtype=torch.float64)
    """
    hits = first_hits(ranks, offsets)
    found = (hits > 0) & (hits <= depths[:, None])
    return found.sum(dim=1).double() / (totals > 0).sum()


def inverse_negative_penalties(ranks: Tensor, offsets: Tensor, totals: Tensor) -> Tensor:
    """INP of each query: its number of matches over the rank of the last of them.

        INP = total / rank_total

    (Ye et al., Deep Learning for Person Re-identification: A Survey and Outlook, equation 14.) It is 0 where
    a match is never retrieved: the last one is never reached.

    Returns:
        Q float64 from 0 to 1, NaN where a query has no match.

    >>> ranks, offsets, totals = torch.tensor([1, 3, 2]), torch.tensor([0, 2, 3, 3]), torch.tensor([2, 2, 0])
    >>> inverse_negative_penalties(ranks, offsets, totals)
    tensor([0.6667, 0.0000,    nan], dtype=torch.float64)
    """
    complete = (offsets.diff() == totals) & (totals > 0)
    values = torch.zeros(len(totals), dtype=torch.float64)
    values[totals == 0] = torch.nan
    values[complete] = totals[complete].double() / ranks[offsets[1:][complete] - 1].double()
    return values


def random_average_precisions(found: Tensor, totals: Tensor, valid: Tensor) -> Tensor:
    """AP that a ranking at random has on average, of each query.

        E[AP] = r / total * (H_n + (r - 1) / (n - 1) * (n - H_n)) / n        H_n = 1 + 1/2 + ... + 1/n

    for r retrieved matches among n ranked images: a match is at rank k with probability 1 / n, and of the k - 1 images
    before it (k - 1) (r - 1) / (n - 1) are matches on average.

    Args:
        found: Q integers, the matches that are retrieved.
        totals: Q integers; see the top of this file.
        valid: Q integers, the images that are ranked.

    Returns:
        Q float64 from 0 to 1, NaN where a query has no match.

    >>> random_average_precisions(torch.tensor([1, 2, 0, 0]), torch.tensor([1, 4, 1, 0]), torch.tensor([2, 2, 0, 2]))
    tensor([0.7500, 0.5000, 0.0000,    nan], dtype=torch.float64)
    """
    n, r = valid.double(), found.double()
    ranks = torch.arange(1, int(valid.max()) + 1 if len(valid) else 1, dtype=torch.float64)
    harmonic = torch.cat([torch.zeros(1, dtype=torch.float64), (1 / ranks).cumsum(0)])[valid]
    others = (r - 1).clamp(min=0) / (n - 1).clamp(min=1)
    return r / totals * (harmonic + others * (n - harmonic)) / n.clamp(min=1)


def _places(offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Of every rank: its query, and how many of the query's matches are nearer."""
    query = torch.repeat_interleave(offsets.diff())
    return query, torch.arange(len(query)) - offsets[query]
