"""What Task 1 gets right of an epoch: confusion matrices of its 15 tasks as tensors, added up batch by batch."""

import torch
from torch import Tensor

from bruna.dataset.attributes import ATTRIBUTES, TASK_NAMES

_MOST_VALUES = max(len(attribute.values) for attribute in ATTRIBUTES)


def no_counts(device: torch.device) -> Tensor:
    """15 empty confusion matrices, T x V x V; V is the number of values of the task that has most."""
    return torch.zeros(len(TASK_NAMES), _MOST_VALUES, _MOST_VALUES, dtype=torch.int64, device=device)


def counts(predicted: Tensor, targets: Tensor) -> Tensor:
    """15 confusion matrices (true value, predicted value), T x V x V; a target of -1 counts nowhere.

    Args:
        predicted: N x 15 codes.
        targets: N x 15 codes, on the same device.
    """
    size = _MOST_VALUES**2
    task = torch.arange(len(TASK_NAMES), device=targets.device).expand_as(targets)
    known = targets >= 0
    flat = (task * size + targets * _MOST_VALUES + predicted)[known]
    return torch.bincount(flat, minlength=len(TASK_NAMES) * size).view(len(TASK_NAMES), _MOST_VALUES, _MOST_VALUES)


def accuracies(confusion: Tensor) -> Tensor:
    """Share of right predictions of each task; T x V x V counts to T, float64; 0 where nothing is counted."""
    right = confusion.diagonal(dim1=1, dim2=2).sum(dim=1)
    return right.double() / confusion.sum(dim=(1, 2)).clamp(min=1)


def balanced_accuracies(confusion: Tensor) -> Tensor:
    """Mean share found of each value that occurs, of each task; T x V x V counts to T, float32."""
    bearers = confusion.sum(dim=2)
    found = confusion.diagonal(dim1=1, dim2=2) / bearers.clamp(min=1)
    return found.sum(dim=1) / (bearers > 0).sum(dim=1).clamp(min=1)


def epoch_metrics(side: str, confusion: Tensor) -> dict[str, float]:
    """Accuracy and balanced accuracy of a side of the split: means over the attributes, and those of each task.

    Returns:
        `<side>/accuracy`, `<side>/accuracy/<task>`, and the same for `balanced_accuracy`.
    """
    found = {"accuracy": accuracies(confusion), "balanced_accuracy": balanced_accuracies(confusion)}
    means = {f"{side}/{name}": float(each[: len(ATTRIBUTES)].mean()) for name, each in found.items()}
    tasks = {
        f"{side}/{name}/{task}": float(value)
        for name, each in found.items()
        for task, value in zip(TASK_NAMES, each, strict=True)
    }
    return means | tasks
