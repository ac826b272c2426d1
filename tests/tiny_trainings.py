"""Train the three networks for a few steps and print the MD5 of their weights, with a stub in a module's place.

    python tests/tiny_trainings.py [FILE]

FILE is one that no stage depends on (`stage_dependencies.EXEMPT`): its stub stands in `sys.modules` before anything of
the package is imported. stages/harness.py takes no part in a training: given as FILE, it is really imported first.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
SIZE = (32, 32)
AUGMENT = {"pad": 2, "erase": 0.5}
TINY = {
    "train_unet": {"image_size": SIZE, "width": 2, "depth": 2, "epochs": 1, "batch_size": 4},
    "train_attributes": {
        "network": "mobilenet_v3_small",
        "image_size": SIZE,
        "epochs": 2,
        "batch_size": 12,
        "junk_share": 0.1,
        "weak_share": 0.1,
        "task_weights": "raise_worst",
        "identity_weight": 0.5,
    },
    "train_bruna": {
        "image_size": SIZE,
        "features": 16,
        "epochs": 1,
        "warmup_epochs": 0.5,
        "tuples_per_identity": 1,
        "batch_tuples": 3,
        "validate_every": 1,
        "mask": "none",
        "bottleneck": False,
    },
}


def _module(name: str, **members: Any) -> None:
    sys.modules[name] = module = ModuleType(name)
    module.__dict__.update(members)


class _Track:
    """Hands on what it is given."""

    def __init__(self, iterable: Any, *_: Any, **__: Any) -> None:
        self.iterable, self.status = iterable, ""

    def __iter__(self) -> Iterator[Any]:
        return iter(self.iterable)


class _Group(SimpleNamespace):
    """A group of params.yaml as it is written, unchecked."""

    def model_dump(self, **_: Any) -> dict[str, Any]:
        return {name: value.model_dump() if isinstance(value, _Group) else value for name, value in vars(self).items()}


def _group(value: Any) -> Any:
    if isinstance(value, dict):
        return _Group(**{name: _group(inner) for name, inner in value.items()})
    return tuple(value) if isinstance(value, list) else value


class _Nothing:
    """A tracker whose methods do nothing."""

    def metrics(self, *_: Any, **__: Any) -> None: ...

    def last_step(self, _: str) -> int:
        return 0


def _stub_params() -> None:
    def any_class(name: str) -> type:  # of a group, for annotations
        if name.startswith("__"):
            raise AttributeError(name)
        return _Group

    _module("bruna.params", __getattr__=any_class, read_params=lambda path: _group(json.loads(path.read_text())))


def _stub_tracking() -> None:
    _module("bruna.tracking", __path__=[])
    for file in (PROJECT / "src/bruna/tracking").glob("[!_]*.py"):
        _module(f"bruna.tracking.{file.stem}", Tracker=_Nothing, NullTracker=_Nothing)


def _import_harness() -> None:
    sys.path.insert(0, str(PROJECT / "stages"))
    import harness

    assert harness.main


STUBS: dict[str, Callable[[], None]] = {
    "src/bruna/__init__.py": lambda: _module("bruna", __path__=[str(PROJECT / "src/bruna")]),
    "src/bruna/errors.py": lambda: _module(
        "bruna.errors", BrunaError=type("BrunaError", (Exception,), {}), counted=lambda *_: ""
    ),
    "src/bruna/progress.py": lambda: _module("bruna.progress", track=_Track),
    "src/bruna/pipeline/misfits.py": lambda: _module("bruna.pipeline.misfits"),
    "src/bruna/pipeline/check.py": lambda: _module("bruna.pipeline.check"),
    "src/bruna/params.py": _stub_params,
    "src/bruna/tracking": _stub_tracking,
    "stages/harness.py": _import_harness,
}


def trained(params: Any) -> dict[str, Any]:
    """What the three trainings leave, networks first."""
    import torch

    from bruna.tracking.protocol import NullTracker
    from bruna.training.attributes import train_attributes
    from bruna.training.bruna import train_bruna
    from bruna.training.checkpoint import Checkpoints
    from bruna.training.unet import train_unet
    from person_table import mask_pairs, person_table

    shared: dict[str, Any] = {
        "tracker": NullTracker(),
        "checkpoints": Checkpoints(None),
        "device": torch.device("cpu"),
    }
    sides = person_table(range(1, 7), 4, SIZE), person_table(range(7, 10), 4, SIZE)
    unet = train_unet(mask_pairs(SIZE), params.train_unet, **shared)
    attributes = train_attributes(*sides, params.train_attributes, **shared)
    bruna = train_bruna(*sides, None, params.train_bruna, **shared)
    return {"unet": unet.model, "attributes": attributes.model, "bruna": bruna.bruna, "adversary": bruna.adversary}


def main(stubbed: str | None, folder: Path) -> None:
    """Train and print, params.yaml of the trainings in `folder`."""
    import yaml

    raw = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    for group, values in TINY.items():
        raw[group] |= {**values, "augment": raw[group]["augment"] | AUGMENT}
    file = folder / "params.yaml"
    file.write_text(json.dumps(raw), encoding="utf-8")
    if stubbed:
        STUBS[stubbed]()
    from bruna.params import read_params
    from bruna.runtime import prepare_process, prepare_torch

    prepare_process(file)
    prepare_torch("cpu", 1)
    digests = {}
    for name, network in trained(read_params(file)).items():
        digests[name] = hashlib.md5(usedforsecurity=False)
        for key, tensor in network.state_dict().items():
            digests[name].update(key.encode() + tensor.numpy().tobytes())
    print(json.dumps({name: digest.hexdigest() for name, digest in digests.items()}))


if __name__ == "__main__":
    import tempfile

    sys.path.insert(0, str(PROJECT / "src"))
    with tempfile.TemporaryDirectory() as folder:
        main(sys.argv[1] if len(sys.argv) > 1 else None, Path(folder))
