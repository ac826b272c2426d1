"""What all tests share. One thread a process: the tests run in two processes, each on a core of its own."""

import importlib.metadata
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ["MPLBACKEND"] = "Agg"
_OF_A_USER = ("BRUNA_EXECUTION", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME")  # no test writes to a team's server
for name in ("DVC_ROOT", "DVC_STAGE", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", *_OF_A_USER):
    os.environ.pop(name, None)
# A shell that starts the tests in the background has them ignore Ctrl-C, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, str(Path(__file__).parent))
ROOT = Path(__file__).parents[1]
Run = Callable[..., tuple[int, str, str]]
"""Takes the arguments of `bruna`; returns exit status, stdout and stderr."""


@pytest.fixture(autouse=True)
def _denormals() -> Iterator[None]:
    """A command that a test runs in this process flushes denormals, which hypothesis draws: back to the default."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture
def top_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the settings and presets of the project, as working folder."""
    (tmp_path / "presets").mkdir()
    for name in ("params.yaml", "presets/sample.yaml", "presets/paper.yaml", "presets/market1501.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def bruna(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process."""
    from bruna.cli.main import main

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bruna", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


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


@pytest.fixture(scope="module")
def chrome() -> Iterator["Browser"]:
    """A headless browser. Not for the whole session: while it is open no other event loop runs in this process."""
    from chromium import chromium

    with chromium() as found:
        yield found
