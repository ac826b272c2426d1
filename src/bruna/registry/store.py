"""The store that is registered in: the server that MLFLOW_TRACKING_URI names, else the project's own."""

import logging
import os
from pathlib import Path

from bruna.tracking.mlflow_run import open_store
from bruna.tracking.sending import server_address
from bruna.tracking.store import store_url


def address(root: Path) -> str:
    """Its address; the project's own store is made if missing, and corrected if the project was moved.

    Args:
        root: the top folder of the project.

    Raises:
        BrunaError: the store cannot be opened.
    """
    if server := server_address(root):
        return server
    open_store(root.resolve())
    return store_url(root.resolve() / "mlflow.db")


def quiet() -> None:
    """Have MLflow print nothing, and not wait for minutes for a server that is down. What the user has set stays."""
    wanted = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "ERROR",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }
    for name, value in wanted.items():
        os.environ.setdefault(name, value)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
