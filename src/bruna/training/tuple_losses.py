"""The triplet loss and the distances of a batch of tuples, and hard-negative mining (paper, section 3.2.2-3)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bruna.losses import euclidean, leave_one_out_distances, triplet_loss

MINED = 2
"""How many of a tuple's negatives are mined."""


@dataclass(frozen=True)
class TupleLosses:
    """What is learned from T tuples.

    Attributes:
        triplet: L_triplet, scalar; its gradient is Bruna's.
        mined: T x 2 positions among a tuple's negatives.
        correct: T x 2, 1 where Bruna sees the mined negative farther from the person than the person is from itself.
        distances: mean distances by name, detached: same_person_distance, different_person_distance (to the
            mined negatives), random_person_distance (to all), hardest_person_distance (to the two nearest).
    """

    triplet: Tensor
    mined: Tensor
    correct: Tensor
    distances: dict[str, Tensor]


def tuple_losses(
    anchors: Tensor, negatives: Tensor, predicted: Tensor, *, margin: float, mining: str = "adversary"
) -> TupleLosses:
    """The paper's losses of T tuples.

    Args:
        anchors: T x 4 x F, Bruna's features of the person.
        negatives: T x 8 x F, those of the negatives.
        predicted: T x 8, the adversary's distances of the negatives from the person's first image.
        margin: P of L_triplet.
        mining: what chooses two of the eight negatives: `adversary`; `random` (they are in random order); `hardest`,
            Bruna's own distances.
    """
    distances = euclidean(anchors.unsqueeze(2), negatives.unsqueeze(1))  # T x anchors x negatives
    each = distances.detach().mean(dim=1)
    mined = mine(predicted.detach(), each, mining)
    to_mined = distances.gather(2, mined.unsqueeze(1).expand(-1, anchors.shape[1], -1))
    same = leave_one_out_distances(anchors).mean(dim=1)
    different = to_mined.mean(dim=(1, 2))
    return TupleLosses(
        triplet=triplet_loss(same, different, margin),
        mined=mined,
        correct=(to_mined.mean(dim=1) > same.unsqueeze(1)).to(predicted.dtype).detach(),
        distances={
            "same_person_distance": same.detach().mean(),
            "different_person_distance": different.detach().mean(),
            "random_person_distance": each.mean(),
            "hardest_person_distance": each.topk(MINED, dim=1, largest=False).values.mean(),
        },
    )


def mine(predicted: Tensor, true: Tensor, mining: str) -> Tensor:
    """Hard-negative mining: T x 2 positions among the negatives.

    Args:
        predicted: T x 8, the adversary's distances of the negatives.
        true: T x 8, Bruna's.
        mining: `adversary`, `random` or `hardest`.
    """
    if mining == "random":
        return torch.arange(MINED, device=predicted.device).expand(len(predicted), -1)
    return (true if mining == "hardest" else predicted).topk(MINED, dim=1, largest=False).indices
