"""What `train_attributes` keeps: the network of Task 1, its epochs, and its predictions for both sides of the split."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from bruna.batches.attribute_items import MEASURED_JUNK_EVERY
from bruna.dataset.predictions import prediction_frame
from bruna.dataset.schema import as_json, attributes_among
from bruna.dataset.tables import attributes_of, write_table
from bruna.files import whole_folder
from bruna.inference.saving import save_models
from bruna.metrics.attributes import scores, task_metrics
from bruna.metrics.baselines import CONSTANT, attribute_warnings
from bruna.nested import nested
from bruna.params import TrainAttributes
from bruna.pipeline.common import write_epochs
from bruna.processes import ALONE, Processes
from bruna.tracking.protocol import Tracker
from bruna.training.attribute_data import Measured
from bruna.training.attributes import train_attributes
from bruna.training.checkpoint import Checkpoints

_REBUILD = {"network", "last_stride", "pool", "dropout", "flip_test", "image_size", "camera_classes"}
"""The parameters that rebuild the network from its weights, and the size it sees."""


def train_and_save(
    train: pd.DataFrame,
    validation: pd.DataFrame,
    params: TrainAttributes,
    *,
    folder: Path,
    records: Path,
    checkpoints: Path,
    tracker: Tracker,
    device: torch.device,
    processes: Processes = ALONE,
) -> dict[str, Any] | None:
    """Train Task 1; write the network, and the records that its tables and pictures are made from.

    Without attributes there is nothing to train on: the settings then say so.

    Args:
        train, validation: image tables of the stage `split`.
        params: the group `train_attributes`.
        folder: of the network and its settings.
        records: the folder of `epochs.csv` and of `predictions_<side>.parquet` (`dataset/predictions.py`).
        checkpoints: where the training keeps its state.
        tracker: the stage's run.
        device: where to train.
        processes: that train together.

    Returns:
        The stage's figures: for each side of the split accuracy, precision, balanced accuracy and majority share of
        every task, of all tasks (`overall`) and of the real attributes (`attributes`); and `warnings` where it does not
        beat a constant prediction on the validation identities.
        None in all processes but the first, which writes.
    """
    if not attributes_of(train):
        if not processes.first:
            return None
        save_models(folder, {}, {"trained": False})
        with whole_folder(records):
            print("note: the data set has no attributes: Task 1 is not trained.")
            return {"trained": False}
    result = train_attributes(
        train,
        validation,
        params,
        tracker=tracker,
        checkpoints=Checkpoints(checkpoints),
        device=device,
        processes=processes,
    )
    if not processes.first:
        return None
    settings = {
        **params.model_dump(mode="json", include=_REBUILD),
        "attributes": as_json(attributes_among(result.train.tasks)),
        "params": params.model_dump(mode="json"),
    }
    save_models(folder, {"model": result.model}, settings)
    tracker.file(folder, "model")
    sides = {"train": (train, result.train), "validation": (validation, result.validation)}
    with whole_folder(records) as beside:
        write_epochs(result.history, beside, tracker)
        for side, (table, found) in sides.items():
            write_table(_predictions(table, found), beside / f"predictions_{side}.parquet")
    results = {side: task_metrics(found.true, found.predicted, found.tasks) for side, (_, found) in sides.items()}
    figures = {side: nested(scores(found)) for side, found in results.items()}
    unseen = [result for result in results["validation"] if not result.task.added]
    attributes = [{key: getattr(result, key) for key in CONSTANT} for result in unseen]
    below = attribute_warnings(attributes, "Task 1, validation identities")
    return {**figures, **({"warnings": below} if below else {})}


def _predictions(table: pd.DataFrame, found: Measured) -> pd.DataFrame:
    paths = list(table["path"])
    zoomed = paths[::MEASURED_JUNK_EVERY]
    junk = np.arange(len(found.true)) >= len(paths)
    return prediction_frame([*paths, *zoomed], junk, found.true, found.predicted, found.logits, found.tasks)
