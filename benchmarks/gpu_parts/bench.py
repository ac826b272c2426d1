"""What the parts of the GPU benchmark share: data, settings, the device, and what an earlier part has trained."""

import socket
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from bruna.dataset.facts import image_facts, manifest_of
from bruna.dataset.importers import _gather
from bruna.dataset.tables import read_table
from bruna.errors import BrunaError
from bruna.models.backbones import Backbone
from bruna.params import Params, read_params
from bruna.pipeline.split import split_dataset
from bruna.presets import apply_preset
from bruna.training.bruna_data import LabelledPersons, load_persons
from bruna.training.pretrained import load_pretrained

PROJECT = Path(__file__).resolve().parents[2]
_PATIENCE = 15.0
"""Seconds in which a server of ImageNet weights has to answer."""
_TOY: dict[str, dict[str, Any]] = {
    "train_unet": {"image_size": (64, 32), "width": 2, "depth": 2, "epochs": 1, "batch_size": 4},
    "train_attributes": {
        "network": "simple_cnn",
        "pretrained": "none",
        "image_size": (64, 32),
        "epochs": 1,
        "warmup_epochs": 0,
        "batch_size": 8,
    },
    "train_bruna": {
        "backbone": "mobilenet_v3_small",
        "pretrained": "none",
        "adversary_pretrained": "none",
        "image_size": (64, 32),
        "features": 16,
        "epochs": 1,
        "warmup_epochs": 0,
        "tuples_per_identity": 1,
        "batch_tuples": 3,
    },
}
_TOY_IMAGES, _TOY_PAIRS = 24, 6

Row = dict[str, Any]


class NotHereError(Exception):
    """A part that this machine has nothing for."""


@dataclass
class Result:
    """What a part found: tables by title (a dict a row, the same names in each), and sentences."""

    tables: dict[str, list[Row]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Tables:
    """The tables of the stage `split`."""

    train: pd.DataFrame
    validation: pd.DataFrame
    pairs: pd.DataFrame


@dataclass
class Bench:
    """What every part gets.

    Attributes:
        archive: course data, as `bruna import` takes them.
        masks: mask pairs, or None.
        work: a folder for what is needed on the way.
        device: where to compute.
        toy: a few tiny images and networks, to see that everything runs.
        segments: what a U-Net made of train and validation images, by the preset that trained it.
        networks: trained networks by preset and name, with the sizes of images that they see.
    """

    archive: Path
    masks: Path | None
    work: Path
    device: torch.device
    toy: bool
    segments: dict[str, tuple[pd.DataFrame, pd.DataFrame]] = field(default_factory=dict)
    networks: dict[str, dict[str, tuple[nn.Module, tuple[int, int]]]] = field(default_factory=dict)
    _weights: dict[str, bool] = field(default_factory=dict)

    @cached_property
    def tables(self) -> Tables:
        """The data, imported and split, without the checks of the stage `validate`, which need Great Expectations."""
        data, split = self.work / "data", self.work / "split"
        with ExitStack() as stack:
            for name, file in _gather([self.archive], self.masks, [], stack).items():
                (data / name).parent.mkdir(parents=True, exist_ok=True)
                (data / name).write_bytes(file.read())
        facts = image_facts(data)
        wrong = facts[["name_problem", "pair_problem", "decode_problem", "mask_problem"]].notna().any(axis=1)
        split_dataset(data, manifest_of(facts[~wrong]), self.params("market1501").split, split)
        train, validation, pairs = (read_table(split / f"{name}.parquet") for name in ("train", "validation", "masks"))
        if self.toy:
            train, validation = _few(train), _few(validation)
            pairs = pairs.groupby("part").head(_TOY_PAIRS)
        return Tables(train, validation, pairs)

    def params(self, preset: str) -> Params:
        """The settings of a preset; at toy size with little of everything. Where weights cannot be had, without."""
        copy = self.work / f"{preset}.yaml"
        copy.write_bytes((PROJECT / "params.yaml").read_bytes())
        apply_preset(preset, PROJECT / "presets", copy)
        params = read_params(copy)
        changes = _TOY if self.toy else {}
        groups: dict[str, Any] = {name: getattr(params, name).model_copy(update=of) for name, of in changes.items()}
        return params.model_copy(update=groups)

    def weights(self, network: str, source: str, notes: list[str]) -> str:
        """`source`, or `none` where these weights cannot be had here; a note then says so."""
        if source != "none" and network not in self._weights:
            before = socket.getdefaulttimeout()
            socket.setdefaulttimeout(_PATIENCE)
            try:
                load_pretrained(Backbone(network), network, source)
                self._weights[network] = True
            except BrunaError:
                self._weights[network] = False
            finally:
                socket.setdefaulttimeout(before)
        if source == "none" or self._weights[network]:
            return source
        note = (
            f"{network} begins with random weights: those of ImageNet could not be had (TORCH_HOME names their folder)."
        )
        notes += [] if note in notes else [note]
        return "none"

    def persons(self, preset: str, notes: list[str], **changes: Any) -> tuple[LabelledPersons, LabelledPersons, Any]:
        """Both sides of the split for Bruna, and the group `train_bruna`; without masks where there is no U-Net."""
        params = self.params(preset).train_bruna
        update = {
            "pretrained": self.weights(params.backbone, params.pretrained, notes),
            "adversary_pretrained": self.weights("mobilenet_v3_small", params.adversary_pretrained, notes),
            "validate_every": 0,
            **changes,
        }
        segments: tuple[pd.DataFrame | None, pd.DataFrame | None] = self.segments.get(preset, (None, None))
        if segments[0] is None:
            update |= {"mask": "none", "bottleneck": False}
            notes.append("Bruna is without masks and bottlenecks here: no part before this one has trained a U-Net.")
        params = params.model_copy(update=update)
        train = load_persons(self.tables.train, segments[0], params, self.device)
        return train, load_persons(self.tables.validation, segments[1], params, self.device), params


def _few(table: pd.DataFrame) -> pd.DataFrame:
    """Some images of some people, of every person four at most."""
    return table.groupby("identity").head(4).head(_TOY_IMAGES).reset_index(drop=True)
