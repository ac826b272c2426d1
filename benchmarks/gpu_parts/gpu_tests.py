"""The tests marked `gpu`, run by pytest where it is installed."""

import importlib.util
import os
import subprocess
import sys

from gpu_parts.bench import PROJECT, Bench, NotHereError, Result

_SHOWN = 30
"""Lines of pytest's output that are kept."""


def gpu_tests(bench: Bench, seconds: float) -> Result:
    """Run them; those that fail are told, and the part has then failed."""
    if importlib.util.find_spec("pytest") is None:
        raise NotHereError("pytest is not installed: the tests marked gpu were not run.")
    files = sorted(
        str(file) for file in (PROJECT / "tests").rglob("test_*.py") if "mark.gpu" in file.read_text("utf-8")
    )
    # The options of pyproject.toml are for pytest-xdist, which need not be here.
    options = ["-m", "gpu", "-rA", "-o", "addopts=", "-p", "no:cacheprovider"]
    found = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files],
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": str(PROJECT / "src")},
        capture_output=True,
        text=True,
        timeout=max(seconds, 60.0),
        check=False,
    )
    lines = (found.stdout + found.stderr).strip().splitlines()
    if found.returncode:
        raise RuntimeError(f"pytest ended with status {found.returncode}:\n" + "\n".join(lines[-_SHOWN:]))
    told = [line.partition(" - ")[0].split(" ", 1) for line in lines if line.startswith(("PASSED ", "SKIPPED "))]
    return Result({"Tests marked gpu": [{"test": name, "result": how.lower()} for how, name in told]}, [lines[-1]])
