"""The MLflow run of a stage: open, nest, tag, log, fail.

One execution of the pipeline (a `dvc repro`, an experiment) is one parent run, with what executions are compared by:
all parameters, the headline metrics, the commit and the data set. Each stage that really runs is a child of it, with
curves, pictures and all figures. A stage that DVC restores from its cache makes no run: its run of an earlier
execution is found by the MD5 of what it wrote, and linked. Everything lies in `ROOT/mlflow.db` and `ROOT/mlartifacts`;
`sending.py` sends it on to a team's server.

MLflow is imported when a run is opened, not with this module.
"""

import json
import logging
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bruna.errors import BrunaError
from bruna.nested import flatten
from bruna.tracking.execution import Execution, alive, process_identity, terminable
from bruna.tracking.lineage import link_producers, producers_of, writers_of
from bruna.tracking.mlflow_tracker import MlflowTracker, existing_run, log_metrics, origin_of, set_tags
from bruna.tracking.sending import sending
from bruna.tracking.store import EXPERIMENT, StoreClient, connect, lock

VIEW = "headlines"
"""Key of the view of the experiment's runs that has the main headline metrics as columns."""
_COLUMNS = ("map", "rank1", "minp", "course_map", "attribute_accuracy", "attribute_balanced_accuracy", "test_map")
_EXPERIMENT_NOTE = """\
A run named `repro ...`, or like an experiment of DVC, is one execution of the pipeline: all settings of params.yaml, \
and the headline metrics. Tick two of them, press Compare and switch on “Show diff only”. The runs below it are its \
stages, with curves, pictures and all figures. The run of a stage that DVC took from its cache is below an earlier one.
"""
_PARENT_NOTE = """\
One execution of the pipeline{experiment}. Parameters: all of params.yaml. Metrics: the headline metrics, those of \
stages from DVC's cache too. The tags `bruna.stage.*` name the run of every stage; that of `report` has the page.
"""


@contextmanager
def stage_run(
    root: Path,
    stage: str,
    execution: Execution,
    *,
    params: Mapping[str, Any],
    inputs: Mapping[str, str],
    outputs: Mapping[str, str | None],
    tags: Mapping[str, str],
    description: str = "",
    continue_run: str | None = None,
) -> Iterator[MlflowTracker]:
    """Open the run of a stage below the run of its execution, and end both with the status they deserve.

    An exception makes the run FAILED; Ctrl-C and SIGTERM (raised here as `Terminated`) make it KILLED. A run that
    somebody deletes while it is open gets nothing more, with a warning.

    Args:
        root: where the store lies. Concurrent executions must give the same folder.
        params: the stage's parameters; nested groups become `group.name`.
        inputs: MD5 of each input by its path; the runs that wrote them are tagged as producers and, with those
            that they stand on, linked on the parent.
        outputs: MD5 of each output by its path, **read when the block ends**: fill it inside the block.
        tags: any more tags.
        description: of the stage, for people.
        continue_run: id of an interrupted run to go on with instead of making a new one; ignored if it is gone.

    Raises:
        BrunaError: the store cannot be opened or used, or is locked by another program for five minutes.
    """
    with terminable():
        root = Path(root).resolve()
        client, experiment = open_store(root)
        with lock(root):
            _end_dead_runs(client, experiment)
            parent = _parent_run(client, experiment, execution)
            run = _child_run(client, experiment, parent, stage, continue_run)
        tracker = MlflowTracker(client, root / "mlartifacts", run, parent, stage)
        with sending(root):
            try:
                _log_params(client, run, flatten(params, "."))
                producers = producers_of(client, experiment, parent, inputs)
                tracker.tags(
                    {
                        **execution.tags,
                        **tags,
                        "mlflow.note.content": description,
                        **{f"bruna.input.{path}": md5 for path, md5 in inputs.items()},
                        **{f"bruna.producer.{path}": producer for path, producer in producers.items()},
                    }
                )
                _log_inputs(client, run, inputs)
                link_producers(client, parent, producers.values())
                yield tracker
                tracker.tags({f"bruna.output.{path}": md5 for path, md5 in outputs.items() if md5})
            except BaseException as error:
                status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
                client.patience = 0
                with suppress(Exception):  # the store may be what failed; the next stage then marks the run as killed
                    tracker.tags({"bruna.error": f"{type(error).__name__}: {error}"})
                    client.set_terminated(run, status)
                    _end_parent(client, experiment, parent)
                raise
            client.set_terminated(run, "FINISHED")
            _end_parent(client, experiment, parent)


def origin_of_output(root: Path, path: str, md5: str) -> dict[str, str]:
    """The execution that last wrote an output, as `MlflowTracker.origin` tells it; empty where no run did.

    Args:
        root: where the store lies.
        path, md5: of the output.
    """
    client, experiment = open_store(Path(root).resolve())
    found = writers_of(client, experiment, path, md5)
    return origin_of(client, found[0].data.tags.get("mlflow.parentRunId", "")) if found else {}


def open_store(root: Path) -> tuple[StoreClient, str]:
    """The client of the store below `root` and the id of the experiment; both are made where missing.

    Raises:
        BrunaError: it cannot be opened.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    for name in ("mlflow.store", "alembic"):  # they also log, with a traceback, what they raise
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.tracking  # noqa: F401, PLC0415 - seconds, in which nobody else need wait

        try:
            with lock(root):  # four processes that migrate a fresh store at once would break it
                client = connect(root)
                return client, _experiment(client, (root / "mlartifacts").as_uri())
        except BrunaError:
            raise
        except Exception as error:
            reason = str(error).partition("\n")[0]  # what follows is SQL
            raise BrunaError(
                f"the MLflow store {root / 'mlflow.db'} cannot be opened: {reason}\nMake sure the folder can be "
                "written and has space, or move mlflow.db out of the way; the next run makes a new one."
            ) from error


def _experiment(client: Any, artifacts: str) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found and found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    experiment = str(found.experiment_id if found else client.create_experiment(EXPERIMENT, artifacts))
    view = json.dumps({"selectedColumns": [f"metrics.`{name}`" for name in _COLUMNS]})
    for name, text in {"mlflow.note.content": _EXPERIMENT_NOTE, f"mlflow.sharedViewState.{VIEW}": view}.items():
        if not found or name not in found.tags:  # a description that a user has written stays
            client.set_experiment_tag(experiment, name, text)
    return experiment


def _parent_run(client: Any, experiment: str, execution: Execution) -> str:
    key = execution.key.replace("'", "_")
    found = client.search_runs([experiment], f"tags.`bruna.execution` = '{key}'", max_results=1)
    if found:
        parent = str(found[0].info.run_id)
        client.update_run(parent, status="RUNNING")
        return parent
    name = execution.tags.get("dvc.exp")
    note = _PARENT_NOTE.format(experiment=f", the experiment `{name}` of DVC" if name else "")
    tags = {**execution.tags, "bruna.execution": key, "mlflow.note.content": note}
    parent = str(client.create_run(experiment, run_name=execution.name, tags=tags).info.run_id)
    # MLflow's page that compares runs draws the changed setting against the metric that was logged first. No number
    # stands for "not measured yet".
    log_metrics(client, parent, {_COLUMNS[0]: math.nan})
    _log_params(client, parent, flatten(execution.params, "."))
    if execution.data:
        _log_inputs(client, parent, {"data": execution.data})
    return parent


def _child_run(client: Any, experiment: str, parent: str, stage: str, continue_run: str | None) -> str:
    # A page that compares runs tells them by their names.
    name = f"{stage} · {client.get_run(parent).info.run_name}"
    tags = {"mlflow.parentRunId": parent, "dvc.stage": stage, "bruna.process": process_identity()}
    if continue_run and (before := existing_run(client, continue_run)):
        resumed = int(before.data.tags.get("bruna.resumed", 0)) + 1
        set_tags(client, continue_run, {**tags, "bruna.resumed": str(resumed)})
        client.update_run(continue_run, status="RUNNING", name=name)
        run = continue_run
    else:
        run = str(client.create_run(experiment, run_name=name, tags=tags).info.run_id)
    client.set_tag(parent, f"bruna.stage.{stage}", run)
    return run


def _end_parent(client: Any, experiment: str, parent: str) -> None:
    """End the parent as its stages ended: the latest run of each counts; one that still runs keeps it running."""
    children = client.search_runs(
        [experiment], f"tags.`mlflow.parentRunId` = '{parent}'", order_by=["attributes.start_time DESC"]
    )
    latest: dict[str, str] = {}
    for child in children:
        latest.setdefault(child.data.tags.get("dvc.stage", ""), child.info.status)
    status = next((s for s in ("RUNNING", "FAILED", "KILLED", "FINISHED") if s in latest.values()), "KILLED")
    if status != "RUNNING" and existing_run(client, parent):
        client.set_terminated(parent, status)


def _end_dead_runs(client: Any, experiment: str) -> None:
    """End the runs whose process is gone (SIGKILL, power cut), and their parents: nobody else will.

    A parent that is RUNNING without a stage that is, was left so by a process that was killed just before it opened
    its stage's run, or just after it ended it: for whoever holds the lock, no living process is there.
    """
    running = client.search_runs([experiment], "attributes.status = 'RUNNING'")
    for run in running:
        process = run.data.tags.get("bruna.process")
        if process and not alive(process):
            client.set_terminated(run.info.run_id, "KILLED")
    for run in running:
        if "bruna.execution" in run.data.tags:
            _end_parent(client, experiment, run.info.run_id)


def _log_params(client: Any, run: str, values: Mapping[str, Any]) -> None:
    from mlflow.entities import Param  # noqa: PLC0415

    client.log_batch(run, params=[Param(name, str(value)) for name, value in values.items()], synchronous=True)


def _log_inputs(client: Any, run: str, inputs: Mapping[str, str]) -> None:
    from mlflow.entities import Dataset, DatasetInput  # noqa: PLC0415

    source = [(path, md5, json.dumps({"uri": path})) for path, md5 in inputs.items()]
    client.log_inputs(run, [DatasetInput(Dataset(path, md5, "local", uri), []) for path, md5, uri in source])
