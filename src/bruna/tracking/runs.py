"""What runs have logged, found again by their id, the beginning of it, or their name; and which there are."""

import math
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bruna.errors import BrunaError
from bruna.tracking.mlflow_run import open_store
from bruna.tracking.mlflow_tracker import existing_run

_NAMED = 5
"""Runs that a message lists."""
_BEGINNING = re.compile("[0-9a-f]{4,31}")
"""The first signs of an id: with fewer than four a short name would be taken for one."""


@dataclass(frozen=True)
class EvaluatedRun:
    """The run of an execution of which the figures of `evaluate` are known.

    Attributes:
        name: what people call it.
        run_id: 32 hexadecimal digits.
        started: its beginning, local time.
        figure: a headline metric; None where it has none.
    """

    name: str
    run_id: str
    started: datetime
    figure: float | None


def evaluated_runs(root: Path, figure: str) -> list[EvaluatedRun]:
    """The runs of executions with a stage `evaluate`, the newest first; at most 1,000.

    Args:
        root: where the store lies.
        figure: the name of a headline metric.
    """
    root = Path(root).resolve()
    if not (root / "mlflow.db").is_file():
        return []
    client, experiment = open_store(root)
    found = client.search_runs([experiment], "tags.`bruna.stage.evaluate` != ''", order_by=["start_time DESC"])
    return [_evaluated(run, figure) for run in found if existing_run(client, run.data.tags["bruna.stage.evaluate"])]


def _evaluated(run: Any, figure: str) -> EvaluatedRun:
    value = run.data.metrics.get(figure, math.nan)
    started = datetime.fromtimestamp(run.info.start_time / 1000)
    return EvaluatedRun(run.info.run_name, run.info.run_id, started, None if math.isnan(value) else float(value))


def stage_files(root: Path, name: str, stage: str) -> Path:
    """The folder of what the run of a stage has logged.

    Args:
        root: where the store lies.
        name: id, its beginning, or name of an execution's run, or of the run of one of its stages.
        stage: whose files are wanted; of the run of another stage it is that of the same execution.

    Raises:
        BrunaError: there is no such run, or no such stage in it; or several runs have the name or
            begin so.
    """
    root = Path(root).resolve()
    if not (root / "mlflow.db").is_file():
        raise BrunaError(f"{name} is neither a folder nor an MLflow run: there are no runs here ({root}/mlflow.db).")
    client, experiment = open_store(root)
    run = existing_run(client, name) or _named(client, experiment, name)
    if run.data.tags.get("dvc.stage") != stage:
        parent = run.data.tags.get("mlflow.parentRunId")
        execution = (existing_run(client, parent) if parent else run) or run
        wanted = execution.data.tags.get(f"bruna.stage.{stage}")
        if wanted is None or (found := existing_run(client, wanted)) is None:
            raise BrunaError(
                f"the MLflow run {name} has no stage {stage}, or it was deleted. `bruna ui` shows all runs."
            )
        run = found
    return root / "mlartifacts" / str(run.info.run_id) / "artifacts"


def _named(client: Any, experiment: str, name: str) -> Any:
    quote = '"' if "'" in name else "'"
    found = [] if '"' in name else client.search_runs([experiment], f"attributes.run_name = {quote}{name}{quote}")
    called = "are called"
    if not found and _BEGINNING.fullmatch(name):
        found = client.search_runs([experiment], f"attributes.run_id LIKE '{name}%'")
        called = "have an id that begins with"
    if not found:
        raise BrunaError(
            f"{name} is neither a folder nor an MLflow run. `bruna compare` alone lists the runs that can be compared."
        )
    if len(found) > 1:
        ids = ", ".join(run.info.run_id for run in found[:_NAMED])
        raise BrunaError(f"{len(found):,} MLflow runs {called} {name}. Give the id of one: {ids}.")
    return found[0]
