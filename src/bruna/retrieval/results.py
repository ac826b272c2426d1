"""What a search found: one object from the ranking to the metrics and the pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from bruna.errors import BrunaError, counted
from bruna.metrics import retrieval as metrics


@dataclass(frozen=True)
class RetrievalResults:
    """The rank of every match of Q queries; all tensors on the CPU.

    Attributes:
        protocol: name of the protocol.
        ranks: R int64, 1-based ranks of the retrieved matches, ascending within a query.
        matches: R int64, the gallery index of each.
        distances: R float32, its distance from the query.
        offsets: Q + 1 int64; `ranks[offsets[q]:offsets[q + 1]]` belong to query q.
        totals: Q int64, matches of each query, with those that were filtered out and so never retrieved.
        valid: Q int64, gallery images that were ranked for each query.
    """

    protocol: str
    ranks: Tensor
    matches: Tensor
    distances: Tensor
    offsets: Tensor
    totals: Tensor
    valid: Tensor

    @classmethod
    def joined(cls, parts: Sequence["RetrievalResults"]) -> "RetrievalResults":
        """The results of the queries of all parts, which searched the same gallery, one part after another."""
        counts = torch.cat([part.offsets.diff() for part in parts])
        joined = {
            name: torch.cat([getattr(part, name) for part in parts])
            for name in ("ranks", "matches", "distances", "totals", "valid")
        }
        return cls(parts[0].protocol, offsets=F.pad(counts.cumsum(0), (1, 0)), **joined)

    @property
    def scored(self) -> Tensor:
        """Q booleans: the queries that have a match; the others are left out of every mean."""
        return self.totals > 0

    @property
    def left_out(self) -> int:
        """Number of queries without any match."""
        return int((~self.scored).sum())

    @cached_property
    def average_precisions(self) -> Tensor:
        """Q float64, NaN for a query that is left out."""
        return metrics.average_precisions(self.ranks, self.offsets, self.totals)

    @cached_property
    def first_hits(self) -> Tensor:
        """Q int64, the rank of the nearest match, 0 where none was retrieved."""
        return metrics.first_hits(self.ranks, self.offsets)

    @property
    def mean_average_precision(self) -> float:
        """MAP over the queries that have a match, 0 to 1."""
        self._require_matches()
        return float(self.average_precisions[self.scored].mean())

    @property
    def random_mean_average_precision(self) -> float:
        """MAP that a ranking at random of the same images has on average, 0 to 1."""
        self._require_matches()
        expected = metrics.random_average_precisions(self.offsets.diff(), self.totals, self.valid)
        return float(expected[self.scored].mean())

    @property
    def mean_inverse_negative_penalty(self) -> float:
        """MINP over the queries that have a match, 0 to 1."""
        self._require_matches()
        penalties = metrics.inverse_negative_penalties(self.ranks, self.offsets, self.totals)
        return float(penalties[self.scored].mean())

    def cmc(self, depths: Sequence[int] = (1, 5, 10)) -> list[float]:
        """Share of the queries whose nearest match is among the first k, for every k of `depths`."""
        self._require_matches()
        values: list[float] = metrics.cumulative_matches(
            self.ranks, self.offsets, self.totals, torch.tensor(list(depths))
        ).tolist()
        return values

    def summary(self, depths: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
        """The metrics as `map`, `rank1`, .., `minp`, and the counts `queries` and `left_out`.

        Raises:
            BrunaError: no query has a match.
        """
        ranks = {f"rank{k}": value for k, value in zip(depths, self.cmc(depths), strict=True)}
        return {
            "map": self.mean_average_precision,
            **ranks,
            "minp": self.mean_inverse_negative_penalty,
            "queries": len(self.totals) - self.left_out,
            "left_out": self.left_out,
        }

    def _require_matches(self) -> None:
        if not bool(self.scored.any()):
            raise BrunaError(
                f"none of {counted(len(self.totals), 'queries')} has a match in the gallery under the {self.protocol} "
                "protocol. Check that queries and gallery share identities and, for market1501, that each "
                "identity is seen by two cameras (a camera of 0 means unknown)."
            )
