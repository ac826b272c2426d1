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


def save_models(folder: Path, models: dict[str, nn.Module], settings: dict[str, Any]) -> None:
    """Write `<name>.safetensors` for each model and one settings.json, all or nothing."""
    with whole_folder(folder) as beside:
        for name, model in models.items():
            state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
            save_file(state, beside / f"{name}.safetensors")
        write_json(settings, beside / SETTINGS)


def load_settings(folder: Path) -> dict[str, Any]:
    """The settings.json of a folder of models."""
    return dict(read_json(folder / SETTINGS))


@contextmanager
def rebuilding(folder: Path) -> Iterator[dict[str, Any]]:
    """The settings of a folder, for the block that builds a network from them."""
    try:
        yield load_settings(folder)
    except (KeyError, TypeError) as error:
        raise BrunaError(
            f"{folder / SETTINGS} was written by another version of the project ({error}). Train again with "
            "`dvc repro`, or take models that this version trained."
        ) from None


def load_weights(model: nn.Module, file: Path, device: torch.device) -> None:
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
