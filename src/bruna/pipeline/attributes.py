"""What `train_attributes` leaves: the network, Table 1, 15 confusion matrices a side, confident images."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from bruna.dataset.attributes import LOGITS
from bruna.dataset.priors import log_priors
from bruna.dataset.tables import attribute_codes
from bruna.inference.saved_models import save_models
from bruna.metrics.attributes import TASKS, Codes, scores, task_metrics
from bruna.models.attribute_logits import attribute_predictions, attribute_probabilities
from bruna.params import TrainAttributes
from bruna.pipeline.common import keep_augmentation, keep_csv, keep_figure, keep_history, nested
from bruna.report.confidence import confidence_sheet
from bruna.report.confusion import confusion_grid
from bruna.report.figures import attribute_bars, curves
from bruna.report.operating_points import operating_curves, operating_points, shifts
from bruna.report.tables import table1
from bruna.tracking.protocol import Tracker
from bruna.training.attribute_data import Measured
from bruna.training.attributes import train_attributes
from bruna.training.checkpoint import Checkpoints

_REBUILD = {"network", "last_stride", "pool", "dropout", "flip_test", "image_size"}
"""The parameters that rebuild the network from its weights, and the size it sees."""
_CURVES = {"loss": "Loss", "accuracy": "Accuracy, mean of 12", "recall": "Balanced accuracy, mean of 12"}


def train_and_keep(
    train: pd.DataFrame,
    validation: pd.DataFrame,
    params: TrainAttributes,
    *,
    folder: Path,
    plots: Path,
    checkpoints: Path,
    tracker: Tracker,
    device: torch.device,
) -> dict[str, dict[str, dict[str, float]]]:
    """Train Task 1 and write all that the stage writes.

    Returns:
        The stage's metrics: for each side of the split accuracy, precision, recall and majority share of every
        task, of all 15 (`overall`) and of the 12 real attributes (`attributes`).
    """
    result = train_attributes(
        train, validation, params, tracker=tracker, checkpoints=Checkpoints(checkpoints), device=device
    )
    settings = {**params.model_dump(mode="json", include=_REBUILD), "params": params.model_dump(mode="json")}
    save_models(folder, {"model": result.model}, settings)
    tracker.file(folder, "model")
    keep_augmentation(train, params.image_size, params.augment, plots, tracker)
    keep_figure(curves(keep_history(result.history, plots), _CURVES, "Task 1"), "curves", plots, tracker)
    sides = {"train": result.train, "validation": result.validation}
    figures = {side: task_metrics(found.true, found.predicted) for side, found in sides.items()}
    table = table1(figures)
    keep_csv(table, plots / "table1.csv")
    tracker.table(table, "tables/table1.json")
    for side, results in figures.items():
        keep_figure(confusion_grid(results, f"Confusion matrices, {side}"), f"confusion_{side}", plots, tracker)
    keep_figure(attribute_bars(figures["validation"]), "attributes", plots, tracker)
    _keep_operating_points(sides, train, params, plots, tracker)
    _log_confident(result.validation, tracker)
    return {side: nested(scores(results)) for side, results in figures.items()}


def _keep_operating_points(
    sides: dict[str, Measured], train: pd.DataFrame, params: TrainAttributes, plots: Path, tracker: Tracker
) -> None:
    """Score what the heads would say if they leaned more to rare values, or less; no figure is chosen by it."""
    priors = torch.tensor(log_priors(attribute_codes(train)), dtype=torch.float32)

    def predicted(found: Measured) -> dict[float, Codes]:
        logits = torch.from_numpy(found.logits)[:, :LOGITS]
        return {t: attribute_predictions(logits - t * priors).numpy() for t in shifts(params.logit_adjustment)}

    points = operating_points({side: (found.true, predicted(found)) for side, found in sides.items()})
    keep_csv(points, plots / "operating_points.csv")
    tracker.table(points, "tables/operating_points.json")
    keep_figure(operating_curves(points), "operating_points", plots, tracker)


def _log_confident(found: Measured, tracker: Tracker) -> None:
    """Log for each task the images the network is surest and least sure of, right and wrong (section 4)."""
    logits = torch.from_numpy(found.logits)
    shares = attribute_probabilities(logits).numpy()
    extras = logits[:, LOGITS:].sigmoid().numpy()
    start = 0
    for i, task in enumerate(TASKS):
        width = 1 if len(task.values) == 2 else len(task.values)
        part = shares[:, start : start + width] if start < LOGITS else extras[:, start - LOGITS : start - LOGITS + 1]
        start += width
        confidence = np.maximum(part[:, 0], 1 - part[:, 0]) if width == 1 else part.max(axis=1)
        sheet = confidence_sheet(
            task,
            found.true[:, i],
            found.predicted[:, i],
            confidence,
            image_of=lambda row: found.images[row].transpose(1, 2, 0),
        )
        tracker.figure(sheet, f"confident/{i:02d}_{task.name}.png")
