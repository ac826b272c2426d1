"""The attribute file of the official Market-1501 release, as the two annotation files of the data set.

Source: `market_attribute.mat` of github vana77/Market-1501_Attribute (Lin et al., "Improving person
re-identification by attribute and identity learning"). It is a MATLAB struct `market_attribute` with the structs
`test` and `train`; each has 27 rows of numbers, named as the columns of the annotation file and coded the same
way, and `image_index`, a cell row of identities as strings.

SciPy's reader crashes on some damaged files and takes all memory for others. So a process of its own reads the file:
`python -m bruna.dataset.import_market`, which takes it on stdin and prints JSON, with bounds of memory and time.
"""

import csv
import io
import json
import os
import subprocess
import sys
from contextlib import suppress
from typing import Any

import numpy as np
import psutil
import scipy.io

from bruna.dataset.course import ANNOTATION_COLUMNS
from bruna.errors import BrunaError, counted

_SECONDS = 60
_MEMORY = 1 << 30
"""Bounds of the reading process: seconds, and bytes beyond what its libraries take."""
_COMMAND = [sys.executable, "-P", "-m", "bruna.dataset.import_market"]
"""-P: a scipy.py in the working folder is not SciPy."""
_ORIGIN = "Get market_attribute.mat from github.com/vana77/Market-1501_Attribute."


def annotations_of_mat(data: bytes, name: str) -> tuple[bytes, bytes]:
    """Turn the attribute file into `annotations_train.csv` and `annotations_test.csv`.

    Args:
        data: the bytes of the .mat file.
        name: its name, for messages.

    Returns:
        The two CSV files, one row an identity, in order of identity.

    Raises:
        BrunaError: it is no .mat file, lacks a part, or the process that reads it breaks down.
    """
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        child = subprocess.run(
            _COMMAND, input=data, env=environment, capture_output=True, timeout=_SECONDS, check=False
        )
        found = json.loads(child.stdout)
    except subprocess.TimeoutExpired:
        raise BrunaError(f"{name} is damaged: it could not be read within {_SECONDS} seconds. {_ORIGIN}") from None
    except ValueError:
        status = child.returncode
        raise BrunaError(f"{name} is damaged: the process that read it died (status {status}). {_ORIGIN}") from None
    if isinstance(found, str):
        raise BrunaError(f"{name} {found}. {_ORIGIN}")
    train, test = found
    return train.encode(), test.encode()


def read_mat(data: bytes) -> tuple[str, str] | str:
    """Read the attribute file in this process, which may die of it.

    Returns:
        The texts of the two annotation files, or what is wrong, as the end of a sentence about the file.
    """
    try:
        market = scipy.io.loadmat(io.BytesIO(data), simplify_cells=True, variable_names=["market_attribute"])
        market = market["market_attribute"]
        return _csv(market["train"], "train"), _csv(market["test"], "test")
    except BrunaError as error:
        return str(error)
    except (KeyError, IndexError, TypeError) as error:
        return f"has not the structure of the attribute file: no {error}"
    except Exception as error:  # SciPy raises whatever damage makes it stumble over
        return f"cannot be read as a MATLAB file ({str(error) or type(error).__name__})"


def _csv(part: Any, name: str) -> str:
    identities = np.atleast_1d(part["image_index"]).astype(str).astype(int)
    columns = {column: np.atleast_1d(part[column]) for column in ANNOTATION_COLUMNS[1:]}
    for column, values in columns.items():
        if values.shape != identities.shape:
            shapes = f"{counted(values.size, 'values')} for {counted(identities.size, 'identities')}"
            raise BrunaError(f"cannot be used: {column} of {name} has {shapes}")
        if not np.array_equal(values, values.astype(int)):
            raise BrunaError(f"cannot be used: {column} of {name} holds values that are not whole numbers")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(ANNOTATION_COLUMNS)
    for row in np.argsort(identities, kind="stable"):
        writer.writerow([int(identities[row]), *(int(values[row]) for values in columns.values())])
    return text.getvalue()


def _limit() -> None:
    """Bound this process, where the system can: memory, time should its parent be killed, and no core file."""
    with suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - absent on Windows

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
        most = psutil.Process().memory_info().vms + _MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    mat = sys.stdin.buffer.read()
    _limit()
    print(json.dumps(read_mat(mat)))
