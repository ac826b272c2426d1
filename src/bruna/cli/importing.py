"""The command `bruna import`."""
# ruff: noqa: PLC0415

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from bruna.cli.shared import DATA, PARAMS, say_next_after_data
from bruna.errors import counted


def import_(
    sources: Annotated[
        list[Path], typer.Argument(help="Zip archives, folders, or a single market_attribute.mat.", show_default=False)
    ],
    to: Annotated[Path, typer.Option(help="The data set folder to write.")] = DATA,
    masks: Annotated[
        Path | None, typer.Option(help="Mask pairs: images/ with photos, masks/ with PNG files of the same names.")
    ] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Keep what the folder holds and add to it.")] = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Let the sources' files replace the folder's; with --merge, only those of the same name."
        ),
    ] = False,
    adapt: Annotated[
        bool, typer.Option("--adapt", help="Turn off in params.yaml what the data set has not; comments are kept.")
    ] = False,
) -> None:
    """Bring a data set into the layout of the pipeline.

    Recognised, in archives and folders: the course edition of Market-1501, its
    unlabelled part, the official release with market_attribute.mat, person
    masks, a folder that this command wrote, and a folder of images for each
    person. Several sources become one data set. The folder is replaced as a
    whole, when the new one is complete and valid.

    \b
      bruna import market1501-course.zip --masks person-masks.zip
      bruna import Market-1501-v15.09.15.zip market_attribute.mat --replace
      bruna import person-masks.zip --merge
      bruna import people/ --replace --adapt
    """
    from bruna.dataset.annotations import SHOWN
    from bruna.dataset.filenames import printable
    from bruna.dataset.importers import import_dataset
    from bruna.progress import table

    place = printable(to)
    summary = import_dataset(sources, to, masks, merge=merge, replace=replace)
    table(
        f"{place} holds the same already: nothing was written" if summary.unchanged else f"Imported into {place}",
        ("folder", "images", "identities", "cameras", "annotated identities"),
        summary.rows(),
    )
    if summary.ignored:
        places = Counter(f"{Path(name).parent}/" if "/" in name else name for name in summary.ignored)
        shown = ", ".join(f"{place} ({count:,})" for place, count in places.most_common(5))
        typer.echo(f"Left out, being no part of a data set: {shown}{', ...' if len(places) > 5 else ''}")
    if summary.damaged:
        damaged = [f"  {name}: {reason}" for name, reason in list(summary.damaged.items())[:SHOWN]]
        more = [f"  ... and {len(summary.damaged) - SHOWN:,} more"] if len(summary.damaged) > SHOWN else []
        typer.echo(
            f"warning: {counted(len(summary.damaged), 'files')} cannot be used. The stage validate stops at them, or "
            "goes on without them where validate.on_bad_image is quarantine:\n" + "\n".join([*damaged, *more]),
            err=True,
        )
    _tell_lacks(to, write=adapt)
    say_next_after_data(to)


def _tell_lacks(data: Path, *, write: bool) -> None:
    """Tell what the data set lacks, and the settings that do not go with it, or change them."""
    from bruna.dataset.dataset_file import read_dataset_file
    from bruna.dataset.facts import find_files
    from bruna.params import read_groups
    from bruna.pipeline.misfits import LACKS, adapt, lacks, misfits
    from bruna.progress import table

    dataset = read_dataset_file(data)
    files = find_files(data, identities=dataset.identities)
    if lacking := lacks(files, dataset):
        table("What the data set lacks", ("lacking", "then"), [(name, LACKS[name]) for name in lacking])
    if write:
        changes = [(change.key, str(change.old), str(change.new)) for change in adapt(PARAMS, data)]
        table(f"{PARAMS}: changed" if changes else f"{PARAMS} goes with it", ("setting", "old", "new"), changes)
    elif PARAMS.exists() and data.resolve() == DATA.resolve():
        groups, _ = read_groups(PARAMS)
        if found := [str(each) for each in misfits(data, files, dataset, groups)]:
            listed = "\n".join(f"  {each}" for each in found)
            typer.echo(
                f"Settings that do not go with it:\n{listed}\nThe same command with --adapt writes this into {PARAMS}."
            )
