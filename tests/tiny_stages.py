"""The scripts of stages/ in the process of a test, on a tiny data set and with tiny networks.

What the scripts share, stages/harness.py, opens an MLflow run and sets the process up: here a `Stage` without either
stands in for it.
"""

import importlib.util
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import torch

from bruna.files import write_json
from bruna.headlines import FIGURES_FILE, headline_metrics
from bruna.params import Params
from bruna.processes import ALONE, Processes
from bruna.tracking.protocol import NullTracker
from tiny_dataset import write_annotations, write_dataset, write_image

SCRIPTS = Path(__file__).resolve().parents[1] / "stages"
STAGES = ("validate", "split", "train_unet", "segment", "train_attributes", "train_bruna", "evaluate", "report")


class Log(NullTracker):
    """Remembers what is logged to it."""

    def __init__(self) -> None:
        self.files: list[tuple[str, str | None]] = []
        self.tables: dict[str, pd.DataFrame] = {}
        self.values: list[tuple[int | None, dict[str, float]]] = []

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        self.values.append((step, dict(values)))

    def file(self, path: Path, folder: str | None = None) -> None:
        assert path.exists(), path
        self.files.append((path.name, folder))

    def table(self, table: pd.DataFrame, name: str) -> None:
        self.tables[name] = table


@dataclass
class Stage:
    """What a stage's script works with, as in stages/harness.py; `finished` is what it gave to `finish`."""

    name: str
    params: Any
    project: Path
    tracker: Log = field(default_factory=Log)
    inputs: Mapping[str, str] = field(default_factory=dict)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    processes: Processes = ALONE
    finished: Mapping[str, Any] | None = None

    @property
    def data(self) -> Path:
        return self.project / "data"

    @property
    def artifacts(self) -> Path:
        return self.project / "artifacts"

    @property
    def checkpoints(self) -> Path:
        return self.project / ".checkpoints" / self.name

    @property
    def figures_file(self) -> Path:
        return self.artifacts / self.name / FIGURES_FILE

    def finish(self, figures: Mapping[str, Any]) -> None:
        self.finished = figures
        write_json(headline_metrics(self.name, figures), self.project / "metrics" / f"{self.name}.json")


def script(name: str) -> ModuleType:
    """The module that a stage's script is."""
    harness = ModuleType("harness")
    harness.Stage = Stage  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location(f"script_{name}", SCRIPTS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["harness"] = harness
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules["harness"]
    return module


def run_stage(name: str, project: Path, params: Params) -> Stage:
    """Run a stage's script on what the earlier ones have left in the project's folder."""
    stage = Stage(name, params.group(name), project)
    script(name).run(stage)
    return stage


def write_people(folder: Path) -> Path:
    """A data set with every part that there can be, of images that nobody can tell apart.

    That of `write_dataset`, but eight identities with three images each to train on, all noise of one brightness: no
    ranking of them is without a mistake.
    """
    write_dataset(folder)
    shutil.rmtree(folder / "train")
    people: dict[int | str, dict[str, str]] = {
        2: {"age": "teenager", "upcolor": "red"},
        5: {"hat": "yes"},
        7: {"downcolor": "pink"},
        11: {"gender": "female"},
        13: {"hat": "yes", "bag": "yes"},
        17: {"age": "old", "downcolor": "blue"},
        19: {"clothes": "pants"},
        23: {"gender": "female", "up": "short"},
    }
    for identity in people:
        for camera in (1, 2, 3):
            name = f"{identity:04d}_c{camera}_{identity:05d}000{camera}.jpg"
            write_image(folder / "train" / name, 1000 * int(identity) + 100 * camera)
    write_annotations(folder, people | {20: {"age": "old", "upcolor": "blue"}})
    return folder
