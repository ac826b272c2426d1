"""The headline metrics of all stages by identity, from what the trainings keep and what `evaluate` ranks."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from bruna.dataset.predictions import read_predictions
from bruna.dataset.schema import attributes_among
from bruna.dataset.tables import read_table
from bruna.evaluation.distractors import Distracted
from bruna.evaluation.intervals import Measured, measure, predicted_measures, ranking_measures, set_measures
from bruna.evaluation.labelled import image_contents
from bruna.evaluation.retrieval import Ranked, Retrieval, features_ranking
from bruna.headlines import HEADLINES
from bruna.params import Evaluate


def headline_measures(
    artifacts: Path,
    sets: Mapping[str, Retrieval],
    attributes: Mapping[str, Mapping[str, Measured]],
    baselines: Mapping[str, Ranked],
    distracted: Mapping[str, Distracted],
    params: Evaluate,
) -> dict[str, Measured]:
    """Every headline metric that is measured on people or on mask pairs, in the order of `HEADLINES`.

    Args:
        artifacts: the folder of all stages' outputs.
        sets: the ranked sets, `validation` and `test`.
        attributes: by set, what was measured of attributes where nothing is ranked.
        baselines: rankings of the validation identities by what needs no training.
        distracted: rankings of the validation identities with unlabelled images in the gallery.
        params: the group `evaluate`.
    """
    found = training_measures(artifacts)
    parts = dict(attributes) | {name: set_measures(ranked, params) for name, ranked in sets.items()}
    for name, each in parts.items():
        found |= {f"{'test_' if name == 'test' else ''}{figure}": measured for figure, measured in each.items()}
    if "validation" in sets:
        images = sets["validation"].query
        rankings = {"features": features_ranking(images), **baselines}
        for name, ranking in rankings.items():
            if precision := ranking_measures(ranking, images, images).get("map"):
                found[f"{name}_map"] = precision
    for name, ranked in distracted.items():
        found |= {f"distractors_{name}_{figure}": measured for figure, measured in ranked.measures.items()}
    return {name: found[name] for name in HEADLINES if name in found}


def training_measures(artifacts: Path) -> dict[str, Measured]:
    """What `train_unet` and `train_attributes` measured: `unet_iou` by mask pair, Task 1's means by identity."""
    found: dict[str, Measured] = {}
    held_out, predictions = artifacts / "train_unet" / "held_out.parquet", artifacts / "train_attributes"
    if held_out.exists():
        found["unet_iou"] = _unet(
            read_table(held_out, ["path", "iou"]), read_table(artifacts / "split" / "masks.parquet")
        )
    if (file := predictions / "predictions_validation.parquet").exists():
        images = read_table(artifacts / "split" / "validation.parquet", ["path", "image", "identity", "camera"])
        found |= {f"task1_{name}": each for name, each in _task1(read_table(file), images).items()}
    return found


def _unet(held_out: pd.DataFrame, pairs: pd.DataFrame) -> Measured:
    known = pairs.set_index("path").loc[held_out["path"]]
    both = pd.DataFrame({"image": known["image"] + known["mask"], "identity": 0, "camera": 0})
    paths = held_out["path"].to_numpy(dtype=object)
    return measure(paths, held_out[["iou"]].to_numpy(np.float64), image_contents(both), [("unet_iou", "")])


def _task1(predictions: pd.DataFrame, images: pd.DataFrame) -> dict[str, Measured]:
    tasks, true, predicted, _ = read_predictions(predictions[~predictions["junk"]])
    attributes = attributes_among(tasks)
    known, guess = (codes[:, : len(attributes)] for codes in (true, predicted))
    images = images.set_index("path").loc[predictions.loc[~predictions["junk"], "path"]]
    return predicted_measures(images["identity"].to_numpy(np.int64), known, guess, attributes, image_contents(images))
