"""What a data set lacks, what then becomes of the pipeline, and the settings that ask for what is not there."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bruna.dataset.dataset_file import DatasetFile, read_dataset_file
from bruna.dataset.facts import find_files, image_size
from bruna.dataset.filenames import MASK_PAIR
from bruna.params import read_groups
from bruna.presets import Change, write_settings

_LOOKED_AT = 3
"""Images of each folder whose size is read."""

LACKS: Mapping[str, str] = {
    "attributes": "no Task 1, no attribute loss or factor, no junk filter: Bruna trains on identities alone",
    "identities": "Task 1 alone, split by image: nobody can be found again",
    "cameras": "the course protocol alone: the Market-1501 protocol asks for a match on another camera",
    "masks": "no U-Net: Bruna works without masks",
    "query and gallery": "measured on the validation identities alone",
}
"""What a data set may lack -> what then happens."""


@dataclass(frozen=True)
class Misfit:
    """A setting that asks for what the data set has not.

    Attributes:
        setting: its name in params.yaml.
        found: its value.
        replacement: the value that goes with the data set.
        reason: why, as the second half of a sentence.
    """

    setting: str
    found: Any
    replacement: Any
    reason: str

    def __str__(self) -> str:
        found, new = (json.dumps(_plain(value)).strip('"') for value in (self.found, self.replacement))
        return f"{self.setting} is {found}, and {self.reason}: set it to {new}."


def lacks(files: pd.DataFrame, dataset: DatasetFile) -> list[str]:
    """Which of `LACKS` a data set lacks.

    Args:
        files: of `bruna.dataset.facts.find_files`.
        dataset: its dataset.yaml.
    """
    usable = files[files["name_problem"].isna() & files["pair_problem"].isna()]
    train = usable[usable["subset"] == "train"]
    seen = train[(train["identity"] > 0) & (train["camera"] > 0)]
    there = {
        "attributes": bool(dataset.attributes),
        "identities": dataset.identities,
        "cameras": bool((seen.groupby("identity")["camera"].nunique() > 1).any()),
        "masks": bool((usable["subset"] == MASK_PAIR).any()),
        "query and gallery": {"query", "gallery"} <= set(usable["subset"]),
    }
    if not dataset.identities:  # nobody is searched for
        there |= {"cameras": True, "query and gallery": True, "masks": True}
    return [name for name in LACKS if not there[name]]


def adapt(params: Path, data: Path) -> list[Change]:
    """Write into params.yaml what goes with a data set, where it asks for what is not there.

    Returns:
        The settings that change.

    Raises:
        BrunaError: params.yaml or the data set's own file cannot be used; nothing is written then.
    """
    dataset = read_dataset_file(data)
    groups, _ = read_groups(params)
    found = list(misfits(data, find_files(data, identities=dataset.identities), dataset, groups))
    wanted = {each.setting: _plain(each.replacement) for each in found}
    return write_settings(params, wanted, {name: json.dumps(value) for name, value in wanted.items()}, str(data))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def misfits(data: Path, files: pd.DataFrame, dataset: DatasetFile, groups: Mapping[str, Any]) -> Iterator[Misfit]:
    """The settings that ask for what a data set has not.

    Args:
        data: its folder.
        files: of `bruna.dataset.facts.find_files`.
        dataset: its dataset.yaml.
        groups: the groups of params.yaml that are without a mistake, by name.
    """
    lacking = lacks(files, dataset)
    yield from _sizes(data, files, groups)

    def asked(group: str, name: str, wanted: Any, reason: str) -> Iterator[Misfit]:
        found = getattr(groups[group], name) if group in groups else wanted
        if found != wanted:
            yield Misfit(f"{group}.{name}", found, wanted, reason)

    if "attributes" in lacking:
        yield from asked("evaluate", "filter_junk", False, "the data set has no attributes, so no Task 1 to tell junk")
    elif "train_attributes" in groups:
        cameras = set(files["camera"][(files["subset"] == "train") & (files["camera"] > 0)])
        wanted = tuple(camera for camera in groups["train_attributes"].camera_classes if camera in cameras)
        reason = f"train/ has the cameras {', '.join(map(str, sorted(cameras))) or 'unknown'}"
        yield from asked("train_attributes", "camera_classes", wanted, reason)
    if "identities" in lacking:
        reason = "nobody knows who is who in this data set, so there is no Bruna"
        yield from asked("train_attributes", "identity_weight", 0, reason)
        yield from asked("evaluate", "attributes_from", "task1", reason)
        yield from asked("evaluate", "attribute_neighbors", 1, reason)
    elif "masks" in lacking:
        reason = "masks/ holds no pairs of image and mask to train a U-Net on (`bruna import ... --masks` brings some)"
        yield from asked("train_bruna", "mask", "none", reason)
        yield from asked("train_bruna", "bottleneck", False, reason)


def _sizes(data: Path, files: pd.DataFrame, groups: Mapping[str, Any]) -> Iterator[Misfit]:
    """The first images of each folder against `validate.image_size`."""
    if "validate" not in groups or groups["validate"].image_size is None:
        return
    wanted = groups["validate"].image_size
    people = files[(files["subset"] != MASK_PAIR) & files["name_problem"].isna()]
    sizes = {path: image_size(data / path) for path in people.groupby("subset")["path"].head(_LOOKED_AT)}
    known = {path: size for path, size in sizes.items() if size is not None}
    other = {path: size for path, size in known.items() if size != wanted}
    # With `quarantine` an image of another size is set aside; without any left there is nothing to train on.
    if other and (groups["validate"].on_bad_image == "fail" or len(other) == len(known)):
        path, (height, width) = next(iter(other.items()))
        reason = f"{path} is {height} x {width} (height x width); null takes any size"
        yield Misfit("validate.image_size", wanted, None, reason)
