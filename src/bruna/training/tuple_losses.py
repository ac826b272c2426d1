"""The triplet loss and the distances of a batch of tuples, and whom the adversary is judged by (section 3.2.2-3)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bruna.losses import euclidean, leave_one_out_distances, triplet_loss

PICKED = 2
"""How many of a tuple's strangers are picked."""


@dataclass(frozen=True)
class TupleLosses:
    """What is learned from T tuples.

    Attributes:
        triplet: L_triplet, scalar; its gradient is Bruna's.
        picked: T x 2 positions among a tuple's strangers.
        correct: T x 2, 1 where Bruna sees the picked stranger farther from the person than the person is from itself.
        from_first: T x 8, Bruna's distances of the strangers from the person's first image, which the adversary sees.
        distances: mean distances by name, detached: same_person_distance, different_person_distance (to the
            picked strangers), random_person_distance (to all), hardest_person_distance (to the two nearest).
    """

    triplet: Tensor
    picked: Tensor
    correct: Tensor
    from_first: Tensor
    distances: dict[str, Tensor]


def tuple_losses(
    own: Tensor,
    others: Tensor,
    predicted: Tensor,
    *,
    margin: float,
    picks: str = "adversary",
    positives: str = "centroids",
) -> TupleLosses:
    """The paper's losses of T tuples.

    Args:
        own: T x 4 x F, Bruna's features of the person.
        others: T x 8 x F, those of the strangers.
        predicted: T x 8, the adversary's distances of the strangers from the person's first image.
        margin: P of L_triplet.
        picks: who picks two of the eight strangers: `adversary`; `random` (they are in random order); `hardest`.
        positives: distances of each image from the centroid of the other three, or between all pairs of images.
    """
    distances = euclidean(own.unsqueeze(2), others.unsqueeze(1))  # T x own x others
    each = distances.detach().mean(dim=1)
    picked = _picked(predicted.detach(), each, picks)
    to_picked = distances.gather(2, picked.unsqueeze(1).expand(-1, own.shape[1], -1))
    same = _same(own, positives)
    different = to_picked.mean(dim=(1, 2))
    return TupleLosses(
        triplet=triplet_loss(same, different, margin),
        picked=picked,
        correct=(to_picked.mean(dim=1) > same.unsqueeze(1)).to(predicted.dtype).detach(),
        from_first=distances.detach()[:, 0],
        distances={
            "same_person_distance": same.detach().mean(),
            "different_person_distance": different.detach().mean(),
            "random_person_distance": each.mean(),
            "hardest_person_distance": each.topk(PICKED, dim=1, largest=False).values.mean(),
        },
    )


def _picked(predicted: Tensor, true: Tensor, rule: str) -> Tensor:
    """T x 2 positions among the strangers."""
    if rule == "random":
        return torch.arange(PICKED, device=predicted.device).expand(len(predicted), -1)
    return (true if rule == "hardest" else predicted).topk(PICKED, dim=1, largest=False).indices


def _same(own: Tensor, rule: str) -> Tensor:
    """T mean distances between a person's images."""
    if rule == "centroids":
        return leave_one_out_distances(own).mean(dim=1)
    first, second = torch.triu_indices(own.shape[1], own.shape[1], offset=1, device=own.device)
    return euclidean(own[:, first], own[:, second]).mean(dim=1)
