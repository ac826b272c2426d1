"""The MLflow run of a stage: open, nest, tag, log, fail.

One execution of the pipeline (a `dvc repro`, an experiment) is one parent run; each stage that really runs is
a child of it. A stage that DVC restores from its cache makes no run: its runs of earlier executions are found
by the MD5 of what they wrote, and linked. Everything lies in `ROOT/mlflow.db` and `ROOT/mlartifacts`.

MLflow is imported when a run is opened, not with this module.
"""

import json
import logging
import os
import re
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from bruna.errors import BrunaError
from bruna.tracking.execution import Execution, alive, process_identity, terminable

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

EXPERIMENT = "bruna"
_SUMMARY = "summary.json"
_METRICS_A_BATCH = 1000  # MLflow's own limit
_TAG_LENGTH = 5000


class MlflowTracker:
    """Logs to one MLflow run; see `Tracker` for what the methods mean."""

    def __init__(self, client: Any, run_id: str, parent_id: str, stage: str) -> None:
        self.run_id = run_id
        self.parent_id = parent_id
        self._client = client
        self._stage = stage

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers in as few transactions as MLflow allows."""
        if step is None:  # a run that goes on may have some of the closing numbers already
            there = self._client.get_run(self.run_id).data.metrics
            values = {name: value for name, value in values.items() if there.get(name) != value}
        _log_metrics(self._client, self.run_id, values, step)

    def last_step(self, name: str) -> int:
        """The last step of a metric of this run; 0 where there is none."""
        return max((int(metric.step) for metric in self._client.get_metric_history(self.run_id, name)), default=0)

    def figure(self, figure: "Figure", name: str) -> None:
        """Log a figure as a PNG image."""
        # Packing a page of photographs as tightly as matplotlib does takes longer than drawing it.
        self._client.log_figure(self.run_id, figure, name, save_kwargs={"pil_kwargs": {"compress_level": 2}})

    def file(self, path: Path, folder: str | None = None) -> None:
        """Log a file, or a folder with all that is in it."""
        log = self._client.log_artifacts if Path(path).is_dir() else self._client.log_artifact
        log(self.run_id, str(path), folder)

    def table(self, table: "pd.DataFrame", name: str) -> None:
        """Log a table as JSON, which MLflow's pages show as a table; one of this name is replaced."""
        there = {file.path for file in self._client.list_artifacts(self.run_id, str(Path(name).parent))}
        if name in there:  # log_table would append its rows
            self._client.log_text(self.run_id, table.to_json(orient="split", index=False), name)
        else:
            self._client.log_table(self.run_id, table, name)

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags of the run."""
        _set_tags(self._client, self.run_id, values)

    def dataset(self, table: "pd.DataFrame", name: str, digest: str) -> None:
        """Log a table the run reads as one of its data sets."""
        from mlflow.data.pandas_dataset import from_pandas  # noqa: PLC0415
        from mlflow.entities import DatasetInput  # noqa: PLC0415

        with warnings.catch_warnings():  # its hint about integer columns that might miss values
            warnings.simplefilter("ignore")
            entity = from_pandas(table, name=name, digest=digest)._to_mlflow_entity()
        self._client.log_inputs(self.run_id, [DatasetInput(entity, [])])

    def summary(self, values: Mapping[str, Any]) -> dict[str, float]:
        """Log the numbers the stage ends with, on its run and, as `<stage>/<metric>`, on the parent.

        Args:
            values: may be nested (`{"market1501": {"map": 0.5}}` is `market1501/map`); what is not a number
                is left out.

        Returns:
            The numbers by the names they were logged under.
        """
        numbers = {_metric_name(name): value for name, value in _numbers(values)}
        self.metrics(numbers)
        self._client.log_dict(self.run_id, numbers, _SUMMARY)
        _log_metrics(self._client, self.parent_id, {f"{self._stage}/{k}": v for k, v in numbers.items()})
        return numbers


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
    gather: bool = False,
    continue_run: str | None = None,
) -> Iterator[MlflowTracker]:
    """Open the run of a stage below the run of its execution, and end both with the status they deserve.

    An exception makes the run FAILED; Ctrl-C and SIGTERM (raised here as `Terminated`) make it KILLED.

    Args:
        root: where the store lies. Concurrent executions must give the same folder.
        params: the stage's parameters; nested groups become `group.name`.
        inputs: MD5 of each input by its path; the runs that wrote them are tagged as producers.
        outputs: MD5 of each output by its path, **read when the block ends**: fill it inside the block.
        tags: any more tags.
        gather: also put all producers, direct and indirect, with their summaries on the parent.
        continue_run: id of an interrupted run to go on with instead of making a new one; ignored if it is gone.

    Raises:
        BrunaError: the store cannot be opened.
    """
    with terminable():
        client, experiment = _open_store(Path(root).resolve())
        with _lock(root):
            _end_dead_runs(client, experiment)
            parent = _parent_run(client, experiment, execution)
            run = _child_run(client, experiment, parent, stage, continue_run)
        tracker = MlflowTracker(client, run, parent, stage)
        try:
            _log_params(client, run, dict(_flat(params)))
            producers = _producers(client, experiment, parent, inputs)
            tracker.tags(
                {
                    **tags,
                    **{f"bruna.input.{path}": md5 for path, md5 in inputs.items()},
                    **{f"bruna.producer.{path}": producer for path, producer in producers.items()},
                }
            )
            _log_inputs(client, run, inputs)
            if gather:
                _gather(client, parent, set(producers.values()))
            yield tracker
            tracker.tags({f"bruna.output.{path}": md5 for path, md5 in outputs.items() if md5})
        except BaseException as error:
            status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
            tracker.tags({"bruna.error": f"{type(error).__name__}: {error}"})
            client.set_terminated(run, status)
            raise
        else:
            client.set_terminated(run, "FINISHED")
        finally:
            _end_parent(client, experiment, parent)


def _lock(root: Path) -> FileLock:
    return FileLock(Path(root) / "mlflow.db.lock")


def _open_store(root: Path) -> tuple[Any, str]:
    """The client of the store below `root` and the id of the experiment; both are made where missing."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient  # noqa: PLC0415

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            with _lock(root):  # four processes that migrate a fresh store at once would break it
                client = MlflowClient(tracking_uri=f"sqlite:///{root / 'mlflow.db'}")
                return client, _experiment(client, (root / "mlartifacts").as_uri())
        except Exception as error:
            raise BrunaError(
                f"the MLflow store {root / 'mlflow.db'} cannot be opened: {error}\nMake sure the folder can be "
                "written and has space, or move mlflow.db out of the way; the next run makes a new one."
            ) from error


def _experiment(client: Any, artifacts: str) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found and found.artifact_location != artifacts:  # the project folder was moved
        client.rename_experiment(found.experiment_id, f"{EXPERIMENT} in {found.artifact_location}")
        found = None
    if found and found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id if found else client.create_experiment(EXPERIMENT, artifacts))


def _parent_run(client: Any, experiment: str, execution: Execution) -> str:
    key = execution.key.replace("'", "_")
    found = client.search_runs([experiment], f"tags.`bruna.tracking.execution` = '{key}'", max_results=1)
    if found:
        parent = str(found[0].info.run_id)
        client.update_run(parent, status="RUNNING")
        return parent
    tags = {"bruna.tracking.execution": key}
    return str(client.create_run(experiment, run_name=execution.name, tags=tags).info.run_id)


def _child_run(client: Any, experiment: str, parent: str, stage: str, continue_run: str | None) -> str:
    tags = {"mlflow.parentRunId": parent, "dvc.stage": stage, "bruna.process": process_identity()}
    if continue_run and _exists(client, continue_run):
        resumed = int(client.get_run(continue_run).data.tags.get("bruna.resumed", 0)) + 1
        _set_tags(client, continue_run, {**tags, "bruna.resumed": str(resumed)})
        client.update_run(continue_run, status="RUNNING")
        run = continue_run
    else:
        run = str(client.create_run(experiment, run_name=stage, tags=tags).info.run_id)
    client.set_tag(parent, f"bruna.stage.{stage}", run)
    return run


def _exists(client: Any, run: str) -> bool:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        return bool(client.get_run(run).info.lifecycle_stage == "active")
    except MlflowException:
        return False


def _end_parent(client: Any, experiment: str, parent: str) -> None:
    """End the parent as its stages ended: the latest run of each counts; one that still runs keeps it running."""
    children = client.search_runs(
        [experiment], f"tags.`mlflow.parentRunId` = '{parent}'", order_by=["attributes.start_time DESC"]
    )
    latest: dict[str, str] = {}
    for child in children:
        latest.setdefault(child.info.run_name, child.info.status)
    for status in ("RUNNING", "FAILED", "KILLED", "FINISHED"):
        if status in latest.values():
            if status != "RUNNING":
                client.set_terminated(parent, status)
            return


def _end_dead_runs(client: Any, experiment: str) -> None:
    """Mark runs KILLED whose process is gone (SIGKILL, power cut): nobody else will."""
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING'"):
        process = run.data.tags.get("bruna.process")
        if process and not alive(process):
            client.set_terminated(run.info.run_id, "KILLED")
            _end_parent(client, experiment, run.data.tags["mlflow.parentRunId"])


def _producers(client: Any, experiment: str, parent: str, inputs: Mapping[str, str]) -> dict[str, str]:
    """The run that wrote each input, by the input's path; inputs no finished run wrote are absent.

    Of several that wrote the same bytes it is the one of this execution, otherwise the latest.
    """
    producers = {}
    for path, md5 in inputs.items():
        query = f"attributes.status = 'FINISHED' and tags.`bruna.output.{path}` = '{md5}'"
        found = client.search_runs([experiment], query, order_by=["attributes.start_time DESC"], max_results=100)
        own = [run for run in found if run.data.tags["mlflow.parentRunId"] == parent]
        if found:
            producers[path] = str((own or found)[0].info.run_id)
    return producers


def _gather(client: Any, parent: str, runs: set[str]) -> None:
    """Put every run the given ones stand on, and themselves, on the parent: its id and its summary."""
    seen: set[str] = set()
    while runs - seen:
        run_id = (runs - seen).pop()
        seen.add(run_id)
        tags = client.get_run(run_id).data.tags
        runs = runs | {value for name, value in tags.items() if name.startswith("bruna.producer.")}
        stage = tags["dvc.stage"]
        client.set_tag(parent, f"bruna.stage.{stage}", run_id)
        if any(file.path == _SUMMARY for file in client.list_artifacts(run_id)):
            summary = json.loads(Path(client.download_artifacts(run_id, _SUMMARY)).read_text(encoding="utf-8"))
            _log_metrics(client, parent, {f"{stage}/{name}": value for name, value in summary.items()})


def _log_metrics(client: Any, run: str, values: Mapping[str, float], step: int | None = None) -> None:
    from mlflow.entities import Metric  # noqa: PLC0415

    now = int(time.time() * 1000)
    metrics = [Metric(name, float(value), now, step or 0) for name, value in values.items()]
    for start in range(0, len(metrics), _METRICS_A_BATCH):
        client.log_batch(run, metrics=metrics[start : start + _METRICS_A_BATCH], synchronous=True)


def _set_tags(client: Any, run: str, values: Mapping[str, str]) -> None:
    from mlflow.entities import RunTag  # noqa: PLC0415

    tags = [RunTag(name, value[:_TAG_LENGTH]) for name, value in values.items()]
    client.log_batch(run, tags=tags, synchronous=True)


def _log_params(client: Any, run: str, values: Mapping[str, Any]) -> None:
    from mlflow.entities import Param  # noqa: PLC0415

    client.log_batch(run, params=[Param(name, str(value)) for name, value in values.items()], synchronous=True)


def _log_inputs(client: Any, run: str, inputs: Mapping[str, str]) -> None:
    from mlflow.entities import Dataset, DatasetInput  # noqa: PLC0415

    source = [(path, md5, json.dumps({"uri": path})) for path, md5 in inputs.items()]
    client.log_inputs(run, [DatasetInput(Dataset(path, md5, "local", uri), []) for path, md5, uri in source])


def _flat(values: Mapping[str, Any], separator: str = ".") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested mappings with their joined names."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}{separator}{rest}", leaf) for rest, leaf in _flat(value, separator))
        else:
            yield str(name), value


def _numbers(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in _flat(values, "/"):
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)


def _metric_name(name: str) -> str:
    """The name in the characters MLflow takes (`recall@1` is `recall_1`)."""
    return re.sub(r"[^\w\-. /:]", "_", name)
