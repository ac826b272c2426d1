"""The command `bruna attributes`."""
# ruff: noqa: PLC0415

import csv
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bruna.errors import BrunaError

if TYPE_CHECKING:
    import torch

    from bruna.evaluation.attributes import Answer
    from bruna.inference.describe import Models

PARAMS = Path("params.yaml")
ARTIFACTS = Path("artifacts")
_SHOWN = 20
"""Rejected images in the closing table; the list on stderr and the file have them all."""


def attributes(
    images: Annotated[list[Path], typer.Argument(help="Image files, and folders to search.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The predictions, CSV.")] = Path("attributes.csv"),
    probabilities: Annotated[
        Path | None, typer.Option(help="Write the probability of every value and of junk into this CSV file too.")
    ] = None,
    rejected: Annotated[
        Path | None, typer.Option(help="Write the images without a prediction and the reasons into this CSV file.")
    ] = None,
    by: Annotated[
        Literal["task1", "bruna", "both"] | None,
        typer.Option(
            help="Whose word counts: Task 1's network, the attribute head of Bruna, or the mean of the two; "
            "default: params.yaml.",
        ),
    ] = None,
    sightings: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Average over so many images: each and those of the given that Bruna finds nearest to it, mostly "
            "other pictures of the person, if the images hold many of each; default: 1, each alone.",
        ),
    ] = None,
    keep_junk: Annotated[bool, typer.Option("--keep-junk", help="Predict what Task 1 takes for junk too.")] = False,
    models: Annotated[Path, typer.Option(help="Where the trained models lie.")] = ARTIFACTS,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N; default: params.yaml.")] = None,
) -> None:
    """Predict the attributes of people in images of any size.

    The CSV has the columns of the course: id (the file name), age 1 to 4, and
    1 or 2 in every other one: no or yes, or what docs/data.md says. Images that
    cannot be read, or that show no person (Task 1's junk class), are left out
    and listed with the reason.

    \b
      bruna attributes crops/ -o attributes.csv
      bruna attributes a.jpg b.png --probabilities probabilities.csv
      bruna attributes crops/ --by both --sightings 8
      bruna attributes crops/ --keep-junk --models other/artifacts
    """
    from bruna.params import read_params
    from bruna.runtime import limit_instructions, prepare_torch

    params = read_params(PARAMS)
    limit_instructions(params.runtime.instructions)
    from bruna.evaluation.attributes import Answer
    from bruna.evaluation.submission import CLASSIFICATION_COLUMNS, classification_rows
    from bruna.inference.attributes import load_attribute_network
    from bruna.inference.image_files import PROBABILITY_COLUMNS, find_images, predict_attributes, probability_rows

    found = find_images(images)
    chosen = prepare_torch(device or params.runtime.device, params.runtime.threads)
    settings = params.evaluate
    answer = Answer(by or settings.attributes_by, sightings or 1)
    every = _all_models(models, chosen, answer) if answer.needs_bruna else None
    predictions = predict_attributes(
        found,
        every.attributes if every else load_attribute_network(models / "attributes", chosen),
        chosen,
        batch_size=settings.batch_size,
        answer=answer,
        models=every,
        flip=settings.flip,
        junk_threshold=None if keep_junk else settings.junk_threshold,
    )
    left_out = [(str(image.path), image.reason) for image in predictions.rejected]
    for path, reason in left_out:
        print(f"left out: {path}: {reason}", file=sys.stderr)
    if rejected is not None:
        _write_csv(rejected, ("path", "reason"), left_out)
    if probabilities is not None and predictions.read_ids:
        _write_csv(probabilities, PROBABILITY_COLUMNS, probability_rows(predictions))
    if not predictions.ids:
        raise BrunaError(
            f"none of the {len(found):,} images could be predicted, so {output} was not written. The reasons stand "
            "above; --keep-junk predicts what Task 1 takes for junk."
        )
    _write_csv(output, CLASSIFICATION_COLUMNS, classification_rows(predictions.ids, predictions.codes.tolist()))
    _show(len(predictions.ids), left_out)
    typer.echo(f"Written to {', '.join(str(path) for path in (output, probabilities, rejected) if path is not None)}")


def _all_models(folder: Path, device: "torch.device", answer: "Answer") -> "Models":
    from bruna.inference.describe import Models

    try:
        return Models.load(folder, device)
    except BrunaError as error:
        raise BrunaError(
            f"{error} Attributes by {answer.by} over {answer.sightings} image(s) need Bruna too; `--by task1 "
            "--sightings 1` needs Task 1's network alone."
        ) from None


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    from bruna.files import whole_file

    with whole_file(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _show(predicted: int, left_out: Sequence[tuple[str, str]]) -> None:
    from bruna.progress import table

    rows: list[tuple[str, object]] = [("predicted", predicted), ("left out", len(left_out))]
    table("Attributes", ("images", "number"), rows)
    if left_out:
        more = [(f"... {len(left_out) - _SHOWN:,} more", "see above")] if len(left_out) > _SHOWN else []
        table("Left out", ("image", "reason"), [*left_out[:_SHOWN], *more])
