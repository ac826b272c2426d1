"""The command `bruna send`."""
# ruff: noqa: PLC0415

from pathlib import Path

import typer

from bruna.errors import BrunaError, counted


def send() -> None:
    """Send runs to the team's MLflow server that were not sent yet.

    With MLFLOW_TRACKING_URI set, every stage sends its run by itself, while it
    runs. This sends what is left: runs of before it was set, or of while the
    server was down. What the server has already is not sent twice.

    \b
      export MLFLOW_TRACKING_URI=https://mlflow.example.org
      bruna send
    """
    from bruna.progress import track
    from bruna.tracking.mlflow_run import open_store
    from bruna.tracking.sending import experiment_name, send, server_address, without_password

    address = server_address(Path())
    if address is None:
        raise BrunaError(
            "no server is named. Say which: `export MLFLOW_TRACKING_URI=https://...`, and MLFLOW_EXPERIMENT_NAME for "
            "another experiment than bruna."
        )
    if not Path("mlflow.db").exists():
        raise BrunaError("there are no runs yet: mlflow.db is missing. Run this from the top folder of the project.")
    open_store(Path().resolve())
    sent = send(Path(), address, lambda runs: track(runs, "send", unit="runs"))
    where = f"{without_password(address)}, experiment {experiment_name()}"
    if sent.runs:
        typer.echo(f"Sent {counted(sent.runs, 'runs')} and {counted(sent.files, 'files')} to {where}.")
    else:
        typer.echo(f"{where} has all runs.")
