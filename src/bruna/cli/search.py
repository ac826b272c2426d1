"""The command `bruna search`."""
# ruff: noqa: PLC0415

import sys
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bruna.cli.shared import ARTIFACTS, INDEX, PARAMS, EngineName, check_outputs, model_folders
from bruna.dataset.filenames import printable
from bruna.errors import BrunaError, counted

if TYPE_CHECKING:
    import pandas as pd

    from bruna.index.asking import Found

_DIFFERING = 4
"""Attributes that are named in the table; the files have all."""


def search(
    photos: Annotated[
        list[Path] | None, typer.Argument(help="Photos of one person: image files or folders.", show_default=False)
    ] = None,
    index: Annotated[
        Path | None,
        typer.Option(help="An index that `bruna index` has made.  [default: people.index]", show_default=False),
    ] = None,
    gallery: Annotated[
        Path | None, typer.Option(help="Search a folder, an archive or a table of images instead, described now.")
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            help='A description of the person, and what is known of the images: "upcolor = red and camera != 3".'
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Images at most, of each query.")] = 20,
    each: Annotated[
        bool, typer.Option("--each", help="Each photo is a query of its own, not all of them one.")
    ] = False,
    different_camera: Annotated[
        bool, typer.Option("--different-camera", help="Leave out images from the cameras of the photos.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Leave out images that are predicted to be unlike the description.")
    ] = False,
    max_fmr: Annotated[
        float | None,
        typer.Option(help="False match rate at most: other people who are taken for the person."),
    ] = None,
    keep_junk: Annotated[bool, typer.Option("--keep-junk", help="Search what Task 1 takes for junk too.")] = False,
    approximate: Annotated[
        bool,
        typer.Option(
            "--approximate", help="Search a large index faster, by what `bruna index --approximate` prepared."
        ),
    ] = False,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write the results into this file too, CSV.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the results into this file too, JSON.")
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--html", help="Write a page with pictures and reasons into this file too.")
    ] = None,
    models: Annotated[Path, typer.Option(help="Where the trained models lie.")] = ARTIFACTS,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N; default: params.yaml.")] = None,
    engine: EngineName = None,
) -> None:
    """Find a person by photos, by a description, or by both.

    With photos the nearest images come first. With a description those come
    first of which it most probably holds. --where knows the attributes that the
    networks predict, and key, camera, time, identity, junk and the columns of a
    manifest, which filter: =, !=, <, <=, >, >=, in (...), like 'a%', and, or,
    not.

    \b
      bruna search photo.jpg --index people.index
      bruna search a.jpg b.jpg --index people.index --where "camera != 3"
      bruna search --where "upcolor = green and backpack = yes" --csv found.csv
      bruna search photo.jpg --gallery crops/ --max-fmr 0.001 --html found.html
    """
    if not photos and where is None:
        raise BrunaError("there is nothing to look for: give photos, or a description with --where.")
    if index is not None and gallery is not None:
        raise BrunaError("give --index or --gallery, not both.")
    if approximate and gallery is not None:
        raise BrunaError("--approximate searches an index that is prepared for it; a --gallery is searched exactly.")
    from bruna.params import read_runtime
    from bruna.runtime import limit_instructions, prepare_torch

    given = list(photos or [])
    place = gallery or index or INDEX
    check_outputs(
        {"--csv": csv_file, "--json": json_file, "--html": page}, [PARAMS, *given, place, *model_folders(models)]
    )
    runtime = read_runtime(PARAMS)
    limit_instructions(runtime.instructions)
    from bruna.export.engine import Engine
    from bruna.index.asking import index_of, open_index

    chosen = prepare_torch(device or runtime.device, runtime.threads, "--device" if device else "runtime.device")
    if gallery is not None:
        people = index_of(gallery, models, chosen, Engine(models, engine))
    else:
        people = open_index(
            place, models, chosen, features=bool(given), approximate=approximate, engine=Engine(models, engine)
        )
    found = people.search(
        given,
        where=where,
        top=top,
        each=each,
        different_camera=different_camera,
        strict=strict,
        max_fmr=max_fmr,
        keep_junk=keep_junk,
    )
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    if len(found.results):
        _show(found.results, f"In {printable(place)}, {counted(len(people), 'images')}")
    for answer in found.answers:
        typer.echo(answer)
    _write(found, csv_file, json_file)
    if page is not None:
        from bruna.inference.images import files_by_id
        from bruna.pipeline.search_page import Question, write_search_page

        conditions = {
            "in": printable(place),
            "images at most": f"{top:,}",
            "false match rate": "" if max_fmr is None else f"{max_fmr:g} at most",
            "cameras": "others than those of the photos" if different_camera else "",
            "strict": "images that are predicted to be unlike the description are left out" if strict else "",
            "junk": "searched too" if keep_junk else "",
        }
        photos_by_name = {printable(name): file for name, file in files_by_id(given).items()} if given else {}
        question = Question(photos_by_name, where or "", each, conditions, gallery)
        write_search_page(page, people, question, found, models)
    if written := [printable(path) for path in (csv_file, json_file, page) if path is not None]:
        typer.echo(f"Written to {' and '.join(written)}")


def _show(results: "pd.DataFrame", title: str) -> None:
    """The columns that hold something; of the attributes how many agree, and those that differ."""
    from bruna.progress import table

    told = {name: results[name].notna().any() for name in ("camera", "distance", "probability", "description")}
    columns = [name for name, there in told.items() if there]
    several = results["query"].nunique() > 1
    compared = (results["agreeing"].map(len) + results["differing"].map(len)).max() > 0
    header = [
        *(["query"] if several else []),
        "rank",
        "key",
        *columns,
        *(["agreeing", "differing"] if compared else []),
    ]
    rows = []
    for row in results.to_dict("records"):
        same, other = len(row["agreeing"]), row["differing"]
        more = f" and {len(other) - _DIFFERING} more" if len(other) > _DIFFERING else ""
        cells = [
            *([printable(row["query"])] if several else []),
            row["rank"],
            printable(row["key"]),
            *(None if row[name] != row[name] else row[name] for name in columns),
            *([f"{same} of {same + len(other)}", ", ".join(other[:_DIFFERING]) + more] if compared else []),
        ]
        rows.append(cells)
    table(title, header, rows)


def _write(found: "Found", csv_file: Path | None, json_file: Path | None) -> None:
    from bruna.files import whole_file, write_json

    results = found.results
    if csv_file is not None:
        texts = {name: results[name].map(", ".join) for name in ("agreeing", "differing")}
        texts |= {name: results[name].map(_as_cell, na_action="ignore") for name in ("query", "key", "camera")}
        with whole_file(csv_file) as beside:
            results.assign(**texts).to_csv(beside, index=False, lineterminator="\n", float_format="%.6g")
    if json_file is not None:
        rows = [
            {name: None if isinstance(cell, float) and isnan(cell) else cell for name, cell in row.items()}
            for row in results.to_dict("records")
        ]
        write_json({"results": rows, "answers": found.answers, "notes": found.notes}, json_file, sort_keys=False)


def _as_cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula (OWASP, CSV injection): names of files may be anybody's."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
