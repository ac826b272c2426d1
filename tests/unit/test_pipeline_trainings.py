"""What the trainings keep: models, and the records that tables and pictures are made from later."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bruna.batches.attribute_items import MEASURED_JUNK_EVERY
from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.predictions import read_predictions
from bruna.dataset.schema import Task, logit_count, task1_tasks
from bruna.dataset.tables import attribute_codes
from bruna.files import read_json
from bruna.inference.describer import load
from bruna.params import Params, read_params
from bruna.pipeline.train_attributes import train_and_save as train_attributes
from bruna.pipeline.train_bruna import train_and_save as train_bruna
from bruna.pipeline.train_unet import train_and_save as train_unet
from bruna.tracking.protocol import NullTracker
from course_schema import TASKS
from person_table import mask_pairs, person_table
from tiny_records import PROJECT, SIZE, places, tiny

TRAIN, VALIDATION = person_table(range(1, 7), 4, SIZE), person_table(range(7, 10), 4, SIZE, seed=1)


@pytest.fixture(scope="module")
def params() -> Params:
    return tiny(read_params(PROJECT / "params.yaml"))


class _Log(NullTracker):
    """Remembers which files are logged, and where."""

    def __init__(self) -> None:
        self.files: list[tuple[str, str | None]] = []

    def file(self, path: Path, folder: str | None = None) -> None:
        assert path.exists()
        self.files.append((path.name, folder))


def test_the_unet_keeps_what_it_makes_of_the_held_out_pairs(tmp_path: Path, params: Params) -> None:
    log = _Log()
    metrics = train_unet(mask_pairs(), params.train_unet, **places(tmp_path, "unet", log))
    assert sorted(path.name for path in (tmp_path / "unet").iterdir()) == ["model.safetensors", "settings.json"]
    assert read_json(tmp_path / "unet" / "settings.json")["trained"] is True
    found = pd.read_parquet(tmp_path / "train_unet" / "held_out.parquet")
    assert found["path"].tolist() == ["8.jpg", "9.jpg"]
    assert metrics["iou"] == found["iou"].mean()
    for encoded, true, iou in zip(found["probability"], mask_pairs()["mask"].iloc[8:], found["iou"], strict=True):
        person = np.asarray(Image.open(io.BytesIO(encoded))) > 127
        mask = np.asarray(Image.open(io.BytesIO(true))) > 127
        assert person.shape == SIZE
        assert (person & mask).sum() / (person | mask).sum() == iou  # 8 bits keep every verdict
    epochs = pd.read_csv(tmp_path / "train_unet" / "epochs.csv")
    assert epochs["epoch"].tolist() == [1, 2] and {"train/loss", "validation/iou"} <= set(epochs)
    assert log.files == [("unet", "model"), ("epochs.csv", "tables")]


def test_without_mask_pairs_the_records_are_an_empty_folder(tmp_path: Path, params: Params) -> None:
    metrics = train_unet(mask_pairs().iloc[:0], params.train_unet, **places(tmp_path, "unet", NullTracker()))
    assert metrics == {"pairs_train": 0, "pairs_held_out": 0}
    assert read_json(tmp_path / "unet" / "settings.json")["trained"] is False
    assert list((tmp_path / "train_unet").iterdir()) == []


def test_task_1_keeps_its_predictions_for_both_sides(tmp_path: Path, params: Params) -> None:
    metrics = train_attributes(
        TRAIN, VALIDATION, params.train_attributes, **places(tmp_path, "attributes", NullTracker())
    )
    for side, table in (("train", TRAIN), ("validation", VALIDATION)):
        frame = pd.read_parquet(tmp_path / "train_attributes" / f"predictions_{side}.parquet")
        paths = table["path"].tolist()
        assert frame["path"].tolist() == [*paths, *paths[::MEASURED_JUNK_EVERY]]
        assert frame["junk"].tolist() == [False] * len(paths) + [True] * len(paths[::MEASURED_JUNK_EVERY])
        tasks, true, predicted, logits = read_predictions(frame)
        assert tasks == TASKS
        known = attribute_codes(table)
        assert (true[: len(table), : known.shape[1]] == known).all() and (true[len(table) :, :-1] == -1).all()
        assert logits.shape == (len(frame), sum(task.width for task in TASKS)) and logits.dtype == np.float32
        right = (true[:, -1] == predicted[:, -1]).mean()
        assert metrics[side]["junk"]["accuracy"] == right
    epochs = pd.read_csv(tmp_path / "train_attributes" / "epochs.csv")
    assert len(epochs) == params.train_attributes.epochs
    for figure in ("accuracy", "balanced_accuracy"):  # the last epoch's network is the one that is measured
        assert epochs[f"validation/{figure}"].iloc[-1] == pytest.approx(metrics["validation"]["attributes"][figure])
        assert 0 < epochs[f"train/{figure}"].iloc[-1] < 1


def test_bruna_keeps_its_untrained_self_and_what_the_adversary_mined(tmp_path: Path, params: Params) -> None:
    segments = (pd.DataFrame(), pd.DataFrame())
    metrics = train_bruna((TRAIN, VALIDATION), segments, params.train_bruna, **places(tmp_path, "bruna", NullTracker()))
    trained, untrained = tmp_path / "bruna", tmp_path / "train_bruna" / "untrained"
    assert read_json(trained / "settings.json") == read_json(untrained / "settings.json")
    assert read_json(trained / "settings.json")["attributes"] == [
        {"name": attribute.name, "values": list(attribute.values)} for attribute in ATTRIBUTES
    ]
    files = {path.name for path in trained.iterdir()}
    assert files == {"bruna.safetensors", "adversary.safetensors", "settings.json"}
    assert {path.name for path in untrained.iterdir()} == {"bruna.safetensors", "settings.json"}
    assert (trained / "bruna.safetensors").read_bytes() != (untrained / "bruna.safetensors").read_bytes()
    identity = dict(zip(TRAIN["path"], TRAIN["identity"], strict=True))
    found = pd.read_parquet(tmp_path / "train_bruna" / "hard_negatives.parquet")
    for anchors, negatives, mined, distances in found.iloc[:, :4].itertuples(index=False):
        assert len({identity[path] for path in anchors}) == 1 and len(anchors) == 4
        assert identity[anchors[0]] not in {identity[path] for path in negatives}
        assert len(negatives) == len(distances) == 8 and len(set(mined)) == 2
    assert set(metrics) - {"warnings"} == {"untrained", "trained"}
    assert set(metrics["trained"]["market1501"]) == set(metrics["untrained"]["market1501"])
    json.dumps(metrics, allow_nan=False)


@pytest.mark.parametrize("cameras", [(), (2, 5)])
def test_what_is_trained_on_another_schema_is_loaded_with_it(
    cameras: tuple[int, ...], tmp_path: Path, params: Params
) -> None:
    """Three values and a binary attribute; with no camera told, and with others than the course's."""
    schema = (Task("glasses", ("none", "clear", "dark, or so")), Task("bag", ("no", "yes")))
    tasks = task1_tasks(schema, cameras)
    train, validation = (
        person_table(people, 4, SIZE, seed, schema) for seed, people in enumerate((range(1, 7), range(7, 10)))
    )
    task1 = params.train_attributes.model_copy(update={"network": "simple_cnn", "camera_classes": cameras})
    metrics = train_attributes(train, validation, task1, **places(tmp_path, "attributes", NullTracker()))
    means = {"overall", "attributes"}
    assert set(metrics["validation"]) == set(metrics["train"]) == {*(task.name for task in tasks), *means}
    found = read_predictions(pd.read_parquet(tmp_path / "train_attributes" / "predictions_validation.parquet"))
    assert found.tasks == tasks and found.logits.shape[1] == logit_count(tasks)
    assert np.array_equal(found.true[: len(validation), :2], attribute_codes(validation))
    segments = (pd.DataFrame(), pd.DataFrame())
    train_bruna((train, validation), segments, params.train_bruna, **places(tmp_path, "bruna", NullTracker()))
    train_unet(mask_pairs().iloc[:0], params.train_unet, **places(tmp_path, "unet", NullTracker()))
    people = load(tmp_path, "cpu")
    assert people.attribute_network is not None and people.bruna is not None
    assert people.schema == people.bruna.attributes == schema and people.attribute_network.network.tasks == tasks
    described = people.describe(list(validation["image"]))
    assert described.task1_logits is not None
    np.testing.assert_allclose(described.task1_logits.numpy(), found.logits[: len(validation)], atol=1e-4)
    assert {name: list(table) for name, table in described.probabilities.items()} == {
        attribute.name: list(attribute.values) for attribute in schema
    }
    for attribute in schema:
        assert set(described.attributes[attribute.name]) <= set(attribute.values)
    assert described.junk == pytest.approx(1 / (1 + np.exp(-found.logits[: len(validation), -1])), abs=1e-4)


def test_what_a_training_stage_imports_draws_nothing() -> None:
    modules = ", ".join(f"bruna.pipeline.{name}" for name in ("train_unet", "train_attributes", "train_bruna"))
    code = f"import sys, {modules}; print([m for m in sys.modules if m.startswith(('matplotlib', 'bruna.report'))])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"
