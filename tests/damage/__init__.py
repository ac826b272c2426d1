"""Every kind of damage that the tests know: how to make it, which command meets it, and what that command says.

One module a topic, each with a list `ROWS`. tests/unit/test_damage.py makes each and compares what is said;
docs/generated_pages.py writes the page docs/reference/damage.md from the same rows.
"""

import contextlib
import importlib
import io
import os
import pkgutil
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Damage:
    """One kind of damage.

    Attributes:
        kind: what is wrong, for a table, e.g. "a zip archive that is cut short".
        command: what meets it, e.g. "bruna import people.zip"; `dvc repro STAGE` for a stage.
        says: a part of the message, word for word, without names of temporary folders.
        run: makes the damage in an empty folder, runs the command there and returns what it said.
    """

    kind: str
    command: str
    says: str
    run: Callable[[Path], str]


def topics() -> dict[str, list[Damage]]:
    """All rows by topic: the first line of the docstring of the module that has them."""
    modules = [importlib.import_module(f"damage.{found.name}") for found in pkgutil.iter_modules(__path__)]
    return {str(module.__doc__).splitlines()[0].removesuffix("."): module.ROWS for module in modules}


def bruna(folder: Path, command: str, status: int = 1) -> str:
    """Run `bruna ...` in this process, with a folder as the working folder.

    Returns:
        What it printed on stderr.

    Raises:
        AssertionError: it ended with another status.
        Exception: of any type; a user would have seen a traceback.
    """
    from bruna.cli.main import main

    before, arguments, errors = Path.cwd(), sys.argv, io.StringIO()
    os.chdir(folder)
    sys.argv = shlex.split(command)
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            main()
        ended = 0
    except SystemExit as end:
        ended = int(end.code or 0)
    finally:
        os.chdir(before)
        sys.argv = arguments
    assert ended == status, f"{command} ended with {ended}, not {status}: {errors.getvalue()}"
    return errors.getvalue()


def refusal(work: Callable[[], object]) -> str:
    """The message of the BrunaError that a piece of work ends with: of what a stage runs, without its process."""
    from bruna.errors import BrunaError

    try:
        work()
    except BrunaError as error:
        return str(error)
    raise AssertionError("it went through")
