"""What runs have logged, found again by their id or name."""

from pathlib import Path
from typing import Any

from bruna.errors import BrunaError
from bruna.tracking.mlflow_run import open_store
from bruna.tracking.mlflow_tracker import existing_run

_NAMED = 5
"""Runs that a message lists."""


def stage_files(root: Path, name: str, stage: str) -> Path:
    """The folder of what the run of a stage has logged.

    Args:
        root: where the store lies.
        name: id or name of an execution's run, or of the run of one of its stages.
        stage: whose files are wanted; of the run of another stage it is that of the same execution.

    Raises:
        BrunaError: there is no such run, or no such stage in it; or several runs have the name.
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
    if not found:
        raise BrunaError(f"{name} is neither a folder nor an MLflow run. `bruna ui` shows all runs, by name and id.")
    if len(found) > 1:
        ids = ", ".join(run.info.run_id for run in found[:_NAMED])
        raise BrunaError(f"{len(found):,} MLflow runs are called {name}. Give the id of one: {ids}.")
    return found[0]
