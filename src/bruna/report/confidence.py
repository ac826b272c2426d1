"""The most and least confident right and wrong predictions of an attribute (paper, section 4)."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from bruna.dataset.schema import Task, logit_slices
from bruna.metrics.attributes import Codes
from bruna.report.sheets import Pixels, Sheet, TileSize
from bruna.report.style import MUTED

KINDS: tuple[str, ...] = ("sure and wrong", "unsure and wrong", "unsure and right", "sure and right")
"""The rows of a sheet; the first is where label mistakes and shortcuts show."""
_EACH = 8
"""Images a row, at most."""
_TILE = 168
"""Height of an image, pixels: a sheet fits on a screen."""


def confidences(logits: npt.NDArray[np.floating], tasks: Sequence[Task]) -> npt.NDArray[np.float64]:
    """N x L logits of Task 1 to N x T probabilities, those of each task's predicted value.

    Of a binary task sigmoid(|z|), else the softmax of the greatest logit: 1 / sum_k exp(z_k - max z).
    """
    values = logits.astype(np.float64)
    columns = []
    for task, where in zip(tasks, logit_slices(tasks).values(), strict=True):
        part = values[:, where]
        behind = -np.abs(part) if task.binary else part - part.max(axis=1, keepdims=True)
        columns.append(1 / (np.exp(behind).sum(axis=1) + task.binary))
    return np.stack(columns, axis=1)


def most_and_least_confident(
    truth: Codes, predicted: Codes, confidence: npt.NDArray[np.floating], each: int
) -> dict[str, list[int]]:
    """Choose the images of a sheet.

    Args:
        truth: N true codes of one task, -1 = not annotated (never chosen).
        predicted: N predicted codes.
        confidence: N probabilities of the predicted value.
        each: images a row, at most; no image is in two rows.

    Returns:
        Indices for each of `KINDS`, the surest first in the "sure" rows and last in the "unsure" ones; ties in
        the order of the arrays.
    """
    chosen: dict[str, list[int]] = {}
    for kind, right in (("wrong", False), ("right", True)):
        members = np.flatnonzero((truth >= 0) & ((truth == predicted) == right))
        order = members[np.argsort(-confidence[members], kind="stable")]
        sure = order[: min(each, (len(order) + 1) // 2)]
        chosen[f"sure and {kind}"] = [int(i) for i in sure]
        chosen[f"unsure and {kind}"] = [int(i) for i in order[len(sure) :][::-1][:each]][::-1]
    return {kind: chosen[kind] for kind in KINDS}


def confidence_sheet(
    task: Task,
    truth: Codes,
    predicted: Codes,
    confidence: npt.NDArray[np.floating],
    *,
    image_of: Callable[[int], Pixels],
) -> Figure:
    """Draw the sheet of one task.

    Args:
        task: which.
        truth: N true codes, -1 = not annotated.
        predicted: N predicted codes.
        confidence: N probabilities of the predicted value, 0..1: a column of `confidences`.
        image_of: gives the pixels of an index; called for the drawn ones only.

    Returns:
        A figure with a row for each of `KINDS`; a row without images says so.
    """
    chosen = most_and_least_confident(truth, predicted, confidence, _EACH)
    images = {i: image_of(i) for row in chosen.values() for i in row}
    tile = TileSize.like(next(iter(images.values())), _TILE) if images else TileSize(_TILE // 2, _TILE)
    gap, side, top, line = 24, 132, 48, tile.height + 44
    sheet = Sheet(side + _EACH * (tile.width + gap), top + len(KINDS) * line)
    sheet.text(10, 8, f"{task.title}: {', '.join(task.values)}", 12, fontweight="bold")
    for row, kind in enumerate(KINDS):
        y = top + row * line
        sheet.text(10, y + tile.height / 2, kind.replace(" and ", "\nand "), 10, fontweight="bold", va="center")
        if not chosen[kind]:
            sheet.text(side, y + tile.height / 2, "no such image", 10, MUTED, va="center")
        for column, i in enumerate(chosen[kind]):
            x = side + column * (tile.width + gap)
            right = bool(truth[i] == predicted[i])
            sheet.image(images[i], x, y, tile)
            sheet.verdict(x, y, tile, right)
            sheet.label(x, y, tile, f"{confidence[i]:.0%}")
            value = task.values[predicted[i]]
            caption = value if right else f"{value}\ntrue: {task.values[truth[i]]}"
            sheet.text(x + tile.width / 2, y + tile.height + 5, caption, 7.5, ha="center")
    return sheet.finish()
