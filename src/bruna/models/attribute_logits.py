"""From logits to probabilities and codes, the same for both tasks' networks."""

from collections.abc import Sequence

import torch
from torch import Tensor

from bruna.dataset.schema import Task, logit_slices


def probabilities(logits: Tensor, tasks: Sequence[Task]) -> Tensor:
    """Logits to probabilities: a sigmoid a binary task, a softmax the others.

    Args:
        logits: B x L (or more), as `logit_slices(tasks)` lays them out.
        tasks: T tasks.

    Returns:
        B x L.
    """
    parts = [logits[:, :0]]
    for task, where in zip(tasks, logit_slices(tasks).values(), strict=True):
        part = logits[:, where]
        parts.append(part.sigmoid() if task.binary else part.softmax(dim=1))
    return torch.cat(parts, dim=1)


def predictions(logits: Tensor, tasks: Sequence[Task]) -> Tensor:
    """B x L (or more) logits to B x T codes, int64: the most probable value of each task."""
    return _codes(logits, tasks, 0.0)


def most_probable(found: Tensor, tasks: Sequence[Task]) -> Tensor:
    """B x L `probabilities` to B x T codes, int64: the most probable value of each task."""
    return _codes(found, tasks, 0.5)


def _codes(values: Tensor, tasks: Sequence[Task], even: float) -> Tensor:
    """A binary task is its second value where it is above `even`."""
    codes = values.new_zeros(len(values), len(tasks), dtype=torch.int64)
    for column, (task, where) in enumerate(zip(tasks, logit_slices(tasks).values(), strict=True)):
        part = values[:, where]
        codes[:, column] = part[:, 0] > even if task.binary else part.argmax(dim=1)
    return codes
