"""The command `bruna register`."""
# ruff: noqa: PLC0415

from pathlib import Path

import typer

from bruna.cli.shared import ARTIFACTS, PARAMS, model_folders, say_next


def register() -> None:
    """Register the trained models in MLflow, as the next version of `bruna`.

    Run it after `dvc repro`: models that are not what `dvc status` expects are
    refused. They go to the server in MLFLOW_TRACKING_URI, else to mlflow.db. A
    version has all networks, the headline figures and the model card.

    \b
      bruna register
      mlflow models serve -m models:/bruna/1 --env-manager local
    """
    from bruna.params import read_runtime
    from bruna.runtime import limit_instructions, prepare_torch

    runtime = read_runtime(PARAMS)
    limit_instructions(runtime.instructions)
    from bruna.registry.register import NAME
    from bruna.registry.register import register as register_models
    from bruna.tracking.sending import server_address

    prepare_torch("cpu", runtime.threads)
    model_folders(ARTIFACTS)
    typer.echo("Asking DVC, reading the models, copying them (half a minute) ...")
    made = register_models(Path(), ARTIFACTS)
    typer.echo(f"Registered as version {made.version} of `{NAME}` in {made.store}.")
    if made.same_as is not None:
        typer.echo(f"Version {made.same_as} is of the same models, data and commit; a new one was made nevertheless.")
    if server_address(Path()) is None:
        say_next("bruna ui")
    else:
        typer.echo("Next: set an alias there, on the page of the version; `bruna ui` shows this folder alone.")
