"""What a stage may log to: the protocol that trainings are written against, and a tracker that forgets everything.

Nothing here imports MLflow: a training also runs where it is not installed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd


class Tracker(Protocol):
    """What a training, validation or evaluation may log to.

    Names of metrics are lower case with slashes as name space (`market1501/map`); `@` is not allowed.
    """

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers; `step` is the epoch."""

    def last_step(self, name: str) -> int:
        """The last epoch that a metric was logged for, for one that goes on; 0 where it never was."""
        ...

    def figures(self, values: Mapping[str, Any]) -> None:
        """Log the figures of a stage, which may be nested."""

    def file(self, path: Path, folder: str | None = None) -> None:
        """Log a file, or a folder with all that is in it."""

    def table(self, table: "pd.DataFrame", name: str) -> None:
        """Log a table, for instance `tables/table1.json`."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags of the run."""

    def producer(self, path: str) -> "Tracker | None":
        """The tracker of the run that wrote an input, for instance of `artifacts/train_unet`; None where it is gone."""
        ...

    def origin(self) -> dict[str, str]:
        """Names and values for people: the run, the experiment and the commit of this execution, as far as known."""
        ...


class NullTracker:
    """A tracker that forgets everything: for tests and for use without MLflow."""

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Do nothing."""

    def last_step(self, name: str) -> int:
        """Nothing was ever logged."""
        return 0

    def figures(self, values: Mapping[str, Any]) -> None:
        """Do nothing."""

    def file(self, path: Path, folder: str | None = None) -> None:
        """Do nothing."""

    def table(self, table: "pd.DataFrame", name: str) -> None:
        """Do nothing."""

    def tags(self, values: Mapping[str, str]) -> None:
        """Do nothing."""

    def producer(self, path: str) -> Tracker | None:
        """Nothing was ever logged."""
        return None

    def origin(self) -> dict[str, str]:
        """Nothing is known."""
        return {}
