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
INTERVALS = "intervals"
"""Where the figures of `evaluate` have the intervals of the headline metrics of all stages, by their names."""
BY_IDENTITY = "by_identity.parquet"
"""In `artifacts/evaluate`: what each of them was on every identity, for intervals of differences."""

Number = int | float
_ROUNDING = 1e-9
"""By so much two sums of the same numbers may differ."""


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
    "distractors_queries_map": Headline(
        "evaluate",
        "distractors/queries/market1501/map",
        "mAP with queries/",
        "mAP with queries/ in the gallery, validation",
    ),
    "distractors_queries_rank1": Headline(
        "evaluate",
        "distractors/queries/market1501/rank1",
        "Rank-1 with queries/",
        "nearest image is a match, queries/ added",
    ),
    "distractors_all_map": Headline(
        "evaluate",
        "distractors/all/market1501/map",
        "mAP with queries/ and test/",
        "mAP with queries/, test/ added; lower bound",
    ),
    "distractors_all_rank1": Headline(
        "evaluate",
        "distractors/all/market1501/rank1",
        "Rank-1 with queries/ and test/",
        "nearest is a match, both added; lower bound",
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


@dataclass(frozen=True)
class Interval:
    """The 95% interval of a headline metric.

    Attributes:
        resampled: people (of the U-Net, mask pairs) that it was drawn from.
        low, high: its ends; None where they are too few.
    """

    resampled: int
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        """As a table has it, e.g. `0.742–0.871`."""
        return "too few people" if self.low is None or self.high is None else f"{self.low:.3f}–{self.high:.3f}"


def headline_intervals(figures: Mapping[str, Any], metrics: Mapping[str, float]) -> dict[str, Interval]:
    """The intervals of headline metrics by name.

    Args:
        figures: of the stage `evaluate`, nested.
        metrics: headline metrics by name. An interval that does not hold its metric is of an earlier run, and left out.

    >>> found = headline_intervals({"intervals": {"map": {"low": 0.4, "high": 0.6, "resampled": 20}}}, {"map": 0.5})
    >>> str(found["map"])
    '0.400–0.600'
    """
    found = {name: Interval(**each) for name, each in figures.get(INTERVALS, {}).items() if name in metrics}
    return {name: each for name, each in found.items() if _holds(each, metrics[name])}


def _holds(interval: Interval, value: float) -> bool:
    if interval.low is None or interval.high is None:
        return True
    return interval.low - _ROUNDING <= value <= interval.high + _ROUNDING


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
