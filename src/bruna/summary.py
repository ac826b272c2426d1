"""The figures in metrics/*.json, picked and ordered for the closing summary."""

from collections.abc import Mapping
from pathlib import Path

from bruna.files import read_json
from bruna.nested import numbers

HEADLINES: Mapping[str, tuple[str, ...]] = {
    "validate": ("subsets/train/images", "subsets/train/identities", "checks_passed", "checks_failed"),
    "split": ("train_identities", "validation_identities", "worst_deviation_people"),
    "train_unet": ("iou", "dice"),
    "segment": ("images",),
    "train_attributes": (
        "validation/attributes/accuracy",
        "validation/attributes/recall",
        "validation/attributes/majority",
        "train/attributes/recall",
    ),
    "train_bruna": ("untrained/market1501/map", "trained/market1501/map"),
    "evaluate": (
        "validation/market1501/map",
        "validation/market1501/rank1",
        "validation/course/map",
        "validation/attribute_means/attributes_answered/accuracy",
        "validation/attribute_means/attributes_answered/recall",
        "baselines/histogram/market1501/map",
        "test/market1501/map",
        "test/market1501/rank1",
    ),
}
"""The figures that are shown of each stage, stages in the order of the pipeline."""


def headlines(folder: Path) -> list[tuple[str, str, int | float | None]]:
    """Rows (stage, measure, value): the main figures of every stage that has a metrics file, in pipeline order.

    Raises:
        BrunaError: a metrics file is not JSON.
    """
    rows: list[tuple[str, str, int | float | None]] = []
    for stage, names in HEADLINES.items():
        path = Path(folder) / f"{stage}.json"
        if not path.exists():
            continue
        figures = numbers(read_json(path))
        shown = [name for name in names if name in figures]
        for i, name in enumerate(shown):
            rows.append((stage if i == 0 else "", name, figures[name]))
        if len(figures) > len(shown):
            rows.append(("" if shown else stage, f"... {len(figures) - len(shown)} more in {path}", None))
    return rows
