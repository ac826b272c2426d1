"""Tiny trainings and tables such as the stages leave them, for tests of what is kept and of what is drawn from it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.predictions import predicted_columns
from bruna.dataset.schema import Tasks
from bruna.dataset.tables import attribute_codes, attributes_of, write_table
from bruna.files import read_json, write_json
from bruna.headlines import FIGURES_FILE
from bruna.metrics.attributes import METRICS
from bruna.params import Params
from bruna.pipeline.train_attributes import train_and_save as train_attributes
from bruna.pipeline.train_bruna import train_and_save as train_bruna
from bruna.pipeline.train_unet import train_and_save as train_unet
from bruna.retrieval.protocols import FIGURES
from bruna.tracking.protocol import NullTracker, Tracker
from bruna.training import attributes, bruna, unet
from bruna.training.checkpoint import Checkpoints
from person_table import encoded, mask_pairs, person_table

PROJECT = Path(__file__).resolve().parents[1]
SIZE = (32, 16)


def tiny(params: Params) -> Params:
    """The parameters with the smallest networks, and without masks for Bruna."""
    changes: dict[str, dict[str, Any]] = {
        "train_unet": {"image_size": SIZE, "depth": 2, "width": 2, "epochs": 2, "batch_size": 2},
        "train_attributes": {"image_size": SIZE, "network": "mobilenet_v3_small", "epochs": 1, "batch_size": 12},
        "train_bruna": {
            "image_size": SIZE,
            "epochs": 1,
            "mask": "none",
            "bottleneck": False,
            "features": 16,
            "batch_tuples": 3,
            "tuples_per_identity": 1,
        },
    }
    groups = {name: getattr(params, name).model_copy(update=update) for name, update in changes.items()}
    return params.model_copy(update=groups)


def train_too_fast(name: str, params: Params, checkpoints: Checkpoints) -> None:
    """A tiny training whose learning rates are all 1,000."""
    rates = {key: 1e3 for key in ("lr", "backbone_lr", "adversary_lr") if hasattr(getattr(params, name), key)}
    changes = {"epochs": 6, **rates} | ({"warmup_epochs": 0.5, "validate_every": 0} if "backbone_lr" in rates else {})
    group = getattr(tiny(params), name).model_copy(update=changes)
    shared = {"tracker": NullTracker(), "checkpoints": checkpoints, "device": torch.device("cpu")}
    sides = person_table(range(1, 5), 4, SIZE), person_table(range(7, 9), 4, SIZE)
    if name == "train_unet":
        unet.train_unet(mask_pairs(SIZE), group, **shared)
    elif name == "train_attributes":
        attributes.train_attributes(*sides, group.model_copy(update={"network": "simple_cnn"}), **shared)
    else:
        bruna.train_bruna(*sides, None, group, **shared)


def places(artifacts: Path, model: str, tracker: Tracker) -> dict[str, Any]:
    """Where a training writes, and on what it runs."""
    return {
        "folder": artifacts / model,
        "records": artifacts / f"train_{model}",
        "checkpoints": artifacts / "checkpoints" / model,
        "tracker": tracker,
        "device": torch.device("cpu"),
    }


def write_records(artifacts: Path, params: Params, attributes: Tasks = ATTRIBUTES) -> dict[str, Any]:
    """Everything that `report` reads, from tiny trainings and made-up measurements; the figures of `evaluate`."""
    train = person_table(range(1, 7), 4, SIZE, attributes=attributes)
    validation = person_table(range(7, 10), 4, SIZE, seed=1, attributes=attributes)
    write_table(train, artifacts / "split" / "train.parquet")
    write_table(validation, artifacts / "split" / "validation.parquet")
    write_table(mask_pairs(SIZE), artifacts / "split" / "masks.parquet")
    people = pd.concat([train, validation], ignore_index=True)
    manifest = people[["path", "identity", "camera"]].assign(subset="train", brightness=0.5, sharpness=range(36))
    write_table(manifest, artifacts / "validate" / "manifest.parquet")
    found = train_unet(mask_pairs(SIZE), params.train_unet, **places(artifacts, "unet", NullTracker()))
    write_json(found, artifacts / "train_unet" / FIGURES_FILE)
    to = places(artifacts, "attributes", NullTracker())
    found = train_attributes(train, validation, params.train_attributes, **to)
    write_json(found, artifacts / "train_attributes" / FIGURES_FILE)
    nothing = (pd.DataFrame(), pd.DataFrame())
    found = train_bruna((train, validation), nothing, params.train_bruna, **places(artifacts, "bruna", NullTracker()))
    write_json(found, artifacts / "train_bruna" / FIGURES_FILE)
    write_json(params.evaluate.model_dump(mode="json"), artifacts / "evaluate" / "settings.json")
    _write_tables(artifacts, attributes)
    write_ranking(artifacts, "validation", validation, validation)
    write_json(checked(), artifacts / "validate" / "figures.json")
    write_json({"train_identities": 6}, artifacts / "split" / "figures.json")
    measured = {name: figures(attributes) for name in ("validation", "histogram", "untrained")}
    measured = {"validation": measured.pop("validation"), "baselines": measured}
    write_json(measured, artifacts / "evaluate" / "figures.json")
    return measured


def checked() -> dict[str, Any]:
    """What `validate` found in a data set without mistakes."""
    return {
        "subsets": {"train": {"images": 36, "identities": 9, "cameras": {"1": 18, "2": 18}}},
        "checks": [{"check": "every image decodes fully", "passed": True, "findings": 0}],
        "same_content_twice": 0,
        "quarantined": [],
    }


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table as the stages do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)


def _write_tables(artifacts: Path, attributes: Tasks) -> None:
    shares = {f"{side}/{key}": 0.5 for side in ("train", "validation") for key in METRICS}
    tasks = [attributes[-1].title, "Overall", f"Mean of the {len(attributes)} attributes"]
    write_csv(pd.DataFrame([{"task": task, **shares} for task in tasks]), artifacts / "evaluate" / "table1.csv")
    points = [
        {"task": task, "shift": shift, "validation/accuracy": 0.5, "validation/balanced_accuracy": 0.5}
        for task in tasks[::2]
        for shift in (0.0, 0.1)
    ]
    write_csv(pd.DataFrame(points), artifacts / "evaluate" / "operating_points.csv")
    columns = [f"{s}{key}" for s in ("", "train_", "validation_") for key in ("percent", "images", "image_percent")]
    counts = dict.fromkeys([*columns, "people", "train", "validation", "wanted", "deviation"], 1.0)
    rows = [{"attribute": a.name, "value": value, **counts} for a in attributes for value in a.values]
    write_csv(pd.DataFrame(rows), artifacts / "split" / "balance.csv")


def write_ranking(artifacts: Path, name: str, queries: pd.DataFrame, gallery: pd.DataFrame) -> None:
    """The records of one set's ranking: every query with the whole gallery in the order of the table."""
    evaluate = artifacts / "evaluate"
    table = queries[["path", "identity"]].assign(
        course_ap=0.5, course_first_hit=1, market1501_ap=np.linspace(0, 1, len(queries)), market1501_first_hit=2
    )
    table.loc[0, ["market1501_ap", "market1501_first_hit"]] = np.nan  # a query without a match
    write_csv(table, evaluate / f"queries_{name}.csv")
    shares = np.linspace(0.5, 1, 5)
    write_csv(pd.DataFrame({"rank": range(1, 6), "course": shares, "market1501": shares}), evaluate / f"cmc_{name}.csv")
    query, image = queries.add_prefix("query_"), gallery.assign(rank=range(1, len(gallery) + 1), distance=1.5)
    ranked = query.merge(image, how="cross").rename(columns={"query_path": "query"})
    ranked["match"] = ranked["query_identity"] == ranked["identity"]
    ranked = ranked.assign(probability=np.float32(0.75), upper=np.float32(0.5), lower=np.float32(-0.25))
    kept = ["query", "query_camera", "rank", "path", "camera", "distance", "match", "probability", "upper", "lower"]
    write_table(ranked[kept], evaluate / f"ranked_{name}.parquet")
    for side, table in {"test/query": queries, "test/gallery": gallery}.items():
        place = side if name == "test" else name
        write_table(predicted(table), evaluate / f"predicted_{place.replace('/', '_')}.parquet")
        masks = [encoded(np.eye(*SIZE, dtype=np.uint8) * 255, "PNG") for _ in range(len(table))]
        write_table(table[["path"]].assign(mask=masks), artifacts / "segment" / f"{place}.parquet")


def predicted(images: pd.DataFrame) -> pd.DataFrame:
    """A table of `predicted_table`, where all is predicted as it is annotated."""
    codes = attribute_codes(images)
    known = images[["path", "identity", "camera"]].assign(junk=np.float32(0.25))
    return known.assign(**predicted_columns(codes, codes, attributes_of(images)))


def write_test_set(artifacts: Path) -> None:
    """A labelled test set, its ranking and its figures."""
    query, gallery = person_table((20, 21), 1, SIZE, seed=2), person_table((20, 21), 3, SIZE, seed=3)
    write_table(query, artifacts / "split" / "test" / "query.parquet")
    write_table(gallery, artifacts / "split" / "test" / "gallery.parquet")
    write_ranking(artifacts, "test", query, gallery)
    measured = read_json(artifacts / "evaluate" / "figures.json")
    write_json({**measured, "test": figures()}, artifacts / "evaluate" / "figures.json")


def figures(schema: Tasks = ATTRIBUTES) -> dict[str, Any]:
    """Measurements of a set as `evaluate` writes them."""
    protocol = dict.fromkeys(FIGURES, 0.5) | {"queries": 11, "left_out": 1}
    predicted = dict.fromkeys(("accuracy", "precision", "balanced_accuracy", "majority", "chance"), 0.5)
    attributes = {attribute.name: predicted for attribute in schema}
    sources = ("attributes_task1", "attributes_bruna", "attributes_both", "attributes_predicted")
    nobody = {"people": 0, "distractors": 0, "junk": 0}
    return {
        "course": protocol,
        "market1501": protocol,
        "unfiltered": {"course": protocol, "market1501": protocol},
        "variants": {},
        "gallery": 12,
        "gallery_holds": nobody | {"people": 12},
        "left_out_as_junk": 0,
        "left_out_holds": nobody,
        **dict.fromkeys(sources, attributes),
        "attribute_means": dict.fromkeys(sources, predicted),
    }
