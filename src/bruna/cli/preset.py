"""The command `bruna preset`."""
# ruff: noqa: PLC0415

from pathlib import Path
from typing import Annotated

import typer

from bruna.cli.shared import METRICS, PARAMS, PRESETS, say_next
from bruna.errors import BrunaError


def preset(
    name: Annotated[str | None, typer.Argument(help="The preset; without it they are listed.")] = None,
    diff: Annotated[bool, typer.Option("--diff", help="Show what would change and write nothing.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Compare metrics/ with the figures that the preset should reach.")
    ] = False,
) -> None:
    """Write a named set of settings into params.yaml, its comments and layout kept.

    \b
      bruna preset                      what there is
      bruna preset market1501 --diff    what it would change
      bruna preset market1501           write it
      bruna preset sample               back to the settings as delivered
      bruna preset sample --check       has the last run reached what it should?
    """
    from bruna.presets import apply_preset, describe_presets
    from bruna.progress import table

    if check:
        if name is None or diff:
            raise BrunaError("--check takes the name of a preset, and no other option: `bruna preset sample --check`.")
        _check(name)
        return
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


def _check(name: str) -> None:
    """Show the last run beside what a preset should reach."""
    from bruna.pipeline.expected import reached, read_expected
    from bruna.progress import table

    expected = read_expected(name, PRESETS)
    found = reached(name, expected, PRESETS, PARAMS, METRICS, Path("dvc.lock"))
    rows = [(each.metric, f"{each.low:.3f}–{each.high:.3f}", each.found, each.ok) for each in found]
    table(f"Preset {name}, and the last run", ("metric", "expected", "found", "ok"), rows)
    typer.echo(f"Expected: {expected.measured}")
    if missed := [each.metric for each in found if not each.ok]:
        raise BrunaError(
            f"{len(missed)} of {len(found)} figures are not as expected: {', '.join(missed)}. Other data than those "
            "named above give other figures; so may another version of torch."
        )
