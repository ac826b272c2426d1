"""The command line `bruna`: everything round the pipeline that is not a stage of it.

The pipeline itself is DVC's (`dvc repro`). Heavy libraries are imported inside the commands, so that `--help`
comes at once.
"""
# ruff: noqa: PLC0415

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from bruna.cli.attributes import ARTIFACTS, PARAMS, attributes
from bruna.errors import BrunaError

DATA = Path("data")
PRESETS = Path("presets")
METRICS = Path("metrics")

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
      bruna evaluate FOLDER    measure the trained models on other images
      bruna attributes IMAGES  predict the attributes of other images
    """


@app.command()
def sample(
    to: Annotated[Path, typer.Option(help="The data set folder to write.")] = DATA,
    if_missing: Annotated[
        bool, typer.Option("--if-missing", help="Do nothing where there is a data set; for scripts.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Let go of the data set that is there.")] = False,
    seed: Annotated[int, typer.Option(help="Which people are drawn.")] = 0,
) -> None:
    """Render a small data set of drawn people, with attributes, query, gallery and mask pairs.

    It needs no download and shows the whole pipeline in minutes. The same seed
    gives the same bytes.

    \b
      bruna sample
      bruna sample --to /tmp/people --seed 7
    """
    if (to / "train").exists():
        if if_missing:
            typer.echo(f"{to} holds a data set already; nothing was rendered.")
            return
        if not replace:
            raise BrunaError(
                f"{to} holds a data set already, which rendering would replace. Use --replace to let it go, "
                "--if-missing to keep it, or --to to render into another folder."
            )
    from bruna.dataset.importers import check_target
    from bruna.progress import table, track
    from bruna.sample import render_sample

    check_target(to)
    render_sample(to, seed=seed, progress=track)
    folders = sorted(path for path in to.iterdir() if path.is_dir())
    rows = [(folder.name, sum(1 for _ in folder.rglob("*.jpg"))) for folder in folders]
    table(f"Rendered into {to}", ("folder", "images"), rows)
    if not if_missing:  # a script asks so: `make run` goes on by itself
        _next_after_data(to)


@app.command("import")
def import_(
    sources: Annotated[
        list[Path], typer.Argument(help="Zip archives, folders, or a single market_attribute.mat.", show_default=False)
    ],
    to: Annotated[Path, typer.Option(help="The data set folder to write.")] = DATA,
    masks: Annotated[
        Path | None, typer.Option(help="Mask pairs: images/ with photos, masks/ with PNG files of the same names.")
    ] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Keep what the folder holds and add to it.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Let go of images that the sources do not have.")] = False,
) -> None:
    """Bring a data set into the layout of the pipeline.

    Recognised, in archives and folders: the course edition of Market-1501, its
    unlabelled part, the official release with market_attribute.mat, person
    masks, and a folder that this command wrote. Several sources become one data
    set. The folder is replaced as a whole, when the new one is complete.

    \b
      bruna import market1501-course.zip --masks person-masks.zip
      bruna import Market-1501-v15.09.15.zip market_attribute.mat --replace
      bruna import person-masks.zip --merge
    """
    if merge and replace:
        raise BrunaError("--merge keeps what the folder holds and --replace lets it go. Give one of them.")
    from bruna.dataset.importers import import_dataset
    from bruna.progress import table

    summary = import_dataset(sources, to, masks, merge=merge, replace=replace)
    table(
        f"Imported into {to}",
        ("folder", "images", "identities", "cameras", "annotated identities"),
        summary.rows(),
    )
    if summary.ignored:
        places = Counter(f"{Path(name).parent}/" if "/" in name else name for name in summary.ignored)
        shown = ", ".join(f"{place} ({count:,})" for place, count in places.most_common(5))
        typer.echo(f"Left out, being no part of a data set: {shown}{', ...' if len(places) > 5 else ''}")
    _next_after_data(to)


@app.command()
def preset(
    name: Annotated[str | None, typer.Argument(help="The preset; without it they are listed.")] = None,
    diff: Annotated[bool, typer.Option("--diff", help="Show what would change and write nothing.")] = False,
) -> None:
    """Write a named set of settings into params.yaml, its comments and layout kept.

    \b
      bruna preset                      what there is
      bruna preset market1501 --diff    what it would change
      bruna preset market1501           write it
      bruna preset sample               back to the settings as delivered
    """
    from bruna.presets import apply_preset, describe_presets
    from bruna.progress import table

    if name is None:
        presets = describe_presets(PRESETS)
        if not presets:
            raise BrunaError(f"there are no presets in {PRESETS}/. Run this from the top folder of the project.")
        table("Presets", ("name", "what for"), list(presets.items()))
        _next("bruna preset NAME")
        return
    changes = apply_preset(name, PRESETS, PARAMS, write=not diff)
    if not changes:
        typer.echo(f"{PARAMS} has the values of preset {name} already.")
        return
    rows = [(change.key, str(change.old), str(change.new)) for change in changes]
    table(f"{PARAMS}: {'would change' if diff else 'changed'} to preset {name}", ("setting", "old", "new"), rows)
    _next(f"bruna preset {name}" if diff else "dvc repro")


@app.command()
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
    report = ARTIFACTS / "evaluate" / "report.html"
    typer.echo(f"The page of measurements   {report if report.exists() else f'{report} (not there: dvc repro)'}")
    typer.echo("Runs, curves and pictures  make ui")
    typer.echo("All figures                dvc metrics show")


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(help="A labelled data set folder (docs/data.md).", show_default=False)],
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures into this file too.")] = None,
    models: Annotated[Path, typer.Option(help="Where the trained models lie.")] = ARTIFACTS,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N; default: params.yaml.")] = None,
) -> None:
    """Measure the trained models on a data set folder that the pipeline has not seen.

    \b
      bruna import other.zip --to /tmp/other
      bruna evaluate /tmp/other --json other.json
    """
    if not folder.is_dir():
        raise BrunaError(f"{folder} is not a folder. `bruna import ARCHIVE --to {folder}` makes one of an archive.")
    from bruna.params import read_params
    from bruna.runtime import limit_instructions, prepare_torch

    params = read_params(PARAMS)
    limit_instructions(params.runtime.instructions)
    from bruna.evaluation.folder import evaluate_folder
    from bruna.files import write_json
    from bruna.progress import table
    from bruna.summary import flat

    chosen = prepare_torch(device or params.runtime.device, params.runtime.threads)
    figures: dict[str, Any] = evaluate_folder(folder, models=models, params=params, device=chosen)
    table(f"{folder} by the models in {models}", ("measure", "value"), list(flat(figures).items()))
    if seen := figures["images_trained_on"]:
        print(
            f"warning: the models were trained on {seen:,} of these {figures['images']:,} images. The figures say "
            "little about people whom they have never seen.",
            file=sys.stderr,
        )
    if json_file is not None:
        write_json(figures, json_file)
        typer.echo(f"Written to {json_file}")


app.command()(attributes)


def _next(*commands: str) -> None:
    typer.echo("Next: " + ", then ".join(f"`{command}`" for command in commands))


def _next_after_data(to: Path) -> None:
    """The pipeline reads `data`; any other data set can be measured."""
    if to.resolve() == DATA.resolve():
        _next("dvc add data", "dvc repro")
    else:
        _next(f"bruna evaluate {to}")


def main() -> None:
    """Run the command line: a user's mistake is one message and status 1, an interruption status 130."""
    try:
        app()
    except BrunaError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
