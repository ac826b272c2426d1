"""The command `bruna sample`."""
# ruff: noqa: PLC0415

import os
from pathlib import Path
from typing import Annotated

import typer

from bruna.cli.shared import DATA, say_next_after_data
from bruna.errors import BrunaError


def sample(
    to: Annotated[Path, typer.Option(help="The data set folder to write.")] = DATA,
    if_missing: Annotated[
        bool, typer.Option("--if-missing", help="Do nothing where there is a data set; for scripts.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the data set that is there.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Which people are drawn.")] = 0,
) -> None:
    """Render a small data set of drawn people, with attributes, queries, a gallery and mask pairs.

    It needs no download and shows the whole pipeline in minutes. The same seed
    gives the same bytes.

    \b
      bruna sample
      bruna sample --to /tmp/people --seed 7
    """
    from bruna.dataset.filenames import printable
    from bruna.dataset.formats.source_files import CLUTTER, shown
    from bruna.dataset.importers import check_target
    from bruna.files import restore

    target = Path(os.path.realpath(to))
    restore(target)
    held = sorted(path.name for path in target.glob("*") if path.name.lower() not in CLUTTER)
    if "train" in held and if_missing:
        typer.echo(f"{printable(to)} holds a data set already; nothing was rendered.")
        return
    check_target(target)
    if held and not replace:
        what = "a data set" if "train" in held else f"{shown(held)} and no train/: a part of a data set"
        keep = "--if-missing to keep it, " if "train" in held else ""
        raise BrunaError(
            f"{to} holds {what}, which rendering would replace. Use --replace to replace it, {keep}or --to to render "
            "into another folder."
        )
    from bruna.progress import table, track
    from bruna.sample import render_sample

    render_sample(target, seed=seed, progress=track)
    folders = sorted(path for path in to.iterdir() if path.is_dir())
    rows = [(folder.name, sum(1 for _ in folder.rglob("*.jpg"))) for folder in folders]
    table(f"Rendered into {printable(to)}", ("folder", "images"), rows)
    if not if_missing:  # a script asks so: `make run` goes on by itself
        say_next_after_data(to)
