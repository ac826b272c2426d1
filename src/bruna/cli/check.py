"""The command `bruna check`."""
# ruff: noqa: PLC0415

import shutil
import subprocess
from pathlib import Path

import typer

from bruna.cli.shared import DATA, PARAMS
from bruna.dataset.filenames import name_problem, printable
from bruna.errors import BrunaError


def check() -> None:
    """Say what would stop the pipeline later, and start nothing.

    It reads params.yaml and the names of the data set's files: unknown settings,
    wrong values, settings that do not fit the data or this machine. `make run`
    and every stage begin with the same.
    """
    from bruna.files import restore
    from bruna.pipeline.check import check as check_all

    restore(DATA)
    if problem := _repository_problem():
        raise BrunaError(problem)
    try:
        check_all(PARAMS, DATA)
    except BrunaError as error:
        raise BrunaError(f"{error}\nNothing was started and no output was removed.") from None
    typer.echo(f"{PARAMS} and {DATA}/ fit together. What only the pixels tell, the stage validate finds.")


def _repository_problem() -> str | None:
    """Why DVC could not work here."""
    if name_problem(Path.cwd()):
        return f"the name of this folder, {printable(Path.cwd())}, is not UTF-8, and DVC cannot work in it: rename it."
    if shutil.which("git") is None:
        return "DVC needs Git, which is not installed here."
    found = subprocess.run(["git", "rev-parse", "--git-dir"], capture_output=True, check=False)
    if found.returncode == 0:
        return None
    return (
        "this folder is not a Git repository, and DVC needs one (a download as ZIP has none). Make it one:\n"
        '  git init && git add --all && git commit -m "Start"'
    )
