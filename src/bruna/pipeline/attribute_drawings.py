"""The report's pictures of Task 1, from its predictions for both sides of the split."""

from functools import partial

import numpy as np
import torch

from bruna.batches.attribute_items import measured_draws, zoom
from bruna.dataset.attributes import ATTRIBUTES, TASKS
from bruna.dataset.predictions import codes_of
from bruna.metrics.attributes import task_metrics
from bruna.pipeline.drawings import AUGMENTATION, augmentation
from bruna.pipeline.records import Pixels, Records
from bruna.report.confidence import confidence_sheet, confidences
from bruna.report.confusion import confusion_grid
from bruna.report.drawing import Drawing
from bruna.report.figures import attribute_bars, curves
from bruna.report.operating_points import operating_curves

_CURVES = {
    "loss": "Loss",
    "accuracy": f"Accuracy, mean of {len(ATTRIBUTES)}",
    "recall": f"Balanced accuracy, mean of {len(ATTRIBUTES)}",
}
_DETAILS = "Confusion matrices and curves"
_drawing = partial(Drawing, "train_attributes")


def attribute_drawings(records: Records) -> list[Drawing]:
    """How good the predictions of Task 1 are, and which of them it is surest and least sure of."""
    results = {}
    for side in ("train", "validation"):
        true, predicted, _ = codes_of(records.table(f"train_attributes/predictions_{side}"))
        results[side] = task_metrics(true, predicted)
    epochs, settings = records.csv("train_attributes/epochs"), records.settings("attributes")
    drawing = partial(_drawing, "attributes")
    return [
        drawing(
            "attributes",
            "A head that only names the commonest value reaches its mark, no more.",
            partial(attribute_bars, results["validation"]),
        ),
        drawing(
            "operating_points",
            "What each head would score if it leaned more to rare values: all figures on this page are those of the "
            "orange points.",
            partial(operating_curves, records.csv("evaluate/operating_points")),
        ),
        *(
            drawing(
                f"confusion_{side}",
                caption,
                partial(confusion_grid, results[side], f"Confusion matrices, {side}"),
                fold=_DETAILS,
            )
            for side, caption in (("validation", "Validation identities."), ("train", "Training identities."))
        ),
        drawing(
            "curves",
            "Losses and accuracies of every epoch.",
            partial(curves, epochs, _CURVES, "Task 1"),
            fold=_DETAILS,
        ),
        *_confident_drawings(records),
        _drawing(
            "training",
            "augmentation",
            "The images of Task 1.",
            partial(augmentation, records.table("split/train"), settings),
            fold=AUGMENTATION,
        ),
    ]


def _confident_drawings(records: Records) -> list[Drawing]:
    """A sheet a task: the validation images that the network is surest and least sure of, right and wrong."""
    true, predicted, logits = codes_of(records.table("train_attributes/predictions_validation"))
    sure = confidences(logits)
    measured = MeasuredImages(records)
    return [
        _drawing(
            "attributes",
            f"confident_{task.name}",
            f"{task.title}: validation images of the most and the least confident predictions.",
            partial(confidence_sheet, task, true[:, i], predicted[:, i], sure[:, i], image_of=measured.pixels),
            fold="The most and the least confident predictions",
        )
        for i, task in enumerate(TASKS)
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
