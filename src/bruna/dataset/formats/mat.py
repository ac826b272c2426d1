"""MATLAB files, read by a process of its own.

SciPy's reader crashes on some damaged files and takes all memory for others. So `python -m bruna.dataset.formats.mat`
takes a file on stdin and prints its variables as JSON, with bounds of memory and time.
"""

import io
import json
import os
import subprocess
import sys
from contextlib import suppress
from typing import Any

import numpy as np
import psutil

from bruna.errors import BrunaError

_SECONDS = 60
_MEMORY = 1 << 30
"""Bounds of the reading process: seconds, and bytes beyond what its libraries take."""
_COMMAND = [sys.executable, "-P", "-m", "bruna.dataset.formats.mat"]
"""-P: a scipy.py in the working folder is not SciPy."""


def read_mat(data: bytes, name: str, advice: str, *variables: str) -> dict[str, Any]:
    """Read variables of a MATLAB file.

    Args:
        data: the bytes of the file.
        name: its name, for messages.
        advice: ends a message: where to get a whole one.
        variables: those to read.

    Returns:
        Those that are there, by name: structs as dictionaries, arrays and cells as (nested) lists, one of a single
        element as the element, numbers and text.

    Raises:
        BrunaError: it is no MATLAB file, or the process that reads it breaks down.
    """
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        child = subprocess.run(
            [*_COMMAND, *variables], input=data, env=environment, capture_output=True, timeout=_SECONDS, check=False
        )
        found = json.loads(child.stdout)
    except subprocess.TimeoutExpired:
        raise BrunaError(f"{name} is damaged: it could not be read within {_SECONDS} seconds. {advice}") from None
    except ValueError:
        status = child.returncode
        raise BrunaError(f"{name} is damaged: the process that read it died (status {status}). {advice}") from None
    if isinstance(found, str):
        raise BrunaError(f"{name} {found}. {advice}")
    return dict(found)


def load_plain(data: bytes, variables: list[str]) -> dict[str, Any] | str:
    """Read a MATLAB file in this process, which may die of it.

    Returns:
        As `read_mat`; or what is wrong, as the end of a sentence about the file.
    """
    import scipy.io  # noqa: PLC0415 - only this process reads such files, and not every machine has it

    try:
        found = scipy.io.loadmat(io.BytesIO(data), simplify_cells=True, variable_names=variables)
    except Exception as error:  # SciPy raises whatever damage makes it stumble over
        return f"cannot be read as a MATLAB file ({str(error) or type(error).__name__})"
    return {name: _plain(found[name]) for name in variables if name in found}


def _plain(value: Any) -> Any:
    """A value of SciPy's as JSON has it."""
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufSU":
        return value.tolist()
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value if isinstance(value, int | float) else str(value)


def as_list(value: Any) -> list[Any]:
    """A row of values, which the reader gives as the value itself where there is one."""
    return value if isinstance(value, list) else [value]


def _limit() -> None:
    """Bound this process, where the system can: memory, time should its parent be killed, and no core file."""
    with suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - absent on Windows

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
        most = psutil.Process().memory_info().vms + _MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    import scipy.io  # noqa: F401 - before the bound, which counts what libraries take

    mat = sys.stdin.buffer.read()
    _limit()
    print(json.dumps(load_plain(mat, sys.argv[1:])))
