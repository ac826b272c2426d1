"""The command `bruna summary`."""
# ruff: noqa: PLC0415

from pathlib import Path

import typer

from bruna.cli.shared import ARTIFACTS, METRICS
from bruna.errors import BrunaError


def summary() -> None:
    """Show the main figures of the last run of every stage and where to look further.

    It reads metrics/*.json, which `dvc repro` writes and Git keeps.
    """
    from bruna.progress import table
    from bruna.summary import headlines

    rows = headlines(METRICS)
    if not rows and not Path("dvc.yaml").exists():
        raise BrunaError(
            f"{Path.cwd()} holds neither {METRICS}/ nor dvc.yaml: it is not the top folder of the project. Go there "
            "(`cd`) and run `bruna summary` again."
        )
    if not rows:
        raise BrunaError(f"{METRICS}/ holds no figures yet. `dvc repro` runs the pipeline and writes them.")
    table("The last run", ("stage", "measure", "value"), rows)
    report = ARTIFACTS / "report" / "report.html"
    typer.echo(f"The page of measurements   {report if report.exists() else f'{report} (not there: dvc repro)'}")
    typer.echo("Runs, curves and pictures  make ui")
    typer.echo("All figures                dvc metrics show")
