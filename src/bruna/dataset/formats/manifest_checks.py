"""What is wrong in a table of images, told with the numbers of its lines."""

import math
import re
from collections.abc import Mapping, Sequence

import pandas as pd
from pydantic import ValidationError

from bruna.dataset.dataset_file import DATASET, DatasetFile, problem_text
from bruna.dataset.filenames import is_image_name
from bruna.dataset.formats.source_files import Files
from bruna.errors import counted

COLUMNS = ("path", "identity", "camera", "subset", "time")
SUBSETS: Mapping[str, str] = {
    "": "train",
    "train": "train",
    "val": "train",
    "validation": "train",
    "query": "query",
    "gallery": "gallery",
    "queries": "queries",
    "test": "test",
}
"""Cells of `subset`, and the folder in the data set."""
NOBODY = ("0", "-1")
"""Identities of distractors and junk in a gallery."""
_MEANT = {
    **dict.fromkeys(("person", "person_id", "personid", "pid", "id", "identity_id"), "identity"),
    **dict.fromkeys(("cam", "camid", "cam_id", "camera_id", "cameraid"), "camera"),
    **dict.fromkeys(("image", "file", "filename", "file_name", "image_path", "img_path"), "path"),
    **dict.fromkeys(("split", "set", "fold"), "subset"),
    **dict.fromkeys(("timestamp", "date", "datetime"), "time"),
}
"""What people call the columns that are no attributes."""
_MOST_VALUES = 100
_NUMBER = re.compile(r"(-?)0*([0-9]*)(\.0+)?")
_LARGEST_CAMERA = 9999


def header_problems(table: pd.DataFrame, given: DatasetFile | None) -> list[str]:
    """What is wrong with the columns.

    Args:
        table: as text; the columns besides `COLUMNS` are attributes.
        given: the dataset.yaml beside the table, if there is one.
    """
    attributes = [name for name in table.columns if name not in COLUMNS]
    if attributes == list(table.columns)[:1] and ";" in attributes[0]:
        return ["the cells are divided by semicolons, and commas are expected"]
    meant = {name: _MEANT.get(name.casefold(), "") for name in attributes if given is None}
    meant = {name: column for name, column in meant.items() if column and column not in table.columns}
    problems = [f"the column {name} is no attribute: call it {column}" for name, column in meant.items()]
    if "path" not in [*table.columns, *meant.values()]:
        problems.append(f"there is no column path among {', '.join(table.columns)}")
    problems += [f"the column {name} occurs twice" for name in table.columns[table.columns.duplicated()]]
    if table.empty:
        problems.append("there is no line below the header")
    if given is not None:
        known = {*given.attributes, *([given.group] if given.group else [])}
        if known != set(attributes):
            both = ", ".join(sorted(known ^ set(attributes)))
            problems.append(f"{DATASET} and the columns differ in the attributes {both}")
        if "identity" in table.columns and not given.identities:
            problems.append(f"{DATASET} says identities: false, and there is a column identity")
    if given is not None or table.empty or table.columns.has_duplicates:
        return problems
    return problems + _attribute_problems({name: set(table[name]) - {""} for name in attributes if name not in meant})


def _attribute_problems(attributes: Mapping[str, set[str]]) -> list[str]:
    """Which columns cannot be attributes, for their names or the number of their values."""
    problems = []
    right: dict[str, tuple[str, ...]] = {}
    for name, values in attributes.items():
        if not 2 <= len(values) <= _MOST_VALUES:
            problems.append(
                f"the column {name or '(no name)'} has {counted(len(values), 'different values')}, and an attribute "
                f"has 2 to {_MOST_VALUES}: remove the column, or name the values in a {DATASET} beside the table"
            )
            continue
        try:  # beside those before it: two may differ in case only
            DatasetFile(name="any", attributes={**right, name: tuple(sorted(values))})
            right[name] = tuple(sorted(values))
        except ValidationError as error:
            problems += [problem_text(details) for details in error.errors()]
    return problems


def line_problems(table: pd.DataFrame, files: Files, given: DatasetFile | None, *, named: bool) -> list[str]:
    """What is wrong in the lines.

    Args:
        table: as text, with all of `COLUMNS`.
        files: of the source.
        given: the dataset.yaml beside the table, if there is one.
        named: whether the table has identities.
    """
    problems = []
    twice = table["path"].duplicated()
    cells = _cell_problems(table, given)
    for line, path, identity, camera, subset in zip(table.index, *(table[name] for name in COLUMNS[:4]), strict=True):
        wrong = []
        if path not in files or not is_image_name(path):
            wrong.append(f"there is no image {path or '(empty)'}")
        elif twice[line]:
            wrong.append(f"{path} has a line already")
        if subset not in SUBSETS:
            wrong.append(f"subset is {subset!r}, not one of {', '.join(name for name in SUBSETS if name)}")
        elif named and SUBSETS[subset] in ("train", "query", "gallery"):
            if not identity:
                wrong.append("no identity")
            elif identity in NOBODY and subset != "gallery":
                wrong.append(f"identity {identity}, which only the subset gallery may have")
        if camera.isdecimal() and int(camera) > _LARGEST_CAMERA:
            wrong.append(f"camera {camera}, above {_LARGEST_CAMERA}")
        problems += [f"line {line}: {each}" for each in [*wrong, *cells.get(line, [])]]
    return problems + _case_problems(table, given)


def _case_problems(table: pd.DataFrame, given: DatasetFile | None) -> list[str]:
    """Identities, cameras and values that differ in case only, which are one and a slip."""
    attributes = [] if given is not None else list(table.columns.difference([*COLUMNS], sort=False))
    problems = []
    for name in ("identity", "camera", *attributes):
        spellings: dict[str, str] = {}
        for line, cell in table[name].drop_duplicates().items():
            if (other := spellings.setdefault(cell.casefold(), cell)) != cell:
                problems.append(f"line {line}: {name} {cell} is written {other} before: write it in one way")
    return problems


def _cell_problems(table: pd.DataFrame, given: DatasetFile | None) -> dict[int, list[str]]:
    """What is wrong in the cells of attributes, by line."""
    problems: dict[int, list[str]] = {}
    for name in table.columns.difference([*COLUMNS], sort=False):
        values = given.attributes.get(name) if given is not None else None
        for line, cell in zip(table.index, table[name], strict=True):
            if "\n" in cell or "\r" in cell:
                problems.setdefault(line, []).append(f"{name} has a line break")
            elif values and cell and cell not in values:
                problems.setdefault(line, []).append(f"{name} is {cell!r}, not one of {', '.join(values)}")
    return problems


def plain_number(cell: str) -> str:
    """A number as whole numbers are written, 7.0 as 7 (a table with empty cells has it so) and 0000 as 0."""
    found = _NUMBER.fullmatch(cell)
    return cell if found is None or not cell else "0" if not found[2] else cell.partition(".")[0]


def camera_numbers(cells: "pd.Series[str]") -> dict[str, int]:
    """Numbers of cameras: names that all are numbers keep them, others are numbered in their order."""
    names = sorted(set(cells) - {""})
    if all(name.isascii() and name.isdecimal() for name in names):
        return {name: int(name) for name in names}
    return {name: number for number, name in enumerate(names, start=1)}


def in_order(values: Sequence[str]) -> list[str]:
    """Different values in order: of their numbers where all are numbers, else of the alphabet."""
    return sorted(values, key=(lambda text: (float(text), text)) if all(map(_is_number, values)) else None)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
