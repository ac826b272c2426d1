"""The command `bruna serve`."""
# ruff: noqa: PLC0415

import secrets
from pathlib import Path
from typing import Annotated

import typer

from bruna.cli.shared import ARTIFACTS, INDEX, PARAMS, EngineName, model_folders
from bruna.dataset.filenames import printable
from bruna.errors import counted


def serve(
    index: Annotated[Path, typer.Option(help="An index that `bruna index` has made.")] = INDEX,
    host: Annotated[
        str, typer.Option(help="The address that it answers at; others than this machine's own need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where it answers.")] = 8000,
    models: Annotated[Path, typer.Option(help="Where the trained models lie.")] = ARTIFACTS,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N; default: params.yaml.")] = None,
    engine: EngineName = None,
) -> None:
    """Find people on a page in the browser, until Ctrl-C.

    Drop photos or choose attributes, narrow the results, move the threshold,
    see why an image was found, save the list. Nothing leaves this machine, and
    nothing is written. /docs shows the API.

    \b
      bruna serve
      bruna serve --index people.index --port 8001
      bruna serve --host 0.0.0.0
    """
    from bruna.params import read_runtime
    from bruna.runtime import limit_instructions, prepare_torch

    runtime = read_runtime(PARAMS)
    limit_instructions(runtime.instructions)
    from bruna.export.engine import Engine
    from bruna.serve.server import Server, address_of, is_loopback, listen, open_live

    chosen = prepare_torch(device or runtime.device, runtime.threads, "--device" if device else "runtime.device")
    with listen(host, port) as listening:
        typer.echo("Loading the index and the networks ...")
        model_folders(models)
        live = open_live(index, models, chosen, Engine(models, engine))
        token = None if is_loopback(host) else secrets.token_urlsafe(16)
        shown = f"{printable(index)}, {counted(len(live.now().index), 'images')}: {address_of(listening, token)}"
        server = Server(live, listening, token, lambda: typer.echo(f"{shown}\nCtrl-C ends it."))
        try:
            server.run(sockets=[listening])
        except KeyboardInterrupt:
            typer.echo("The application has ended.")
