"""The losses of both tasks, one function each, with formula and source."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from bruna.dataset.schema import Task, logit_slices


def sigmoid_loss(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Binary loss that does not vanish where the sigmoid saturates on the wrong side.

    -log sigmoid((2t - 1) z) = softplus((1 - 2t) z), computed by softplus, which neither overflows nor loses
    digits (Goodfellow et al., Deep Learning, section 6.2.2.2; paper, section 3.1.3).

    Args:
        logits: any shape, z.
        targets: the same shape, 0 or 1, t.
        smoothing: share s of the target that is spread evenly over both values (Szegedy et al., Rethinking the
            Inception architecture, 2016): (1 - s/2) of the loss of t and s/2 of that of 1 - t.

    Returns:
        The same shape, one loss a number.
    """
    wrong_way = (1 - 2 * targets.to(logits.dtype)) * logits
    loss = F.softplus(wrong_way)
    return torch.lerp(loss, F.softplus(-wrong_way), smoothing / 2) if smoothing else loss


def adjusted_logits(logits: Tensor, log_priors: Tensor, strength: float) -> Tensor:
    """The logits that a loss judges, so that the plain ones lean to rare values.

    z_k + tau log(share of k): the network has to outbid what the loss adds for a common value, so the argmax of the
    plain z predicts for balanced values where tau is 1 (Menon et al., Long-tail learning via logit adjustment, 2021,
    equation 10). Camera and junk stay as they are: their shares are no property of people.

    Args:
        logits: B x L, those of the attributes first.
        log_priors: of the attributes, as `bruna.dataset.priors.log_priors` lays them out.
        strength: tau; 0 changes nothing.

    Returns:
        The same shape as `logits`.
    """
    if not strength:
        return logits
    return logits + F.pad(strength * log_priors, (0, logits.shape[1] - len(log_priors)))


def attribute_losses(logits: Tensor, targets: Tensor, tasks: Sequence[Task], smoothing: float = 0.0) -> Tensor:
    """The loss of each task, averaged over the images where it is annotated.

    Binary ones take `sigmoid_loss`, the others the cross entropy (paper, section 3.1.3).

    Args:
        logits: B x L, as `logit_slices(tasks)` lays them out.
        targets: B x T codes, int64, -1 where not annotated.
        tasks: T tasks.
        smoothing: share of every target that is spread evenly over the task's values.

    Returns:
        T losses; 0 for one that no image of the batch is annotated for.
    """
    losses: list[Tensor] = []
    for i, (task, where) in enumerate(zip(tasks, logit_slices(tasks).values(), strict=True)):
        if task.binary:
            losses.append(_masked_binary(logits[:, where.start], targets[:, i], smoothing))
        else:
            each = F.cross_entropy(
                logits[:, where],
                targets[:, i],
                ignore_index=-1,
                reduction="none",
                label_smoothing=smoothing,
            )
            known = (targets[:, i] >= 0).to(each.dtype)
            losses.append(each.sum() / known.sum().clamp(min=1))
    return torch.stack(losses)


def _masked_binary(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    known = (targets >= 0).to(logits.dtype)
    return (sigmoid_loss(logits, targets.clamp(min=0), smoothing) * known).sum() / known.sum().clamp(min=1)


def leave_one_out_distances(features: Tensor) -> Tensor:
    """Distance of each image of a person from the centroid of the person's other images (paper, section 3.2.2).

    Args:
        features: T x K x F, K images of one person a tuple.

    Returns:
        T x K: |x_k - mean of the other K - 1|.
    """
    count = features.shape[1]
    centroids = (features.sum(dim=1, keepdim=True) - features) / (count - 1)
    return euclidean(features, centroids)


def euclidean(first: Tensor, second: Tensor) -> Tensor:
    """|a - b| along the last dimension, with broadcasting; its gradient at zero distance is zero, not NaN."""
    squared = (first - second).square().sum(dim=-1)
    zero = squared == 0
    return torch.where(zero, torch.zeros_like(squared), torch.where(zero, torch.ones_like(squared), squared).sqrt())


def triplet_loss(same: Tensor, different: Tensor, margin: float) -> Tensor:
    """L_triplet = d_same + [P - d_different]_+, averaged over the tuples (paper, section 3.2.3).

    d_same stands outside the hinge: the distance from the centroid is made small in every case.

    Args:
        same: T distances of a person from the centroid of the person's other images.
        different: T distances between the person and the mined negatives.
        margin: P.
    """
    return (same + F.relu(margin - different)).mean()


def adversarial_loss(predicted: Tensor, correct: Tensor) -> Tensor:
    """L_adv = (1 - correct) d_pred - correct d_pred, averaged (paper, section 5.2).

    Where Bruna told the negatives from the person the predicted distance is to grow, else to shrink. It has no
    lower bound: as Bruna is nearly always right it diverges, as the paper says.

    Args:
        predicted: the adversary's distances of the mined negatives.
        correct: the same shape; 1 where Bruna was right, else 0.
    """
    return ((1 - correct) * predicted - correct * predicted).mean()


def adversarial_regression(predicted: Tensor, features: Tensor) -> Tensor:
    """(|b_i - b_j|^2 - d_pred(i, j))^2, averaged over all pairs of images; b are Bruna's features at length one.

    The bounded cure of `adversarial_loss`. Both sides lie between 0 and 4 from the first step on, and every pair of
    images that the adversary saw counts. (The authors' last notebook regresses the unscaled distances of the eight
    pairs of a tuple.)

    Args:
        predicted: N x N, the adversary's squared distances of its unit vectors.
        features: N x F, Bruna's features of the same images; no gradient flows into them.
    """
    unit = F.normalize(features.detach())
    first, second = torch.triu_indices(len(unit), len(unit), offset=1, device=unit.device)
    true = 2 - 2 * unit @ unit.T
    return (true[first, second] - predicted[first, second]).square().mean()


def batch_hard_loss(features: Tensor, identities: Tensor, margin: float) -> Tensor:
    """[margin + d(hardest positive) - d(hardest negative)]_+, averaged over the images that have both.

    Hermans et al., In defense of the triplet loss (2017), equation 5; distances of unit vectors, 0 to 2.

    Args:
        features: B x F.
        identities: B integers.
        margin: in units of that distance.
    """
    unit = F.normalize(features)
    squared = (2 - 2 * unit @ unit.T).clamp(min=1e-12)
    distances = squared.sqrt()
    same = identities[:, None] == identities[None, :]
    itself = torch.eye(len(same), dtype=torch.bool, device=same.device)
    positive = distances.masked_fill(~same | itself, -1).amax(dim=1)
    negative = distances.masked_fill(same, float("inf")).amin(dim=1)
    counted = (positive >= 0) & negative.isfinite()
    loss = F.relu(margin + positive - torch.where(counted, negative, positive))
    return (loss * counted).sum() / counted.sum().clamp(min=1)


def segmentation_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Pixel-wise binary cross entropy plus the Dice loss 1 - 2|A n B| / (|A| + |B|), averaged over the images.

    The cross entropy is the U-Net paper's; the Dice term (Milletari et al., 2016) keeps small persons from being
    outvoted by the background.

    Args:
        logits: B x 1 x H x W.
        masks: B x 1 x H x W, 0 to 1.
    """
    probability = logits.sigmoid()
    overlap = (probability * masks).sum(dim=(1, 2, 3))
    total = probability.sum(dim=(1, 2, 3)) + masks.sum(dim=(1, 2, 3))
    dice = 1 - (2 * overlap + 1) / (total + 1)
    return F.binary_cross_entropy_with_logits(logits, masks) + dice.mean()
