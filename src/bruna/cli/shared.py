"""What the commands share: where things lie, seen from the top folder of the project, and how a command ends."""

from pathlib import Path

import typer

PARAMS = Path("params.yaml")
PRESETS = Path("presets")
DATA = Path("data")
ARTIFACTS = Path("artifacts")
METRICS = Path("metrics")


def say_next(*commands: str) -> None:
    """Print the commands that usually follow."""
    typer.echo("Next: " + ", then ".join(f"`{command}`" for command in commands))


def say_next_after_data(to: Path) -> None:
    """Print what follows a data set: the pipeline reads `data`; any other folder can be measured."""
    if to.resolve() == DATA.resolve():
        say_next("dvc add data", "dvc repro")
    else:
        say_next(f"bruna evaluate {to}")
