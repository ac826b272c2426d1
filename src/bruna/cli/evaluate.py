"""The command `bruna evaluate`."""
# ruff: noqa: PLC0415

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bruna.cli.shared import ARTIFACTS, PARAMS, EngineName, check_outputs, model_folders
from bruna.errors import BrunaError
from bruna.headlines import HEADLINES, headline_intervals, headline_metrics

if TYPE_CHECKING:
    from bruna.evaluation.calibration import Calibrated
    from bruna.evaluation.folder import MeasuredFolder
    from bruna.params import Params


def evaluate(
    folder: Annotated[
        Path, typer.Argument(help="A labelled data set folder (docs/reference/data-set.md).", show_default=False)
    ],
    json_file: Annotated[Path | None, typer.Option("--json", help="Write every figure into this file too.")] = None,
    page: Annotated[
        Path | None, typer.Option("--html", help="Write a page with tables, curves and rank lists into this file too.")
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Fit the threshold of `bruna search` to these images.")
    ] = False,
    models: Annotated[Path, typer.Option(help="Where the trained models lie.")] = ARTIFACTS,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N; default: params.yaml.")] = None,
    engine: EngineName = None,
) -> None:
    """Measure the trained models on a data set folder that the pipeline has not seen.

    The images in query/ are searched for in gallery/; without both, each image
    in train/ is searched for among the others.

    \b
      bruna import other.zip --to /tmp/other
      bruna evaluate /tmp/other --json other.json --html other.html
      bruna evaluate /tmp/other --calibrate
    """
    from bruna.dataset.filenames import LABELLED, UNLABELLED_SUBSETS, printable
    from bruna.files import restore, write_json

    restore(folder)
    if not folder.is_dir():
        raise BrunaError(f"{folder} is not a folder. `bruna import ARCHIVE --to {folder}` makes one of an archive.")
    data = [folder / name for name in (*LABELLED, *UNLABELLED_SUBSETS, "masks")]
    inputs = [PARAMS, *data, *folder.glob("annotations.*"), folder / "dataset.yaml", *model_folders(models)]
    check_outputs({"--json": json_file, "--html": page}, inputs)
    from bruna.params import read_params
    from bruna.runtime import limit_instructions, prepare_torch

    params = read_params(PARAMS)
    limit_instructions(params.runtime.instructions)
    if calibrate:
        _check_calibrates(models, params)
    from bruna.evaluation.folder import evaluate_folder
    from bruna.export.engine import Engine
    from bruna.progress import table

    chosen = prepare_torch(
        device or params.runtime.device, params.runtime.threads, "--device" if device else "runtime.device"
    )
    measured = evaluate_folder(
        folder,
        models=models,
        params=params,
        device=chosen,
        engine=Engine(models, engine),
        calibrate=calibrate,
        page=page is not None,
    )
    figures = measured.figures
    table(
        f"{printable(folder)} by the models in {printable(models)}",
        ("metric", "value", "95% interval", "meaning"),
        _rows(measured),
    )
    for warning in figures.get("warnings", ()):
        print(f"warning: {warning}", file=sys.stderr)
    if measured.calibrated is not None:
        _keep_calibration(measured.calibrated, models)
    if json_file is not None:
        write_json(figures, json_file)
    if page is not None:
        from bruna.pipeline.folder_page import write_folder_page

        write_folder_page(page, measured, params, name=printable(folder.name), models=models)
    if written := [printable(path) for path in (json_file, page) if path is not None]:
        typer.echo(f"Written to {' and '.join(written)}")
    else:
        typer.echo("All figures: --json FILE. A page with curves and rank lists: --html FILE.")


def _check_calibrates(models: Path, params: "Params") -> None:
    """Refuse to calibrate another distance than a search goes by, or what could not be written.

    Raises:
        BrunaError: see there.
    """
    from bruna.files import refuse_unwritable
    from bruna.inference.calibration import CALIBRATION
    from bruna.inference.settings import Settings, recorded_settings

    refuse_unwritable(models / "evaluate" / CALIBRATION)
    ours, used = Settings.of(params.evaluate.model_dump()), recorded_settings(models)
    for name in ("attribute_offset", "flip"):
        if getattr(ours, name) != getattr(used, name):
            raise BrunaError(
                f"{PARAMS}: evaluate.{name} is {getattr(ours, name)}, and a search by the models in {models} goes by "
                f"{getattr(used, name)}. `dvc repro evaluate` makes them equal; calibrate then."
            )


def _keep_calibration(calibrated: "Calibrated", models: Path) -> None:
    """Write the calibration beside the models, and say what it replaced."""
    from bruna.dataset.filenames import printable
    from bruna.evaluation.verification import sentences
    from bruna.inference.calibration import CALIBRATION, read_calibration, write_calibration

    folder = models / "evaluate"
    try:
        before = read_calibration(folder)
        on = before.fitted_on if before else None
        was = f"that of {printable(on.data_set)} ({on.identities:,} people)" if on else ""
    except BrunaError:
        was = "a damaged one"
    write_calibration(calibrated.calibration, folder)
    for sentence in sentences(calibrated.figures):
        typer.echo(sentence)
    replaced = f", in the place of {was}" if was else ""
    typer.echo(
        f"Calibration: {printable(folder / CALIBRATION)}{replaced}. `bruna search` goes by it until `dvc repro` runs "
        "evaluate again."
    )


def _rows(measured: "MeasuredFolder") -> list[tuple[str, int | float, str, str]]:
    """What one looks at first: the headline metrics, of this folder."""
    figures = measured.figures
    retrieval = figures.get("retrieval", {})
    found = headline_metrics("evaluate", {"validation": {**retrieval, **figures}})
    meanings = {name: HEADLINES[name].meaning.removesuffix(", validation") for name in found}
    if measured.query is measured.gallery and "map" in found:  # without it the query itself is left out
        meanings["course_map"] += ", the query itself counted as a match"
    intervals = headline_intervals(figures, found)
    return [
        ("images", figures["images"], "", "images in query/ and gallery/, or else in train/"),
        ("identities", figures["identities"], "", HEADLINES["identities"].meaning),
        *(
            [("queries", of["queries"], "", "images with a right one on another camera; others are in no mean")]
            if (of := retrieval.get("market1501"))
            else []
        ),
        *((name, value, str(intervals.get(name, "")), meanings[name]) for name, value in found.items()),
    ]
