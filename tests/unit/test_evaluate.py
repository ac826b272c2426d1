"""What the stage `evaluate` writes, and what it runs for it, on small untrained networks."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from bruna.batches.persons import PersonStore
from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.identities import UNLABELLED
from bruna.dataset.predictions import prediction_frame
from bruna.dataset.schema import Task, Tasks, logit_count, task1_tasks
from bruna.dataset.tables import read_table, write_table
from bruna.errors import BrunaError
from bruna.evaluation.comparing import compare, read_by_identity
from bruna.evaluation.labelled import describe_table
from bruna.files import read_json
from bruna.headlines import headline_metrics
from bruna.inference.attributes import AttributePredictor
from bruna.inference.bruna import BrunaEmbedder
from bruna.inference.describer import load
from bruna.inference.settings import Settings
from bruna.inference.unet import UNetSegmenter, segment_images, segment_table
from bruna.models.bruna import Embedding
from bruna.pipeline.evaluate import evaluate_and_save
from bruna.tracking.protocol import NullTracker
from course_schema import CAMERA_CLASSES
from person_table import person_table
from tiny_models import save_tiny_models
from tiny_settings import SETTINGS

CPU = torch.device("cpu")
PARAMS = SETTINGS.model_copy(
    update={
        "batch_size": 8,
        "attribute_offset": 2.0,
        "flip": True,
        "filter_junk": False,
        "attributes_from": "both",
        "attribute_neighbors": 2,
    }
)


def _tables(schema: Tasks) -> dict[str, pd.DataFrame]:
    return {
        "validation": person_table([1, 2, 3, 4], 4, attributes=schema),
        "test/query": person_table([5, 6], 1, seed=1, attributes=schema),
        "test/gallery": person_table([5, 6], 4, seed=2, attributes=schema),
        "test/test": person_table([7, 8], 3, seed=3, attributes=schema).assign(identity=UNLABELLED),
        "test/queries": person_table([7, 8], 1, seed=4, attributes=schema).assign(identity=UNLABELLED),
    }


TABLES = _tables(ATTRIBUTES)
_PATHS = [*TABLES["validation"]["path"]] * 3
"""Of the images that Task 1 predicted: more than there are, so that no predictions make an attribute of one value."""


def _predictions(paths: list[str], seed: int, tasks: Tasks) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    values = [len(task.values) for task in tasks]
    true, predicted = (random.integers(0, values, (len(paths), len(tasks))) for _ in range(2))
    logits = random.standard_normal((len(paths), logit_count(tasks))).astype(np.float32)
    return prediction_frame(paths, np.zeros(len(paths), dtype=bool), true, predicted, logits, tasks)


def _left_by_the_stages_before(folder: Path, schema: Tasks, camera_classes: tuple[int, ...]) -> Path:
    """The untrained Bruna is another than the trained one."""
    save_tiny_models(folder, schema=schema, camera_classes=camera_classes)
    save_tiny_models(folder / "other", seed=1, schema=schema, camera_classes=camera_classes)
    (folder / "train_bruna").mkdir()
    (folder / "other" / "bruna").rename(folder / "train_bruna" / "untrained")
    unet = UNetSegmenter.load(folder / "unet", CPU)
    for name, table in _tables(schema).items():
        write_table(table, folder / "split" / f"{name}.parquet")
        segment_table(folder / "split" / f"{name}.parquet", folder / "segment" / f"{name}.parquet", unet, 8)
    for seed, side in enumerate(("train", "validation")):
        predicted = _predictions(_PATHS, seed, task1_tasks(schema, camera_classes))
        write_table(predicted, folder / "train_attributes" / f"predictions_{side}.parquet")
    return folder


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the earlier stages leave."""
    return _left_by_the_stages_before(tmp_path_factory.mktemp("evaluate"), ATTRIBUTES, CAMERA_CLASSES)


def _run(artifacts: Path) -> dict[str, Any]:
    people = load(artifacts, CPU, settings=Settings.of(PARAMS.model_dump()))
    untrained = BrunaEmbedder.load(artifacts / "train_bruna" / "untrained", CPU)
    return evaluate_and_save(people, untrained, PARAMS, artifacts=artifacts, tracker=NullTracker())


def test_the_records_of_the_stage(artifacts: Path) -> None:
    metrics = _run(artifacts)
    folder = artifacts / "evaluate"
    sets = {"validation": (16, 16), "test": (2, 8)}
    tables = [f"{part}_{name}" for name in sets for part in ("queries", "cmc", "ranked", "breakdown")]
    texts = ["table1.csv", "operating_points.csv", "classification_test.csv", "reid_test.txt"]
    texts += ["calibration.json", "verification.csv", "reliability.csv"]
    texts += ["by_identity.parquet", "halves.safetensors"]
    texts += [f"predicted_{images}.parquet" for images in ("validation", "test_query", "test_gallery")]
    found = [f"{table}.{'parquet' if 'ranked' in table else 'csv'}" for table in tables]
    assert sorted(path.name for path in folder.iterdir()) == sorted(["settings.json", *texts, *found])
    assert read_json(folder / "settings.json") == PARAMS.model_dump(mode="json")
    assert load(artifacts, CPU).settings == Settings.of(PARAMS.model_dump())
    assert set(metrics) - {"warnings"} == {*sets, "baselines", "distractors", "intervals"}
    for name, (queries, gallery) in sets.items():
        assert metrics[name]["gallery"] == gallery and metrics[name]["market1501"]["queries"] == queries
        ranked = read_table(folder / f"ranked_{name}.parquet")
        told = ["query", "query_camera", "rank", "path", "camera", "distance", "match", "probability", "upper", "lower"]
        assert list(ranked) == told
        first = ranked[ranked["match"]].groupby("query")["rank"].min()
        by_query = pd.read_csv(folder / f"queries_{name}.csv").set_index("path")["market1501_first_hit"]
        assert first.to_dict() == by_query.to_dict()
        cmc = pd.read_csv(folder / f"cmc_{name}.csv")
        assert list(cmc) == ["rank", "course", "market1501"] and len(cmc) == min(20, gallery)
        assert cmc["market1501"][4] == pytest.approx(metrics[name]["market1501"]["rank5"])
    baselines = metrics["baselines"]
    assert {name: set(found) for name, found in baselines["untrained"].items()} == {
        name: set(found) for name, found in baselines["histogram"].items()
    }
    assert baselines["untrained"]["market1501"]["map"] != metrics["validation"]["market1501"]["map"]
    assert len((folder / "classification_test.csv").read_text().splitlines()) == 1 + 6
    lines = (folder / "reid_test.txt").read_text().splitlines()
    assert len(lines) == 2 and all(line.count(",") == 2 for line in lines)
    assert {"task", "train/accuracy", "validation/balanced_accuracy"} <= set(pd.read_csv(folder / "table1.csv"))
    assert pd.read_csv(folder / "operating_points.csv")["shift"].min() == -0.3


def test_each_headline_metric_is_known_by_identity(artifacts: Path) -> None:
    """What `bruna compare` reads adds up to the figures; of four people there is no interval."""
    metrics = _run(artifacts)
    table = read_by_identity(artifacts)
    sums = table.groupby(["headline", "group", "cell"], sort=False)[["sum", "count"]].sum()
    values = (sums["sum"] / sums["count"]).groupby(level=[0, 1], sort=False).mean().groupby(level=0, sort=False).mean()
    expected = headline_metrics("evaluate", metrics)
    assert {name: values[name] for name in expected} == pytest.approx(expected)
    trained = {"task1_accuracy", "task1_balanced_accuracy", "features_map"}
    assert set(values.index) == set(metrics["intervals"]) == set(expected) | trained
    assert metrics["intervals"]["map"] == {"resampled": 4} and metrics["intervals"]["test_map"] == {"resampled": 2}
    assert set(table.loc[table["headline"] == "test_map", "unit"]) == {"5", "6"}
    again = compare(table, table)
    assert {each.word for each in again} == {"too few people"} and {each.units for each in again} == {4, 2}


def test_what_was_known_and_predicted_of_each_image_is_kept(artifacts: Path) -> None:
    _run(artifacts)
    for side in ("validation", "test/query", "test/gallery"):
        table, found = TABLES[side], read_table(artifacts / "evaluate" / f"predicted_{side.replace('/', '_')}.parquet")
        told = [f"{kind}/{task.name}" for kind in ("true", "predicted") for task in ATTRIBUTES]
        assert list(found) == ["path", "identity", "camera", "junk", *told]
        for column in ("path", "identity", "camera"):
            assert found[column].tolist() == table[column].tolist()
        for task in ATTRIBUTES:
            assert found[f"true/{task.name}"].tolist() == table[task.name].tolist()
            assert list(found[f"predicted/{task.name}"].cat.categories) == list(task.values)
        assert found["junk"].between(0, 1).all() and found["junk"].dtype == np.float32


def test_the_records_of_another_schema(tmp_path: Path) -> None:
    """Three values and a binary attribute, and no camera told: figures, tables and the submission are theirs."""
    schema = (Task("glasses", ("none", "clear", "dark")), Task("bag", ("no", "yes")))
    metrics = _run(_left_by_the_stages_before(tmp_path, schema, ()))
    for name in ("validation", "test"):
        for source in ("attributes_task1", "attributes_bruna", "attributes_both", "attributes_predicted"):
            assert list(metrics[name][source]) == ["glasses", "bag"]
    table = pd.read_csv(tmp_path / "evaluate" / "table1.csv")
    assert table["task"].tolist() == ["Glasses", "Bag", "Junk", "Overall", "Mean of the 2 attributes"]
    points = pd.read_csv(tmp_path / "evaluate" / "operating_points.csv")
    assert points["task"].unique().tolist() == ["Glasses", "Bag", "Mean of the 2 attributes"]
    submitted = pd.read_csv(tmp_path / "evaluate" / "classification_test.csv", keep_default_na=False)
    assert list(submitted) == ["id", "glasses", "bag"] and len(submitted) == 6
    for attribute in schema:
        assert set(submitted[attribute.name]) <= set(attribute.values)
    assert len((tmp_path / "evaluate" / "reid_test.txt").read_text().splitlines()) == 2


def test_a_table_of_another_schema_is_refused(artifacts: Path) -> None:
    people = load(artifacts, CPU, settings=Settings.of(PARAMS.model_dump()))
    unet = UNetSegmenter.load(artifacts / "unet", CPU)
    table = person_table([1, 2], 2, attributes=(*ATTRIBUTES[:-1], Task("hat_color", ("red", "blue"))))
    says = r"other attributes than the data set has: downcolor \(none; black/.*\), hat_color \(red/blue; none\)"
    with pytest.raises(BrunaError, match=says):
        describe_table(people, table, segment_images(table, unet, 8), "validation")


def test_no_network_sees_an_image_twice(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But Bruna its mirror image, and for the page the images of the mean and those that are shown.

    The untrained one sees the validation images; the U-Net none: its masks are kept.
    """
    seen: Counter[str] = Counter()
    logits, embed = AttributePredictor.logits, BrunaEmbedder.embed

    def counted_logits(self: AttributePredictor, pixels: Tensor, batch_size: int) -> Tensor:
        seen["attributes"] += len(pixels)
        return logits(self, pixels, batch_size)

    def counted_embed(self: BrunaEmbedder, store: PersonStore, batch_size: int, *, mirrored: bool = False) -> Embedding:
        seen["mirrored" if mirrored else "straight"] += len(store)
        return embed(self, store, batch_size, mirrored=mirrored)

    def no_unet(self: UNetSegmenter, pixels: Tensor, batch_size: int) -> None:
        raise AssertionError("the U-Net was run")

    monkeypatch.setattr(AttributePredictor, "logits", counted_logits)
    monkeypatch.setattr(BrunaEmbedder, "embed", counted_embed)
    monkeypatch.setattr(UNetSegmenter, "segment", no_unet)
    _run(artifacts)
    images = sum(map(len, TABLES.values()))
    again = len(TABLES["validation"])
    own, test = (
        read_table(artifacts / "evaluate" / f"ranked_{name}.parquet").dropna() for name in ("validation", "test")
    )
    shown = len({*own["query"], *own["path"]}) + test["query"].nunique() + test["path"].nunique()
    straight = images + again + again + shown
    assert seen == {"attributes": images, "straight": straight, "mirrored": images + again}
