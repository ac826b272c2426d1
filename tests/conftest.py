"""What all tests share. One thread a process: the tests run in two processes, each on a core of its own."""

import importlib.metadata
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ["MPLBACKEND"] = "Agg"
for name in ("DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", "BRUNA_EXECUTION"):
    os.environ.pop(name, None)
# A shell that starts the tests in the background has them ignore Ctrl-C, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def torchreid_file() -> Callable[[str], Path]:
    """Finds a file of torchreid/reid, an independent oracle that is read by its path and never imported."""

    def find(name: str) -> Path:
        try:
            found = importlib.metadata.distribution("torchreid").locate_file(f"torchreid/reid/{name}")
        except importlib.metadata.PackageNotFoundError:
            pytest.skip("torchreid is absent: install tests/oracle-requirements.txt with --no-deps")
        return Path(str(found))

    return find
