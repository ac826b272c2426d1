"""`bruna attributes`: which files are predicted, under which ids, and what becomes of the others."""

import csv
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bruna.cli.main import main
from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.schema import Task, Tasks, as_json, logit_count, logit_slices, task1_tasks
from bruna.errors import BrunaError
from bruna.files import write_json
from bruna.inference.images import files_by_id
from bruna.inference.saving import save_models
from bruna.models.attributes import AttributeNetwork
from bruna.models.bruna import Bruna
from bruna.runtime import find_device
from course_schema import CAMERA_CLASSES, LOGITS, NAMES, TASKS
from tiny_dataset import write_image

ROOT = Path(__file__).parents[2]
SIZE = (32, 16)
HAT = logit_slices(ATTRIBUTES)["hat"]
REBUILD = {"network": "simple_cnn", "last_stride": 2, "pool": "whole", "dropout": 0.0, "flip_test": True}
OTHER = (Task("size", ("small", "middle, or so", "large")), Task("glasses", ("no", "yes")))


def _says_junk_to_white(folder: Path) -> AttributeNetwork:
    """Save a Task 1 network with random features that takes white images for junk and gives all people hats."""
    torch.manual_seed(0)
    network = AttributeNetwork("simple_cnn", TASKS, flip_test=True).eval()
    with torch.inference_mode():
        features = network.backbone(network.normalize(torch.ones(1, 3, *SIZE))).mean(dim=(2, 3))[0]
        rest = network.backbone(network.normalize(torch.full((1, 3, *SIZE), 0.3))).mean(dim=(2, 3))[0]
        direction = features - rest
        network.head.weight[-1] = 20 * direction / (direction @ direction)
        network.head.bias[-1] = -(network.head.weight[-1] @ (features + rest)) / 2
        network.head.weight[HAT] = 0
        network.head.bias[HAT] = 3.0
    _save(folder, network, ATTRIBUTES, CAMERA_CLASSES)
    return network


def _save(folder: Path, network: AttributeNetwork, attributes: Tasks, cameras: Sequence[int]) -> None:
    schema = {"attributes": as_json(attributes), "camera_classes": list(cameras)}
    save_models(folder, {"model": network}, {**REBUILD, **schema, "image_size": list(SIZE)})


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's top folder with a network; `crops` holds two people, a white image and two broken files."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    _says_junk_to_white(tmp_path / "artifacts" / "attributes")
    crops = tmp_path / "crops"
    write_image(crops / "a.jpg", 1)
    write_image(crops / "deep" / "b, c.PNG", 2, 48, 100)
    Image.fromarray(np.full((128, 64, 3), 255, np.uint8)).save(crops / "white.png")
    (crops / "broken.jpg").write_bytes((crops / "a.jpg").read_bytes()[:700])
    (crops / "text.webp").write_text("no image")
    (crops / "notes.txt").write_text("not looked at")
    monkeypatch.chdir(tmp_path)
    # It flushes denormals for the rest of the process, in which hypothesis' floats would then fail.
    monkeypatch.setattr("bruna.runtime.prepare_torch", lambda device, threads, setting: find_device(device, setting))
    return tmp_path


def _run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["bruna", "attributes", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    printed = capsys.readouterr()
    return int(end.value.code or 0), printed.out, printed.err


def _rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_a_folder_with_broken_images_and_junk(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("-o", "out.csv", "--probabilities", "p.csv", "--rejected", "r.csv", "--device", "cpu")
    status, out, err = _run(monkeypatch, capsys, "crops", *options)
    assert status == 0
    header, *rows = _rows(Path("out.csv"))
    assert tuple(header) == ("id", *NAMES)
    assert [row[0] for row in rows] == ["a.jpg", "b, c.PNG"]
    assert all(row[header.index("hat")] == "yes" for row in rows)
    for row in rows:
        assert all(value in attribute.values for attribute, value in zip(ATTRIBUTES, row[1:], strict=True))
    assert [row[0] for row in _rows(Path("r.csv"))[1:]] == ["crops/broken.jpg", "crops/text.webp", "crops/white.png"]
    for line in (
        "crops/broken.jpg: cannot be read: image file is truncated",
        "crops/text.webp: cannot be read: it is not a JPEG, PNG, WebP, BMP or TIFF image",
    ):
        assert f"left out: {line}" in err
    assert "left out: crops/white.png: Task 1 takes it for junk (probability 1.00)" in err
    assert "Traceback" not in err
    assert "predicted" in out and "crops/white.png" in out
    names, *values = _rows(Path("p.csv"))
    assert names[:7] == ["id", "age_young", "age_teenager", "age_adult", "age_old", "backpack_yes", "bag_yes"]
    assert names[-2:] == ["downcolor_multicolor", "junk"] and len(set(names)) == len(names) == 1 + LOGITS + 1
    assert [row[0] for row in values] == ["a.jpg", "b, c.PNG", "white.png"]  # whatever could be read
    assert [float(row[-1]) > 0.5 for row in values] == [False, False, True]
    for row in values:
        assert sum(map(float, row[1:5])) == pytest.approx(1, abs=1e-3)  # age
        assert row[names.index("hat_yes")] == "0.9526"  # sigmoid of 3
    kept = _run(monkeypatch, capsys, "crops", "--keep-junk", "--device", "cpu")
    assert kept[0] == 0 and len(_rows(Path("attributes.csv"))) == 1 + 3


def test_the_values_are_those_of_the_network(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, capsys, "crops/a.jpg", "--device", "cpu")[0] == 0
    network = _says_junk_to_white(project / "again").eval()
    with Image.open("crops/a.jpg") as opened:
        pixels = np.asarray(opened.resize((SIZE[1], SIZE[0]), Image.Resampling.BILINEAR))
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        logits = network.predict(image)[0]
    expected = [
        attribute.values[int(logits[where] > 0 if attribute.binary else logits[where].argmax())]
        for attribute, where in zip(ATTRIBUTES, logit_slices(ATTRIBUTES).values(), strict=True)
    ]
    assert _rows(Path("attributes.csv"))[1] == ["a.jpg", *expected]


@pytest.mark.parametrize("cameras", [(), (2,)])
def test_a_network_of_other_attributes_writes_those(
    cameras: tuple[int, ...], project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    network = AttributeNetwork("simple_cnn", task1_tasks(OTHER, cameras), flip_test=True)
    logits = torch.tensor([*np.log([1, 6, 1]), np.log(3.0), *(9.0 for _ in cameras), -np.log(3.0)])
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(logits)
    _save(project / "artifacts" / "attributes", network, OTHER, cameras)
    assert len(logits) == logit_count(OTHER) + len(cameras) + 1
    assert _run(monkeypatch, capsys, "crops/a.jpg", "--probabilities", "p.csv", "--device", "cpu")[0] == 0
    assert _rows(Path("attributes.csv")) == [["id", "size", "glasses"], ["a.jpg", "middle, or so", "yes"]]
    assert _rows(Path("p.csv")) == [
        ["id", "size_small", "size_middle, or so", "size_large", "glasses_yes", "junk"],
        ["a.jpg", "0.1250", "0.7500", "0.1250", "0.7500", "0.2500"],
    ]


def test_bruna_predicts_where_it_is_asked_for(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bruna's head says no hat, with more certainty than Task 1 says hat; without Bruna's files it is said so."""
    everything = ("crops", "--keep-junk", "--device", "cpu")
    status, _, err = _run(monkeypatch, capsys, *everything, "--from", "both")
    assert status == 1 and "unet/settings.json is missing" in err and "`--from task1 --neighbors 1` needs" in err
    torch.manual_seed(1)
    network = {
        "backbone": "mobilenet_v3_small", "features": 16, "mask": "none", "bottleneck": 0, "dropout": 0.0,
        "last_stride": 2, "neck": "none",
    }  # fmt: skip
    bruna = Bruna(**network, attributes=ATTRIBUTES)
    save_models(project / "artifacts" / "unet", {}, {"trained": False})
    with torch.no_grad():
        bruna.attribute_head[-1].weight[HAT] = 0
        bruna.attribute_head[-1].bias[HAT] = -6.0
    settings = {"network": network, "attributes": as_json(ATTRIBUTES), "image_size": list(SIZE)}
    save_models(project / "artifacts" / "bruna", {"bruna": bruna}, settings)
    told = {}
    for source, neighbors in (("task1", "1"), ("task1", "3"), ("bruna", "1"), ("both", "1"), ("both", "2")):
        options = ("--from", source, "--neighbors", neighbors, "--probabilities", "p.csv")
        assert _run(monkeypatch, capsys, *everything, *options)[0] == 0
        _, *rows = _rows(Path("p.csv"))
        told[source, neighbors] = np.array([[float(value) for value in row[1:]] for row in rows])
        header, *values = _rows(Path("attributes.csv"))
        assert [row[header.index("hat")] for row in values] == ["yes" if source == "task1" else "no"] * 3
    alone = told["task1", "1"]
    np.testing.assert_allclose(told["task1", "3"][:, :-1], np.tile(alone[:, :-1].mean(0), (3, 1)), atol=1e-4)
    np.testing.assert_array_equal(told["task1", "3"][:, -1], alone[:, -1])  # junk is Task 1's and an image's own
    mean = (alone + told["bruna", "1"]) / 2
    np.testing.assert_allclose(told["both", "1"][:, :-1], mean[:, :-1], atol=1e-4)
    assert (np.abs(told["both", "2"] - told["both", "1"])[:, :-1].max(axis=1) > 1e-3).any()


def test_mistakes_end_with_one_message(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "empty").mkdir()
    for arguments, message in [
        (("crops", "nowhere"), "nowhere does not exist"),
        (("empty",), "no image in empty"),
        (("crops/broken.jpg", "crops/white.png"), "none of 2 images could be predicted"),
        (("crops", "--models", "other"), "other is no folder"),
        (("crops", "--models", "crops", "--from", "both"), "crops/attributes/settings.json is missing"),
        (("crops", "--device", "mps"), "--device: found 'mps'; give auto, cpu, cuda or cuda:N"),
    ]:
        status, _, err = _run(monkeypatch, capsys, *arguments)
        assert status == 1
        assert message in err.splitlines()[-1] and err.splitlines()[-1].startswith("error: ")
        assert not Path("attributes.csv").exists()
    status, _, err = _run(monkeypatch, capsys, "crops", "")
    assert status == 2 and "a path is empty" in err


def test_a_name_that_no_table_can_hold_is_left_out_and_shown(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bytes that are not UTF-8, and line breaks. In names of folders and of what is written they do not matter."""
    names = (b"cr\xe9ps", b"o\xe9.csv", b"r\xe9.csv", b"m\xe9")
    folder, output, rejected, models = map(os.fsdecode, names)
    (project / "artifacts").rename(project / models)
    for name in (b"caf\xe9.jpg", b"two\nlines.jpg", b"plain.jpg"):
        write_image(project / folder / os.fsdecode(name), 1)
    options = ("--models", models, "--keep-junk", "-o", output, "--rejected", rejected, "--device", "cpu")
    status, out, err = _run(monkeypatch, capsys, folder, *options)
    assert status == 0, err
    assert [row[0] for row in _rows(Path(output))[1:]] == ["plain.jpg"]
    named = [r"cr\xe9ps/caf\xe9.jpg", r"cr\xe9ps/two\x0alines.jpg"]
    assert sorted(path for path, _ in _rows(Path(rejected))[1:]) == named
    for name in named:
        assert f"left out: {name}: its name holds control characters, or bytes that are not UTF-8; rename it" in err
        assert name in out
    assert r"Written to o\xe9.csv, r\xe9.csv" in out


def test_the_settings_are_those_recorded_beside_the_models(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever the command runs: with or without a params.yaml in the current folder."""
    for _ in ("with", "without"):
        write_json({"junk_threshold": 1.0}, project / "artifacts" / "evaluate" / "settings.json")
        assert _run(monkeypatch, capsys, "crops")[0] == 0
        assert [row[0] for row in _rows(Path("attributes.csv"))[1:]] == ["a.jpg", "b, c.PNG", "white.png"]
        write_json({"attributes_from": "bruna"}, project / "artifacts" / "evaluate" / "settings.json")
        status, _, err = _run(monkeypatch, capsys, "crops")
        assert status == 1 and "Attributes by bruna over 1 image need Bruna too" in err
        assert _run(monkeypatch, capsys, "crops", "--from", "Task1")[0] == 0
        (project / "params.yaml").unlink(missing_ok=True)


def test_ids_are_names_then_relative_paths_then_paths(tmp_path: Path) -> None:
    for name in ("one/x.jpg", "one/y.jpg", "one/sub/z.jpg", "two/x.jpg", "three/sub/x.jpg"):
        write_image(tmp_path / name, 0, 8, 8)
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))

    def ids(*given: Path) -> list[str]:
        return list(files_by_id(given))

    assert ids(one) == ["z.jpg", "x.jpg", "y.jpg"]
    assert ids(one, one / "x.jpg") == ["z.jpg", "x.jpg", "y.jpg"]  # reached twice, counted once
    assert ids(one, three) == ["sub/z.jpg", "x.jpg", "y.jpg", "sub/x.jpg"]
    assert ids(two, one / "x.jpg") == [(two / "x.jpg").as_posix(), (one / "x.jpg").as_posix()]
    with pytest.raises(BrunaError, match="nothing does not exist"):
        files_by_id([tmp_path / "nothing"])
