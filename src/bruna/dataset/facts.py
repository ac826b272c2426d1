"""Find the files of a data set folder and put all there is to know about them into tables of facts.

Nothing is judged against the parameters here: `checks.py` states what must hold. A column whose name ends
in `problem` holds text where something is wrong and null elsewhere.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bruna.dataset.dataset_file import BRING
from bruna.dataset.decoding import read_size
from bruna.dataset.filenames import (
    FREE,
    LABELLED,
    MASK_PAIR,
    SUBSETS,
    UNLABELLED_SUBSETS,
    name_facts,
    name_problem,
    printable,
    spelling_problems,
)
from bruna.dataset.inspection import Facts, inspect_files
from bruna.errors import BrunaError, counted

_CLUTTER = ("Thumbs.db", "desktop.ini", "__MACOSX")
"""What file managers and archives leave behind; also whatever starts with a dot."""
MASK_IMAGES, MASKS = "masks/images", "masks/masks"
IMAGE_COLUMNS = ("path", "mask_path", "subset", "identity", "camera")
MANIFEST_TYPES = {
    "path": "object",
    "mask_path": "object",
    "subset": "object",
    "identity": "int32",
    "camera": "int16",
    "width": "int16",
    "height": "int16",
    "md5": "object",
    "brightness": "float32",
    "sharpness": "float32",
}
"""Columns and types of the manifest."""


def find_files(folder: Path, *, identities: bool = True) -> pd.DataFrame:
    """List the images of every subset, sorted by path.

    Args:
        folder: the data set.
        identities: False where nobody knows who is who: all names are free, and identities unlabelled. Then images
            in gallery/ alone are a data set too.

    Returns:
        `path`, `mask_path` (null but for mask pairs), `subset`, `identity`, `camera`, `name_problem`,
        `pair_problem`. A mask without an image has its own path in `path` and `mask_path`.

    Raises:
        BrunaError: the folder is missing, or has neither images in train/ nor a test set: in query/ and gallery/.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BrunaError(f"There is no data set: {folder} is missing. {BRING}")
    rows: list[tuple[object, ...]] = []
    for subset in (*LABELLED, *UNLABELLED_SUBSETS):
        for name, problem in _names(folder / subset).items():
            identity, camera, misnamed = name_facts(name, subset if identities else FREE)
            rows.append((f"{subset}/{name}", None, subset, identity, camera, problem or misnamed, None))
    held = {row[2] for row in rows}
    tests = {"query", "gallery"} if identities else {"gallery"}
    if "train" not in held and not tests <= held:
        found = ", ".join(_names(folder)) or "nothing"
        raise BrunaError(f"{folder} has no training images in {folder / 'train'}. It holds: {found}. {BRING}")
    labelled = LABELLED if identities else ()
    misspelled = spelling_problems(str(row[0]) for row in rows if row[2] in labelled and row[5] is None)
    rows = [(*row[:5], row[5] or misspelled.get(str(row[0])), row[6]) for row in rows] + _pairs(folder)
    columns = [*IMAGE_COLUMNS, "name_problem", "pair_problem"]
    return pd.DataFrame(rows, columns=columns).sort_values("path", ignore_index=True)


def _names(folder: Path) -> dict[str, str | None]:
    """The printable names in a folder, sorted, and what is wrong with each, None where nothing is."""
    try:
        with os.scandir(folder) as entries:  # pathlib would ask the disk about each of 30,000 files
            found = [e for e in entries if not e.name.startswith(".") and e.name not in _CLUTTER]
    except OSError as error:
        linked = any(path.is_symlink() and not path.exists() for path in (folder, folder.parent))
        if isinstance(error, FileNotFoundError) and not linked:
            return {}
        raise BrunaError(
            f"{folder} cannot be searched for images: {error.strerror}. Put a folder there that can be "
            "read, or remove it."
        ) from None
    names: dict[str, str | None] = {}
    same: dict[str, str] = {}
    for entry in sorted(found, key=lambda e: e.name):
        name = printable(entry.name)
        other = same.setdefault(_normal(entry.name).casefold(), name)
        twin = f"other systems take it for {other}: the two differ in upper and lower case or in how accents are coded"
        names[name] = (
            names.get(name) or name_problem(entry.name) or _kind_problem(entry) or (twin if other != name else None)
        )
    return names


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _kind_problem(entry: os.DirEntry[str]) -> str | None:
    """What stands in a folder instead of a file, which may lie behind a link; it is not opened."""
    try:
        if entry.is_file():
            return None
        if entry.is_dir():
            return "a folder; images lie directly in it"
        return "a pipe, a device or a socket, not a file" if Path(entry).exists() else "a link that leads nowhere"
    except OSError:  # a link to itself, for one
        return "a link that leads nowhere"


def _pairs(folder: Path) -> list[tuple[object, ...]]:
    masks = _names(folder / MASKS)
    of_stem: dict[str, list[str]] = {}
    for name in masks:
        of_stem.setdefault(_normal(Path(name).stem), []).append(name)
    rows: list[tuple[object, ...]] = []
    for name, problem in _names(folder / MASK_IMAGES).items():
        its = of_stem.pop(_normal(Path(name).stem), [])
        wrong = problem or name_facts(name, MASK_PAIR).problem or _first_problem(its, masks)
        pairing = None if len(its) == 1 else f"no mask {MASKS}/{Path(name).stem}.png"
        if len(its) > 1:
            pairing = f"{counted(len(its), 'masks')}, where one is expected: {MASKS}/{f', {MASKS}/'.join(its)}"
        mask_path = f"{MASKS}/{its[0]}" if len(its) == 1 else None
        rows.append((f"{MASK_IMAGES}/{name}", mask_path, MASK_PAIR, -2, 0, wrong, pairing))
    for name in [name for its in of_stem.values() for name in its]:
        path = f"{MASKS}/{name}"
        rows.append((path, path, MASK_PAIR, -2, 0, masks[name], f"no image {MASK_IMAGES}/{Path(name).stem}.jpg"))
    return rows


def _first_problem(names: Sequence[str], masks: Mapping[str, str | None]) -> str | None:
    return next((f"{MASKS}/{name}: {masks[name]}" for name in names if masks[name]), None)


def image_size(path: Path) -> tuple[int, int] | None:
    """Height and width that an image's header tells; None where it cannot be read."""
    try:
        return read_size(path)
    except (OSError, ValueError):
        return None


def image_facts(folder: Path, *, identities: bool = True) -> pd.DataFrame:
    """Everything about the files of a data set: `find_files`, with the same arguments, decoded.

    Returns:
        The columns of `find_files` and `width`, `height`, `md5`, `brightness`, `sharpness`, `size` (text,
        height x width; null for what does not decode and for mask pairs), `decode_problem`, `mask_problem`
        (a mask that does not decode, does not hold two values or is not of the image's size), and
        `people_problem`, `leak_problem` (the same content under two people, or in and outside of `train/`).
    """
    table = find_files(folder, identities=identities)
    readable = table["name_problem"].isna()
    paths = table["path"][readable]
    # A mask without an image is listed once, as itself; there is nothing to compare it with.
    masks = table["mask_path"][readable & table["pair_problem"].isna()].dropna()
    facts = inspect_files([Path(folder) / path for path in paths])
    images = pd.DataFrame(facts, columns=list(Facts._fields), index=paths.index, dtype=object)
    table = table.join(images.rename(columns={"problem": "decode_problem"}))
    person = readable & table["decode_problem"].isna() & (table["subset"] != MASK_PAIR)
    table["size"] = pd.Series(size_texts(table[person]), index=table.index[person], dtype=object)
    mask_facts = inspect_files([Path(folder) / path for path in masks], masks=True) if len(masks) else []
    image_of = dict(zip(paths.index, facts, strict=True))
    table["mask_problem"] = pd.Series(
        {
            at: _mask_problem(path, mask, image_of[at])
            for (at, path), mask in zip(masks.items(), mask_facts, strict=True)
        },
        dtype=object,
    )
    table["people_problem"] = _shared(table[readable & (table["identity"] > 0)], "identity")
    sides = table[readable & (table["subset"] != MASK_PAIR)]
    leaks = _shared(sides.assign(side=np.where(sides["subset"] == "train", "train", "test")), "side")
    # One finding a leaked image is enough: the one in train/.
    table["leak_problem"] = leaks.where(table["subset"] == "train")
    return table.astype(object).where(table.notna(), None)


def size_texts(table: pd.DataFrame) -> list[str]:
    """Sizes as text, e.g. `128 x 64`, height first as in params.yaml."""
    return [f"{h} x {w}" for h, w in zip(table["height"], table["width"], strict=True)]


def _mask_problem(path: str, mask: Facts, image: Facts) -> str | None:
    """What is wrong with a mask, given what was found of it and of its image."""
    if mask.problem is not None:
        return f"{path}: {mask.problem}"
    if image.problem is None and (mask.height, mask.width) != (image.height, image.width):
        return f"{path} is {mask.height} x {mask.width}, the image {image.height} x {image.width} (height x width)"
    return None


def _shared(rows: pd.DataFrame, column: str) -> pd.Series:
    """For each row whose md5 also occurs with another value of `column`: where."""
    # Damaged files may well be equal, all empty for one; that says nothing about people.
    content = rows[rows["decode_problem"].isna()]
    mixed = content[content.groupby("md5")[column].transform("nunique") > 1]
    first = mixed.groupby("md5")[["path", column]].transform("first")
    own = mixed[column] == first[column]
    others = mixed[~own].drop_duplicates("md5").set_index("md5")["path"]
    where = first["path"].where(~own, mixed["md5"].map(others))
    return pd.Series("the same content as " + where, index=rows.index, dtype=object)


def people_facts(images: pd.DataFrame) -> pd.DataFrame:
    """One row a training identity.

    Args:
        images: from `image_facts`.

    Returns:
        `person` (text that says where to look), `identity`, `test_problem` (an image of the same identity in query/
        or gallery/), by ascending identity.
    """
    people = images[images["identity"] > 0].astype({"identity": int})
    train = people[people["subset"] == "train"].groupby("identity")["path"].agg(["size", "first"])
    elsewhere = people[people["subset"] != "train"].drop_duplicates("identity").set_index("identity")["path"].to_dict()
    return pd.DataFrame(
        {
            "person": [
                f"identity {identity} ({counted(size, 'images')}, such as {first})"
                for identity, size, first in train.itertuples()
            ],
            "identity": train.index,
            "test_problem": [
                f"{elsewhere[identity]} has the same identity" if identity in elsewhere else None
                for identity in train.index
            ],
        },
        dtype=object,
    )


def manifest_of(images: pd.DataFrame) -> pd.DataFrame:
    """The manifest of accepted files: the columns of `image_facts` that later stages read, in fixed types."""
    return images[list(MANIFEST_TYPES)].astype(MANIFEST_TYPES).sort_values("path", ignore_index=True)


def count_subsets(manifest: pd.DataFrame) -> dict[str, dict[str, object]]:
    """Images, identities (from 1) and images a camera of each subset that the manifest has."""
    counts: dict[str, dict[str, object]] = {}
    for subset in SUBSETS:
        rows = manifest[manifest["subset"] == subset]
        if len(rows):
            cameras = Counter(int(camera) for camera in rows["camera"] if camera > 0)
            counts[subset] = {
                "images": len(rows),
                "identities": int(rows["identity"][rows["identity"] > 0].nunique()),
                "cameras": {str(camera): cameras[camera] for camera in sorted(cameras)},
            }
    return counts
