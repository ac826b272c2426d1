"""A team's MLflow server: runs of the project's own store, sent to the server that MLFLOW_TRACKING_URI names.

The own store is the record: what a stage logs is there first, whatever the server does. A thread sends it on while the
stage runs, so that no server can end, stop or slow a training. What could not be sent stays in the own store, and the
next stage, or `bruna send`, sends it. Sending again what the server has changes nothing there: MLflow keeps equal
metrics and parameters once.
"""

import hashlib
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from bruna.errors import BrunaError
from bruna.files import read_object, write_json
from bruna.tracking.store import EXPERIMENT, store_url

SENT_FROM = "bruna.sent_from"
"""Tag of a run on the server: the id of the run here."""
_STATE, _LOCK = "mlflow.sent.json", "mlflow.sent.lock"
_EVERY = 15.0
"""Seconds between two sendings while a stage runs."""
_PATIENCE = 60.0
"""Seconds that a stage waits at its end for what is still to be sent."""
_BATCH = 100
"""Parameters or tags of a request: MLflow's own limit; of metrics it takes ten times as many."""
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""MLflow's own would try for many minutes, and print two lines a run. What the user has set stays."""
_KEPT = "What it lacks is kept in mlflow.db; the next stage sends it, or `bruna send`."
_TROUBLES = {
    "timed out": "it does not answer",
    "Max retries exceeded": "it cannot be reached",
    "Invalid Host header": "it does not know this address as its own. Start it with `--allowed-hosts HOST:PORT`",
}
"""What stands in errors of the connection, and what it means."""
_NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "PERMISSION_DENIED")
"""What servers say of a run that they do not have; the last one where only an administrator is told so."""
_RUN_ID = re.compile("[0-9a-f]{32}")


class Sent(NamedTuple):
    """What a sending has done: numbers of runs and of files."""

    runs: int
    files: int


def server_address(root: Path) -> str | None:
    """The team's server; None where no other store than the project's own is asked for."""
    address = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    return None if not address or _is_own(address, root) else address


def _is_own(address: str, root: Path) -> bool:
    """Whether it is the project's own store, however that is spelled."""
    scheme, _, path = address.partition(":///")
    # A relative path is below the working folder, which for a queued run is not the project's.
    places = [(folder / path.partition("?")[0]).resolve() for folder in (Path(), root)]
    return scheme.startswith("sqlite") and (root / "mlflow.db").resolve() in places


def experiment_name() -> str:
    """The experiment on the server."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME", "").strip() or EXPERIMENT


def without_password(address: str) -> str:
    """An address, or a text with one, that may be printed."""
    return re.sub(r"//[^/@\s]*@", "//", address)


@contextmanager
def sending(root: Path) -> Iterator[None]:
    """Send while the block runs, and once more at its end; nothing where there is no server."""
    address = server_address(root)
    if address is None:
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_send_on, args=(root, address, ended), daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        ended.set()
        thread.join(_PATIENCE / 6)
        raise
    ended.set()
    thread.join(_PATIENCE)
    if thread.is_alive():
        print(f"warning: {without_password(address)} is slow. {_KEPT}", file=sys.stderr)


def _send_on(root: Path, address: str, ended: threading.Event) -> None:
    """Send all every few seconds, until the block has ended and all is sent; say once that it fails, or works again."""
    failed, last, whole = False, False, True
    while True:
        try:
            send(root, address, whole=whole)
        except Exception as error:  # whatever it is, the stage goes on
            if not failed:
                print(f"warning: {_reason(address, error)} {_KEPT}", file=sys.stderr)
            failed = True
        else:
            if failed:
                print(f"note: {without_password(address)} takes runs again.", file=sys.stderr)
            failed = False
        if last:
            return
        last = ended.wait(_EVERY)
        whole = failed or last  # in between only what is running may have changed


def send(root: Path, address: str, progress: Callable[[list[Any]], Any] = iter, *, whole: bool = True) -> Sent:
    """Send all that the server lacks.

    Args:
        root: where the store lies.
        address: of the server.
        progress: wraps the runs that are to be sent.
        whole: False looks at runs alone that have not ended.

    Raises:
        BrunaError: the server does not take it, or another process is sending for minutes.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it tells of every try
    root = root.resolve()
    try:
        with FileLock(root / _LOCK, timeout=_PATIENCE):
            return _Sender(root, address).send(progress, whole=whole)
    except Timeout:
        raise BrunaError("another process is sending runs, for minutes. Try again when it has ended.") from None
    except BrunaError:
        raise
    except Exception as error:
        raise BrunaError(_reason(address, error)) from error


def _reason(address: str, error: Exception) -> str:
    if isinstance(error, BrunaError):
        return str(error)
    return f"{without_password(address)} does not take runs: {trouble_with_server(error)}."


def trouble_with_server(error: Exception) -> str:
    """What MLflow's error of a server means, in words without a full stop and without a password."""
    if found := next((words for sign, words in _TROUBLES.items() if sign in str(error)), None):
        return found
    said = without_password(str(error) or type(error).__name__).partition("\n")[0][:300].rstrip(".")
    if re.search(r"\b40[13]\b", said):
        return f"it refuses us ({said}). MLFLOW_TRACKING_USERNAME, ..._PASSWORD or ..._TOKEN say who we are"
    return said


class _Sender:
    """Sends what has changed since it was sent last: the state file has a signature of every run that was."""

    def __init__(self, root: Path, address: str) -> None:
        from mlflow import MlflowClient  # noqa: PLC0415

        self._root = root
        self._here = MlflowClient(tracking_uri=store_url(root / "mlflow.db"))
        self._there = MlflowClient(tracking_uri=address)
        self._server = hashlib.sha256(f"{address} {experiment_name()}".encode()).hexdigest()[:16]
        self._state: dict[str, Any] = {}
        if (root / _STATE).exists():
            with suppress(BrunaError):  # a damaged one: all is sent again, which changes nothing there
                self._state = read_object(root / _STATE)
        self._known: dict[str, dict[str, Any]] = self._state.setdefault(self._server, {})
        self._files = 0

    def send(self, progress: Callable[[list[Any]], Any], *, whole: bool) -> Sent:
        experiment = self._here.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return Sent(0, 0)
        runs = self._runs_of(experiment.experiment_id, "" if whole else "attributes.status = 'RUNNING'")
        waiting = [run for run in runs if self._known.get(run.info.run_id, {}).get("signature") != self._signature(run)]
        if not waiting or self._is_here(waiting[-1]):
            return Sent(0, 0)
        self._there_is(experiment)
        self._runs = {run.info.run_id: run for run in runs}
        try:
            for run in progress(waiting):
                self._send_run(run)
        finally:
            write_json(self._state, self._root / _STATE)
        return Sent(len(waiting), self._files)

    def _is_here(self, run: Any) -> bool:
        """Whether the server shows the project's own store, as that of `bruna ui` does: a run sent there is doubled."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        try:
            self._there.get_run(run.info.run_id)
        except MlflowException as error:
            if error.error_code in _NOT_THERE:
                return False
            raise
        return True

    def _runs_of(self, experiment: str, query: str) -> list[Any]:
        found: list[Any] = []
        token = None
        while True:
            page = self._here.search_runs([experiment], query, order_by=["attributes.start_time ASC"], page_token=token)
            found += page
            token = page.token
            if not token:
                return found

    def _there_is(self, here: Any) -> None:
        """The experiment on the server, made if missing, with the notes of the one here."""
        name = experiment_name()
        found = self._there.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage == "deleted":
            raise BrunaError(
                f"its experiment {name!r} was deleted there. Restore it (`mlflow experiments restore`), or name "
                "another in MLFLOW_EXPERIMENT_NAME."
            )
        self._experiment = found.experiment_id if found else self._there.create_experiment(name)
        for key, value in here.tags.items():
            if not found or key not in found.tags:
                self._there.set_experiment_tag(self._experiment, key, value)

    def _signature(self, run: Any) -> str:
        """Changes with whatever is to be sent."""
        data, info = run.data, run.info
        metrics = sorted((m.key, m.timestamp, m.step, repr(m.value)) for m in data._metric_objs)
        files = [(name, found.st_size, found.st_mtime_ns) for name, found in self._files_of(info.run_id)]
        all_of_it = (info.status, info.end_time, info.run_name, sorted(data.tags.items()), sorted(data.params.items()))
        return hashlib.sha256(repr((all_of_it, metrics, files)).encode()).hexdigest()

    def _files_of(self, run_id: str) -> list[tuple[str, os.stat_result]]:
        folder = self._root / "mlartifacts" / run_id / "artifacts"
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return [(path.relative_to(folder).as_posix(), path.stat()) for path in paths]

    def _id_there(self, run_id: str) -> str:
        """The run on the server, made if missing: one for each run here, also after a kill in between."""
        known = self._known.setdefault(run_id, {})
        if "id" not in known:
            found = self._there.search_runs([self._experiment], f"tags.`{SENT_FROM}` = '{run_id}'", max_results=1)
            info = self._runs[run_id].info
            made = found[0] if found else self._there.create_run(
                self._experiment, start_time=info.start_time, tags={SENT_FROM: run_id}, run_name=info.run_name
            )  # fmt: skip
            known["id"] = made.info.run_id
        return str(known["id"])

    def _send_run(self, run: Any) -> None:
        from mlflow.exceptions import RestException  # noqa: PLC0415

        signature = self._signature(run)  # what changes meanwhile is sent next time
        there, known = self._id_there(run.info.run_id), self._known[run.info.run_id]
        try:
            self._send_values(run, there, known)
        except RestException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "INVALID_STATE"):
                raise
            # Somebody has deleted it there, or the server has other limits: nothing that trying again would mend.
            print(f"warning: the server does not take the run {run.info.run_name}: {error.message}", file=sys.stderr)
        known["signature"] = signature

    def _send_values(self, run: Any, there: str, known: dict[str, Any]) -> None:
        from mlflow.entities import Param, RunTag  # noqa: PLC0415

        data, info = run.data, run.info
        tags = [RunTag(key, self._translated(value)) for key, value in data.tags.items()]
        params = [Param(key, value) for key, value in data.params.items()]
        for start in range(0, max(len(tags), len(params)), _BATCH):
            part = slice(start, start + _BATCH)
            self._there.log_batch(there, params=params[part], tags=tags[part], synchronous=True)
        self._send_metrics(run, there, known)
        if datasets := run.inputs.dataset_inputs:
            self._there.log_inputs(there, datasets)
        sizes: dict[str, Any] = known.setdefault("files", {})
        for name, found in self._files_of(info.run_id):
            if sizes.get(name) != (mark := [found.st_size, found.st_mtime_ns]):
                file = self._root / "mlartifacts" / info.run_id / "artifacts" / name
                self._there.log_artifact(there, str(file), name.rpartition("/")[0] or None)
                sizes[name] = mark
                self._files += 1
        if info.status == "RUNNING":
            self._there.update_run(there, status=info.status, name=info.run_name)
        else:
            self._there.update_run(there, name=info.run_name)
            self._there.set_terminated(there, info.status, info.end_time)

    def _translated(self, value: str) -> str:
        """A tag's value; the id of a run becomes that of its run on the server."""
        there = _RUN_ID.fullmatch(value) and (value in self._runs or "id" in self._known.get(value, {}))
        return self._id_there(value) if there else value

    def _send_metrics(self, run: Any, there: str, known: dict[str, Any]) -> None:
        """The points since the last time that all were sent."""
        counts: dict[str, int] = known.setdefault("points", {})
        points = []
        for key in run.data.metrics:
            history = sorted(self._here.get_metric_history(run.info.run_id, key), key=lambda m: (m.timestamp, m.step))
            points += history if len(history) != counts.get(key) else []
            counts[key] = len(history)
        try:
            for start in range(0, len(points), 10 * _BATCH):
                self._there.log_batch(there, metrics=points[start : start + 10 * _BATCH], synchronous=True)
        except BaseException:
            known.pop("points")
            raise
