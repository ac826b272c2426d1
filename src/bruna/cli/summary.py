"""The command `bruna summary`."""
# ruff: noqa: PLC0415

from pathlib import Path
from typing import Annotated

import typer

from bruna.cli.shared import ARTIFACTS, METRICS
from bruna.errors import BrunaError


def summary(
    all_: Annotated[bool, typer.Option("--all", help="Every figure of every stage, some 800.")] = False,
) -> None:
    """Show the headline metrics of the last run, and where to look further.

    They are read from metrics/, which `dvc repro` writes and Git keeps, their
    intervals and everything that --all shows from artifacts/STAGE/figures.json.
    """
    from bruna.progress import table
    from bruna.summary import all_rows, headline_rows, warnings

    rows: list[tuple[object, ...]] = [*(all_rows(ARTIFACTS) if all_ else headline_rows(METRICS, ARTIFACTS))]
    if not rows and not Path("dvc.yaml").exists():
        raise BrunaError(
            f"{Path.cwd()} holds neither {METRICS}/ nor dvc.yaml: it is not the top folder of the project. Go there "
            "(`cd`) and run `bruna summary` again."
        )
    if not rows:
        where = f"{ARTIFACTS}/ holds" if all_ else f"{METRICS}/ holds"
        raise BrunaError(f"{where} no figures yet. `dvc repro` runs the pipeline and writes them.")
    if all_:
        table("All figures of the last run", ("stage", "figure", "value"), rows)
    else:
        table("The last run", ("metric", "value", "95% interval", "meaning"), _below_stages(rows))
    for warning in warnings(ARTIFACTS):
        typer.echo(f"warning: {warning}")
    if all_:
        return
    page = ARTIFACTS / "report" / "report.html"
    typer.echo(f"Page           {page if page.exists() else f'{page} (not there: dvc repro)'}")
    for fact, value in _origin().items():
        typer.echo(f"{fact:15}{value}")
    typer.echo("All figures    bruna summary --all")
    typer.echo("Compare        make experiments (here), make ui (in the browser), bruna compare A B (is it noise?)")


def _below_stages(rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """A line with the name of each stage before its rows, so that the table is narrow enough for a terminal."""
    lines: list[tuple[object, ...]] = []
    for stage, metric, *cells in rows:
        lines += [(stage, "", "", "")] if stage else []
        lines.append((f"  {metric}", *cells))
    return lines


def _origin() -> dict[str, str]:
    """Which execution wrote the page that is here."""
    from bruna.files import fingerprint

    report = ARTIFACTS / "report"
    if not report.exists() or not Path("mlflow.db").exists():
        return {}
    from bruna.tracking.mlflow_run import origin_of_output  # takes two seconds

    return origin_of_output(Path(), str(report), fingerprint(report))
