"""Whether tensors from a file can be a network's weights."""

from collections.abc import Mapping

import torch
from torch import Tensor

from bruna.errors import counted

_NAMED = 3
"""Tensors that are named of those that do not fit."""


def misfit(own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str | None:
    """Why tensors are not a network's, as a part of a sentence; None where they are.

    Args:
        own: the network's, by name.
        found: those that are to take their place, dense and on the CPU. Floats may be of another precision.
    """
    wrong = [key for key in own if key not in found or found[key].shape != own[key].shape]
    extra = sorted(set(found) - set(own))
    if wrong or extra:
        return (
            f"{len(wrong)} of its {len(own)} tensors are missing or of another shape (first: {wrong[:_NAMED]}), "
            f"{len(extra)} are unknown (first: {extra[:_NAMED]})"
        )
    unusable = [f"{key} {problem}" for key in own if (problem := _problem(key, own[key], found[key]))]
    if unusable:
        return f"{counted(len(unusable), 'tensors')} cannot be weights: {'; '.join(unusable[:_NAMED])}"
    return None


def _problem(name: str, own: Tensor, found: Tensor) -> str | None:
    if _kind(own) != _kind(found):
        return f"holds {_kind(found)} ({str(found.dtype).removeprefix('torch.')}) where {_kind(own)} belong"
    numbers = found.to(own.dtype)
    if not bool(numbers.isfinite().all()):
        return "holds NaN or infinite numbers"
    if name.endswith("running_var") and bool((numbers < 0).any()):
        return "holds negative variances"
    return None


def _kind(tensor: Tensor) -> str:
    if tensor.is_floating_point():
        return "floats"
    if tensor.is_complex():
        return "complex numbers"
    return "truth values" if tensor.dtype == torch.bool else "whole numbers"
