"""Where torch works: which device, how many threads, and reproducibly."""

import os
import warnings
from typing import TYPE_CHECKING

from bruna.errors import BrunaError

if TYPE_CHECKING:
    import torch


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
