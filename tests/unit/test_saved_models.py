"""Networks on disk: they come back as they were, and other versions are refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bruna.errors import BrunaError
from bruna.files import read_json, write_json
from bruna.inference.attributes import AttributePredictor
from bruna.inference.bruna import BrunaEmbedder
from bruna.inference.saved_models import VERSION
from bruna.inference.unet import UNetSegmenter
from tiny_models import ATTRIBUTES_SIZE, BRUNA_SIZE, UNET_SIZE, save_tiny_models

LOADERS = {"unet": UNetSegmenter.load, "attributes": AttributePredictor.load, "bruna": BrunaEmbedder.load}
Load = Callable[[Path, torch.device], Any]
CPU = torch.device("cpu")


def _with(folder: Path, **changes: Any) -> Path:
    """Change some settings; None removes one."""
    settings = {**read_json(folder / "settings.json"), **changes}
    write_json({key: value for key, value in settings.items() if value is not None}, folder / "settings.json")
    return folder


def test_networks_come_back_with_their_sizes(tmp_path: Path) -> None:
    artifacts = save_tiny_models(tmp_path)
    loaded = {name: load(artifacts / name, CPU) for name, load in LOADERS.items()}
    assert [model.size for model in loaded.values()] == [UNET_SIZE, ATTRIBUTES_SIZE, BRUNA_SIZE]
    assert not any(model.network.training for model in loaded.values())
    again = save_tiny_models(tmp_path / "again")
    for name in ("unet/model", "attributes/model", "bruna/bruna"):
        assert (again / f"{name}.safetensors").read_bytes() == (artifacts / f"{name}.safetensors").read_bytes()
    assert UNetSegmenter.load(_with(artifacts / "unet", trained=False), CPU) is None


@pytest.mark.parametrize(("name", "load"), LOADERS.items())
def test_models_of_another_version_are_refused(name: str, load: Load, tmp_path: Path) -> None:
    folder = save_tiny_models(tmp_path) / name
    assert read_json(folder / "settings.json")["version"] == VERSION
    for version, when in ((None, "an earlier"), (VERSION - 1, "an earlier"), (VERSION + 1, "a later")):
        with pytest.raises(BrunaError, match=rf"{name}/settings.json was written by {when} version .*`dvc repro`"):
            load(_with(folder, version=version), CPU)


@pytest.mark.parametrize(("name", "load"), LOADERS.items())
def test_settings_that_rebuild_nothing_are_named(name: str, load: Load, tmp_path: Path) -> None:
    folder = save_tiny_models(tmp_path) / name
    for weights in folder.glob("*.safetensors"):
        weights.unlink()
    with pytest.raises(BrunaError, match=r"\.safetensors is missing"):
        load(folder, CPU)
    with pytest.raises(BrunaError, match=r"settings\.json does not rebuild its network \('image_size'\)"):
        load(_with(folder, image_size=None), CPU)
