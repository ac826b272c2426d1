"""Bruna: person re-identification and pedestrian attributes as one reproducible pipeline.

    models = bruna.load("artifacts")
    found = models.describe(["a.jpg", "b.jpg"])

Names are imported when they are first used, so that `import bruna` costs nothing. They are named by strings: a plain
import, be it inside a function, would make every stage depend on all of `inference/`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bruna.errors import BrunaError
    from bruna.index.asking import Index, open_index
    from bruna.inference.described import Described
    from bruna.inference.describer import Describer
    from bruna.inference.settings import Settings
    from bruna.registry.loading import load

    __version__: str

__all__ = ["BrunaError", "Described", "Describer", "Index", "Settings", "__version__", "load", "open_index"]

_MODULES = {
    "BrunaError": "bruna.errors",
    "Described": "bruna.inference.described",
    "Describer": "bruna.inference.describer",
    "Index": "bruna.index.asking",
    "Settings": "bruna.inference.settings",
    "load": "bruna.registry.loading",
    "open_index": "bruna.index.asking",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("bruna")
    if name not in _MODULES:
        raise AttributeError(f"module 'bruna' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
