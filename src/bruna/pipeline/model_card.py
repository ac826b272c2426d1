"""What the model card is written from: the data set's own file, the tables of the split, the networks on disk."""

import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import safe_open

from bruna.dataset.dataset_file import DatasetFile
from bruna.dataset.identities import UNKNOWN_CAMERA
from bruna.dataset.tables import read_table
from bruna.pipeline.records import Records
from bruna.report.model_card import CardFacts, Network, Side

_FILES = {"unet": "model", "attributes": "model", "bruna": "bruna"}
"""Folder of a model -> its weights there."""
_TEST = {
    "query": "test, asked for (folder query)",
    "gallery": "test, searched (folder gallery)",
    "queries": "test without labels, asked for (folder queries)",
    "test": "test without labels, searched (folder test)",
}
_NOT_TRAINED = ("running_mean", "running_var", "num_batches_tracked", "normalize.mean", "normalize.std")
"""Ends of the names of tensors that no training changes by a gradient: statistics and constants."""
_MASKS = {
    "none": "no mask",
    "segmented": "the U-Net’s mask multiplies the image",
    "channel": "the U-Net’s mask is a 4th channel",
}


def card_facts(records: Records, dataset: DatasetFile) -> CardFacts:
    """Read what the card tells beside what the page knows.

    Args:
        records: of all stages.
        dataset: the data set's own file.

    Raises:
        BrunaError: a record is missing.
    """
    return CardFacts(
        dataset,
        _sides(records.artifacts / "split", dataset),
        [_network(records, model) for model in _FILES if records.trained(model)],
        # What follows a plus sign tells for which GPU a torch was built: the same card comes from all of them.
        {name: version(name).partition("+")[0] for name in ("bruna", "torch")},
    )


def _sides(split: Path, dataset: DatasetFile) -> list[Side]:
    files = {"training": split / "train.parquet", "validation": split / "validation.parquet"}
    files |= {title: split / "test" / f"{name}.parquet" for name, title in _TEST.items()}
    sides = [_side(name, file, dataset) for name, file in files.items() if file.exists()]
    parts = read_table(split / "masks.parquet", ["part"])["part"].value_counts()
    words = {"train": "mask pairs, training", "held_out": "mask pairs, held out"}
    return sides + [Side(words[part], int(parts[part])) for part in words if part in parts]


def _side(name: str, file: Path, dataset: DatasetFile) -> Side:
    table = read_table(file, ["identity", "camera"])
    people, cameras = table["identity"], table["camera"]
    identities = int(people[people > 0].nunique()) if dataset.identities else 0
    return Side(name, len(table), identities or None, int(cameras[cameras != UNKNOWN_CAMERA].nunique()) or None)


def _network(records: Records, model: str) -> Network:
    settings = records.settings(model)
    trained = settings["params"]
    title, purpose, kind = {"unet": _unet, "attributes": _task1, "bruna": _bruna}[model](settings)
    return Network(
        title,
        purpose,
        kind,
        tuple(settings["image_size"]),
        count_parameters(records.artifacts / model / f"{_FILES[model]}.safetensors"),
        _begins(trained.get("pretrained", "none")),
        trained["epochs"],
    )


def _unet(settings: Mapping[str, Any]) -> tuple[str, str, str]:
    return "U-Net", "finds the person on an image", f"U-Net, width {settings['width']}, depth {settings['depth']}"


def _task1(settings: Mapping[str, Any]) -> tuple[str, str, str]:
    return "Task 1", "predicts attributes, and junk: no person, or too little of one", settings["network"]


def _bruna(settings: Mapping[str, Any]) -> tuple[str, str, str]:
    network = settings["network"]
    heads = "embeds an image" + (", predicts attributes from that" if settings["attributes"] else "")
    return "Bruna", heads, f"{network['backbone']}, {network['features']:,} features, {_MASKS[network['mask']]}"


def _begins(pretrained: str) -> str:
    """In words; of a file its name alone, for folders tell of the machine."""
    known = {"none": "random weights", "imagenet": "torchvision’s ImageNet weights"}
    return known.get(pretrained) or f"weights of the file {Path(pretrained).name}"


def count_parameters(file: Path) -> int:
    """How many numbers of a network were trained.

    Args:
        file: its weights, as `bruna.inference.saving` writes them.
    """
    with safe_open(file, framework="numpy") as tensors:
        shapes = [tensors.get_slice(name).get_shape() for name in tensors.keys() if not name.endswith(_NOT_TRAINED)]  # noqa: SIM118
    return sum(map(math.prod, shapes))
