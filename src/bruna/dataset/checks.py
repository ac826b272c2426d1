"""What must hold of a data set, as tables of facts with checks on their columns; `validation.py` runs them."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bruna.dataset.annotations import ANNOTATIONS, columns_of, find_annotations, header_problems, read_raw
from bruna.dataset.dataset_file import DATASET, DatasetFile
from bruna.dataset.facts import people_facts
from bruna.dataset.filenames import MASK_PAIR
from bruna.errors import BrunaError, counted
from bruna.params import Validate


@dataclass(frozen=True)
class Check:
    """One thing that must hold of a table.

    Attributes:
        text: the check in words, e.g. "every image decodes fully".
        column: what it is about; None where it is about the number of rows.
        values: what the column may hold (null is always allowed); None where it tells a problem, so must be null.
        fewest: rows that the table must have.
        file: True where a finding concerns a single image, which can be set aside.
    """

    text: str
    column: str | None
    values: tuple[str, ...] | None = None
    fewest: int = 0
    file: bool = False


class Suite(NamedTuple):
    """Checks on a table; `key` is the column that says where a finding is."""

    name: str
    key: str
    table: pd.DataFrame
    checks: list[Check]


def image_suite(images: pd.DataFrame, params: Validate) -> Suite:
    """The checks on the images and masks.

    Args:
        images: of `bruna.dataset.facts.image_facts`.
        params: the expected image size.
    """
    checks = [
        Check("every name tells identity and camera", "name_problem"),
        Check("every image decodes fully", "decode_problem", file=True),
        Check("every mask has an image and every image in masks/ a mask", "pair_problem", file=True),
        Check("every mask decodes, has its image's size and two values", "mask_problem", file=True),
        Check("no image content belongs to two people", "people_problem"),
        Check("no training image is in a test set too", "leak_problem"),
    ]
    if params.image_size is not None:
        size = f"{params.image_size[0]} x {params.image_size[1]}"
        text = f"every person image is {size} pixels (height x width)"
        checks.append(Check(text, "size", (size,), file=True))
    return Suite("images", "path", images, checks)


def people_suite(images: pd.DataFrame) -> Suite:
    """The checks on the training identities, of which there must be some; `images` as for `image_suite`."""
    checks = [
        Check("there are at least 2 training identities", None, fewest=2),
        Check("nobody is in train/ and in query/ or gallery/", "test_problem"),
    ]
    return Suite("people", "person", people_facts(images), checks)


def raw_annotations(folder: Path, dataset: DatasetFile) -> pd.DataFrame | None:
    """The annotations as text; None where there are none and dataset.yaml names no attributes.

    Raises:
        BrunaError: they cannot be read, or there are none and dataset.yaml names attributes.
    """
    file = find_annotations(folder)
    if file is not None:
        return read_raw(file)
    if dataset.attributes:
        raise BrunaError(
            f"{folder / ANNOTATIONS[0]} is missing. It holds the values of the "
            f"{counted(len(dataset.attributes), 'attributes')} that {DATASET} names, a row an "
            f"{dataset.attributes_of}; docs/reference/data-set.md shows it."
        )
    return None


def annotation_suites(raw: pd.DataFrame, dataset: DatasetFile, images: pd.DataFrame) -> list[Suite]:
    """The checks on the annotations and on what they are of; a wrong header leaves nothing else to check.

    Args:
        raw: of `raw_annotations`.
        dataset: the schema.
        images: of `bruna.dataset.facts.image_facts`.
    """
    columns = columns_of(raw, dataset.tasks, dataset.group)
    if not dataset.identities:
        columns = ("path", *columns[1:])
    problem = "; ".join(header_problems(raw, columns)) or None
    # A frame whose own columns are the header cannot be checked for a header: it becomes a column of problems.
    header = pd.DataFrame({"file": ["annotations"], "header_problem": [problem]}, dtype=object)
    named = "attribute and the group" if dataset.group else "attribute"
    text = f"the annotations have a column {columns[0]}, and one for each {named} of {DATASET}"
    suites = [Suite("annotations header", "file", header, [Check(text, "header_problem")])]
    if problem is None:
        suites += [_row_suite(raw, columns[0], dataset, images), _annotated_suite(raw, columns[0], images)]
    return suites


def _row_suite(raw: pd.DataFrame, key: str, dataset: DatasetFile, images: pd.DataFrame) -> Suite:
    """The checks on the rows: whom each is about, and its values."""
    where, wrong, twice = "(row)", "(key problem)", "(twice)"  # names that no attribute can have
    rows = raw.copy()
    rows[where] = [f"annotations, line {line} ({key} {value})" for line, value in raw[key].items()]
    rows[wrong] = pd.Series(_key_problems(raw[key], key, images), raw.index, dtype=object)
    second = raw[key].duplicated(keep="first")
    rows[twice] = second.map({True: "it has a row already", False: None}).astype(object)
    checks = [Check(f"every {key} is that of an image", wrong), Check(f"no {key} occurs twice", twice)]
    for name, values in dataset.attributes.items():
        rows[name] = rows[name].where(rows[name] != "", None)  # unknown
        text = f"{name} is {', '.join(values[:-1])} or {values[-1]}, or empty"
        checks.append(Check(text, name, tuple(values)))
    return Suite("annotations", where, rows, checks)


def _annotated_suite(raw: pd.DataFrame, key: str, images: pd.DataFrame) -> Suite:
    """The check that whatever is trained on is annotated."""
    train = images[(images["subset"] == "train") & images["name_problem"].isna()]
    annotated = set(raw[key])
    wanted = train[key].astype(str).drop_duplicates()
    missing = [None if one in annotated else "no row in the annotations" for one in wanted]
    people = pd.DataFrame({key: wanted.tolist(), "row_problem": missing}, dtype=object)
    what = "identity" if key == "identity" else "image"
    text = f"every training {what} has a row in the annotations"
    return Suite("annotated", key, people, [Check(text, "row_problem")])


def _key_problems(keys: pd.Series, key: str, images: pd.DataFrame) -> list[str | None]:
    """What is wrong with the identity or the path of each row."""
    labelled = images[images["identity"] > 0] if key == "identity" else images[images["subset"] != MASK_PAIR]
    known = set(labelled[key].astype(str))
    if key == "path":
        return [None if path in known else "there is no such image" for path in keys]
    return [
        None
        if identity in known
        else "no image shows it"
        if re.fullmatch("[1-9][0-9]{0,8}", identity)
        else "it is no number from 1, without leading zeros"
        for identity in keys
    ]
