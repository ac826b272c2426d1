"""The report's pictures of the data set, the U-Net and Bruna's training: from records to what `report/` draws."""

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bruna.batches.augment import Augmenter
from bruna.batches.seeds import step_generator
from bruna.batches.store import ImageStore
from bruna.params import Augment
from bruna.pipeline.records import Records
from bruna.report import exploration
from bruna.report.augmentation import augmentation_sheet
from bruna.report.drawing import Drawing
from bruna.report.figures import BRUNA_CURVES, curves
from bruna.report.overlays import MaskPair, mask_overlays
from bruna.report.rank_list import MinedTuple, hard_negatives

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHEET_IMAGES, _SHEET_DRAWS = 5, 8
_SHOWN_TUPLES = 5
AUGMENTATION = "What the trainings see"
"""The heading that the augmentation sheets are folded under."""
_AUGMENTATION_ALT = "Five images, each beside eight random draws of its augmentation."


def data_drawings(records: Records) -> list[Drawing]:
    """The images of the training identities (paper, section 2): all that carry annotations."""
    tables = "split/train", "split/validation"
    manifest, images = records.table("validate/manifest"), records.images(*tables)
    labels = pd.concat([records.table(name).drop(columns="image") for name in tables])
    people = labels.merge(manifest[["path", "brightness", "sharpness"]], on="path", validate="one_to_one")
    drawing = partial(Drawing, "validate", "data", fold="The labelled images")
    others, colors = exploration.attributes_shown(people)
    spread = [
        drawing(
            "attributes",
            "How often each attribute value occurs, over the identities and over their images.",
            "Bar charts, one an attribute: share of each value.",
            partial(exploration.attributes_figure, people),
        ),
        drawing(
            "colors",
            "How often each color of the clothes occurs.",
            "Bar charts, one an attribute: share of each color.",
            partial(exploration.colors_figure, people),
        ),
    ]
    return [
        *(each for each, there in zip(spread, (others, colors), strict=True) if there),
        drawing(
            "images",
            "How many images an identity and a camera have.",
            "Histogram of the images of an identity, and bars of the images by camera.",
            partial(exploration.images_figure, people),
        ),
        drawing(
            "quality",
            "How bright and how sharp the images of each camera are.",
            "Violin charts by camera: brightness and sharpness.",
            partial(exploration.quality_figure, people),
        ),
        drawing(
            "best_images",
            "The sharpest and most evenly lit images, one an identity.",
            "24 images, with sharpness and brightness under each.",
            partial(exploration.best_sheet, people, images.own_size),
        ),
        drawing(
            "worst_images",
            "The most blurred, dark or glaring images, one an identity.",
            "24 images, with sharpness and brightness under each.",
            partial(exploration.worst_sheet, people, images.own_size),
        ),
    ]


def unet_drawings(records: Records) -> list[Drawing]:
    """The U-Net; none where the data set has no mask pairs to train one."""
    if not records.trained("unet"):
        return []
    settings = records.settings("unet")
    epochs, pairs = records.csv("train_unet/epochs"), records.table("split/masks")
    seen = partial(augmentation, pairs[pairs["part"] == "train"], settings)
    drawing = partial(Drawing, "train_unet", "training")
    return [
        drawing(
            "curves",
            "U-Net: loss and overlap with the true masks, by epoch.",
            "Line charts by epoch: loss, IoU, Dice.",
            partial(curves, epochs, title="U-Net"),
        ),
        drawing(
            "overlays",
            "The U-Net’s masks of held-out pairs: its best, median and worst.",
            "Images with their true mask, their predicted mask and both laid over the image.",
            partial(_overlays, records),
        ),
        drawing("augmentation", "The U-Net’s images.", _AUGMENTATION_ALT, seen, fold=AUGMENTATION),
    ]


def _overlays(records: Records) -> "Figure":
    found = records.table("train_unet/held_out")
    size = tuple(records.settings("unet")["image_size"])
    images, masks = records.images("split/masks"), records.images("split/masks", column="mask")
    predicted = records.images("train_unet/held_out", column="probability")

    def pair_of(i: int) -> MaskPair:
        path = found["path"].iloc[i]
        probability = predicted.sized(path, size, "gray")[..., 0] / np.float32(255)
        return MaskPair(images.sized(path, size), masks.sized(path, size, "binary")[..., 0] > 127, probability)

    return mask_overlays(found["iou"].to_numpy(), pair_of)


def bruna_drawings(records: Records) -> list[Drawing]:
    """Bruna and the adversary; none where the data set has no identities to train them."""
    if not records.trained("bruna"):
        return []
    epochs, settings = records.csv("train_bruna/epochs"), records.settings("bruna")
    seen = partial(augmentation, records.table("split/train"), settings)
    drawing = partial(Drawing, "train_bruna", "training")
    return [
        drawing(
            "curves",
            "Bruna and the adversary: losses and distances by epoch (Figure 8 of the paper), and retrieval by the "
            "distance of features alone.",
            "Line charts by epoch: losses, distances, margin, mAP and rank-1.",
            partial(curves, epochs, BRUNA_CURVES, "Bruna and the adversary"),
        ),
        drawing(
            "hard_negatives",
            "Hard negatives that the adversary mines, beside a random draw (Figure 6 of the paper).",
            "Rows of six images: two of an identity, two mined negatives, two random ones, with Bruna’s distances.",
            partial(_hard_negatives, records),
        ),
        drawing("augmentation", "Bruna’s images.", _AUGMENTATION_ALT, seen, fold=AUGMENTATION),
    ]


def _hard_negatives(records: Records) -> "Figure":
    """Two images of a person, the two negatives that the adversary mines, and two at random from the others."""
    image_of = records.images("split/train").own_size
    tuples = []
    for found in records.table("train_bruna/hard_negatives").head(_SHOWN_TUPLES).to_dict("records"):
        negatives, distances, mined = found["negatives"], found["distances"], found["mined"]
        # The negatives of a tuple are in random order: the first that are not mined are a random draw.
        others = [k for k in range(len(negatives)) if k not in mined][: len(mined)]
        tuples.append(
            MinedTuple(
                anchor=[image_of(path) for path in found["anchors"][:2]],
                anchor_distance=found["anchor_distance"],
                mined=[image_of(negatives[k]) for k in mined],
                mined_distances=[distances[k] for k in mined],
                random=[image_of(negatives[k]) for k in others],
                random_distances=[distances[k] for k in others],
            )
        )
    return hard_negatives(tuples, "Hard negatives, mined and drawn at random")


def augmentation(table: pd.DataFrame, settings: dict[str, Any]) -> "Figure":
    """Some images of a training table beside random draws of their augmentation.

    Args:
        table: columns path and image.
        settings: of the trained network: the size that it sees and the group `augment` of its stage.
    """
    rows = table.iloc[:: max(1, len(table) // _SHEET_IMAGES)].head(_SHEET_IMAGES)
    images = ImageStore.decode(list(rows["image"]), list(rows["path"]), tuple(settings["image_size"])).pixels
    augmenter = Augmenter(Augment.model_validate(settings["params"]["augment"]))
    drawn, _ = augmenter(images.repeat_interleave(_SHEET_DRAWS, 0), None, step_generator(0, "augmentation sheet"))
    shown = drawn.view(len(images), _SHEET_DRAWS, *drawn.shape[1:]).permute(0, 1, 3, 4, 2).numpy()
    return augmentation_sheet(list(images.permute(0, 2, 3, 1).numpy()), [list(row) for row in shown])
