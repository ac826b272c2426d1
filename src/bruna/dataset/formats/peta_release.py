"""PETA as it was released: a folder a data set, `3DPeS/archive/` and others, each with images and `Label.txt`.

A line of it is `806 upperBodyBlack lowerBodyGrey personalMale`: a person, whose number begins the names of images
(`806_1.png`), or the name of an image; then the attributes that hold. All others do not. What is known of the whole
data set, and how it is split, stands in `peta.py`.
"""

import re

import pandas as pd

from bruna.dataset.filenames import is_image_name
from bruna.dataset.formats.attribute_sets import NO_YES, PERSON, attribute_names, attribute_set
from bruna.dataset.formats.base import Format, flat_name, images_in, read_text, refuse
from bruna.dataset.formats.peta import DATASET, PAGE
from bruna.dataset.formats.source_files import Files

_SETS = ("3DPeS", "CAVIAR4REID", "CUHK", "GRID", "i-LID", "MIT", "PRID", "SARC3D", "TownCentre", "VIPeR")
_LABELS = "archive/Label.txt"


def read(files: Files) -> Files:
    """Place the images of the data sets that are there, with the attributes and persons of their `Label.txt`."""
    sets = [name for name in _SETS if f"{name}/{_LABELS}" in files]
    if not sets:
        return {}
    placed: Files = {}
    rows, problems = [], []
    for name in sets:
        lines, wrong = _lines(read_text(files, f"{name}/{_LABELS}"))
        problems += [f"{name}/{_LABELS}, {each}" for each in wrong]
        paths = [path for path in images_in(files) if path.startswith(f"{name}/archive/")]
        problems += [] if paths else [f"there are no images in {name}/archive"]
        for path in paths:
            image = path.rpartition("/")[2]
            person = _key(re.split("[_.]", image)[0])
            place = f"train/{flat_name(path.replace('/archive/', '/', 1))}"
            holds = lines.get(_key(image), lines.get(person))
            if holds is None:
                problems.append(f"{name}/{_LABELS} has no line for {path}")
            elif place in placed:
                problems.append(f"{path} and another image would both be {place}")
            else:
                placed[place] = files[path]
                rows.append((place, f"{name} {person}", holds))
    source = files[f"{sets[0]}/{_LABELS}"].source
    advice = f"They are in {source}. {PAGE}"
    refuse(problems, "problems", advice)
    names = sorted(frozenset().union(*(holds for _, _, holds in rows)))
    cells = [[place, *(NO_YES[name in holds] for name in names), person] for place, person, holds in rows]
    table = pd.DataFrame(cells, columns=["path", *attribute_names(names), PERSON], dtype=object)
    return attribute_set(placed, DATASET, table, source, advice)


def _lines(text: str) -> tuple[dict[str, frozenset[str]], list[str]]:
    """The attributes that hold, by person or image; and what is wrong, with the number of the line."""
    found: dict[str, frozenset[str]] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), start=1):
        key, *names = line.split() or [""]
        if key and not names:
            problems.append(f"line {number}: {key} has no attributes")
        elif key and found.setdefault(_key(key), frozenset(names)) != frozenset(names):
            problems.append(f"line {number}: {key} has other attributes than in a line before")
    return found, problems


def _key(name: str) -> str:
    """A person or an image, without the ending of images and without zeros before a number."""
    stem = name.rpartition(".")[0] if is_image_name(name) else name
    return stem.lstrip("0") or "0" if stem.isdecimal() else stem


PETA_RELEASE = Format(
    name="PETA, as released",
    layout="3DPeS/archive/, CAVIAR4REID/archive/, ..., each with images and Label.txt",
    follows="the ReadMe.txt of the release, and public readers of its Label.txt; no real copy was read",
    read=read,
    signs=tuple(f"{name}/" for name in _SETS),
    also=tuple(f"{name}/{_LABELS}" for name in _SETS),
)
