"""The store that is registered in: the server that MLFLOW_TRACKING_URI names, else the project's own."""

import logging
import os
import re
from pathlib import Path

from bruna.tracking.mlflow_run import open_store
from bruna.tracking.store import EXPERIMENT, store_url


def address(root: Path) -> str:
    """Its address; the project's own store is made if missing, and corrected if the project was moved.

    Args:
        root: the top folder of the project.

    Raises:
        BrunaError: the store cannot be opened.
    """
    if server := os.environ.get("MLFLOW_TRACKING_URI"):
        return server
    open_store(root.resolve())
    return store_url(root.resolve() / "mlflow.db")


def experiment_name() -> str:
    """The experiment of the run that holds a model."""
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        return EXPERIMENT
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT


def without_password(uri: str) -> str:
    """An address that may be printed."""
    return re.sub(r"//[^/@]*@", "//", uri)


def quiet() -> None:
    """Have MLflow print nothing, and not wait for minutes for a server that is down. What the user has set stays."""
    wanted = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "ERROR",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    }
    for name, value in wanted.items():
        os.environ.setdefault(name, value)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
