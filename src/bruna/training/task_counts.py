"""What Task 1 gets right of an epoch: confusion matrices of its tasks as tensors, added up batch by batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from bruna.dataset.schema import Task


def no_counts(tasks: Sequence[Task], device: torch.device) -> Tensor:
    """Empty confusion matrices, T x V x V; V is the number of values of the task that has most."""
    most = max(len(task.values) for task in tasks)
    return torch.zeros(len(tasks), most, most, dtype=torch.int64, device=device)


def counts(predicted: Tensor, targets: Tensor, tasks: Sequence[Task]) -> Tensor:
    """Confusion matrices (true value, predicted value), T x V x V; a target of -1 counts nowhere.

    Args:
        predicted: N x T codes.
        targets: N x T codes, on the same device.
        tasks: T tasks.
    """
    empty = no_counts(tasks, targets.device)
    most = empty.shape[1]
    task = torch.arange(len(tasks), device=targets.device).expand_as(targets)
    known = targets >= 0
    flat = (task * most**2 + targets * most + predicted)[known]
    return torch.bincount(flat, minlength=empty.numel()).view_as(empty)


def accuracies(confusion: Tensor) -> Tensor:
    """Share of right predictions of each task; T x V x V counts to T, float64; 0 where nothing is counted."""
    right = confusion.diagonal(dim1=1, dim2=2).sum(dim=1)
    return right.double() / confusion.sum(dim=(1, 2)).clamp(min=1)


def balanced_accuracies(confusion: Tensor) -> Tensor:
    """Mean share found of each value that occurs, of each task; T x V x V counts to T, float32."""
    bearers = confusion.sum(dim=2)
    found = confusion.diagonal(dim1=1, dim2=2) / bearers.clamp(min=1)
    return found.sum(dim=1) / (bearers > 0).sum(dim=1).clamp(min=1)


def epoch_metrics(side: str, confusion: Tensor, tasks: Sequence[Task]) -> dict[str, float]:
    """Accuracy and balanced accuracy of a side of the split: means over the attributes, and those of each task.

    Returns:
        `<side>/accuracy`, `<side>/accuracy/<task>`, and the same for `balanced_accuracy`.
    """
    found = {"accuracy": accuracies(confusion), "balanced_accuracy": balanced_accuracies(confusion)}
    real = torch.tensor([not task.added for task in tasks], device=confusion.device)
    means = {f"{side}/{name}": float(each[real].mean()) for name, each in found.items()}
    of_each = {
        f"{side}/{name}/{task.name}": float(value)
        for name, each in found.items()
        for task, value in zip(tasks, each, strict=True)
    }
    return means | of_each
