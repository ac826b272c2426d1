"""What each stage keeps, by its script: files with their columns, figures, what it logs; from images to a ranking."""

import csv
import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.torch import load_file

from bruna.batches.store import ImageStore, encode_png
from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.facts import image_facts, manifest_of
from bruna.dataset.tables import read_table, write_table
from bruna.errors import BrunaError
from bruna.files import read_json, write_json
from bruna.headlines import HEADLINES
from bruna.inference.unet import UNetSegmenter
from bruna.params import Params, read_params
from bruna.retrieval.protocols import FIGURES, PROTOCOLS
from course_schema import TASKS
from tiny_records import PROJECT, SIZE
from tiny_stages import STAGES, Stage, run_stage, script, write_people

MADE = STAGES[1:-1]
Columns = Mapping[str, str]
_NAME = "dictionary<values=string, indices=int8, ordered=0>"
_NAMES = {attribute.name: _NAME for attribute in ATTRIBUTES}
_IMAGES: Columns = {"path": "string", "image": "binary", "identity": "int32", "camera": "int16", **_NAMES}
_SEGMENTS: Columns = {"path": "string", "mask": "binary", "bottleneck": "list<element: float>"}
_VALUES = {f"{part}/{task.name}": _NAME for part in ("true", "predicted") for task in TASKS}
_PREDICTIONS: Columns = {"path": "string", "junk": "bool", **_VALUES, "logits": "list<element: float>"}
_RANKED: Columns = {
    "query": "string",
    "query_camera": "int64",
    "rank": "int64",
    "path": "string",
    "camera": "int64",
    "distance": "float",
    "match": "bool",
    **dict.fromkeys(("probability", "upper", "lower"), "float"),
}
_VALUES_OF = {f"{part}/{attribute.name}": _NAME for part in ("true", "predicted") for attribute in ATTRIBUTES}
_PREDICTED: Columns = {"path": "string", "identity": "int32", "camera": "int16", "junk": "float", **_VALUES_OF}
_TESTS = ("gallery", "queries", "query", "test")
TABLES: Mapping[str, Columns] = {
    **{f"split/{name}.parquet": _IMAGES for name in ("train", "validation", *(f"test/{part}" for part in _TESTS))},
    "split/masks.parquet": {"path": "string", "image": "binary", "mask": "binary", "part": "string"},
    **{f"segment/{name}.parquet": _SEGMENTS for name in ("train", "validation", *(f"test/{part}" for part in _TESTS))},
    "train_unet/held_out.parquet": {"path": "string", "iou": "double", "probability": "binary"},
    **{f"train_attributes/predictions_{side}.parquet": _PREDICTIONS for side in ("train", "validation")},
    "train_bruna/hard_negatives.parquet": {
        "anchors": "list<element: string>",
        "negatives": "list<element: string>",
        "mined": "list<element: int64>",
        "distances": "list<element: double>",
        "anchor_distance": "double",
    },
    **{f"evaluate/ranked_{name}.parquet": _RANKED for name in ("validation", "test")},
    **{f"evaluate/predicted_{name}.parquet": _PREDICTED for name in ("validation", "test_query", "test_gallery")},
    "evaluate/by_identity.parquet": {
        **dict.fromkeys(("headline", "unit", "group", "cell"), "string"),
        "sum": "double",
        "count": "int64",
        **dict.fromkeys(("contents", "among"), "uint64"),
    },
}
"""Columns and types of every table."""
_MEASURES = [f"{protocol.name}_{what}" for protocol in PROTOCOLS for what in ("ap", "first_hit")]
_SHARES = [
    f"{side}/{key}"
    for side in ("train", "validation")
    for key in ("accuracy", "precision", "balanced_accuracy", "majority")
]
_BALANCE = [f"{side}{key}" for key in ("percent", "images", "image_percent") for side in ("", "train_", "validation_")]
_BROKEN_DOWN = ("", "_low", "_high", "_difference", "_difference_low", "_difference_high", "_verdict")
TEXTS: Mapping[str, list[str]] = {
    "split/balance.csv": ["attribute", "value", "people", "train", "validation", "wanted", "deviation", *_BALANCE],
    **{f"evaluate/queries_{name}.csv": ["path", "identity", *_MEASURES] for name in ("validation", "test")},
    **{f"evaluate/cmc_{name}.csv": ["rank", *(p.name for p in PROTOCOLS)] for name in ("validation", "test")},
    "evaluate/breakdown_validation.csv": [
        *("by", "value", "queries", "people"),
        *(f"{figure}{column}" for figure in ("map", "rank1", "fmr") for column in _BROKEN_DOWN),
        *("fmr_people", "fmr_pairs"),
    ],
    "evaluate/table1.csv": ["task", *_SHARES],
    "evaluate/operating_points.csv": ["task", "shift", *_SHARES[::2][:2], *_SHARES[4:][::2][:2]],
}
"""Header of every CSV file, but of those whose columns are the measures of an epoch."""
OTHERS = {
    *(f"{model}/settings.json" for model in ("unet", "attributes", "bruna", "train_bruna/untrained", "evaluate")),
    *(f"{model}.safetensors" for model in ("unet/model", "attributes/model", "bruna/bruna", "bruna/adversary")),
    "train_bruna/untrained/bruna.safetensors",
    *(f"{training}/epochs.csv" for training in ("train_unet", "train_attributes", "train_bruna")),
    *(f"{stage}/figures.json" for stage in MADE),
    "evaluate/classification_test.csv",
    "evaluate/halves.safetensors",
    "evaluate/reid_test.txt",
}


@pytest.fixture(scope="module")
def params() -> Params:
    """Tiny networks, Bruna's with masks; distances as good as those of the features alone, no image left out."""
    changes: Mapping[str, Mapping[str, Any]] = {
        "split": {"train_share": 0.6},
        "train_unet": {"image_size": SIZE, "depth": 2, "width": 2, "epochs": 2, "batch_size": 2},
        "train_attributes": {"image_size": SIZE, "network": "simple_cnn", "epochs": 1, "batch_size": 12},
        "train_bruna": {"image_size": SIZE, "epochs": 2, "features": 16, "batch_tuples": 5, "tuples_per_identity": 1},
        "evaluate": {"attribute_offset": 1e6, "filter_junk": False, "reid_test_length": 2},
    }
    raw = yaml.safe_load((PROJECT / "params.yaml").read_text())
    return Params.model_validate({name: {**group, **changes.get(name, {})} for name, group in raw.items()})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set and the manifest of its images."""
    folder = tmp_path_factory.mktemp("project")
    manifest = manifest_of(image_facts(write_people(folder / "data")))
    write_table(manifest, folder / "artifacts" / "validate" / "manifest.parquet")
    return folder


@pytest.fixture(scope="module")
def stages(project: Path, params: Params) -> dict[str, Stage]:
    """Every stage from the split to the measurements, after its script has run."""
    return {name: run_stage(name, project, params) for name in MADE}


@pytest.fixture
def artifacts(stages: dict[str, Stage]) -> Path:
    return stages["split"].artifacts


def test_files_tables_and_columns(artifacts: Path) -> None:
    files = {path.relative_to(artifacts).as_posix() for path in artifacts.rglob("*") if path.is_file()}
    assert files - {"validate/manifest.parquet"} == {*TABLES, *TEXTS, *OTHERS}
    for name, columns in TABLES.items():
        schema = pq.read_schema(artifacts / name)  # pandas 3 writes text with longer offsets, which is the same text
        assert {field.name: str(field.type).replace("large_", "") for field in schema} == columns, name
    for name, header in TEXTS.items():
        with (artifacts / name).open(newline="") as file:
            assert next(csv.reader(file)) == header, name


def test_a_stage_writes_what_dvc_yaml_says(artifacts: Path, stages: dict[str, Stage]) -> None:
    declared = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
    outs = {Path(out) for name in stages for out in declared[name]["outs"]}
    root = artifacts.parent
    files = [path.relative_to(root) for path in artifacts.rglob("*") if path.is_file()]
    within = {path: [out for out in outs if path == out or out in path.parents] for path in files}
    assert {path.name for path, found in within.items() if len(found) != 1} == {"manifest.parquet"}
    assert {out for found in within.values() for out in found} == outs


def test_figures_are_written_and_told_and_hold_the_headlines(stages: dict[str, Stage]) -> None:
    for name, stage in stages.items():
        assert stage.finished == read_json(stage.figures_file), name
        headlines = read_json(stage.project / "metrics" / f"{name}.json")
        assert headlines.keys() == {key for key, headline in HEADLINES.items() if headline.stage == name}, name


def test_what_is_logged(stages: dict[str, Stage]) -> None:
    logs = {name: stage.tracker for name, stage in stages.items()}
    training = {"unet": "train_unet", "attributes": "train_attributes", "bruna": "train_bruna"}
    assert {name: log.files for name, log in logs.items()} == {
        "split": [],
        "segment": [],
        **{stage: [(model, "model"), ("epochs.csv", "tables")] for model, stage in training.items()},
        "evaluate": [("evaluate", "evaluate")],
    }
    tables = {name: sorted(log.tables) for name, log in logs.items() if log.tables}
    assert tables == {
        "split": ["tables/balance.json"],
        "evaluate": [
            f"tables/{table}.json"
            for table in ("breakdown_validation", "operating_points", "queries_test", "queries_validation", "table1")
        ],
    }
    for name, log in logs.items():
        for table, logged in log.tables.items():
            kept = pd.read_csv(stages[name].artifacts / name / f"{Path(table).stem}.csv", keep_default_na=False)
            assert list(kept) == list(logged) and len(kept) == len(logged), table
    for stage in training.values():  # every number of every epoch, once
        epochs = pd.read_csv(stages[stage].artifacts / stage / "epochs.csv").to_dict("records")
        assert [(row.pop("epoch"), pytest.approx(row)) for row in epochs] == logs[stage].values
    assert not [name for name in MADE if name not in training.values() and logs[name].values]


def test_each_side_of_the_split_goes_where_it_belongs(artifacts: Path, stages: dict[str, Stage]) -> None:
    sides = {side: read_table(artifacts / "split" / f"{side}.parquet") for side in ("train", "validation")}
    assert len(sides["train"]) > len(sides["validation"]) > 6
    paths = {side: table["path"].tolist() for side, table in sides.items()}
    figures = {name: stage.finished or {} for name, stage in stages.items()}
    assert {side: figures["split"]["rows"][side] for side in sides} == {side: len(paths[side]) for side in sides}
    for side in sides:
        predicted = read_table(artifacts / "train_attributes" / f"predictions_{side}.parquet")
        assert predicted.loc[~predicted["junk"], "path"].tolist() == paths[side]
        right = {
            name: (predicted[f"true/{name}"] == predicted[f"predicted/{name}"])[~predicted["junk"]].mean()
            for name in _NAMES
        }
        assert {name: figures["train_attributes"][side][name]["accuracy"] for name in _NAMES} == pytest.approx(right)
    shown = read_table(artifacts / "train_bruna" / "hard_negatives.parquet")
    assert {path for row in (*shown["anchors"], *shown["negatives"]) for path in row} <= set(paths["train"])
    ranked = read_table(artifacts / "evaluate" / "ranked_validation.parquet")
    assert set(ranked["query"]) == set(ranked["path"]) == set(paths["validation"])
    assert figures["evaluate"]["validation"]["gallery"] == len(paths["validation"])


def test_segments_are_those_of_the_images_beside_them(artifacts: Path, stages: dict[str, Stage]) -> None:
    unet = UNetSegmenter.load(artifacts / "unet", torch.device("cpu"))
    assert unet is not None
    count = 0
    for file in sorted((artifacts / "split").rglob("*.parquet")):
        table, name = read_table(file), file.relative_to(artifacts / "split")
        if file.stem == "masks":
            assert not (artifacts / "segment" / name).exists()
            continue
        segments = read_table(artifacts / "segment" / name)
        assert segments["path"].tolist() == table["path"].tolist(), name
        pixels = ImageStore.decode(list(table["image"]), list(table["path"]), unet.size).pixels
        found = unet.segment(pixels, 64)
        assert list(segments["mask"]) == [encode_png(mask) for mask in found.masks], name
        np.testing.assert_array_equal(np.stack(list(segments["bottleneck"])), found.bottlenecks)
        count += len(table)
    assert stages["segment"].finished == {"images": count, "segmented": count}


def test_figures_are_of_the_network_they_name(artifacts: Path, stages: dict[str, Stage]) -> None:
    """Bruna before and after its training, as the training measures both, and again as `evaluate` does."""
    trained, measured = (stages[name].finished or {} for name in ("train_bruna", "evaluate"))
    assert set(trained) - {"warnings"} == {"untrained", "trained"}
    assert trained["untrained"] != trained["trained"]
    for protocol in (protocol.name for protocol in PROTOCOLS):
        assert set(trained["trained"][protocol]) == set(FIGURES)
        after = measured["validation"]["variants"]["features_only"][protocol]
        assert trained["trained"][protocol] == pytest.approx({key: after[key] for key in FIGURES})
        assert trained["untrained"][protocol] == pytest.approx(measured["baselines"]["untrained"][protocol])
    last = pd.read_csv(artifacts / "train_bruna" / "epochs.csv").iloc[-1]
    assert last["validation/market1501/map"] == pytest.approx(trained["trained"]["market1501"]["map"])
    weights = [load_file(artifacts / name / "bruna.safetensors") for name in ("bruna", "train_bruna/untrained")]
    assert weights[0].keys() == weights[1].keys()
    assert not torch.equal(*(torch.cat([w.flatten().float() for w in found.values()]) for found in weights))


def test_settings_rebuild_the_networks_and_name_the_parameters(artifacts: Path, params: Params) -> None:
    groups = {
        model: params.group(f"train_{model}").model_dump(mode="json") for model in ("unet", "attributes", "bruna")
    }
    settings = {model: read_json(artifacts / model / "settings.json") for model in groups}
    for model, found in settings.items():
        assert found.pop("params") == groups[model]
        assert found.pop("image_size") == list(SIZE) and found.pop("version")
    attributes = ("network", "last_stride", "pool", "dropout", "flip_test", "camera_classes")
    bruna = ("backbone", "features", "mask", "dropout", "last_stride", "neck")
    for model in ("attributes", "bruna"):
        assert settings[model].pop("attributes") == [{"name": a.name, "values": [*a.values]} for a in ATTRIBUTES]
    assert settings == {
        "unet": {"trained": True, "width": 2, "depth": 2, "threshold": 0.5},
        "attributes": {name: groups["attributes"][name] for name in attributes},
        "bruna": {"network": {"bottleneck": 2 * 2**2, **{name: groups["bruna"][name] for name in bruna}}},
    }


def test_without_masks_nothing_is_segmented(artifacts: Path, tmp_path: Path, params: Params) -> None:
    shutil.copytree(artifacts / "split", tmp_path / "artifacts" / "split")
    pairs = tmp_path / "artifacts" / "split" / "masks.parquet"
    write_table(read_table(pairs).iloc[:0], pairs)
    trained, segmented = (run_stage(name, tmp_path, params) for name in ("train_unet", "segment"))
    images = {path: len(read_table(path)) for path in (tmp_path / "artifacts" / "segment").rglob("*.parquet")}
    assert trained.finished == {"pairs_train": 0, "pairs_held_out": 0}
    assert [path.name for path in (tmp_path / "artifacts" / "train_unet").iterdir()] == ["figures.json"]
    assert read_json(tmp_path / "artifacts" / "unet" / "settings.json")["trained"] is False
    assert trained.tracker.files == [] and trained.tracker.values == []
    assert segmented.finished == {"images": sum(images.values()), "segmented": 0}
    for path in images:
        before, after = (
            read_table(artifacts / "split" / path.relative_to(segmented.artifacts / "segment")),
            read_table(path),
        )
        assert after["path"].tolist() == before["path"].tolist() and list(after) == list(_SEGMENTS)
        assert after[["mask", "bottleneck"]].isna().all(axis=None)


@pytest.mark.parametrize("broken", [False, True])
def test_validate_logs_the_pages_of_a_broken_data_set_too(
    tmp_path: Path, params: Params, project: Path, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    module, stage = script("validate"), Stage("validate", params.group("validate"), tmp_path)
    manifest = read_table(project / "artifacts" / "validate" / "manifest.parquet")
    docs = tmp_path / "reports" / "data_docs"
    (docs / "of_before").mkdir(parents=True)

    def validated(data: Path, given: object, docs: Path) -> SimpleNamespace:
        assert (data, given) == (stage.data, stage.params) and not docs.exists()
        docs.mkdir()
        if broken:
            raise BrunaError("an image is damaged")
        figures = {"subsets": {"train": {"images": 3}}}
        return SimpleNamespace(manifest=manifest, problems=[], figures=lambda: figures)

    monkeypatch.setattr(module, "validate_dataset", validated)
    with pytest.raises(BrunaError, match="damaged") if broken else nullcontext():
        module.run(stage)
    assert stage.tracker.files == [("data_docs", "data_docs")]
    kept = [path.name for path in (stage.artifacts / "validate").glob("*")]
    if broken:
        assert stage.finished is None and kept == []
    else:
        assert sorted(kept) == ["figures.json", "manifest.parquet"]
        assert stage.finished == read_json(stage.figures_file) == {"subsets": {"train": {"images": 3}}}
        pd.testing.assert_frame_equal(read_table(stage.artifacts / "validate" / "manifest.parquet"), manifest)


def test_report_is_given_the_metrics_of_every_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    module, params = script("report"), read_params(PROJECT / "params.yaml")
    monkeypatch.setattr(module, "write_report", lambda *arguments: given.extend(arguments) or {"evaluate": 2})
    shutil.copy(PROJECT / "params.yaml", tmp_path)
    for number, name in enumerate(STAGES[:-1]):
        write_json({f"of_{name}": number}, tmp_path / "metrics" / f"{name}.json")
    stage = Stage("report", params.group("report"), tmp_path, inputs={"data": "0123.dir"})
    module.run(stage)
    metrics = {f"of_{name}": number for number, name in enumerate(STAGES[:-1])}
    assert given == [stage.artifacts, stage.data, metrics, params, stage.inputs, stage.tracker]
