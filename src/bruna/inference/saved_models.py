"""Trained networks on disk: safetensors for the weights, settings.json for what rebuilds the network.

Safetensors, unlike torch.save, give the same bytes for the same weights, so the lock file proves reproducibility.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from bruna.errors import BrunaError
from bruna.files import read_json, whole_folder, write_json

SETTINGS = "settings.json"
VERSION = 2
"""Of the names of weights and settings, kept as `version` in settings.json; raise it when they change."""


def save_models(folder: Path, models: dict[str, nn.Module], settings: dict[str, Any]) -> None:
    """Write `<name>.safetensors` for each model and one settings.json with the version, all or nothing."""
    with whole_folder(folder) as beside:
        for name, model in models.items():
            state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
            save_file(state, beside / f"{name}.safetensors")
        write_json({**settings, "version": VERSION}, beside / SETTINGS)


def load_settings(folder: Path) -> dict[str, Any]:
    """The settings.json of a folder of models.

    Raises:
        BrunaError: the file is missing or damaged, or another version of the project wrote it.
    """
    file = folder / SETTINGS
    settings = dict(read_json(file))
    found = settings.get("version", 1)
    if found != VERSION:
        when = "a later" if isinstance(found, int) and found > VERSION else "an earlier"
        raise BrunaError(
            f"{file} was written by {when} version of the project: its models are of version {found}, and this one "
            f"reads version {VERSION}. `dvc repro` trains them again."
        )
    return settings


@contextmanager
def rebuilding(folder: Path) -> Iterator[dict[str, Any]]:
    """The settings of a folder, for the block that builds a network from them.

    Raises:
        BrunaError: as `load_settings`; or a setting is missing or is none of the network's.
    """
    settings = load_settings(folder)
    try:
        yield settings
    except (KeyError, TypeError) as error:
        raise BrunaError(
            f"{folder / SETTINGS} does not rebuild its network ({error}). `dvc repro` trains the models again."
        ) from None


def load_weights(model: nn.Module, file: Path, device: torch.device) -> None:
    """Load weights and put the model on the device, in evaluation mode.

    Raises:
        BrunaError: the file is missing, or does not hold this network.
    """
    try:
        model.load_state_dict(load_file(file))
    except FileNotFoundError:
        raise BrunaError(f"{file} is missing. `dvc repro` trains it.") from None
    except (SafetensorError, RuntimeError) as error:
        raise BrunaError(
            f"{file} does not hold the network that {file.parent / SETTINGS} describes ({str(error).splitlines()[0]}). "
            "Restore both with `dvc checkout`, or train again with `dvc repro`."
        ) from None
    model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
