"""The wheel, built without network and installed where nothing of the pipeline is."""

import importlib.metadata
import subprocess
import sys
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

import bruna
from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.schema import as_json
from bruna.inference.saving import save_models
from bruna.models.attributes import AttributeNetwork
from bruna.models.bruna import Bruna
from bruna.models.unet import UNet
from course_schema import CAMERA_CLASSES, TASKS

ROOT = Path(__file__).parents[2]
OF_THE_PIPELINE = {"dvc", "great_expectations", "matplotlib", "mlflow", "scipy", "sklearn"}
DESCRIBE = f"""
import importlib.util, sys
assert [name for name in {OF_THE_PIPELINE} if importlib.util.find_spec(name)] == []
import bruna
assert bruna.__file__.startswith(sys.prefix), bruna.__file__
found = bruna.load("artifacts", device="cpu").describe(["person.png"])
import numpy
numpy.savez("found.npz", features=found.features, gender=list(found.attributes["gender"]), junk=found.junk)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def requirements(lines, extras=("",)):
    wanted = map(Requirement, lines or ())
    return [each for each in wanted if not each.marker or any(each.marker.evaluate({"extra": e}) for e in extras)]


def with_all_they_need(wanted):
    """The installed distributions of some requirements, and of theirs, by name."""
    found, extras = {}, {}
    pending = list(wanted)
    while pending:
        requirement = pending.pop()
        name = canonicalize_name(requirement.name)
        if name in found and requirement.extras <= extras[name]:
            continue
        extras[name] = extras.get(name, set()) | requirement.extras
        found[name] = importlib.metadata.distribution(name)
        pending += requirements(found[name].requires, ("", *extras[name]))
    return found


@pytest.fixture(scope="module")
def elsewhere(wheel, tmp_path_factory):
    """The Python of an environment that has the wheel and what it requires: links to the distributions used here."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    python = folder / "bin" / "python"
    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.check_output(ask, text=True).strip())
    for distribution in with_all_they_need(requirements(metadata_of(wheel).get_all("Requires-Dist"))).values():
        for name in {file.parts[0] for file in distribution.files if file.parts[0] not in ("..", "__pycache__")}:
            if not (packages / name).exists():
                (packages / name).symlink_to(distribution.locate_file(name))
    # pip finds all requirements met, or fails: it may look nowhere else.
    pip = [sys.executable, "-m", "pip", "--isolated", "--quiet", "--python", python]
    subprocess.run([*pip, "install", "--no-index", wheel], check=True)
    return python


def metadata_of(wheel):
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def test_the_wheel_holds_the_package_and_asks_for_no_more_than_inference_needs(wheel):
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
        assert "bruna/py.typed" in archive.namelist()
    assert tops == {"bruna", f"bruna-{bruna.__version__}.dist-info"}
    lines = metadata_of(wheel).get_all("Requires-Dist")
    plain = {each.name for each in requirements(lines)}
    assert {"torch", "torchvision", "numpy", "pillow", "safetensors"} < plain
    of_the_pipeline = {each.name for each in requirements(lines, ("", "pipeline"))} - plain
    assert {"dvc", "great-expectations", "matplotlib", "mlflow", "scikit-learn", "scipy"} < of_the_pipeline
    lowest = {each.name: str(each.specifier) for each in requirements(lines)}
    assert (lowest["torch"], lowest["torchvision"]) == (">=2.11", ">=0.26")


def save_untrained(artifacts):
    torch.manual_seed(0)
    size = {"image_size": [64, 32]}
    save_models(artifacts / "unet", {"model": UNet(4, 3)}, {"trained": True, "width": 4, "depth": 3, **size})
    network = {"network": "simple_cnn", "last_stride": 2, "pool": "whole", "dropout": 0.0, "flip_test": True}
    told = {"attributes": as_json(ATTRIBUTES), "camera_classes": list(CAMERA_CLASSES)}
    model = AttributeNetwork(**network, tasks=TASKS)
    save_models(artifacts / "attributes", {"model": model}, {**network, **told, **size})
    network = {"backbone": "mobilenet_v3_small", "features": 16, "mask": "channel", "bottleneck": 32, "dropout": 0.0}
    told = {"network": network, "attributes": as_json(ATTRIBUTES), **size}
    save_models(artifacts / "bruna", {"bruna": Bruna(**network, attributes=ATTRIBUTES)}, told)


def test_the_installed_wheel_describes_an_image_as_the_checkout_does(elsewhere, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_untrained(tmp_path / "artifacts")
    pixels = np.random.default_rng(0).integers(0, 256, (128, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("person.png")

    subprocess.run([elsewhere, "-I", "-c", DESCRIBE], check=True)
    here = bruna.load("artifacts", device="cpu").describe(["person.png"])
    there = np.load("found.npz", allow_pickle=False)
    assert there["features"].shape == (1, 16)
    np.testing.assert_allclose(there["features"], here.features, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(there["junk"], here.junk, rtol=1e-4)
    assert list(there["gender"]) == list(here.attributes["gender"])


def test_a_command_of_the_pipeline_tells_the_installed_wheel_what_is_missing(elsewhere, tmp_path):
    command = [elsewhere.with_name("bruna"), "import", tmp_path]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("error: this command needs scipy")
