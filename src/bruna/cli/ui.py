"""The command `bruna ui`."""
# ruff: noqa: PLC0415

import os
import socket
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from bruna.errors import BrunaError


def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where the pages answer on this machine.")] = 5000,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page, where there is a browser.")
    ] = True,
) -> None:
    """Show all runs in MLflow's pages, until Ctrl-C.

    The address that it prints opens the runs of this project where they can be
    compared: tick two executions, press Compare.

    \b
      bruna ui
      bruna ui --port 5001 --no-browser
    """
    _refuse_taken(port)
    from bruna.tracking.sending import server_address, without_password
    from bruna.tracking.ui import runs_address, server

    address = runs_address(Path(), port)
    if team := server_address(Path()):
        typer.echo(f"These are the runs of this folder. The team's: {without_password(team)}")
    typer.echo("MLflow is starting (10 to 20 seconds) ...")
    try:
        with server(Path(), port) as process:
            typer.echo(f"All runs: {address}\nCtrl-C ends it.")
            if browser and _has_display():
                webbrowser.open(address)
            process.wait()
            raise BrunaError("MLflow has ended by itself. `bruna ui` starts it again.")
    except KeyboardInterrupt:
        typer.echo("MLflow has ended.")


def _refuse_taken(port: int) -> None:
    """Say so before anything starts."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what a server that has just ended leaves is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            other = port + 1 if port < 65535 else 5000
            raise BrunaError(
                f"port {port} cannot be used ({error.strerror}): another program, perhaps another `make ui`, may have "
                f"it. Choose another: `make ui PORT={other}`, or `bruna ui --port {other}`."
            ) from None


def _has_display() -> bool:
    """Whether a browser has somewhere to open; a browser for text would take the terminal."""
    return sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
