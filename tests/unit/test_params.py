"""params.yaml: what it may say, and what is said when it says something else."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from bruna.errors import BrunaError
from bruna.params import parse_params, read_groups, read_params, read_runtime

PARAMS = Path(__file__).parents[2] / "params.yaml"


def _changed(tmp_path: Path, old: str, new: str) -> Path:
    text = PARAMS.read_text()
    assert old in text
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(old, new, 1))
    return path


def test_every_group_of_the_project_s_own_file_is_read() -> None:
    params = read_params(PARAMS)
    assert params.group("validate").image_size == (128, 64)
    assert params.group("train_bruna").features == 1600


def test_the_number_form_that_dvc_writes_is_a_number(tmp_path: Path) -> None:
    assert read_params(_changed(tmp_path, "lr: 0.009", "lr: 1e-05")).train_unet.lr == 1e-5


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("lr: 0.009", "lr: banana", "train_unet.lr: found 'banana'"),
        ("lr: 0.009", "lr: -1", "train_unet.lr: found -1"),
        ("  depth: 4", "  depht: 4", "train_unet.depht: found 4; this setting is unknown: did you mean depth?"),
        (
            "    hue: 0.02 ",
            "    hew: 0.02 ",
            "train_unet.augment.hew: found 0.02; this setting is unknown: did you mean hue?",
        ),
        ("validate:", "validatee:", "validatee: found a group; this setting is unknown: did you mean validate?"),
        ("segment:", "qqq: 1\nsegment:", "qqq: found 1; this setting is unknown\n"),
        ("  depth: 4", "  # depth", "train_unet.depth: missing"),
        ("  image_size: [128, 64]       # height and width the U-Net", "  image_size: [100, 64] #", "multiple of 16"),
        ("mask: channel", "mask: yes please", "train_bruna.mask: found 'yes please'"),
        ("mask: channel", "mask: [channel]", "train_bruna.mask: found ['channel']"),
        ("junk_share: 0.01", "junk_share: 1.0", "junk_share + weak_share is more than 1"),
        ("camera_classes: [4, 6]", "camera_classes: [4, 4]", "camera_classes [4, 4] names a camera twice"),
        ("warmup_epochs: 0", "warmup_epochs: 11", "leaves nothing of 11 epochs"),
        ("network: resnet18", "network: resnet20", "train_attributes.network: found 'resnet20'"),
        (
            "negatives: own",
            "strangers: own",
            "train_bruna.strangers: found 'own'; this setting is now called train_bruna.negatives",
        ),
        (
            "mining: adversary",
            "picks: adversary",
            "train_bruna.picks: found 'adversary'; this setting is now called train_bruna.mining",
        ),
        (
            "  neck: batch_norm",
            "  pool: gem\n  neck: batch_norm",
            "train_bruna.pool: found 'gem'; this setting was removed: delete its line",
        ),
        ("attribute_neighbors: 6", "attributes_sightings: 6", "is now called evaluate.attribute_neighbors"),
        ("adversary_loss: unit_regression", "adversary_loss: regression", "found 'regression', which was removed"),
        ("last_stride: 2", "last_stride: 3", "train_attributes.last_stride: found 3"),
        ("seed: 0", "seed: [", "not valid YAML"),
    ],
)
def test_nonsense_is_refused_with_its_key_and_value(tmp_path: Path, old: str, new: str, found: str) -> None:
    with pytest.raises(BrunaError) as error:
        read_params(_changed(tmp_path, old, new))
    assert found in str(error.value)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"network": "lenet5", "pool": "halves"}, "lenet5 ends in a vector"),
        ({"network": "alexnet", "last_stride": 1}, "alexnet ends in a vector"),
        ({"network": "alexnet", "image_size": [128, 62]}, "alexnet needs images of 63 pixels"),
        ({"network": "simple_cnn", "pretrained": "imagenet"}, "imagenet has no weights for network simple_cnn"),
    ],
)
def test_what_a_network_cannot_do_is_refused(changes: dict[str, object], found: str) -> None:
    raw = YAML(typ="safe", pure=True).load(PARAMS.read_text())
    raw["train_attributes"].update(changes)
    with pytest.raises(BrunaError, match=found):
        parse_params(raw, "params.yaml")
    raw["train_attributes"].update({"image_size": [128, 64], "pool": "whole", "last_stride": 2, "pretrained": "none"})
    parse_params(raw, "params.yaml")


def test_networks_without_published_weights_are_those_of_the_models() -> None:
    from bruna.models.backbones import OWN_NETWORKS
    from bruna.params import _UNPUBLISHED_NETWORKS

    assert set(_UNPUBLISHED_NETWORKS) == set(OWN_NETWORKS)


def test_groups_without_a_mistake_are_read(tmp_path: Path) -> None:
    groups, problems = read_groups(_changed(tmp_path, "lr: 0.009", "lr: banana"))
    assert set(groups) == set(read_groups(PARAMS)[0]) - {"train_unet"}
    assert groups["validate"].image_size == (128, 64) and len(problems) == 1
    (tmp_path / "params.yaml").write_text("- 1\n")
    assert read_groups(tmp_path / "params.yaml")[0] == {}


def test_runtime_is_taken_from_a_file_of_this_project_alone(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    delivered = PARAMS.read_text().replace("device: auto", "device: cpu").replace("lr: 0.009", "lr: banana")
    for text, device in (
        (delivered, "cpu"),  # a mistake elsewhere is nothing to the device
        (delivered.replace("segment:", "sediment:"), "auto"),
        ("runtime:\n  device: tpu\nmodel: large\n", "auto"),
        ("a: [\n", "auto"),
    ):
        file.write_text(text)
        assert read_runtime(file).device == device
    assert read_runtime(tmp_path / "missing.yaml").device == "auto"
    file.write_text(delivered.replace("threads: 0", "threads: -1"))
    with pytest.raises(BrunaError, match=r"runtime\.threads: found -1"):
        read_runtime(file)


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(BrunaError, match="top folder of the project"):
        read_params(tmp_path / "params.yaml")
