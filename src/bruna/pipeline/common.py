"""Curves and figures, written to the stage's plots folder and logged to its run under the same name."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from bruna.batches.augment import Augmenter
from bruna.batches.seeds import step_generator
from bruna.batches.store import ImageStore
from bruna.files import whole_file
from bruna.params import Augment
from bruna.report.augmentation import augmentation_sheet
from bruna.report.style import save
from bruna.tracking.protocol import Tracker
from bruna.training.loop import History


def keep_figure(figure: Figure, name: str, plots: Path, tracker: Tracker) -> None:
    """Write `plots/<name>.png` and log the same file under `figures/`."""
    path = plots / f"{name}.png"
    save(figure, path)
    tracker.file(path, "figures")


_SHEET_IMAGES, _SHEET_DRAWS = 5, 8


def keep_augmentation(
    table: pd.DataFrame, size: tuple[int, int], augment: Augment, plots: Path, tracker: Tracker
) -> None:
    """Draw some images of a training table beside random draws of their augmentation, as `augmentation.png`.

    Args:
        table: columns path and image.
        size: height and width that the network sees.
        augment: the group `augment` of the stage.
    """
    rows = table.iloc[:: max(1, len(table) // _SHEET_IMAGES)].head(_SHEET_IMAGES)
    images = ImageStore.decode(list(rows["image"]), list(rows["path"]), size).pixels
    drawn, _ = Augmenter(augment)(
        images.repeat_interleave(_SHEET_DRAWS, 0), None, step_generator(0, "augmentation sheet")
    )
    shown = drawn.view(len(images), _SHEET_DRAWS, *drawn.shape[1:]).permute(0, 1, 3, 4, 2).numpy()
    figure = augmentation_sheet(list(images.permute(0, 2, 3, 1).numpy()), [list(row) for row in shown])
    keep_figure(figure, "augmentation", plots, tracker)


def keep_history(history: History, plots: Path) -> pd.DataFrame:
    """Write `plots/epochs.csv`, one row an epoch; empty cells where a quantity was not measured."""
    table = pd.DataFrame(history)
    table["epoch"] = table["epoch"].astype(int)
    keep_csv(table, plots / "epochs.csv")
    return table


def keep_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV, whole, with enough digits to give the same numbers back."""
    with whole_file(path) as beside:
        table.to_csv(beside, index=False)


def nested(flat: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """`{"course/map": 0.5}` to `{"course": {"map": 0.5}}`: the form of metrics/*.json."""
    groups: dict[str, dict[str, float]] = {}
    for name, value in flat.items():
        group, _, key = name.partition("/")
        groups.setdefault(group, {})[key] = value
    return groups
