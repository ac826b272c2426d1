"""The tracker of a stage's MLflow run. MLflow is imported when it is used, not with this module."""

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bruna.headlines import headline_metrics
from bruna.nested import numbers

if TYPE_CHECKING:
    import pandas as pd

_METRICS_A_BATCH = 1000  # MLflow's own limit
_TAG_LENGTH = 5000


class MlflowTracker:
    """Logs to one MLflow run; see `Tracker` for what the methods mean.

    Files are put into their folder without asking the store where it is: another process may have opened the store at
    another path meanwhile (a container and its host), and that path is none here.
    """

    def __init__(self, client: Any, artifacts: Path, run_id: str, parent_id: str, stage: str) -> None:
        self.run_id = run_id
        self.parent_id = parent_id
        self._client = client
        self._artifacts = artifacts
        self._stage = stage

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers in as few transactions as MLflow allows."""
        if step is None:  # a run that goes on may have some of the closing numbers already
            run = existing_run(self._client, self.run_id)
            there = run.data.metrics if run else {}
            values = {name: value for name, value in values.items() if there.get(name) != value}
        log_metrics(self._client, self.run_id, values, step)

    def last_step(self, name: str) -> int:
        """The last step of a metric of this run; 0 where there is none."""
        return max((int(metric.step) for metric in self._client.get_metric_history(self.run_id, name)), default=0)

    def file(self, path: Path, folder: str | None = None) -> None:
        """Log a file, or a folder with all that is in it."""
        path = Path(path)
        for file in [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]:
            target = self._files / (folder or "") / file.relative_to(path.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)

    def table(self, table: "pd.DataFrame", name: str) -> None:
        """Log a table as JSON, which MLflow's pages show as a table; one of this name is replaced."""
        from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_ARTIFACTS  # noqa: PLC0415

        file = self._files / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(table.to_json(orient="split", index=False), encoding="utf-8")
        run = existing_run(self._client, self.run_id)
        logged = json.loads(run.data.tags.get(MLFLOW_LOGGED_ARTIFACTS, "[]")) if run else []
        if (entry := {"path": name, "type": "table"}) not in logged:
            self._client.set_tag(self.run_id, MLFLOW_LOGGED_ARTIFACTS, json.dumps([*logged, entry]))

    @property
    def _files(self) -> Path:
        return self._artifacts / self.run_id / "artifacts"

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags of the run."""
        set_tags(self._client, self.run_id, values)

    def producer(self, path: str) -> "MlflowTracker | None":
        """The tracker of the run that wrote an input; None where no run of the store did, or it was deleted."""
        own = existing_run(self._client, self.run_id)
        run_id = own.data.tags.get(f"bruna.producer.{path}") if own else None
        run = existing_run(self._client, run_id) if run_id else None
        if run is None:
            return None
        parent, stage = (run.data.tags.get(name, "") for name in ("mlflow.parentRunId", "dvc.stage"))
        return MlflowTracker(self._client, self._artifacts, run.info.run_id, parent, stage)

    def figures(self, values: Mapping[str, Any]) -> None:
        """Log the figures that the stage ends with on its run, and its headline metrics on the parent.

        Args:
            values: may be nested (`{"market1501": {"map": 0.5}}` is `market1501/map`); what is not a number
                is left out, but for the sentences in `warnings`, which become a tag of both.
        """
        self.metrics(numbers(values))
        log_metrics(self._client, self.parent_id, headline_metrics(self._stage, values))
        if sentences := "\n".join(values.get("warnings", ())):
            self.tags({"bruna.warning": sentences})
            set_tags(self._client, self.parent_id, {f"bruna.warning.{self._stage}": sentences})

    def origin(self) -> dict[str, str]:
        """What a copy of the stage's outputs can say of their origin; see `origin_of`."""
        return origin_of(self._client, self.parent_id)


def origin_of(client: Any, parent: str) -> dict[str, str]:
    """Names and values for people: the execution's run, its commit and the experiment of DVC, as far as known."""
    if (run := existing_run(client, parent)) is None:
        return {}
    tags = run.data.tags
    facts = {
        "MLflow run": f"{run.info.run_name} ({run.info.run_id})",
        "Experiment": tags.get("dvc.exp", ""),
        "Commit": tags.get("mlflow.source.git.commit", ""),
    }
    return {name: value for name, value in facts.items() if value}


def existing_run(client: Any, run_id: str) -> Any | None:
    """The run of an id; None where it was deleted."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        run = client.get_run(run_id)
    except MlflowException:
        return None
    return run if run.info.lifecycle_stage == "active" else None


def log_metrics(client: Any, run: str, values: Mapping[str, float], step: int | None = None) -> None:
    """Log numbers in as few transactions as MLflow allows."""
    from mlflow.entities import Metric  # noqa: PLC0415

    now = int(time.time() * 1000)
    metrics = [Metric(name, float(value), now, step or 0) for name, value in values.items()]
    for start in range(0, len(metrics), _METRICS_A_BATCH):
        client.log_batch(run, metrics=metrics[start : start + _METRICS_A_BATCH], synchronous=True)


def set_tags(client: Any, run: str, values: Mapping[str, str]) -> None:
    """Set tags in one transaction; a text that is too long for MLflow is cut."""
    from mlflow.entities import RunTag  # noqa: PLC0415

    tags = [RunTag(name, value[:_TAG_LENGTH]) for name, value in values.items()]
    client.log_batch(run, tags=tags, synchronous=True)
