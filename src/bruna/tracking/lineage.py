"""Which runs wrote what a run reads: found by the MD5 of the files, linked to the run of the execution."""

from collections.abc import Iterable, Mapping
from typing import Any

from bruna.headlines import headline_metrics
from bruna.tracking.mlflow_tracker import existing_run, log_metrics


def producers_of(client: Any, experiment: str, parent: str, inputs: Mapping[str, str]) -> dict[str, str]:
    """The run that wrote each input, by the input's path; inputs no finished run wrote are absent.

    Of several that wrote the same bytes it is the one of this execution, otherwise the latest.
    """
    producers = {}
    for path, md5 in inputs.items():
        found = writers_of(client, experiment, path, md5)
        own = [run for run in found if run.data.tags.get("mlflow.parentRunId") == parent]
        if found:
            producers[path] = str((own or found)[0].info.run_id)
    return producers


def writers_of(client: Any, experiment: str, path: str, md5: str) -> list[Any]:
    """The finished runs that wrote these bytes to `path`, the latest first."""
    query = f"attributes.status = 'FINISHED' and tags.`bruna.output.{path}` = '{md5}'"
    return list(client.search_runs([experiment], query, order_by=["attributes.start_time DESC"], max_results=100))


def link_producers(client: Any, parent: str, direct: Iterable[str]) -> None:
    """Put the given runs, and every run that they stand on, on the parent: its id and its headline metrics.

    A run that is on the parent already is passed over: its own stage has put there what it stands on. For a stage
    that has a run on the parent, only a direct producer takes that run's place.
    """
    if (run := existing_run(client, parent)) is None:
        return
    linked = {name: run_id for name, run_id in run.data.tags.items() if name.startswith("bruna.stage.")}
    waiting = dict.fromkeys(direct, True)
    while waiting:
        run_id = next(iter(waiting))
        is_direct = waiting.pop(run_id)
        if run_id in linked.values() or not (run := existing_run(client, run_id)):
            continue
        stage = run.data.tags.get("dvc.stage", "")  # a user can remove tags
        if f"bruna.stage.{stage}" in linked and not is_direct:
            continue
        linked[f"bruna.stage.{stage}"] = run_id
        client.set_tag(parent, f"bruna.stage.{stage}", run_id)
        log_metrics(client, parent, headline_metrics(stage, run.data.metrics))
        for name, producer in run.data.tags.items():
            if name.startswith("bruna.producer."):
                waiting.setdefault(producer, False)
