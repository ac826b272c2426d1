"""The command `bruna compare`."""
# ruff: noqa: PLC0415

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd

    from bruna.evaluation.comparing import Compared


_FIGURE = "map"
_LISTED, _SHORT = 20, 8
"""Runs that are listed, and signs of an id."""


def compare(
    a: Annotated[
        str | None, typer.Argument(help="Artifacts folder, or MLflow run by id or name.", show_default=False)
    ] = None,
    b: Annotated[str | None, typer.Argument(help="Another one, such as artifacts.", show_default=False)] = None,
) -> None:
    """Say which differences between two evaluations are more than noise.

    Each headline metric of both, their difference, and its 95% interval over the
    people that both were measured on. Without A and B: list the runs that can be
    compared. Nothing is changed.

    \b
      bruna compare
      bruna compare old/artifacts artifacts
      bruna compare 3f2a91c0 my-experiment
    """
    if a is None:
        _list()
        return
    if b is None:
        raise typer.BadParameter("compare takes two: A and B. Without both it lists what can be compared.")
    from bruna.dataset.filenames import printable
    from bruna.evaluation.comparing import compare as compare_both
    from bruna.evaluation.comparing import sentences
    from bruna.progress import table

    found = compare_both(_read(a), _read(b))
    columns = ("metric", "A", "B", "B - A", "95% interval", "B is")
    table(f"A: {printable(a)}\nB: {printable(b)}", columns, map(_row, found))
    for sentence in sentences(found):
        typer.echo(sentence)


def _list() -> None:
    """The runs that can be compared, and how to go on."""
    from bruna.dataset.filenames import printable
    from bruna.errors import BrunaError, counted
    from bruna.headlines import BY_IDENTITY, HEADLINES
    from bruna.progress import table
    from bruna.tracking.runs import evaluated_runs

    found = evaluated_runs(Path(), _FIGURE)
    own = (Path("artifacts/evaluate") / BY_IDENTITY).is_file()
    if not found:
        raise BrunaError(
            "no MLflow run here has been evaluated, so there is no list. `dvc repro` makes one; two folders of "
            "artifacts can be compared without: `bruna compare A B`."
        )
    rows = [
        (printable(run.name), run.run_id[:_SHORT], f"{run.started:%Y-%m-%d %H:%M}", run.figure)
        for run in found[:_LISTED]
    ]
    table("runs to compare", ("run", "id", "started", HEADLINES[_FIGURE].title), rows)
    if more := len(found) - len(rows):
        typer.echo(f"And {counted(more, 'older runs')}, which `bruna ui` shows.")
    other = found[1].run_id if len(found) > 1 else found[0].run_id
    a, b = other[:_SHORT], found[0].run_id[:_SHORT] if len(found) > 1 and not own else "artifacts"
    typer.echo(f"Next: `bruna compare {a} {b}`")
    if own:
        typer.echo("artifacts is what lies in this folder now.")


def _read(name: str) -> "pd.DataFrame":
    from bruna.evaluation.comparing import read_by_identity
    from bruna.files import restore

    if (folder := Path(name)).is_dir():
        restore(folder / "evaluate")
        return read_by_identity(folder)
    from bruna.tracking.runs import stage_files  # takes two seconds

    return read_by_identity(stage_files(Path(), name, "evaluate"))


def _row(found: "Compared") -> tuple[str | float | None, ...]:
    if found.values is None:
        return (found.name, None, None, "–", "–", found.word)
    if found.difference is None:
        return (found.name, *found.values, f"{found.values[1] - found.values[0]:+.3f}", "–", found.word)
    difference, low, high = found.difference
    ends = f"{low:+.3f} to {high:+.3f}" if low < high else "–"
    return (found.name, *found.values, f"{difference:+.3f}", ends, found.word)
