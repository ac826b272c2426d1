"""The command `bruna evaluate`."""
# ruff: noqa: PLC0415

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bruna.cli.shared import ARTIFACTS, PARAMS
from bruna.errors import BrunaError


def evaluate(
    folder: Annotated[Path, typer.Argument(help="A labelled data set folder (docs/data.md).", show_default=False)],
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures into this file too.")] = None,
    models: Annotated[Path, typer.Option(help="Where the trained models lie.")] = ARTIFACTS,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N; default: params.yaml.")] = None,
) -> None:
    """Measure the trained models on a data set folder that the pipeline has not seen.

    \b
      bruna import other.zip --to /tmp/other
      bruna evaluate /tmp/other --json other.json
    """
    if not folder.is_dir():
        raise BrunaError(f"{folder} is not a folder. `bruna import ARCHIVE --to {folder}` makes one of an archive.")
    from bruna.params import read_params
    from bruna.runtime import limit_instructions, prepare_torch

    params = read_params(PARAMS)
    limit_instructions(params.runtime.instructions)
    from bruna.evaluation.folder import evaluate_folder
    from bruna.files import write_json
    from bruna.nested import numbers
    from bruna.progress import table

    chosen = prepare_torch(device or params.runtime.device, params.runtime.threads)
    figures: dict[str, Any] = evaluate_folder(folder, models=models, params=params, device=chosen)
    table(f"{folder} by the models in {models}", ("measure", "value"), list(numbers(figures).items()))
    if seen := figures["images_trained_on"]:
        print(
            f"warning: the models were trained on {seen:,} of these {figures['images']:,} images. The figures say "
            "little about people whom they have never seen.",
            file=sys.stderr,
        )
    if json_file is not None:
        write_json(figures, json_file)
        typer.echo(f"Written to {json_file}")
