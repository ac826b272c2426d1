"""The command line `bruna`: everything round the pipeline that is not a stage of it.

The pipeline itself is DVC's (`dvc repro`). The commands import heavy libraries when they run, so that `--help` comes
at once.
"""

import io
import os
import signal
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from bruna.cli.attributes import attributes
from bruna.cli.check import check
from bruna.cli.compare import compare
from bruna.cli.evaluate import evaluate
from bruna.cli.export import export
from bruna.cli.importing import import_
from bruna.cli.index import index
from bruna.cli.preset import preset
from bruna.cli.register import register
from bruna.cli.sample import sample
from bruna.cli.search import search
from bruna.cli.send import send
from bruna.cli.serve import serve
from bruna.cli.summary import summary
from bruna.cli.ui import ui
from bruna.dataset.filenames import printable
from bruna.errors import UNSUPPORTED, BrunaError, machine_trouble

PIPELINE_MODULES = frozenset(
    {
        "dvc",
        "fastapi",
        "filelock",
        "great_expectations",
        "matplotlib",
        "mlflow",
        "python_multipart",
        "scipy",
        "sklearn",
        "uvicorn",
        "yaml",
    }
)
"""What the extra `pipeline` brings, by the names that are imported."""

_TERMINATED = 128 + signal.SIGTERM

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bruna {version('bruna')}")
        raise typer.Exit


@app.callback()
def _bruna(
    _: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Person re-identification and pedestrian attributes as one reproducible pipeline.

    Run it from the top folder of the project. The usual order:

    \b
      bruna sample             render a small data set; import brings a real one
      bruna preset NAME        choose settings that suit the data
      bruna check              see whether settings and data fit together
      dvc repro                run the pipeline
      bruna summary            see what came out
      bruna ui                 look at all runs, and compare them, in the browser
      bruna send               send runs to the team's MLflow server
      bruna evaluate FOLDER    measure the trained models on another data set
      bruna compare A B        see which differences are more than noise
      bruna attributes IMAGES  predict the attributes of people in other images
      bruna index IMAGES       describe images once, to search them
      bruna search PHOTO       find a person by photos, a description, or both
      bruna serve              the same on a page in the browser
      bruna export             take the models elsewhere as ONNX graphs
      bruna register           keep them as a version in MLflow, to load and serve

    `bruna --install-completion` teaches your shell to complete all this.
    """


app.command()(sample)
app.command("import")(import_)
app.command()(preset)
app.command()(check)
app.command()(summary)
app.command()(ui)
app.command()(send)
app.command()(evaluate)
app.command()(compare)
app.command()(attributes)
app.command()(index)
app.command()(search)
app.command()(serve)
app.command()(export)
app.command()(register)


def _end(*_: object) -> None:
    """On SIGTERM: an exception, so that what is open is closed and nothing unfinished is left."""
    sys.exit(_TERMINATED)


def main() -> None:
    """Run the command line: a user's mistake is one message and status 1; Ctrl-C is status 130, SIGTERM 143."""
    if sys.platform == "win32":
        sys.exit(UNSUPPORTED)
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")  # as a stage has it (runtime.py): idle threads sleep, others work
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names may hold what its encoding lacks, or no characters at all
            stream.reconfigure(errors="backslashreplace")
    before = signal.signal(signal.SIGTERM, _end)
    try:
        app()
    except SystemExit as end:
        if end.code == _TERMINATED:
            print("Ended by SIGTERM. No file is half written.", file=sys.stderr)
        raise
    except BrunaError as error:
        message = str(error)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in PIPELINE_MODULES:
            raise
        message = f"this command needs {missing}, which is not installed: `pip install 'bruna[pipeline]'` brings it."
    except Exception as error:
        if (trouble := machine_trouble(error)) is None:
            raise
        message = trouble
    finally:
        signal.signal(signal.SIGTERM, before)
    lines = [printable(line) for line in message.split("\n")]
    print("error: " + "\n".join(lines), file=sys.stderr)
    sys.exit(1)
