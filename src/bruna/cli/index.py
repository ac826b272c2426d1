"""The command `bruna index`."""
# ruff: noqa: PLC0415

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bruna.cli.shared import ARTIFACTS, INDEX, PARAMS, EngineName, model_folders, say_next
from bruna.dataset.filenames import printable
from bruna.errors import BrunaError, counted

if TYPE_CHECKING:
    from bruna.index.build import Added
    from bruna.index.remove import Receipt

_SHOWN = 20
"""Images that are left out in the closing table; stderr has all."""


def index(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="Folders, archives, tables of images: what `bruna import` takes, and tables of the stage split; or "
            "their addresses (s3://, gs://, hdfs://).",
            path_type=str,  # of an address a Path would make another
            show_default=False,
        ),
    ] = None,
    to: Annotated[Path, typer.Option(help="The index: a folder, which is made, or added to.")] = INDEX,
    thumbnails: Annotated[
        bool, typer.Option("--thumbnails/--no-thumbnails", help="Keep a small picture of each image (64 x 128).")
    ] = True,
    remove: Annotated[
        list[str] | None,
        typer.Option(help="Erase the image of this key for good. Give it once an image.", show_default=False),
    ] = None,
    remove_where: Annotated[
        str | None, typer.Option(help='Erase the images of which this holds, such as "identity = 348".')
    ] = None,
    approximate: Annotated[
        bool,
        typer.Option("--approximate", help="Prepare it for `bruna search --approximate` too; needs the extra `large`."),
    ] = False,
    models: Annotated[Path, typer.Option(help="Where the trained models lie.")] = ARTIFACTS,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N; default: params.yaml.")] = None,
    engine: EngineName = None,
    workers: Annotated[
        Literal["ray"] | None,
        typer.Option(
            "--engine-workers",
            help="Describe on all workers of a Ray cluster; needs the extra `ray`.",
            case_sensitive=False,
            show_default=False,
        ),
    ] = None,
) -> None:
    """Describe images once, to search them as often as you like.

    Adding goes by content: what the index holds is not described again, and a
    command that was stopped goes on where it was. Images that cannot be read
    are left out and listed. An image's key is its path, from the name of the
    source on. The index lies in a folder of parquet files.

    \b
      bruna index photos/ more.zip --to people.index
      bruna index people.csv --to people.index
      bruna index s3://bucket/people/ --to people.index
      bruna index --to people.index --approximate
      bruna index --to people.index --remove photos/anna/1.jpg
      bruna index --to people.index --remove-where "key like 'photos/anna/%'"
    """
    erasing = bool(remove) or remove_where is not None
    if bool(sources) == erasing and (erasing or not approximate):
        raise BrunaError(
            "give images to add, or --remove or --remove-where; not both: `bruna index SOURCE --to people.index`."
            if erasing
            else "there is nothing to add: give folders, archives or tables of images. `bruna index --help` shows how."
        )
    if workers is not None and engine == "onnxruntime":
        raise BrunaError("Ray's workers run torch: give --engine-workers or --engine onnxruntime, not both.")
    if sources:
        _add(sources, to, models, device, engine, workers, thumbnails=thumbnails)
    elif erasing:
        _remove(to, remove or [], remove_where)
    if approximate:
        _cover(to)


def _add(
    sources: Sequence[str],
    to: Path,
    models: Path,
    device: str | None,
    engine: EngineName,
    workers: Literal["ray"] | None,
    *,
    thumbnails: bool,
) -> None:
    from bruna.params import read_runtime
    from bruna.runtime import limit_instructions, prepare_torch

    runtime = read_runtime(PARAMS)
    limit_instructions(runtime.instructions)
    from bruna.export.engine import Engine
    from bruna.index.build import add_images
    from bruna.index.gather import images_of
    from bruna.index.header import HEADER, begin, discard, ready_for
    from bruna.index.store import parts_of, writing
    from bruna.inference.describer import load

    model_folders(models)
    ready_for(to)
    by = Engine(models, engine)
    with ExitStack() as stack:
        images = [images_of(source, stack) for source in sources]
        chosen = prepare_torch(device or runtime.device, runtime.threads, "--device" if device else "runtime.device")
        people = load(models, chosen)
        at_once = 1
        if workers is None:
            describer = by(people, sum(each.count for each in images))
        else:
            from bruna.index.ray_workers import on_workers

            describer = on_workers(people, models, max(1, runtime.threads))
            at_once = describer.blocks_at_once
        new = not (to / HEADER).exists()
        header = begin(to, describer, models)
        try:
            with writing(to):
                name = f"index {printable(to)}"
                added = add_images(to, images, describer, header, thumbnails=thumbnails, name=name, at_once=at_once)
        finally:
            if new and not parts_of(to):
                discard(to)
    _tell(to, added)


def _tell(to: Path, added: "Added") -> None:
    from bruna.index.store import bytes_of, rows_in
    from bruna.progress import table

    for key, reason in added.left_out.items():
        print(f"left out: {printable(key)}: {printable(reason)}", file=sys.stderr)
    count = rows_in(to)
    if not count:
        raise BrunaError(
            f"none of {counted(len(added.left_out), 'images')} could be described. The reasons stand above."
        )
    table(
        f"{printable(to)} holds {counted(count, 'images')}, {bytes_of(to) / 1e6:,.1f} MB",
        ("images", "number"),
        [
            ("described", added.described),
            ("the same as described ones, under other keys", added.copied),
            ("there already", added.there),
            ("left out", len(added.left_out)),
            ("taken for junk: kept, and in no result unless asked for", added.junk),
        ],
    )
    if added.left_out:
        more = len(added.left_out) - _SHOWN
        rows = [*list(added.left_out.items())[:_SHOWN], *([(f"... {more:,} more", "see above")] if more > 0 else [])]
        table("Left out", ("image", "reason"), rows)
    say_next(f"bruna search PHOTO --index {to}", f"bruna search --index {to} --where CONDITION")


def _remove(to: Path, keys: Sequence[str], where: str | None) -> None:
    import numpy as np

    from bruna.index.conditions import named
    from bruna.index.header import read_header
    from bruna.index.opened import open_rows
    from bruna.index.remove import remove_images
    from bruna.index.store import writing

    read_header(to)
    with writing(to):
        found = open_rows(to, features=False)
        wanted = np.isin(found.keys, list(keys))
        if where is not None:
            condition = found.condition(where, "--remove-where")
            if guessed := named(condition):
                raise BrunaError(
                    f"--remove-where names {guessed[0].attribute}, which is predicted, and a prediction may be wrong. "
                    "Look at the images first: `bruna search --strict --where CONDITION --html found.html`. Then erase "
                    "those that you mean by their keys: --remove KEY."
                )
            wanted |= found.facts.holds(condition)
        if not wanted.any():
            what = f"no image of {found.name} fits --remove-where" if where is not None else (
                f"{found.name} has no image of the key {', '.join(keys)}"
            )  # fmt: skip
            raise BrunaError(f"{what}. Nothing was erased.")
        receipt = remove_images(to, found, wanted)
    _hand_over(to, receipt, missing=sorted(set(keys) - set(receipt.keys)))


def _cover(to: Path) -> None:
    from bruna.index.approximate import cover
    from bruna.index.header import read_header
    from bruna.index.store import bytes_of, writing

    read_header(to)
    with writing(to):
        taken, count = cover(to)
    typer.echo(
        f"The approximate index of {printable(to)} covers {counted(count, 'images')}, {taken:,} of them new; "
        f"with it the index has {bytes_of(to) / 1e6:,.1f} MB."
    )


def _hand_over(to: Path, receipt: "Receipt", missing: Sequence[str]) -> None:
    from bruna.index.remove import RECEIPTS

    for key in missing:
        print(f"warning: {printable(to)} had no image of the key {printable(key)}", file=sys.stderr)
    for key in receipt.same:
        print(
            f"warning: the same image is still there as {printable(key)}, and was not erased: --remove that key, too",
            file=sys.stderr,
        )
    lines = [
        f"Erased from {printable(to)}: {counted(len(receipt.keys), 'images')}; {receipt.left:,} left.",
        f"  receipt  {receipt.number}",
        f"  time     {receipt.time}",
        *(f"  key      {printable(key)}" for key in receipt.keys),
        f"  digest   {receipt.digest}",
        f"{printable(to / RECEIPTS)} keeps time, number and digest. The digest is the SHA-256 of receipt and keys, a "
        "line each: keep these lines to show later what was erased.",
        "Copies of the index, and the images themselves, are yours to erase; `bruna index` would add them again.",
    ]
    typer.echo("\n".join(lines))
