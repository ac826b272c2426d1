"""The processes of one training: what each does of a batch, and what they tell one another.

A process runs the networks on its share of a batch. What they give is gathered, and every process then computes the
same losses of the whole batch. `torchrun` (torch.distributed.run) starts the processes; gloo connects CPUs, nccl GPUs.

Why neither DistributedDataParallel nor Lightning Fabric: losses over the pairs of a batch need the gathered batch with
gradients, and batch norm on CPUs the statistics of the whole batch, which neither has. What is left for them is to
average the gradients, one call here.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from bruna.errors import BrunaError, counted

T = TypeVar("T")

_PATIENCE = timedelta(minutes=10)
"""How long a process waits for one that is silent; one that has ended is noticed at once."""


class ProcessLostError(BrunaError):
    """Another process of the training has ended before its time."""


@dataclass(frozen=True)
class Processes:
    """One of the `count` processes of a training; `rank` counts from 0. Every method is called by all of them at once.

    Where `count` is 1 nothing is sent anywhere.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether it is the one that writes files and talks to people."""
        return self.rank == 0

    def share(self, length: int) -> slice:
        """This process's part of `length` things: neighbours, as many as any other's or one more or less."""
        return slice(length * self.rank // self.count, length * (self.rank + 1) // self.count)

    def share_of_batch(self, length: int, least: int = 1) -> slice:
        """This process's part of a batch of `length` images.

        Raises:
            BrunaError: one of the processes would get fewer than `least`.
        """
        if length // self.count < least:
            raise BrunaError(
                f"a batch of {counted(length, 'images')} is too small for {self.count} processes, each of which needs "
                f"{least} at least: make the batches larger, or set fewer processes"
            )
        return self.share(length)

    def gather(self, own: Tensor) -> Tensor:
        """The rows of all processes, one after another, on each of them.

        A loss that all of them compute from these rows may be differentiated: `average_gradients` then gives what one
        process would have got from the whole batch.

        Args:
            own: B x ..., B at least 1; it may differ from process to process.
        """
        gathered: Tensor = own if self.count == 1 else _Gather.apply(own, self)
        return gathered

    def average_gradients(self, networks: Iterable[nn.Module]) -> None:
        """Make the gradients of networks the mean over the processes."""
        if self.count == 1:
            return
        found = [p.grad for network in networks for p in network.parameters() if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in found])
        with _others():
            dist.all_reduce(flat)
        flat /= self.count
        means = torch.split(flat, [gradient.numel() for gradient in found])
        for gradient, mean in zip(found, means, strict=True):
            gradient.copy_(mean.view_as(gradient))

    def all(self, value: T) -> list[T]:
        """What each of them gives: something small, or tensors on the CPU, that can be pickled."""
        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        with _others():
            dist.all_gather_object(found, value)
        return found

    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        """The rows of the tensors of all processes, one after another, on the CPU. One may have no tensor."""
        return torch.cat([part for own in self.all([part.cpu() for part in parts]) for part in own])

    def from_first(self, value: T) -> T:
        """What the first of them gives; the values of the others do not matter."""
        if self.count == 1:
            return value
        found = [value]
        with _others():
            dist.broadcast_object_list(found, src=0)
        return found[0]

    @staticmethod
    def join(device: torch.device) -> "Processes":
        """Meet the other processes that torchrun has started with this one; one that was started alone stays alone.

        Args:
            device: where this process computes.

        Raises:
            BrunaError: they were not found.
        """
        if not started_together():
            return ALONE
        if device.type == "cuda":
            torch.cuda.set_device(device)
        try:
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
        except (RuntimeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise BrunaError(f"the processes of this training could not connect: {reason}") from error
        return Processes(dist.get_rank(), dist.get_world_size())


ALONE = Processes()
"""A training in one process."""


def started_together() -> bool:
    """Whether torchrun has started this process."""
    return dist.is_torchelastic_launched() and int(os.environ["WORLD_SIZE"]) > 1


class _Gather(torch.autograd.Function):
    """Rows of all processes; backward, each gets the gradient of its own rows.

    All compute the same loss, so that the gradient of its own rows is all of it: times the count, as the mean over the
    processes is taken later.
    """

    @staticmethod
    def forward(ctx: Any, own: Tensor, processes: Processes) -> Tensor:
        sizes = [len_ for (len_,) in _gathered(torch.tensor([len(own)], device=own.device), processes.count)]
        longest = max(int(size) for size in sizes)
        padded = own.new_zeros(longest, *own.shape[1:])
        padded[: len(own)] = own
        parts = [part[: int(size)] for part, size in zip(_gathered(padded, processes.count), sizes, strict=True)]
        ctx.count, before = processes.count, sum(int(size) for size in sizes[: processes.rank])
        ctx.rows = slice(before, before + len(own))
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient[ctx.rows] * ctx.count, None


def _gathered(own: Tensor, count: int) -> list[Tensor]:
    parts = [torch.empty_like(own) for _ in range(count)]
    with _others():
        dist.all_gather(parts, own)
    return parts


class WholeBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm (Ioffe and Szegedy, 2015) with the mean and variance of the batches of all processes.

    As torch's SyncBatchNorm, which refuses CPUs.
    """

    def _check_input_dim(self, _: Tensor) -> None:
        """Any B x C x ... will do."""

    def forward(self, x: Tensor) -> Tensor:
        """B x C x ... to the same shape."""
        if not self.training:
            return super().forward(x)
        normalised: Tensor
        normalised, mean, variance, count = _WholeBatch.apply(x, self.weight, self.bias, self.eps)
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None
            assert self.num_batches_tracked is not None and self.momentum is not None
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1).clamp(min=1)), self.momentum)
        return normalised


class _WholeBatch(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        own = torch.full((1,), x.numel() / x.shape[1], dtype=weight.dtype, device=x.device)
        mean, variance = torch.batch_norm_update_stats(x, None, None, 0.0)
        parts = torch.stack(_gathered(torch.cat([own, mean.to(own), variance.to(own)]), dist.get_world_size()))
        counts, (means, variances) = parts[:, :1], parts[:, 1:].chunk(2, dim=1)
        count = counts.sum()
        mean = (counts * means).sum(dim=0) / count
        variance = (counts * (variances + (means - mean).square())).sum(dim=0) / count
        ctx.save_for_backward(x, weight, mean, variance, count)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance, count)
        normalised = torch.batch_norm(x, weight, bias, mean, variance, False, 0.0, eps, torch.backends.cudnn.enabled)
        return normalised, mean, variance, count

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, variance, count = ctx.saved_tensors
        # With the statistics as constants; what passes through them is added below.
        direct, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.stack([by_weight, by_bias])
        with _others():
            dist.all_reduce(sums)
        scale = (variance + ctx.eps).rsqrt()
        slope = -weight * scale.square() * sums[0] / count
        offset = -weight * scale * sums[1] / count - slope * mean
        shape = (1, -1) + (1,) * (x.dim() - 2)
        return direct + (x * slope.view(shape) + offset.view(shape)).to(direct.dtype), by_weight, by_bias, None


def with_whole_batch_norm(network: nn.Module, processes: Processes) -> nn.Module:
    """Have the batch norms of a network, which sees a share of each batch, use the statistics of the whole batch.

    Args:
        network: changed in place; names and values of its state stay.
        processes: of the training; where it is one alone, nothing changes.
    """
    if processes.count == 1:
        return network
    for name, part in network.named_children():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            whole = WholeBatchNorm(part.num_features, part.eps, part.momentum)
            whole.load_state_dict(part.state_dict())
            setattr(network, name, whole)
        else:
            with_whole_batch_norm(part, processes)
    return network


@contextmanager
def _others() -> Iterator[None]:
    """Where a process needs the others.

    Raises:
        ProcessLostError: one of them has ended, or has been silent for too long.
    """
    try:
        yield
    except RuntimeError as error:
        raise ProcessLostError(
            "another process of this training has ended: killed, for want of memory maybe, or its machine is gone. "
            "What was reached is kept: `dvc repro` goes on from there."
        ) from error
