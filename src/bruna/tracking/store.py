"""The MLflow store of a project, `ROOT/mlflow.db` and `ROOT/mlartifacts`: looked at before MLflow opens it.

MLflow tries for minutes to open what is no store, and waits for a locked one without a word. It also writes absolute
paths into its tables, which no longer hold when the project is moved, or is mounted elsewhere.
"""

import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from filelock import FileLock, Timeout

from bruna.errors import BrunaError
from bruna.files import whole_file
from bruna.tracking.mlflow_tracker import existing_run

SAY_AFTER = 5.0
"""Seconds for which a locked store is waited for without a word."""
GIVE_UP_AFTER = 300.0
"""Seconds after which it is no longer waited for."""
_PATIENCE = f"{GIVE_UP_AFTER / 60:.0f} minutes"
EXPERIMENT = "bruna"
_LOCATIONS = ("artifact_location", "artifact_uri", "source", "storage_location")
"""Columns, of whatever table, in which MLflow keeps where files are."""
_ON_RUNS = ("log_batch", "log_inputs", "set_tag", "set_terminated", "update_run")
"""Methods of MLflow's client that change the run which their first argument names."""
_OF_THE_STORE = (sqlite3.OperationalError, sqlite3.DatabaseError)
"""What SQLite raises where not the statement but the file is at fault."""
_MOVE = "Move it out of the way; the next run makes a new one."


def store_url(database: Path) -> str:
    """The address of a database for SQLAlchemy and MLflow.

    It names the driver, because MLflow makes a folder of whatever follows `sqlite:///`, as it is spelled there.
    """
    from sqlalchemy import URL, make_url  # noqa: PLC0415

    url = URL.create("sqlite+pysqlite", database=str(database)).render_as_string()
    if make_url(url).database != str(database):  # before SQLAlchemy 2.1 a question mark cannot be spelled
        raise BrunaError(f"the project's folder {database.parent} has a name that MLflow cannot use. Rename it.")
    return url


def connect(root: Path) -> "StoreClient":
    """The client of the store below `root`; what is missing is made. Call it in `lock`.

    Where the project has another path than last time, the places of all files are corrected in the store.

    Raises:
        BrunaError: one of the two is not what it should be, or is locked for too long.
    """
    import mlflow  # noqa: PLC0415
    from mlflow import MlflowClient  # noqa: PLC0415

    database, artifacts = root / "mlflow.db", root / "mlartifacts"
    _check_places(database, artifacts)
    is_new = not database.exists() or database.stat().st_size == 0
    if not is_new:
        with _changing(database) as connection:
            _check_tables(connection, database)
            _relocate(connection, artifacts.as_uri())
    if is_new:  # whole or absent: a process may be killed while MLflow makes its tables
        with whole_file(database.resolve()) as beside:
            MlflowClient(tracking_uri=store_url(beside)).search_experiments(max_results=1)
    try:
        return StoreClient(MlflowClient(tracking_uri=store_url(database)), database)
    except mlflow.MlflowException as error:
        if "out-of-date database schema" not in str(error):
            raise
        raise BrunaError(
            f"{database} was written by another MLflow than this one, {mlflow.__version__}. If by an older one: "
            f"copy the file, then run `mlflow db upgrade '{store_url(database)}'`. If by a newer one: install that, or "
            "move the file out of the way; the next run makes a new one."
        ) from None


@contextmanager
def lock(root: Path) -> Iterator[None]:
    """Keep other processes of Bruna from opening runs in the store meanwhile.

    Raises:
        BrunaError: another process had it for five minutes.
    """
    path = Path(root) / "mlflow.db.lock"
    file = FileLock(path)
    who = f"another stage, or `bruna ui`, is opening MLflow's store and has {path}"
    try:
        with _said(lambda: f"{who}: waiting for it, for {_PATIENCE} at most.", after=4 * SAY_AFTER):
            file.acquire(timeout=GIVE_UP_AFTER)
    except Timeout:
        raise BrunaError(f"{who}. It hangs: end it, then run the same command again.") from None
    try:
        yield
    finally:
        file.release()


def _check_places(database: Path, artifacts: Path) -> None:
    try:
        str(database).encode()
    except UnicodeEncodeError:
        raise BrunaError(
            f"the project's folder {os.fsencode(database.parent)!r} has a name that is not UTF-8, which MLflow cannot "
            "use. Rename it."
        ) from None
    for path in (database, artifacts):
        if path.is_symlink() and not path.exists():
            raise BrunaError(
                f"{path} is a link to {path.readlink()}, which is missing. Bring that back (is its disk mounted?), or "
                "remove the link; the next run makes a new one."
            )
    if database.exists() and not database.is_file():
        raise BrunaError(f"{database} is not a file, and MLflow keeps its runs in a file of this name. {_MOVE}")
    if artifacts.exists() and not artifacts.is_dir():
        raise BrunaError(f"{artifacts} is not a folder, and MLflow keeps its files in a folder of this name. {_MOVE}")
    if artifacts.exists() and not os.access(artifacts, os.W_OK | os.X_OK):
        raise BrunaError(
            f"{artifacts} cannot be written, and MLflow keeps its files there. Make it yours (`chown -R`), or mount it "
            "so that it can be written."
        )


def _check_tables(connection: sqlite3.Connection, database: Path) -> None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and not {"experiments", "runs", "alembic_version"} <= tables:
        raise BrunaError(f"{database} is a database, but not one of MLflow's. {_MOVE}")


def _relocate(connection: sqlite3.Connection, artifacts: str) -> None:
    """Have all files of the store lie in `artifacts`, a URI, that lay where the experiment's files were last time."""
    columns = connection.execute(
        "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'"
    ).fetchall()
    if ("experiments", "artifact_location") not in columns:
        return
    query = "SELECT artifact_location FROM experiments WHERE name = ?"
    for (before,) in connection.execute(query, [EXPERIMENT]).fetchall():
        if before == artifacts:
            continue
        moved = str(before).startswith("file:") and str(before).endswith("/mlartifacts")
        for table, column in columns:
            # Where somebody has chosen another place, files that are there already stay there.
            if column in _LOCATIONS and (moved or table == "experiments"):
                connection.execute(
                    f'UPDATE "{table}" SET "{column}" = ? || substr("{column}", ?) '
                    f"WHERE substr(\"{column}\" || '/', 1, ?) = ?",
                    [artifacts, len(before) + 1, len(before) + 1, f"{before}/"],
                )


def _open(database: Path, timeout: float) -> sqlite3.Connection:
    """Open a database that is there; it must not be made."""
    return sqlite3.connect(f"file:{quote(str(database))}?mode=rw", uri=True, timeout=timeout, isolation_level=None)


@contextmanager
def _changing(database: Path) -> Iterator[sqlite3.Connection]:
    """A transaction that nobody else writes beside; undone if the block ends with an exception.

    Raises:
        BrunaError: it cannot be opened, or is locked for too long.
    """
    give_up = time.monotonic() + GIVE_UP_AFTER
    try:
        with closing(_open(database, timeout=1)) as connection, _told(database):
            while True:
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    break
                except sqlite3.OperationalError as error:
                    if not _is_locked(error) or time.monotonic() > give_up:
                        raise
            yield connection
            connection.commit()
    except sqlite3.DatabaseError as error:
        raise _refusal(database, error) from error


def _refusal(database: Path, error: sqlite3.DatabaseError) -> BrunaError:
    if _is_locked(error):
        return BrunaError(
            f"{database} was locked by another program for {_PATIENCE}. End that program "
            f"(`fuser -v '{database}'` shows it), then run the same command again."
        )
    if "disk is full" in str(error):
        return BrunaError(f"{database} cannot be written: the disk is full. Free some space, then try again.")
    if error.__class__ is sqlite3.DatabaseError:  # not a database, or a malformed one
        return BrunaError(f"{database} cannot be read: {error}. {_MOVE}")
    return BrunaError(
        f"{database} cannot be used: {error}. Make sure that it is in its place, and that it and its folder can be "
        "written, then run the same command again."
    )


def _is_locked(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


@contextmanager
def _said(text: Callable[[], str], after: float) -> Iterator[None]:
    """Say something on stderr, unless the block ends within so many seconds or there is nothing to say."""

    def say() -> None:
        if found := text():
            print(found, file=sys.stderr, flush=True)

    timer = threading.Timer(after, say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _told(database: Path) -> Iterator[None]:
    """Say that the store is locked, where that is why the block takes so long."""

    def text() -> str:
        try:
            with closing(_open(database, timeout=0)) as connection:
                connection.execute("BEGIN IMMEDIATE")
        except sqlite3.DatabaseError as error:
            if _is_locked(error):
                return (
                    f"{database} is locked by another program: waiting for it, for {_PATIENCE} at most. "
                    f"`fuser -v '{database}'` shows which it is."
                )
        return ""

    with _said(text, SAY_AFTER):
        yield


class StoreClient:
    """MLflow's client, which waits for a locked store, says what is wrong with one, and lets go of deleted runs.

    What is logged to a run that somebody has deleted meanwhile is dropped with a warning: the stage has more to give
    than its log.
    """

    def __init__(self, client: Any, database: Path) -> None:
        self.patience = GIVE_UP_AFTER
        self._client = client
        self._database = database
        self._deleted: set[str] = set()
        self._refused: BrunaError | None = None

    def __getattr__(self, name: str) -> Any:
        return partial(self._call, getattr(self._client, name))

    def _call(self, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        if self._refused:
            raise self._refused
        give_up = time.monotonic() + self.patience
        with _told(self._database):
            while True:
                try:
                    return method(*arguments, **named)
                except MlflowException as error:
                    trouble = getattr(error.__cause__, "orig", None)
                    if isinstance(trouble, sqlite3.DatabaseError) and type(trouble) in _OF_THE_STORE:
                        if _is_locked(trouble) and time.monotonic() < give_up:
                            continue
                        self._refused = _refusal(self._database, trouble)
                        raise self._refused from error
                    if method.__name__ in _ON_RUNS and existing_run(self, arguments[0]) is None:
                        return self._let_go(arguments[0])
                    raise

    def _let_go(self, run: str) -> None:
        if run not in self._deleted:
            print(f"warning: MLflow's run {run} was deleted: nothing more is logged to it.", file=sys.stderr)
        self._deleted.add(run)
