"""The figures in metrics/*.json, picked and ordered for the closing summary."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bruna.files import read_json

STAGES = ("validate", "split", "train_unet", "segment", "train_attributes", "train_bruna", "evaluate")
"""In the order of the pipeline."""
MOST = 8
"""How many figures of a stage are headlines."""
_FIRST = ("map", "rank1", "minp", "iou", "dice", "accuracy", "recall", "images", "identities")
"""Figures that come first among those of equal depth, by a part of their name."""


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, int | float]:
    """Nested figures as `outer/inner` names; what is no number is left out."""
    found: dict[str, int | float] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[f"{prefix}{key}"] = value
    return found


def headlines(folder: Path) -> list[tuple[str, str, int | float | None]]:
    """Rows (stage, measure, value): the main figures of every stage that has a metrics file, in pipeline order.

    Raises:
        BrunaError: a metrics file is not JSON.
    """
    rows: list[tuple[str, str, int | float | None]] = []
    for stage in STAGES:
        path = Path(folder) / f"{stage}.json"
        if not path.exists():
            continue
        figures = flat(read_json(path))
        names = sorted(figures, key=_rank)[:MOST]
        for i, name in enumerate(names):
            rows.append((stage if i == 0 else "", name, figures[name]))
        if len(figures) > MOST:
            rows.append(("", f"... {len(figures) - MOST} more in {path}", None))
    return rows


def _rank(name: str) -> tuple[int, int, str]:
    order = next((i for i, word in enumerate(_FIRST) if word in name.lower().replace("_", "")), len(_FIRST))
    return name.count("/"), order, name
