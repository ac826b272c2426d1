"""stages/harness.py in this process."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

FILE = Path(__file__).resolve().parents[1] / "stages" / "harness.py"


def load() -> ModuleType:
    """The module, imported once; what it sets for a process of its own is put back."""
    if "harness" not in sys.modules:
        path, environment = list(sys.path), dict(os.environ)
        spec = importlib.util.spec_from_file_location("harness", FILE)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules["harness"] = module
        spec.loader.exec_module(module)
        sys.path[:] = path
        os.environ.clear()
        os.environ.update(environment)
    return sys.modules["harness"]
