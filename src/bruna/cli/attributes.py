"""The command `bruna attributes`."""
# ruff: noqa: PLC0415

import csv
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bruna.cli.shared import ARTIFACTS, PARAMS, EngineName, check_outputs, model_folders
from bruna.dataset.filenames import name_problem, printable
from bruna.errors import BrunaError, counted

if TYPE_CHECKING:
    import torch

    from bruna.inference.described import Described
    from bruna.inference.describer import Describer
    from bruna.inference.settings import Settings

_SHOWN = 20
"""Rejected images in the closing table; the list on stderr and the file have them all."""


def _path(text: str) -> Path:
    if not text:  # `"$CROPS"` of an empty variable; pathlib's empty path is the current folder
        raise typer.BadParameter("a path is empty")
    return Path(text)


def attributes(
    images: Annotated[
        list[Path], typer.Argument(help="Image files, and folders to search.", show_default=False, parser=_path)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The predictions, CSV.")] = Path("attributes.csv"),
    probabilities: Annotated[
        Path | None, typer.Option(help="Write the probability of every value and of junk into this CSV file too.")
    ] = None,
    rejected: Annotated[
        Path | None, typer.Option(help="Write the images without a prediction and the reasons into this CSV file.")
    ] = None,
    from_: Annotated[
        Literal["task1", "bruna", "both"] | None,
        typer.Option(
            "--from",
            case_sensitive=False,
            help="The network that predicts: Task 1's, the attribute head of Bruna, or the mean of the two; default: "
            "as `evaluate` has used them.",
        ),
    ] = None,
    neighbors: Annotated[
        int,
        typer.Option(
            min=1,
            help="Average over so many images: each and those of the given that Bruna finds nearest to it, mostly "
            "other pictures of the person, if the images hold many of each. 1 takes each image alone.",
        ),
    ] = 1,
    keep_junk: Annotated[bool, typer.Option("--keep-junk", help="Predict what Task 1 takes for junk too.")] = False,
    models: Annotated[Path, typer.Option(help="Where the trained models lie.")] = ARTIFACTS,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda or cuda:N; default: params.yaml, or auto.")
    ] = None,
    engine: EngineName = None,
) -> None:
    """Predict the attributes of people in images of any size.

    The CSV has a row an image: id (the file name), and the most probable value
    of every attribute. Images that cannot be read, or that show no person
    (Task 1's junk class), are left out and listed with the reason. Which network
    predicts, and what counts as junk, is as the stage evaluate has recorded it
    beside the models.

    \b
      bruna attributes crops/ -o attributes.csv
      bruna attributes a.jpg b.png --probabilities probabilities.csv
      bruna attributes crops/ --from both --neighbors 8
      bruna attributes crops/ --keep-junk --models other/artifacts
    """
    from bruna.params import read_runtime
    from bruna.runtime import limit_instructions, prepare_torch

    runtime = read_runtime(PARAMS)
    limit_instructions(runtime.instructions)
    from bruna.export.engine import Engine
    from bruna.inference.images import files_by_id
    from bruna.inference.settings import recorded_settings

    files = files_by_id(images)
    outputs = {"--output": output, "--probabilities": probabilities, "--rejected": rejected}
    check_outputs(outputs, [PARAMS, *files.values(), *model_folders(models)])
    unnamable = {id_: problem for id_ in files if (problem := name_problem(id_))}
    usable = {id_: file for id_, file in files.items() if id_ not in unnamable}
    if not usable:
        (id_, problem), *_ = unnamable.items()
        raise BrunaError(f"none of {counted(len(files), 'images')} can be predicted: {printable(id_)}: {problem}.")
    settings = recorded_settings(models)
    settings = replace(settings, attributes_from=from_ or settings.attributes_from)
    chosen = prepare_torch(device or runtime.device, runtime.threads, "--device" if device else "runtime.device")
    people = Engine(models, engine)(_load(models, chosen, settings, neighbors), len(usable))
    found = people.describe(
        list(usable.values()),
        names=list(usable),
        neighbors=neighbors,
        masks=False,
        skip_unreadable=True,
        progress="attributes",
    )
    kept = found.junk < (float("inf") if keep_junk else settings.junk_threshold)
    left_out = [(printable(files[id_]), problem) for id_, problem in unnamable.items()]
    left_out += [(printable(files[image.name]), image.reason) for image in found.rejected]
    left_out += [
        (printable(files[name]), f"Task 1 takes it for junk (probability {junk:.2f})")
        for name, junk, fine in zip(found.names, found.junk, kept, strict=True)
        if not fine
    ]
    for path, reason in left_out:
        print(f"left out: {path}: {reason}", file=sys.stderr)
    if rejected is not None:
        _write_csv(rejected, ("path", "reason"), left_out)
    if probabilities is not None and len(found):
        _write_csv(probabilities, *_probability_rows(found))
    if not kept.any():
        raise BrunaError(
            f"none of {counted(len(files), 'images')} could be predicted, so {output} was not written. The reasons "
            "stand above; --keep-junk predicts what Task 1 takes for junk."
        )
    names = [name for name, fine in zip(found.names, kept, strict=True) if fine]
    predicted = [values[kept] for values in found.attributes.values()]
    _write_csv(output, ("id", *found.attributes), zip(names, *predicted, strict=True))
    _show(len(names), left_out)
    typer.echo(f"Written to {', '.join(printable(path) for path in outputs.values() if path is not None)}")


def _load(folder: Path, device: "torch.device", settings: "Settings", neighbors: int) -> "Describer":
    """Task 1's network alone where it is enough, otherwise all of them."""
    from bruna.inference.described import needs_bruna
    from bruna.inference.describer import load

    if not needs_bruna(settings.attributes_from, neighbors):
        return load(folder, device, settings=settings, bruna=False)
    try:
        return load(folder, device, settings=settings)
    except BrunaError as error:
        load(folder, device, settings=settings, bruna=False)  # where this fails, the advice below would not help
        raise BrunaError(
            f"{error}\nAttributes by {settings.attributes_from} over {counted(neighbors, 'images')} need Bruna too; "
            "`--from task1 --neighbors 1` needs Task 1's network alone."
        ) from None


def _probability_rows(found: "Described") -> tuple[list[str], list[list[str]]]:
    """Header and rows of all images that could be read; of a binary attribute the probability of its second value."""
    header = [
        f"{attribute.name}_{value}"
        for attribute in found.schema
        for value in (attribute.values[1:] if attribute.binary else attribute.values)
    ]
    rows = zip(found.names, found.attribute_probabilities().tolist(), found.junk.tolist(), strict=True)
    return ["id", *header, "junk"], [[name, *(f"{value:.4f}" for value in [*row, junk])] for name, row, junk in rows]


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
