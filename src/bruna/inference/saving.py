"""Networks to disk: safetensors for the weights, settings.json for what rebuilds the network (`loading.py`).

Safetensors, unlike torch.save, give the same bytes for the same weights, so the lock file proves reproducibility.
"""

from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from bruna.files import whole_folder, write_json

SETTINGS = "settings.json"
VERSION = 3
"""Of the names of weights and settings, kept as `version` in settings.json; raise it when they change."""


def save_models(folder: Path, models: dict[str, nn.Module], settings: dict[str, Any]) -> None:
    """Write `<name>.safetensors` for each model and one settings.json with the version, all or nothing."""
    with whole_folder(folder) as beside:
        for name, model in models.items():
            state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
            save_file(state, beside / f"{name}.safetensors")
        write_json({**settings, "version": VERSION}, beside / SETTINGS)
