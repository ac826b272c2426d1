"""Networks on disk: they come back as they were, and whatever is wrong with a file is said with its name."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import stage_dependencies
from bruna.dataset.schema import Task, Tasks, as_json, logit_count, task1_tasks
from bruna.errors import BrunaError
from bruna.files import read_json, write_json
from bruna.inference.attributes import AttributePredictor
from bruna.inference.bruna import BrunaEmbedder
from bruna.inference.describer import load
from bruna.inference.saving import VERSION
from bruna.inference.unet import UNetSegmenter
from tiny_models import ATTRIBUTES_SIZE, BRUNA_SIZE, UNET_SIZE, save_tiny_models

LOADERS = {"unet": UNetSegmenter.load, "attributes": AttributePredictor.load, "bruna": BrunaEmbedder.load}
Load = Callable[[Path, torch.device], Any]
CPU = torch.device("cpu")
CURE = r"Restore its folder with `dvc checkout`, or train again with `dvc repro`\.$"


def _with(folder: Path, **changes: Any) -> Path:
    """Change some settings; None removes one, and `network__x` is x in the settings of the network."""
    settings = read_json(folder / "settings.json")
    for key, value in changes.items():
        group, _, name = key.rpartition("__")
        part = settings[group] if group else settings
        part[name] = value
        if value is None:
            del part[name]
    write_json(settings, folder / "settings.json")
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


GLASSES, BAG = Task("glasses", ("none", "clear", "dark")), Task("bag", ("no", "yes"))


@pytest.mark.parametrize("cameras", [(), (1, 12)])
@pytest.mark.parametrize("schema", [(GLASSES,), (BAG,), (GLASSES, BAG), (BAG, GLASSES)])
def test_models_of_another_schema_come_back_with_it(schema: Tasks, cameras: tuple[int, ...], tmp_path: Path) -> None:
    artifacts = save_tiny_models(tmp_path, schema=schema, camera_classes=cameras)
    task1, bruna = (LOADERS[name](artifacts / name, CPU) for name in ("attributes", "bruna"))
    assert task1.attributes == bruna.attributes == schema
    assert task1.network.tasks == task1_tasks(schema, cameras)
    told = [{"name": attribute.name, "values": list(attribute.values)} for attribute in schema]
    for name in ("attributes", "bruna"):
        assert read_json(artifacts / name / "settings.json")["attributes"] == told
    for name, network in (("attributes/model", task1.network), ("bruna/bruna", bruna.network)):
        saved, found = load_file(artifacts / f"{name}.safetensors"), network.state_dict()
        assert found.keys() == saved.keys() and all(torch.equal(found[key], saved[key]) for key in saved)
    people = load(artifacts, "cpu")
    assert people.schema == schema
    images = np.random.default_rng(0).integers(0, 255, (3, 3, 48, 24), np.uint8)
    described = people.describe(images)
    assert described.schema == schema and described.task1_logits is not None
    assert described.task1_logits.shape == (3, logit_count(schema) + len(cameras) + 1)
    for source in ("task1", "bruna", "both"):
        assert described.attribute_probabilities(source).shape == (3, logit_count(schema))
    assert list(described.to_pandas()) == ["image", *(attribute.name for attribute in schema), "junk"]
    for attribute in schema:
        assert set(described.attributes[attribute.name]) <= set(attribute.values)
        table = described.probabilities[attribute.name]
        assert list(table) == list(attribute.values) and np.allclose(table.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("of_bruna", "differ"),
    [
        ((GLASSES,), r"bag \(no/yes; none\)"),
        ((GLASSES, BAG, Task("hat", ("no", "yes"))), r"hat \(none; no/yes\)"),
        ((Task("glasses", ("none", "dark", "clear")), BAG), r"glasses \(none/clear/dark; none/dark/clear\)"),
        ((BAG, GLASSES), "the order of the attributes"),
        ((), r"bag \(no/yes; none\), glasses \(none/clear/dark; none\)"),
    ],
)
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_networks_of_two_schemas_are_not_used_together(of_bruna: Tasks, differ: str, tmp_path: Path) -> None:
    artifacts = save_tiny_models(tmp_path / "artifacts", schema=(GLASSES, BAG))
    other = save_tiny_models(tmp_path / "other", schema=of_bruna)
    shutil.rmtree(artifacts / "bruna")
    shutil.copytree(other / "bruna", artifacts / "bruna")
    says = rf"/attributes and .*/bruna tell different attributes: {differ}\. `dvc repro` trains both on the same"
    with pytest.raises(BrunaError, match=says):
        load(artifacts, "cpu")
    assert load(artifacts, "cpu", bruna=False).schema == (GLASSES, BAG)


def test_weights_of_another_schema_are_named(tmp_path: Path) -> None:
    """The settings are changed, the weights are not."""
    artifacts = save_tiny_models(tmp_path, schema=(GLASSES, BAG))
    for name, changes in (
        ("attributes", {"camera_classes": []}),
        ("attributes", {"attributes": as_json((BAG,))}),
        ("bruna", {"attributes": as_json((BAG,))}),
    ):
        folder = tmp_path / "changed"
        shutil.copytree(artifacts / name, folder)
        with pytest.raises(BrunaError, match=rf"safetensors does not hold the network .* of another shape .*{CURE}"):
            LOADERS[name](_with(folder, **changes), CPU)
        shutil.rmtree(folder)


@pytest.mark.parametrize(("name", "load"), LOADERS.items())
def test_models_of_another_version_are_refused(name: str, load: Load, tmp_path: Path) -> None:
    folder = save_tiny_models(tmp_path) / name
    assert read_json(folder / "settings.json")["version"] == VERSION
    for version, message in (
        (None, r"written by an earlier version .* of version 1, .*`dvc repro` trains them again\.$"),
        (VERSION - 1, r"written by an earlier version .*`dvc repro` trains them again\.$"),
        (VERSION + 1, rf"written by a later version .* of version {VERSION + 1}, .* A newer bruna reads them\.$"),
        ("2", rf": version is '2', which is no whole number\. {CURE}"),
        (2.5, ": version is 2.5, which is no whole number"),
        (True, ": version is True, which is no whole number"),
    ):
        with pytest.raises(BrunaError, match=rf"{name}/settings\.json.*{message}"):
            load(_with(folder, version=version), CPU)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("unet", {"image_size": None}, "image_size is missing"),
        ("attributes", {"image_size": [48, 24, 3]}, r"image_size is \[48, 24, 3\]: "),
        ("bruna", {"image_size": 64}, "image_size is 64: "),
        ("bruna", {"image_size": [64, "32"]}, "image_size.1 is '32': "),
        ("attributes", {"image_size": [0, 24]}, "image_size.0 is 0: "),
        ("unet", {"image_size": [33, 16]}, r"image_size \[33, 16\] is halved 1 times, and a side is no multiple of 2"),
        ("unet", {"trained": "yes"}, "trained is 'yes': "),
        ("unet", {"width": -2}, "width is -2: "),
        ("unet", {"width": 10**12}, "."),
        ("unet", {"depth": 0}, "depth is 0: "),
        ("attributes", {"network": "vgg11"}, "network is 'vgg11': expected one of simple_cnn, lenet5, alexnet"),
        ("attributes", {"network": "lenet5", "last_stride": 1}, "lenet5 has no convolution of stride 2"),
        ("attributes", {"flip_test": "no"}, "flip_test is 'no': "),
        ("attributes", {"pool": "quarters"}, "pool is 'quarters': "),
        ("attributes", {"attributes": None}, "attributes is missing"),
        ("attributes", {"camera_classes": None}, "camera_classes is missing"),
        ("attributes", {"camera_classes": [4, "6"]}, "camera_classes.1 is '6': "),
        ("attributes", {"camera_classes": [0]}, "camera_classes.0 is 0: "),
        ("attributes", {"camera_classes": 4}, "camera_classes is 4: "),
        ("attributes", {"attributes": ["hat"]}, "attributes.0 is 'hat': "),
        ("attributes", {"attributes": [{"name": "hat"}]}, "attributes.0.values is missing"),
        ("attributes", {"attributes": [{"name": "hat", "values": ["yes"]}]}, r"attributes.0.values is \['yes'\]: "),
        ("bruna", {"attributes": None}, "attributes is missing"),
        ("bruna", {"attributes": "hat"}, "attributes is 'hat': "),
        ("bruna", {"attributes": [{"name": "", "values": ["no", "yes"]}]}, "attributes.0.name is '': "),
        ("bruna", {"attributes": [{"name": "hat", "values": ["no", 1]}]}, "attributes.0.values.1 is 1: "),
        ("bruna", {"network": "resnet18"}, "network is 'resnet18': "),
        ("bruna", {"network__backbone": "vgg11"}, "network.backbone is 'vgg11': expected one of mobilenet_v3_small"),
        ("bruna", {"network__mask": "chanel"}, "network.mask is 'chanel': "),
        ("bruna", {"network__neck": "bnneck"}, "network.neck is 'bnneck': "),
        ("bruna", {"network__features": None, "network__dropout": 2}, "features is missing; network.dropout is 2: "),
    ],
)  # fmt: skip
def test_settings_that_rebuild_nothing_are_named(
    name: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = _with(save_tiny_models(tmp_path) / name, **changes)
    with pytest.raises(BrunaError, match=rf"{name}/settings\.json does not rebuild its network: .*{message}.*{CURE}"):
        LOADERS[name](folder, CPU)


@pytest.mark.parametrize(("name", "load"), LOADERS.items())
def test_files_that_are_none_are_named(name: str, load: Load, tmp_path: Path) -> None:
    folder = save_tiny_models(tmp_path) / name
    weights = next(folder.glob("*.safetensors"))
    whole = weights.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"no weights"):
        weights.write_bytes(content)
        with pytest.raises(BrunaError, match=rf"{weights.name} does not hold the network .*{CURE}"):
            load(folder, CPU)
    weights.unlink()
    with pytest.raises(BrunaError, match=rf"{weights.name} is missing"):
        load(folder, CPU)
    weights.mkdir()
    with pytest.raises(BrunaError, match=rf"{weights.name} does not hold the network"):
        load(folder, CPU)
    settings = folder / "settings.json"
    for content, message in (
        (b'{"caf\xe9": 1}', "is not valid JSON"),
        (b"[1, 2]", "holds no names with values, but list"),
    ):
        settings.write_bytes(content)
        with pytest.raises(BrunaError, match=rf"{name}/settings\.json {message}"):
            load(folder, CPU)
    settings.unlink()
    settings.mkdir()
    with pytest.raises(BrunaError, match=rf"{name}/settings\.json cannot be read: it is a folder, not a file"):
        load(folder, CPU)


def test_a_folder_that_is_none_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("file", "nowhere", "file/below"):
        with pytest.raises(BrunaError, match=rf"/{name} is no folder .*`artifacts` in the top folder of the project"):
            load(tmp_path / name, "cpu")
    artifacts = save_tiny_models(tmp_path / "artifacts")
    (artifacts / "bruna").rename(artifacts / "away")
    (artifacts / "bruna").write_text("")
    with pytest.raises(BrunaError, match=r"bruna/settings\.json cannot be read: Not a directory"):
        load(artifacts, "cpu")


@pytest.mark.parametrize(
    ("recorded", "message"),
    [
        ({"flip": "no"}, "is not usable: flip is 'no': "),
        ({"batch_size": 0, "junk_threshold": 2}, "is not usable: junk_threshold is 2: .*; batch_size is 0: "),
        ({"attributes_from": "task2"}, "is not usable: attributes_from is 'task2': "),
        ([], "holds no names with values"),
    ],
)
def test_recorded_settings_of_wrong_types_are_named(recorded: Any, message: str, tmp_path: Path) -> None:
    artifacts = save_tiny_models(tmp_path)
    write_json(recorded, artifacts / "evaluate" / "settings.json")
    with pytest.raises(BrunaError, match=rf"evaluate/settings\.json {message}"):
        load(artifacts, "cpu")


def test_trainings_depend_on_no_code_that_loads_models() -> None:
    """Another text of an error of loading makes no training stale."""
    code = stage_dependencies.code_of_stages()
    of_inference = {
        stage: {file.rpartition("/")[2] for file in code[stage] if file.startswith("src/bruna/inference/")}
        for stage in ("train_unet", "train_attributes", "train_bruna")
    }
    assert of_inference == {
        "train_unet": {"saving.py", "batching.py"},
        "train_attributes": {"saving.py", "predicting.py", "batching.py"},
        "train_bruna": {"saving.py", "embedding.py", "batching.py"},
    }
