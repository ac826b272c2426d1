"""Where and how a process computes: processor instructions, device, threads, reproducibly.

All of it that can change a result stands here, not in stages/harness.py, which only calls it.
"""

import ctypes
import os
import platform
import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from bruna.errors import BrunaError, counted
from bruna.yaml_file import parse, read_text

if TYPE_CHECKING:
    import torch

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # malloc.h

_AVX2_AT_MOST = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "MKL_CBWR": "COMPATIBLE",  # else MKL chooses how it multiplies matrices by the make too
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # what NumPy does not know it passes over
}
"""What torch, its two libraries and NumPy read when they are loaded."""


def prepare_process(params: Path) -> None:
    """Set what NumPy and torch read when they are imported. Call it before that.

    Args:
        params: params.yaml, of which `runtime.instructions` is read before anything is checked. A file that cannot
            be read limits nothing: its check says what is wrong.
    """
    # Idle threads spin for microseconds, not milliseconds, before they sleep: two stages on the same cores (queue
    # workers) are then three times as slow, not thirty. Torch's OpenMP reads this.
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    try:
        limit_instructions(str(parse(read_text(params), params)["runtime"]["instructions"]))
    except (BrunaError, KeyError, TypeError):
        return


def limit_instructions(instructions: str) -> None:
    """Have x86-64 processors add numbers in the same order. Call it before NumPy and torch are imported.

    With AVX-512 sums are formed in wider strips than with AVX2: the last bits differ, and after thousands of steps
    the weights. MKL also multiplies matrices in another order on another make.

    Args:
        instructions: `avx2` leaves AVX-512 unused; `native` changes nothing. A variable of the environment that is
            set already counts before both.
    """
    if instructions == "avx2" and platform.machine() in ("x86_64", "AMD64"):
        for name, value in _AVX2_AT_MOST.items():
            os.environ.setdefault(name, value)


def prepare_torch(
    device: str, threads: int, setting: str = "runtime.device", *, local_rank: int = 0, local_count: int = 1
) -> "torch.device":
    """Set torch up for reproducible work and return the device to use. Call it before torch does anything.

    Args:
        device: `auto` (a GPU if there is one), `cpu`, `cuda` or `cuda:N`.
        threads: CPU threads; 0 leaves torch's own choice, or shares the cores among the processes.
        setting: where the device was named, for the message.
        local_rank, local_count: which of how many processes of one training on this machine; each has a GPU of its own.

    Raises:
        BrunaError: there is no such device on this machine, or there are fewer GPUs than processes.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is reproducible only with this
    import torch  # noqa: PLC0415

    if threads > 0 or local_count > 1:
        torch.set_num_threads(threads or max(1, torch.get_num_threads() // local_count))
    _keep_freed_memory()
    torch.set_flush_denormal(True)  # dying channels would make a CPU run ten times slower
    chosen = find_device(device, setting)
    if chosen.type == "cuda" and local_count > 1:
        chosen = _own_gpu(setting, local_rank, local_count)
    if chosen.type == "cuda":
        torch.backends.cudnn.deterministic = True
        torch.use_deterministic_algorithms(True, warn_only=True)
        warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation.*")
    return chosen


def _own_gpu(setting: str, rank: int, count: int) -> "torch.device":
    import torch  # noqa: PLC0415

    if count > (gpus := torch.cuda.device_count()):
        raise BrunaError(
            f"{count} processes on this machine need a GPU each, and torch sees {gpus}. Start {gpus}, or set "
            f"{setting}: cpu"
        )
    return torch.device("cuda", rank)


def find_device(name: "str | torch.device", setting: str) -> "torch.device":
    """The device of a name, with torch's settings left as they are.

    Args:
        name: `auto` (a GPU if there is one), `cpu`, `cuda` or `cuda:N`, or one of these as torch's object.
        setting: where it was named, for the message.

    Raises:
        BrunaError: there is no such device on this machine.
    """
    import torch  # noqa: PLC0415

    gpus, found = torch.cuda.device_count(), str(name)
    try:
        chosen = torch.device(("cuda" if gpus else "cpu") if name == "auto" else name)
    except (RuntimeError, TypeError):
        chosen = None
    if chosen is None or chosen.type not in ("cpu", "cuda") or (chosen.type == "cpu" and chosen.index):
        raise BrunaError(f"{setting}: found {found!r}; give auto, cpu, cuda or cuda:N")
    if chosen.type == "cuda" and (chosen.index or 0) >= gpus:
        where = "Set `runtime.device: auto` in params.yaml" if setting == "runtime.device" else "Give auto"
        raise BrunaError(
            f"{setting}: found {found!r}, but torch {torch.__version__} sees {counted(gpus, 'GPUs')} on this machine. "
            f"{where}, or check the driver with nvidia-smi."
        )
    return chosen


def instruction_set() -> str:
    """Torch's name for the processor instructions that it uses, such as AVX2 or AVX512."""
    import torch  # noqa: PLC0415

    return str(torch.backends.cpu.get_cpu_capability())


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
