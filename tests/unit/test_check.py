"""`bruna check`: what would stop the pipeline is told before anything starts, all of it at once."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from ruamel.yaml import YAML

from bruna.errors import BrunaError
from bruna.params import Params
from bruna.pipeline.check import check
from conftest import Run
from tiny_dataset import write_dataset, write_image

Change = Callable[..., Path]
WITHOUT_UNET = {"train_bruna.mask": "none", "train_bruna.bottleneck": False}


@pytest.fixture
def data(top_folder: Path) -> Path:
    """A data set without a mistake in the project's top folder."""
    return write_dataset(top_folder / "data")


@pytest.fixture
def change(top_folder: Path) -> Change:
    """Writes values into params.yaml, by keys with dots; Task 1 tells a camera that the data set has."""

    def write(values: dict[str, object]) -> Path:
        file = top_folder / "params.yaml"
        yaml = YAML()
        document = yaml.load(file.read_text())
        for key, value in {"train_attributes.camera_classes": [1], **values}.items():
            group, name = key.split(".")
            document[group][name] = value
        yaml.dump(document, file)
        return file

    return write


def findings(params: Path, data: Path | None) -> list[str]:
    with pytest.raises(BrunaError) as error:
        check(params, data)
    first, *found = str(error.value).splitlines()
    assert first == f"{len(found)} finding{'s' if len(found) > 1 else ''} would stop the pipeline:"
    return [line.strip() for line in found]


def test_what_fits_is_read(data: Path, change: Change) -> None:
    params = check(change({}), data)
    assert isinstance(params, Params) and params.group("validate").image_size == (128, 64)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"train_bruna.epoch": 2}, "train_bruna.epoch: found 2; this setting is unknown: did you mean epochs?"),
        ({"train_unet.lr": "banana"}, "params.yaml: train_unet.lr: found 'banana'"),
        ({"train_bruna.pretrained": "no/such.pt"}, "train_bruna.pretrained: there is no file no/such.pt"),
        ({"train_attributes.pretrained": "no.pt"}, "train_attributes.pretrained: there is no file no.pt"),
        ({"train_bruna.pretrained": "x" * 300}, "train_bruna.pretrained: there is no file xxx"),
        ({"train_bruna.pretrained": "a\0b"}, "train_bruna.pretrained: there is no file"),
        ({"runtime.device": "cuda:99"}, "runtime.device: found 'cuda:99'"),
        ({"runtime.device": "gpu"}, "runtime.device: found 'gpu'; give auto"),
        ({"validate.image_size": [256, 128]}, "validate.image_size is [256, 128], and gallery/"),
        ({"validate.image_size": [256, 128], "validate.on_bad_image": "quarantine"}, "is 128 x 64 (height"),
        (
            {"train_attributes.camera_classes": [1, 4]},
            "camera_classes is [1, 4], and train/ has the cameras 1, 2: set it",
        ),
        ({"train_attributes.camera_classes": [2, 2]}, "camera_classes [2, 2] names a camera twice"),
        ({"split.train_share": 0.2}, "split.train_share 0.2 leaves 1 of 4 identities to train on"),
        (
            {"split.train_share": 0.5, "split.measured_on": "development"},
            "split.train_share 0.5 leaves 1 of 4 identities to train on, and a tuple of train_bruna needs another "
            "person as a negative: raise it.",
        ),
    ],
)
def test_a_setting_that_cannot_work(data: Path, change: Change, values: dict[str, object], found: str) -> None:
    (line,) = findings(change(values), data)
    assert found in line


def _without(*folders: str) -> Callable[[Path], None]:
    def remove(data: Path) -> None:
        for folder in folders:
            shutil.rmtree(data / folder)

    return remove


def _one_camera(data: Path) -> None:
    for image in (data / "train").glob("*_c2_*"):
        image.unlink()


def _one_identity(data: Path) -> None:
    for image in (data / "train").glob("*"):
        if not image.name.startswith("0002"):
            image.unlink()


def _no_match(data: Path) -> None:
    (data / "gallery" / "0020_c2s1_000451_03.jpg").rename(data / "gallery" / "0021_c2s1_000451_03.jpg")


def _known_identity(data: Path) -> None:
    shutil.copy(data / "train" / "0002_c1_000020001.jpg", data / "gallery" / "0002_c4_000020009.jpg")


@pytest.mark.parametrize(
    ("broken", "found"),
    [
        (_without("masks"), "train_bruna.mask is channel, and masks/ holds no pairs"),
        (
            lambda data: (data / "masks/masks/0002.png").unlink(),
            "1 incomplete mask pair: masks/images/0002.jpg",
        ),
        (_without("test"), "queries/ holds 1 image to seek in test/, which holds none"),
        (_without("gallery"), "query/ holds 1 image to seek in gallery/, which holds none"),
        (_no_match, "no image in query/ has a match in gallery/"),
        (_one_identity, "train/ shows 1 identity; at least 2 are needed"),
        (_known_identity, "1 identity of train/ also in query/ or gallery/: 0002"),
        (lambda data: write_image(data / "train/person.jpg", 1), "1 unusable name: train/person.jpg: the name"),
        (lambda data: (data / "annotations.csv").unlink(), "dataset.yaml names 12 attributes, and there is no annot"),
        (lambda data: (data / "dataset.yaml").unlink(), "data/dataset.yaml is missing: the name of the data set"),
        (lambda data: (data / "dataset.yaml").write_text("name: x\nidentities: false"), "there is nothing to learn"),
        (_without("train"), "train/ shows 0 identities"),
        (_without("train", "query"), "has no training images"),
        (shutil.rmtree, "data is missing"),
    ],
)
def test_a_data_set_that_the_settings_do_not_fit(
    data: Path, change: Change, broken: Callable[[Path], object], found: str
) -> None:
    broken(data)
    lines = findings(change({}), data)
    assert any(found in line for line in lines), lines
    # The other half leaves a single pair; Bruna takes mask and bottleneck; a camera is told where there are images.
    assert len(lines) == (2 if "pair" in found or "0 identities" in found else 1) or "nothing" in found


def test_two_identities_leave_one_to_train_on(data: Path, change: Change) -> None:
    for image in (data / "train").glob("*"):
        if not image.name.startswith(("0002", "0005")):
            image.unlink()
    (line,) = findings(change({"train_bruna.negatives": "in_batch"}), data)
    assert "leaves 1 of 2 identities" in line and "bring more identities" in line


def test_of_nobody_a_test_set_alone_trains_nothing(data: Path, change: Change) -> None:
    """And a gallery is no place to seek somebody in, whatever its names say."""
    _without("train")(data)
    file = data / "dataset.yaml"
    file.write_text(file.read_text() + "identities: false\n")
    *settings, last = findings(change({}), data)
    assert all(": set it to " in line for line in settings)
    assert last == "train/ holds 0 images; at least 2 are needed: to train and to validate on."


def test_images_that_no_memory_holds(data: Path, change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    images = len(list((data / "train").iterdir()))
    memory = SimpleNamespace(total=images * 3 * 256 * 128)
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    check(change({"train_bruna.image_size": [256, 128]}), data)
    memory.total -= 1
    (line,) = findings(change({}), data)
    assert f"train_bruna.image_size: {images} images of 256 x 128 pixels take 0 GB" in line


def test_what_the_settings_do_without_need_not_be_there(data: Path, change: Change) -> None:
    _without("masks", "query", "gallery", "queries", "test")(data)
    check(change(WITHOUT_UNET), data)


def test_one_camera_is_enough_to_train(data: Path, change: Change) -> None:
    _one_camera(data)
    check(change({}), data)


def test_with_quarantine_single_images_may_be_wrong(data: Path, change: Change) -> None:
    write_image(data / "train" / "0002_c3_000000001.jpg", 9, width=30)
    assert "is 128 x 30" in findings(change({}), data)[0]
    check(change({"validate.on_bad_image": "quarantine"}), data)


def test_an_image_that_cannot_be_read_is_left_to_the_stage_validate(data: Path, change: Change) -> None:
    (data / "train" / "0002_c1_000020001.jpg").write_bytes(b"no image")
    check(change({}), data)


def test_everything_is_found_at_once(data: Path, change: Change) -> None:
    _without("masks", "test")(data)
    lines = findings(change({"split.sede": 1, "runtime.device": "gpu"}), data)
    for found in ("split.sede", "runtime.device", "queries/", "train_bruna.mask"):
        assert sum(found in line for line in lines) == 1, found


def test_a_large_data_set_is_checked_in_a_moment(data: Path, change: Change) -> None:
    """Half of Market-1501; every stage begins so."""
    image = (data / "train" / "0002_c1_000020001.jpg").read_bytes()
    for number in range(15_000):
        (data / "train" / f"{2 + number % 700:04d}_c{1 + number % 6}_{number:09d}.jpg").write_bytes(image)
    (data / "gallery" / "0020_c2s1_000451_03.jpg").unlink()
    (data / "query" / "0020_c1s1_000451_03.jpg").unlink()
    params = change({})
    check(params, data)
    started = time.process_time()
    check(params, data)
    assert time.process_time() - started < 0.6  # 0.1 s where nothing else runs


def test_the_command(data: Path, change: Change, bruna: Run) -> None:
    status, _, err = bruna("check")
    assert status == 1 and "not a Git repository" in err and "git init && git add --all && git commit" in err
    subprocess.run(["git", "init", "--quiet"], check=True)
    change({})
    status, out, err = bruna("check")
    assert (status, err) == (0, "") and "fit together" in out
    change({"train_bruna.epoch": 2})
    status, out, err = bruna("check")
    assert (status, out) == (1, "")
    assert "did you mean epochs?" in err and err.endswith("no output was removed.\n")


@pytest.mark.parametrize("stage", ["validate", "train_bruna"])
def test_a_stage_begins_with_it(stage: str, data: Path, change: Change) -> None:
    """What it finds is told together with what becomes of the outputs that DVC has removed by then."""
    project = Path(__file__).resolve().parents[2]
    change({"train_bruna.epoch": 2})
    _without("masks")(data)
    for name in ("src", "stages"):
        shutil.copytree(project / name, data.parent / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(project / "dvc.yaml", data.parent)
    command, environment = [sys.executable, f"stages/{stage}.py"], {**os.environ, "DVC_STAGE": stage}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "did you mean epochs?" in done.stderr and "Nothing is lost" in done.stderr
    assert not (data.parent / "mlflow.db").exists() and not (data.parent / "artifacts").exists()
