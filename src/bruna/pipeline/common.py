"""The record that every training keeps of its epochs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from bruna.tracking.protocol import Tracker


def write_epochs(history: Sequence[Mapping[str, float]], records: Path, tracker: Tracker) -> None:
    """Write `epochs.csv` and log it: one row an epoch, empty cells where a quantity was not measured."""
    table = pd.DataFrame(history)
    table["epoch"] = table["epoch"].astype(int)
    table.to_csv(records / "epochs.csv", index=False)
    tracker.file(records / "epochs.csv", "tables")
