"""The report's pictures of attributes: as they are predicted, and by Task 1's network alone."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from bruna.batches.attribute_items import measured_draws, zoom
from bruna.dataset.predictions import read_predictions
from bruna.metrics.attributes import task_metrics
from bruna.pipeline.drawings import AUGMENTATION, augmentation
from bruna.pipeline.records import Pixels, Records
from bruna.report.attribute_section import attribute_table
from bruna.report.confidence import confidence_sheet, confidences
from bruna.report.confusion import confusion_grid
from bruna.report.drawing import Drawing, Set
from bruna.report.figures import attribute_bars, curves
from bruna.report.operating_points import operating_chart

_CURVES = {"loss": "Loss", "accuracy": "Mean accuracy", "balanced_accuracy": "Mean balanced accuracy"}
_SHEETS = "The most and the least confident predictions: where label mistakes and shortcuts show"
_drawing = partial(Drawing, "train_attributes")


def predicted_drawing(found: Mapping[str, Any], name: Set, words: str) -> Drawing:
    """How good the attributes of one set are as they are predicted, beside Task 1's network alone.

    Args:
        found: figures of the set, of the stage `evaluate`.
        name: of the set: where the picture stands on the page, and the end of the file's name.
        words: what the set is called.
    """
    table = attribute_table(found["attributes_predicted"])
    alone = attribute_table(found["attributes_task1"])
    for figure in ("accuracy", "balanced_accuracy"):
        table[f"dot/{figure}"] = alone[figure]
    return Drawing(
        "evaluate",
        "test attributes" if name == "test" else "validation attributes",
        f"attributes_{name}",
        f"Attributes as they are predicted, {words}. A bar that ends before its orange mark is no better than a "
        "constant prediction. Dots: Task 1’s network alone.",
        "Bars, a row an attribute: accuracy and balanced accuracy. The numbers stand in the table above.",
        partial(attribute_bars, table, f"Attributes as they are predicted, {words}", "Task 1 alone"),
    )


def task1_drawings(records: Records) -> list[Drawing]:
    """How good the predictions of Task 1's network alone are, and which of them it is surest and least sure of.

    None where the data set has no attributes to train it.
    """
    if not records.trained("attributes"):
        return []
    results = {}
    for side in ("train", "validation"):
        found = read_predictions(records.table(f"train_attributes/predictions_{side}"))
        results[side] = task_metrics(found.true, found.predicted, found.tasks)
    epochs, settings = records.csv("train_attributes/epochs"), records.settings("attributes")
    return [
        _drawing(
            "task1",
            "operating_points",
            "What each head of Task 1 would score if it leaned more or less to rare values; the band is what it does.",
            "Dots, a panel an attribute: accuracy and balanced accuracy against the lean.",
            partial(operating_chart, records.csv("evaluate/operating_points")),
        ),
        *_confident_drawings(records),
        *(
            _drawing(
                "task1",
                f"confusion_{side}",
                f"Confusion matrices of Task 1, {side}.",
                "A matrix a task: rows are true values, columns predicted ones.",
                partial(confusion_grid, results[side], f"Confusion matrices, {side}"),
                fold="Confusion matrices",
            )
            for side in ("validation", "train")
        ),
        _drawing(
            "training",
            "curves",
            "Task 1: loss, accuracy and balanced accuracy of both sides of the split, by epoch.",
            "Line charts by epoch.",
            partial(curves, epochs, _CURVES, "Task 1"),
        ),
        _drawing(
            "training",
            "augmentation",
            "The images of Task 1.",
            "Five images, each beside eight random draws of its augmentation.",
            partial(augmentation, records.table("split/train"), settings),
            fold=AUGMENTATION,
        ),
    ]


def _confident_drawings(records: Records) -> list[Drawing]:
    """A sheet a task: the validation images that the network is surest and least sure of, right and wrong."""
    tasks, true, predicted, logits = read_predictions(records.table("train_attributes/predictions_validation"))
    sure = confidences(logits, tasks)
    measured = MeasuredImages(records)
    return [
        _drawing(
            "task1",
            f"confident_{task.name}",
            f"{task.title}: validation images of the most and the least confident predictions.",
            "Four rows of images: sure and wrong, unsure and wrong, unsure and right, sure and right.",
            partial(confidence_sheet, task, true[:, i], predicted[:, i], sure[:, i], image_of=measured.pixels),
            fold=_SHEETS,
        )
        for i, task in enumerate(tasks)
    ]


class MeasuredImages:
    """The validation images as Task 1 was measured on them, by their row among its predictions."""

    def __init__(self, records: Records) -> None:
        settings = records.settings("attributes")
        frame = records.table("train_attributes/predictions_validation")
        self._paths = frame["path"].tolist()
        self._images = records.images("split/validation")
        self._size = tuple(settings["image_size"])
        zoomed = np.flatnonzero(frame["junk"])
        draws = measured_draws(len(zoomed), settings["params"]["seed"])
        self._draws = dict(zip(zoomed.tolist(), draws, strict=True))

    def pixels(self, row: int) -> Pixels:
        """H x W x 3 at the network's size; of a row of measured junk the zoom into its image."""
        image = self._images.sized(self._paths[row], self._size)
        if row not in self._draws:
            return image
        batch = torch.from_numpy(image.transpose(2, 0, 1).copy())[None]
        return zoom(batch, self._draws[row][None])[0].permute(1, 2, 0).numpy()
