"""The command line `bruna`: everything round the pipeline that is not a stage of it.

The pipeline itself is DVC's (`dvc repro`). The commands import heavy libraries when they run, so that `--help` comes
at once.
"""

import sys

import typer

from bruna.cli.attributes import attributes
from bruna.cli.evaluate import evaluate
from bruna.cli.importing import import_
from bruna.cli.preset import preset
from bruna.cli.sample import sample
from bruna.cli.summary import summary
from bruna.errors import BrunaError

PIPELINE_MODULES = frozenset(
    {"dvc", "filelock", "great_expectations", "matplotlib", "mlflow", "scipy", "sklearn", "yaml"}
)
"""What the extra `pipeline` brings, by the names that are imported."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


@app.callback()
def _bruna() -> None:
    """Person re-identification and pedestrian attributes as one reproducible pipeline.

    Run it from the top folder of the project. The usual order:

    \b
      bruna sample             render a small data set; import brings a real one
      bruna preset NAME        choose settings that suit the data
      dvc repro                run the pipeline
      bruna summary            see what came out
      bruna evaluate FOLDER    measure the trained models on another data set
      bruna attributes IMAGES  predict the attributes of people in other images
    """


app.command()(sample)
app.command("import")(import_)
app.command()(preset)
app.command()(summary)
app.command()(evaluate)
app.command()(attributes)


def main() -> None:
    """Run the command line: a user's mistake is one message and status 1, an interruption status 130."""
    try:
        app()
    except BrunaError as error:
        message = str(error)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in PIPELINE_MODULES:
            raise
        message = f"this command needs {missing}, which is not installed: `pip install 'bruna[pipeline]'` brings it."
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)
