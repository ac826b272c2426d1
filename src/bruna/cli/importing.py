"""The command `bruna import`."""
# ruff: noqa: PLC0415

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bruna.cli.shared import DATA, PARAMS, check_outputs, say_next, say_next_after_data
from bruna.errors import BrunaError, counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from bruna.dataset.dataset_file import DatasetFile
    from bruna.dataset.importers import ImportSummary

_SHOWN = 10
"""Lines of a kind that are printed before their number is."""


@dataclass
class _Seen:
    """What was found in a data set folder, which may be gone by now."""

    dataset: "DatasetFile"
    files: "pd.DataFrame"
    annotated: dict[str, int]
    key: str
    misfits: list[str]


def _show_formats(asked: bool) -> None:
    if asked:
        from bruna.dataset.formats.known import FORMATS
        from bruna.progress import table

        rows = [(each.name, each.layout, each.follows) for each in FORMATS]
        table("What `bruna import` reads, in folders, zip and tar archives", ("format", "layout", "follows"), rows)
        raise typer.Exit


def import_(
    sources: Annotated[
        list[Path],
        typer.Argument(help="Archives, folders, tables of images, or a market_attribute.mat.", show_default=False),
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what is understood, write nothing.")] = False,
    sheet: Annotated[Path | None, typer.Option(help="Draw some images of each folder, as PNG.")] = None,
    formats: Annotated[
        bool, typer.Option("--formats", help="List the formats.", callback=_show_formats, is_eager=True)
    ] = False,
) -> None:
    """Bring a data set into the layout of the pipeline.

    It may be Market-1501 in both editions, MSMT17, CUHK03-NP, PETA or PA-100K,
    a folder of images for each person, images alone, or a table that names
    images with what is known of them: --formats shows the files of each.
    Archives are read as they are, and --dry-run only tells what was understood.
    Several sources become one data set. The folder is replaced as a whole, when
    the new one is complete and valid.

    \b
      bruna import people.csv --dry-run --sheet people.png
      bruna import people/ --replace --adapt
      bruna import market1501-course.zip --masks person-masks.zip
      bruna import Market-1501-v15.09.15.zip market_attribute.mat --replace
      bruna import person-masks.zip --merge
    """
    import scipy  # noqa: F401 - an attribute file may need it: said before anything is read

    from bruna.dataset.filenames import printable
    from bruna.dataset.importers import import_dataset
    from bruna.progress import table

    if sheet is not None and to.resolve() in sheet.resolve().parents:
        raise BrunaError(f"--sheet: {sheet} lies in {to}, which is written anew. Give another place.")
    check_outputs({"--sheet": sheet}, _inputs([*sources, *([masks] if masks else [])]))
    seen: list[_Seen] = []

    def look(folder: Path) -> None:
        seen.append(_look(folder, to))
        if sheet is not None:
            _draw(folder, seen[0], sheet)

    summary = import_dataset(sources, to, masks, merge=merge, replace=replace, keep=not dry_run, look=look)
    place = printable(to)
    title = f"Would be imported into {place}" if dry_run else f"Imported into {place}"
    table(
        f"{place} holds the same already: nothing was written" if summary.unchanged else title,
        ("folder", "images", "identities", "cameras", "annotated identities"),
        summary.rows(),
    )
    _tell(seen[0])
    _tell_left_out(summary)
    _tell_lacks(seen[0], write=adapt and not dry_run, data=to)
    if summary.refused:
        typer.echo(f"The import itself would stop: {summary.refused}")
    if dry_run:
        typer.echo("This was a dry run: nothing was written.")
    elif _is_unlabelled(seen[0]):
        say_next(*(f"bruna attributes {source}" for source in sources))
    else:
        say_next_after_data(to)


def _inputs(sources: list[Path]) -> "Iterator[Path]":
    """What an import reads: its sources, and the images that a table names."""
    from contextlib import ExitStack

    from bruna.dataset.formats.manifest import with_images
    from bruna.dataset.formats.sources import open_source

    for source in sources:
        yield source
        if source.suffix.lower() in (".csv", ".parquet"):
            with ExitStack() as stack:
                yield from (source.parent / path for path in with_images(open_source(source, stack)).files)


def _look(folder: Path, target: Path) -> _Seen:
    from bruna.dataset.annotations import read_annotations
    from bruna.dataset.dataset_file import read_dataset_file
    from bruna.dataset.facts import find_files
    from bruna.params import read_groups
    from bruna.pipeline.misfits import misfits

    dataset = read_dataset_file(folder)
    files = find_files(folder, identities=dataset.identities)
    annotations = read_annotations(folder, dataset)
    known = dict(zip(dataset.attributes, (annotations.codes >= 0).sum(axis=0).tolist(), strict=True))
    found = []
    if PARAMS.exists() and target.resolve() == DATA.resolve():
        groups, _ = read_groups(PARAMS)
        found = [str(each) for each in misfits(folder, files, dataset, groups)]
    return _Seen(dataset, files, known, "identity" if annotations.key == "identity" else "image", found)


def _is_unlabelled(seen: _Seen) -> bool:
    return not seen.dataset.identities and not seen.dataset.attributes


def _draw(folder: Path, seen: _Seen, sheet: Path) -> None:
    import numpy as np

    from bruna.dataset.decoding import open_image, read_file
    from bruna.dataset.filenames import LABELLED, MASK_PAIR
    from bruna.report.contact_sheet import COLUMNS, contact_sheet
    from bruna.report.style import save

    def image_of(path: str) -> "np.ndarray | None":
        try:
            return np.asarray(open_image(read_file(folder / path)).convert("RGB"))
        except (OSError, ValueError):
            return None

    lines: dict[str, list[tuple[str, str]]] = {}
    for subset, rows in seen.files[seen.files["subset"] != MASK_PAIR].groupby("subset", sort=False):
        chosen = rows.iloc[np.linspace(0, len(rows) - 1, min(COLUMNS, len(rows))).astype(int)]
        labelled = subset in LABELLED and seen.dataset.identities
        lines[f"{subset}/, {counted(len(rows), 'images')}"] = [
            (str(row.path), f"identity {row.identity}\ncamera {row.camera}" if labelled else "")
            for row in chosen.itertuples()
        ]
    save(contact_sheet(lines, image_of, seen.dataset.name), sheet)
    typer.echo(f"Some of the images: {sheet}")


def _tell(seen: _Seen) -> None:
    """Tell the schema, and the cameras."""
    from bruna.dataset.identities import UNKNOWN_CAMERA
    from bruna.progress import table

    rows: list[tuple[str, str, int | None]] = []
    for name, values in list(seen.dataset.attributes.items())[:_SHOWN]:
        rest = f", ... ({len(values)} in all)" if len(values) > _SHOWN else ""
        rows.append((name, ", ".join(values[:_SHOWN]) + rest, seen.annotated[name]))
    if (more := len(seen.dataset.attributes) - _SHOWN) > 0:
        rows.append((f"... and {more:,} more", "", None))
    if rows:
        unit = {"identity": "identities", "image": "images"}[seen.key]
        table("Attributes", ("attribute", "values", f"{unit} of which it is known"), rows)
        if seen.dataset.identities and seen.dataset.attributes_of == "image":
            typer.echo("They count for each image: an identity has different values. If that is a slip, correct it.")
    cameras = Counter(int(camera) for camera in seen.files["camera"] if camera > 0)
    unknown = int(((seen.files["identity"] > 0) & (seen.files["camera"] == UNKNOWN_CAMERA)).sum())
    if cameras and unknown:
        typer.echo(f"Without a camera: {counted(unknown, 'images')}")
    if cameras:
        counts = ", ".join(f"{camera} ({cameras[camera]:,})" for camera in sorted(cameras)[:_SHOWN])
        others = f" and {len(cameras) - _SHOWN:,} more" if len(cameras) > _SHOWN else ""
        meaning = f": {seen.dataset.cameras}" if seen.dataset.cameras else ""
        typer.echo(f"Cameras (images): {counts}{others}{meaning}")


def _tell_left_out(summary: "ImportSummary") -> None:
    if summary.ignored:
        places = Counter(f"{Path(name).parent}/" if "/" in name else name for name in summary.ignored)
        shown = ", ".join(f"{place} ({count:,})" for place, count in places.most_common(5))
        typer.echo(f"Left out, being no part of a data set: {shown}{', ...' if len(places) > 5 else ''}")
    if summary.damaged:
        damaged = [f"  {name}: {reason}" for name, reason in list(summary.damaged.items())[:_SHOWN]]
        more = [f"  ... and {len(summary.damaged) - _SHOWN:,} more"] if len(summary.damaged) > _SHOWN else []
        typer.echo(
            f"warning: {counted(len(summary.damaged), 'files')} cannot be used. The stage validate stops at them, or "
            "goes on without them where validate.on_bad_image is quarantine:\n" + "\n".join([*damaged, *more]),
            err=True,
        )


def _tell_lacks(seen: _Seen, *, write: bool, data: Path) -> None:
    """Tell what the data set lacks, and the settings that do not go with it, or change them."""
    from bruna.pipeline.misfits import LACKS, adapt, lacks
    from bruna.progress import table

    if _is_unlabelled(seen):
        typer.echo(
            "Nothing can be trained on images of which nothing is known; trained networks describe them. If a folder "
            "for each person was meant: all images must lie right in these folders, and the folders beside each other."
        )
    elif lacking := lacks(seen.files, seen.dataset):
        table("What the data set lacks", ("lacking", "then"), [(name, LACKS[name]) for name in lacking])
    if write:
        if changes := [(change.key, str(change.old), str(change.new)) for change in adapt(PARAMS, data)]:
            table(f"{PARAMS}: changed", ("setting", "old", "new"), changes)
        else:
            typer.echo(f"{PARAMS} goes with it.")
    elif seen.misfits and not _is_unlabelled(seen):
        listed = "\n".join(f"  {each}" for each in seen.misfits)
        typer.echo(f"Settings that do not go with it:\n{listed}\nAn import with --adapt writes this into {PARAMS}.")
