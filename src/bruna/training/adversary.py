"""The adversary at work: the distances it predicts, what it mines, its loss (paper, sections 3.2.2 and 5.2)."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bruna.batches.tuples import ANCHORS, TUPLE
from bruna.losses import adversarial_loss, adversarial_regression, euclidean
from bruna.models.adversary import Adversary
from bruna.models.bruna import Bruna
from bruna.models.normalize import as_floats, mask_floats
from bruna.processes import ALONE, Processes
from bruna.training.bruna_data import LabelledPersons
from bruna.training.tuple_losses import MINED, TupleLosses


@dataclass(frozen=True)
class HardNegatives:
    """What the adversary mines in some training tuples (paper, Figure 6).

    Attributes:
        tuples: K x 12 rows of the training table.
        mined: K x 2 positions (0 to 7) among the tuple's negatives.
        distances: K x 8, Bruna's distance of each negative from the tuple's first image.
        anchor_distances: K, Bruna's distance between the person's first two images.
    """

    tuples: npt.NDArray[np.int64]
    mined: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float32]
    anchor_distances: npt.NDArray[np.float32]


def rows_of(table: Tensor, positions: Tensor) -> Tensor:
    """B x F rows at positions of any shape, on the table's device; unlike `table[positions]` its gradient adds up
    in a fixed order, so that runs repeat to the bit."""
    chosen = table.index_select(0, positions.flatten().to(table.device))
    return chosen.view(*positions.shape, *table.shape[1:])


class Prediction(NamedTuple):
    """What the adversary predicts for a batch.

    `distances`: T x 8, of the negatives from the first image of each tuple's person; `features`: N x C of all images
    that it saw; `seen`: their N positions in the batch.
    """

    distances: Tensor
    features: Tensor
    seen: Tensor


def predict_distances(
    adversary: Adversary,
    images: Tensor,
    first: Tensor,
    negatives: Tensor,
    processes: Processes = ALONE,
    share: slice | None = None,
) -> Prediction:
    """Run the adversary over a batch, each image once.

    Args:
        adversary: the network.
        images: this process's share of the batch, x 3 x H x W.
        first: T positions in the batch, on the CPU.
        negatives: T x 8 positions, on the CPU.
        processes: that share the batch.
        share: this process's positions; None for all.
    """
    seen, place = torch.unique(torch.cat([first.unsqueeze(1), negatives], dim=1), return_inverse=True)
    start = share.start if share else 0
    own = seen[(seen >= start) & (seen < start + len(images))] - start
    if len(own) < len(images):
        images = rows_of(images, own).contiguous(memory_format=torch.channels_last)
    features = processes.gather(adversary.embed(images))
    distances = adversary.distance(rows_of(features, place[:, 0]), rows_of(features, place[:, 1:]))
    return Prediction(distances, features, seen)


def adversary_loss(
    adversary: Adversary, prediction: Prediction, tuples: TupleLosses, metric: Tensor, rule: str
) -> Tensor:
    """L_adv of a batch, scalar; its gradient is the adversary's alone.

    Args:
        adversary: the network.
        prediction: its prediction for the batch.
        tuples: Bruna's losses of the tuples.
        metric: B x F, Bruna's features of the batch.
        rule: `paper` or `unit_regression`; see `adversarial_loss` and `adversarial_regression` in `bruna.losses`.
    """
    if rule == "unit_regression":
        pairs = adversary.pairwise(prediction.features.float())
        return adversarial_regression(pairs, rows_of(metric.detach(), prediction.seen))
    return adversarial_loss(prediction.distances.float().gather(1, tuples.mined), tuples.correct)


@torch.inference_mode()
def mine_hard_negatives(
    bruna: Bruna, adversary: Adversary, persons: LabelledPersons, tuples: npt.NDArray[np.int64]
) -> HardNegatives:
    """What the adversary mines in given tuples, without augmentation, and how far those people truly are."""
    rows = torch.from_numpy(tuples.reshape(-1))
    batch = persons.store[rows]
    pixels = as_floats(batch.images)
    bruna.eval()
    adversary.eval()
    found: Tensor = bruna(pixels, mask_floats(batch.masks), batch.bottlenecks).features
    features = found.view(len(tuples), TUPLE, -1)
    positions = torch.arange(tuples.size).view(-1, TUPLE)
    predicted = predict_distances(adversary, pixels, positions[:, 0], positions[:, ANCHORS:]).distances
    return HardNegatives(
        tuples=tuples,
        mined=predicted.topk(MINED, dim=1, largest=False).indices.cpu().numpy(),
        distances=euclidean(features[:, :1], features[:, ANCHORS:]).cpu().numpy(),
        anchor_distances=euclidean(features[:, 0], features[:, 1]).cpu().numpy(),
    )
