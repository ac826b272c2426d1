"""Curves and figures, written to the stage's plots folder and logged to its run under the same name."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from bruna.files import whole_file
from bruna.report.style import save
from bruna.tracking import Tracker
from bruna.training.loop import History


def keep_figure(figure: Figure, name: str, plots: Path, tracker: Tracker) -> None:
    """Write `plots/<name>.png` and log the same file under `figures/`."""
    path = plots / f"{name}.png"
    save(figure, path)
    tracker.file(path, "figures")


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
