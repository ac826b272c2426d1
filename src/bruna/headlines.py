"""The headline metrics: the few numbers of the pipeline by which experiments are compared.

A stage writes every figure to `artifacts/<stage>/figures.json`, and of those the headline metrics to
`metrics/<stage>.json`. The same names stand in `dvc exp show`, on MLflow's parent run, in `bruna summary` and on the
report page. No name is that of a setting in params.yaml, for DVC would put a file's name before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bruna.nested import numbers

FIGURES_FILE = "figures.json"
"""In `artifacts/<stage>`: all figures of a stage."""

Number = int | float


@dataclass(frozen=True)
class Headline:
    """Where a headline metric comes from, and what it is called.

    Attributes:
        stage: that measures it.
        figure: its path in the stage's figures, joined by slashes.
        title: two or three words for a table or a tile.
        meaning: one line for a reader who sees the number for the first time.
    """

    stage: str
    figure: str
    title: str
    meaning: str


HEADLINES: Mapping[str, Headline] = {
    "images": Headline("validate", "subsets/train/images", "Images", "images of labelled identities"),
    "identities": Headline("validate", "subsets/train/identities", "Identities", "labelled identities"),
    "train_identities": Headline("split", "train_identities", "Training identities", "identities to train on"),
    "validation_identities": Headline(
        "split", "validation_identities", "Validation identities", "identities that no training sees"
    ),
    "split_deviation": Headline(
        "split", "worst_deviation_people", "Split deviation", "identities that the worst value is off by"
    ),
    "unet_iou": Headline("train_unet", "iou", "U-Net IoU", "overlap with the true mask, held-out pairs"),
    "segmented_images": Headline("segment", "segmented", "Segmented images", "images that the U-Net made a mask of"),
    "task1_accuracy": Headline(
        "train_attributes",
        "validation/attributes/accuracy",
        "Task 1 accuracy",
        "attributes by Task 1's network, validation",
    ),
    "task1_balanced_accuracy": Headline(
        "train_attributes",
        "validation/attributes/balanced_accuracy",
        "Task 1 balanced accuracy",
        "the same, every value counting alike",
    ),
    "features_map": Headline(
        "train_bruna", "trained/market1501/map", "mAP by features", "mAP by features alone, validation"
    ),
    "map": Headline("evaluate", "validation/market1501/map", "mAP", "mAP by the whole distance, validation"),
    "rank1": Headline("evaluate", "validation/market1501/rank1", "Rank-1", "nearest image is a match, validation"),
    "minp": Headline("evaluate", "validation/market1501/minp", "mINP", "how soon the last match comes, validation"),
    "course_map": Headline(
        "evaluate",
        "validation/course/map",
        "Course mAP",
        "mAP by the course's protocol, validation",
    ),
    "attribute_accuracy": Headline(
        "evaluate",
        "validation/attribute_means/attributes_predicted/accuracy",
        "Attribute accuracy",
        "attributes as they are predicted, validation",
    ),
    "attribute_balanced_accuracy": Headline(
        "evaluate",
        "validation/attribute_means/attributes_predicted/balanced_accuracy",
        "Attribute balanced accuracy",
        "the same, every value counting alike",
    ),
    "untrained_map": Headline(
        "evaluate",
        "baselines/untrained/market1501/map",
        "mAP, untrained",
        "mAP of Bruna before its training, validation",
    ),
    "histogram_map": Headline(
        "evaluate", "baselines/histogram/market1501/map", "mAP, histogram", "mAP of color histograms, validation"
    ),
    "test_map": Headline("evaluate", "test/market1501/map", "Test mAP", "mAP by the whole distance, test set"),
    "test_rank1": Headline("evaluate", "test/market1501/rank1", "Test rank-1", "nearest image is a match, test set"),
    "test_attribute_accuracy": Headline(
        "evaluate",
        "test/attribute_means/attributes_predicted/accuracy",
        "Test attribute accuracy",
        "attributes as they are predicted, test set",
    ),
    "test_attribute_balanced_accuracy": Headline(
        "evaluate",
        "test/attribute_means/attributes_predicted/balanced_accuracy",
        "Test attribute balanced accuracy",
        "the same, every value counting alike",
    ),
}
"""Headline metrics by name, in the order of the pipeline.

Rankings are by the Market-1501 protocol where no other is named; figures of attributes are means over them.
"""


def headline_metrics(stage: str, figures: Mapping[str, Any]) -> dict[str, Number]:
    """The headline metrics of a stage by name, in the order of `HEADLINES`.

    Args:
        stage: its name.
        figures: all its figures, nested. What a data set does not have (masks, a labelled test set) is left out.

    >>> headline_metrics("train_unet", {"iou": 0.9, "dice": 0.95})
    {'unet_iou': 0.9}
    """
    found = numbers(figures)
    return {
        name: found[headline.figure]
        for name, headline in HEADLINES.items()
        if headline.stage == stage and headline.figure in found
    }
