"""Tiny trainings and tables such as the stages leave them, for tests of what is kept and of what is drawn from it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from bruna.dataset.attributes import ATTRIBUTES
from bruna.dataset.tables import write_table
from bruna.files import write_json
from bruna.params import Params
from bruna.pipeline.train_attributes import train_and_save as train_attributes
from bruna.pipeline.train_bruna import train_and_save as train_bruna
from bruna.pipeline.train_unet import train_and_save as train_unet
from bruna.tracking.protocol import NullTracker, Tracker
from person_table import encoded, person_table

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


def places(artifacts: Path, model: str, tracker: Tracker) -> dict[str, Any]:
    """Where a training writes, and on what it runs."""
    return {
        "folder": artifacts / model,
        "records": artifacts / f"train_{model}",
        "checkpoints": artifacts / "checkpoints" / model,
        "tracker": tracker,
        "device": torch.device("cpu"),
    }


def mask_pairs() -> pd.DataFrame:
    """Ten pairs of noise, the last two held out."""
    random = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "path": [f"{i}.jpg" for i in range(10)],
            "image": [encoded(random.integers(0, 255, (*SIZE, 3), np.uint8)) for _ in range(10)],
            "mask": [encoded((random.random(SIZE) > 0.5).astype(np.uint8) * 255, "PNG") for _ in range(10)],
            "part": ["train"] * 8 + ["held_out"] * 2,
        }
    )


def write_records(artifacts: Path, params: Params) -> dict[str, Any]:
    """Everything that `report` reads, from tiny trainings and made-up measurements; the metrics of `evaluate`."""
    train, validation = person_table(range(1, 7), 4, SIZE), person_table(range(7, 10), 4, SIZE, seed=1)
    write_table(train, artifacts / "split" / "train.parquet")
    write_table(validation, artifacts / "split" / "validation.parquet")
    write_table(mask_pairs(), artifacts / "split" / "masks.parquet")
    people = pd.concat([train, validation], ignore_index=True)
    manifest = people[["path", "identity", "camera"]].assign(subset="train", brightness=0.5, sharpness=range(36))
    write_table(manifest, artifacts / "validate" / "manifest.parquet")
    train_unet(mask_pairs(), params.train_unet, **places(artifacts, "unet", NullTracker()))
    train_attributes(train, validation, params.train_attributes, **places(artifacts, "attributes", NullTracker()))
    nothing = (pd.DataFrame(), pd.DataFrame())
    train_bruna((train, validation), nothing, params.train_bruna, **places(artifacts, "bruna", NullTracker()))
    write_json(params.evaluate.model_dump(mode="json"), artifacts / "evaluate" / "settings.json")
    _write_tables(artifacts)
    write_ranking(artifacts, "validation", validation, validation)
    return {"validation": figures(), "baselines": {"histogram": figures(), "untrained": figures()}}


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table as the stages do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)


def _write_tables(artifacts: Path) -> None:
    shares = {f"{side}/{key}": 0.5 for side in ("train", "validation") for key in ("acc", "prec", "rec", "majority")}
    tasks = ["Hat", "Overall", "Mean of the 12 attributes"]
    write_csv(pd.DataFrame([{"task": task, **shares} for task in tasks]), artifacts / "evaluate" / "table1.csv")
    points = [
        {"task": task, "shift": shift, "train/acc": 0.5, "train/rec": 0.5, "validation/acc": 0.5, "validation/rec": 0.5}
        for task in tasks[::2]
        for shift in (0.0, 0.1)
    ]
    write_csv(pd.DataFrame(points), artifacts / "evaluate" / "operating_points.csv")
    columns = [f"{s}{key}" for s in ("", "train_", "validation_") for key in ("percent", "images", "image_percent")]
    counts = dict.fromkeys([*columns, "people", "train", "validation", "wanted", "deviation"], 1.0)
    rows = [{"attribute": a.name, "value": value, **counts} for a in ATTRIBUTES for value in a.values]
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
    kept = ["query", "query_camera", "rank", "path", "camera", "distance", "match"]
    write_table(ranked[kept], evaluate / f"ranked_{name}.parquet")


def write_test_set(artifacts: Path) -> None:
    """A labelled test set and its ranking."""
    query, gallery = person_table((20, 21), 1, SIZE, seed=2), person_table((20, 21), 3, SIZE, seed=3)
    write_table(query, artifacts / "split" / "test" / "query.parquet")
    write_table(gallery, artifacts / "split" / "test" / "gallery.parquet")
    write_ranking(artifacts, "test", query, gallery)


def figures() -> dict[str, Any]:
    """Measurements of a set as `evaluate` writes them."""
    protocol = dict.fromkeys(("map", "rank1", "rank5", "rank10", "minp"), 0.5) | {"queries": 11, "left_out": 1}
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
    }
