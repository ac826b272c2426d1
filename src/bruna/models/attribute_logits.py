"""From attribute logits to probabilities and codes, the same for both tasks' networks."""

import torch
from torch import Tensor

from bruna.dataset.attributes import ATTRIBUTES, LOGITS, logit_slices


def attribute_probabilities(logits: Tensor) -> Tensor:
    """B x 32 (or more) logits to B x 32 probabilities: a sigmoid a binary attribute, a softmax the others."""
    parts = []
    for attribute, where in zip(ATTRIBUTES, logit_slices().values(), strict=True):
        part = logits[:, where]
        parts.append(part.sigmoid() if attribute.binary else part.softmax(dim=1))
    return torch.cat(parts, dim=1)


def attribute_predictions(logits: Tensor) -> Tensor:
    """B x 32 (or more) logits to B x 12 codes: the most probable value of each attribute."""
    return _codes(logits, 0.0)


def most_probable(probabilities: Tensor) -> Tensor:
    """B x 32 probabilities to B x 12 codes: the most probable value of each attribute."""
    return _codes(probabilities, 0.5)


def _codes(values: Tensor, even: float) -> Tensor:
    """B x 32 (or more) to B x 12 codes; a binary attribute is its second value where it is above `even`."""
    codes = []
    for attribute, where in zip(ATTRIBUTES, logit_slices().values(), strict=True):
        part = values[:, where]
        codes.append((part[:, 0] > even).long() if attribute.binary else part.argmax(dim=1))
    return torch.stack(codes, dim=1)


def task_predictions(logits: Tensor) -> Tensor:
    """N x 35 logits of Task 1 to N x 15 codes: the twelve attributes, then camera4, camera6 and junk as 0 or 1."""
    return torch.cat([attribute_predictions(logits), (logits[:, LOGITS:] > 0).long()], dim=1)
