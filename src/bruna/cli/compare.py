"""The command `bruna compare`."""
# ruff: noqa: PLC0415

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd

    from bruna.evaluation.comparing import Compared


def compare(
    a: Annotated[str, typer.Argument(help="Artifacts folder, or MLflow run by id or name.", show_default=False)],
    b: Annotated[str, typer.Argument(help="Another one, such as artifacts.", show_default=False)],
) -> None:
    """Say which differences between two evaluations are more than noise.

    Each headline metric of both, their difference, and its 95% interval over the
    people that both were measured on. Nothing is changed.

    \b
      bruna compare old/artifacts artifacts
      bruna compare "repro 2026-11-28 02:15" my-experiment
    """
    from bruna.dataset.filenames import printable
    from bruna.evaluation.comparing import compare as compare_both
    from bruna.evaluation.comparing import sentences
    from bruna.progress import table

    found = compare_both(_read(a), _read(b))
    columns = ("metric", "A", "B", "B - A", "95% interval", "B is")
    table(f"A: {printable(a)}\nB: {printable(b)}", columns, map(_row, found))
    for sentence in sentences(found):
        typer.echo(sentence)


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
