"""Starts the processes of one training on this machine, under torch's own agent (torch.distributed.run)."""

import ctypes
import logging
import os
import signal
import sys


def start_together(script: str, count: int) -> int:
    """Run a script in so many processes until all of them have ended; one that fails ends all.

    The first of them speaks to people. A signal to this process goes to all of them, and where it is killed they end
    too (`end_with_parent`).

    Args:
        script: path of a Python script.
        count: of processes.

    Returns:
        The exit status of the first process, 128 and the number of the signal where one has ended it.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # of its sockets, which retry by themselves
    from torch.distributed.elastic.multiprocessing import SignalException  # noqa: PLC0415
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError  # noqa: PLC0415
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch  # noqa: PLC0415

    for name in list(logging.root.manager.loggerDict):
        if name.startswith("torch.distributed"):  # its reports repeat in other words what the first process says
            logging.getLogger(name).setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=f"bruna-{os.getpid()}",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        signals_to_handle="SIGTERM,SIGINT",
    )
    try:
        elastic_launch(config, sys.executable)(script)
    except SignalException as error:
        return 128 + int(error.sigval)
    except ChildFailedError as error:
        first = error.failures.get(0)
        return 1 if first is None else first.exitcode if first.exitcode > 0 else 128 - first.exitcode
    return 0


def end_with_parent() -> None:
    """Have the system send SIGTERM to this process when the one that started it ends (Linux; elsewhere nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
