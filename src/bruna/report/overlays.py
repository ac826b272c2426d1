"""U-Net masks over their images: the best, the middle and the worst pairs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from bruna.report.sheets import Pixels, Sheet, TileSize, as_rgb
from bruna.report.style import COLORS, MUTED

EXTRA, MISSED = COLORS[1], COLORS[0]
"""Overlay tints: a person in the predicted mask only (orange), in the true one only (blue)."""
_GAP = 6
_EACH = 2
"""Pairs of every kind on the sheet, one row a kind."""


@dataclass(frozen=True)
class MaskPair:
    """An image with its true and its predicted mask.

    Attributes:
        image: H x W x 3.
        truth: H x W, bool.
        predicted: H x W, probabilities 0..1 or bool; a person from 0.5 on.
    """

    image: Pixels
    truth: npt.NDArray[np.bool_]
    predicted: Pixels


def best_median_worst(iou: npt.NDArray[np.floating], each: int) -> dict[str, list[int]]:
    """Choose which pairs to show.

    Args:
        iou: N intersections over union.
        each: how many of every kind, at most; no pair is shown twice.

    Returns:
        `{"best": ..., "median": ..., "worst": ...}` with indices; ties in the order of the array.
    """
    order = np.argsort(-iou, kind="stable")
    each = min(each, len(order) // 3) or min(each, 1)
    middle = max(len(order) // 2 - each // 2, 0)
    groups = {"best": order[:each], "median": order[middle : middle + each], "worst": order[len(order) - each :]}
    shown: set[int] = set()
    chosen: dict[str, list[int]] = {}
    for name in ("best", "worst", "median"):  # of one or two pairs, the extremes are shown
        chosen[name] = [int(i) for i in groups[name] if int(i) not in shown]
        shown.update(chosen[name])
    return {name: chosen[name] for name in groups}


def overlay(pair: MaskPair) -> npt.NDArray[np.uint8]:
    """The person in natural colours where both masks agree, orange where only the prediction has one, blue
    where only the truth has one, all else pale grey; H x W x 3 uint8."""
    predicted = pair.predicted >= 0.5
    shown = as_rgb(pair.image).astype(np.float32)
    neither = ~pair.truth & ~predicted
    shown[neither] = 150 + 0.4 * shown[neither].mean(axis=1, keepdims=True)
    for color, where in ((EXTRA, ~pair.truth & predicted), (MISSED, pair.truth & ~predicted)):
        shown[where] = 0.3 * shown[where] + 0.7 * 255 * np.array(to_rgb(color), dtype=np.float32)
    return np.rint(shown).astype(np.uint8)


def mask_overlays(iou: npt.NDArray[np.floating], pair_of: Callable[[int], MaskPair]) -> Figure:
    """Draw image, true mask, predicted mask and overlay of the best, median and worst pairs.

    Args:
        iou: N intersections over union, one a pair; written under each.
        pair_of: gives the pair of an index; called for the drawn ones only.

    Raises:
        ValueError: there is no pair.
    """
    if not len(iou):
        raise ValueError("mask_overlays needs at least one pair")
    chosen = {kind: indices for kind, indices in best_median_worst(iou, _EACH).items() if indices}
    pairs = {i: pair_of(i) for indices in chosen.values() for i in indices}
    tile = TileSize.like(next(iter(pairs.values())).image, 256)
    gutter, side = 26, 88
    block = 4 * (tile.width + _GAP)
    columns = max(len(indices) for indices in chosen.values())
    width = max(side + columns * (block + gutter), 640)
    line, top = tile.height + 36, 106
    sheet = Sheet(width, top + len(chosen) * line)
    sheet.text(10, 10, "U-Net masks on held-out pairs", 13, fontweight="bold")
    for x, color, meaning in ((10, EXTRA, "predicted, but not in the true mask"), (340, MISSED, "missed")):
        sheet.swatch(x, 46, color, meaning)
    for column in range(columns):
        for j, head in enumerate(("image", "true", "predicted", "overlay")):
            left = side + column * (block + gutter) + j * (tile.width + _GAP)
            sheet.text(left + tile.width / 2, top - 24, head, 9, MUTED, ha="center")
    for row, (kind, indices) in enumerate(chosen.items()):
        y = top + row * line
        sheet.text(10, y + tile.height / 2, kind, 10, fontweight="bold", va="center")
        for column, i in enumerate(indices):
            x = side + column * (block + gutter)
            _draw_pair(sheet, pairs[i], x, y, tile)
            sheet.text(x, y + tile.height + 5, f"IoU {iou[i]:.3f}", 9, fontweight="bold")
    return sheet.finish()


def _draw_pair(sheet: Sheet, pair: MaskPair, x: int, y: int, tile: TileSize) -> None:
    step = tile.width + _GAP
    sheet.image(pair.image, x, y, tile)
    sheet.image(pair.truth, x + step, y, tile, smooth=False)
    sheet.image(pair.predicted, x + 2 * step, y, tile, smooth=False)
    sheet.image(overlay(pair), x + 3 * step, y, tile)
