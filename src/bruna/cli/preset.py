"""The command `bruna preset`."""
# ruff: noqa: PLC0415

from typing import Annotated

import typer

from bruna.cli.shared import PARAMS, PRESETS, say_next
from bruna.errors import BrunaError


def preset(
    name: Annotated[str | None, typer.Argument(help="The preset; without it they are listed.")] = None,
    diff: Annotated[bool, typer.Option("--diff", help="Show what would change and write nothing.")] = False,
) -> None:
    """Write a named set of settings into params.yaml, its comments and layout kept.

    \b
      bruna preset                      what there is
      bruna preset market1501 --diff    what it would change
      bruna preset market1501           write it
      bruna preset sample               back to the settings as delivered
    """
    from bruna.presets import apply_preset, describe_presets
    from bruna.progress import table

    if name is None:
        presets = describe_presets(PRESETS)
        if not presets:
            raise BrunaError(f"there are no presets in {PRESETS}/. Run this from the top folder of the project.")
        table("Presets", ("name", "what for"), list(presets.items()))
        say_next("bruna preset NAME")
        return
    changes = apply_preset(name, PRESETS, PARAMS, write=not diff)
    if not changes:
        typer.echo(f"{PARAMS} has the values of preset {name} already.")
        return
    rows = [(change.key, str(change.old), str(change.new)) for change in changes]
    table(f"{PARAMS}: {'would change' if diff else 'changed'} to preset {name}", ("setting", "old", "new"), rows)
    say_next(f"bruna preset {name}" if diff else "dvc repro")
