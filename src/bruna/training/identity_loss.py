"""Telling the training people apart, beside what a training is for: what the field calls the ID loss.

Zheng et al., Person re-identification: past, present and future (2016). The classifier is never kept: nobody in it
is anybody outside the training set.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

COSINE_SCALE = 24.0
"""What cosines are multiplied by, so that their softmax can come near 1 (s in Wang et al., CosFace, 2018)."""
NO_IDENTITY = -100
"""The class number of an image that shows no person: it counts in no loss."""


def class_numbers(identities: Tensor) -> tuple[Tensor, int]:
    """The place of each image's identity among all of them, and how many there are.

    Args:
        identities: N integers, on the CPU.

    Returns:
        N int64, 0 to P - 1, and P.
    """
    people, numbers = torch.unique(identities, return_inverse=True)
    return numbers, len(people)


def identity_head(features: int, people: int) -> nn.Module:
    """Batch norm and a linear layer from pooled features to the people (Luo et al., BNNeck, 2019).

    Args:
        features: length of the pooled features.
        people: number of training identities; 0 makes a module that does nothing.
    """
    if not people:
        return nn.Identity()
    return nn.Sequential(nn.BatchNorm1d(features), nn.Linear(features, people, bias=False))


class CosineClassifier(nn.Linear):
    """A direction for each person."""

    def __init__(self, features: int, people: int) -> None:
        super().__init__(features, people, bias=False)

    def forward(self, embeddings: Tensor) -> Tensor:
        """The cosine of the angle between a B x F embedding and the direction of each person: B x P, -1 to 1."""
        return F.linear(F.normalize(embeddings), F.normalize(self.weight))


def cosine_logits(cosines: Tensor, classes: Tensor, margin: float) -> Tensor:
    """s (cos - m) for the person that an image shows, s cos for all others (Wang et al., CosFace, 2018, equation 4).

    Args:
        cosines: B x P, of a `CosineClassifier`.
        classes: B class numbers.
        margin: m: how much nearer than anybody else's the own direction has to be.

    Returns:
        B x P; s is `COSINE_SCALE`.
    """
    return COSINE_SCALE * (cosines - margin * F.one_hot(classes, cosines.shape[1]))


def identity_loss(logits: Tensor, classes: Tensor, smoothing: float) -> Tensor:
    """Cross entropy over the people with label smoothing (Szegedy et al., 2016), averaged over the images with one.

    It is 0 where no image shows anybody.

    Args:
        logits: B x P.
        classes: B class numbers, `NO_IDENTITY` where an image shows nobody.
        smoothing: share of the target that is spread evenly over the people.
    """
    if bool((classes == NO_IDENTITY).all()):
        return logits.sum() * 0  # the mean over no image would be NaN, and all weights after it
    return F.cross_entropy(logits, classes, ignore_index=NO_IDENTITY, label_smoothing=smoothing)
