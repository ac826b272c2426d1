"""Telling the training people apart, beside what a training is for: what the field calls the ID loss.

Zheng et al., Person re-identification: past, present and future (2016). The classifier is never kept: nobody in it
is anybody outside the training set.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
