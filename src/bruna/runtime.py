"""Where torch works: which device, how many threads, and reproducibly."""

import ctypes
import os
import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from bruna.errors import BrunaError

if TYPE_CHECKING:
    import torch

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # malloc.h


def prepare_torch(device: str, threads: int) -> "torch.device":
    """Set torch up for reproducible work and return the device to use. Call it before torch does anything.

    Args:
        device: `auto` (a GPU if there is one), `cpu`, `cuda` or `cuda:N`.
        threads: CPU threads; 0 leaves torch's own choice.

    Raises:
        BrunaError: there is no such device on this machine.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is reproducible only with this
    import torch  # noqa: PLC0415

    if threads > 0:
        torch.set_num_threads(threads)
    _keep_freed_memory()
    torch.set_flush_denormal(True)  # dying channels would make a CPU run ten times slower
    gpus = torch.cuda.device_count()
    if device == "auto":
        device = "cuda" if gpus else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise BrunaError(f"runtime.device: found {device!r}; give auto, cpu, cuda or cuda:N") from None
    if chosen.type == "cuda":
        if (chosen.index or 0) >= gpus:
            raise BrunaError(
                f"runtime.device: found {device!r}, but torch {torch.__version__} sees {gpus} GPUs on this machine. "
                "Set `runtime.device: auto` in params.yaml, or check the driver with nvidia-smi."
            )
        torch.backends.cudnn.deterministic = True
        torch.use_deterministic_algorithms(True, warn_only=True)
        warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation.*")
    elif chosen.type != "cpu":
        raise BrunaError(f"runtime.device: found {device!r}; give auto, cpu, cuda or cuda:N")
    return chosen


def _keep_freed_memory() -> None:
    """Have the C library keep what is freed instead of giving it back to the system page by page.

    By default glibc maps every tensor of more than a few hundred kilobytes anew and unmaps it afterwards (of more than
    32 MiB whatever its threshold is told); touching fresh pages then costs up to a third of an augmented batch, and
    a quarter of a training step at 96 x 192. Other C libraries are left as they are.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 64 << 20)):
        mallopt(option, value)


def mixed_precision(device: "torch.device") -> AbstractContextManager[object]:
    """Where a training step runs its networks: bfloat16 arithmetic on a GPU that has it, float32 elsewhere.

    Weights, losses and optimisers stay in float32: make floats of what leaves the block. bfloat16 has the range of
    float32, so gradients need no scaling.
    """
    import torch  # noqa: PLC0415

    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()
