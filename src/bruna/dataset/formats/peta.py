"""PETA: 19,000 images of ten data sets with 105 two-valued attributes, in `PETA.mat`; also as it was released.

The struct `peta` has `attribute` (A cells) and `data`, N x (4 + A): number of the image, person, data set, person
within the data set, then 0 or 1 for each attribute.

All images are for training: the five random splits of `PETA.mat` share persons. Here the split keeps the images of a
person on one side. All attributes are taken as published, with rare ones and all colors, of which several may hold;
publications mostly compare 35 of them.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from bruna.dataset.dataset_file import DatasetFile
from bruna.dataset.formats.attribute_sets import (
    PERSON,
    attribute_names,
    attribute_set,
    images_by_name,
    no_yes,
    rows_of,
    texts,
    value_problems,
)
from bruna.dataset.formats.base import LARGEST, Format, refuse
from bruna.dataset.formats.mat import read_mat
from bruna.dataset.formats.source_files import Files
from bruna.errors import BrunaError

_MAT = "PETA.mat"
_FIRST = 4
"""Columns of `data` before the attributes."""
PAGE = "mmlab.ie.cuhk.edu.hk/projects/PETA.html has the release, whose folders can be given instead of PETA.mat."
DATASET = DatasetFile(
    name="PETA",
    source="mmlab.ie.cuhk.edu.hk/projects/PETA.html (Deng et al. 2014); all images are in train/, as its published "
    "splits share persons",
    terms="research purposes only, not to be used commercially",
    identities=False,
    attributes_of="image",
    group=PERSON,
)


def read(files: Files) -> Files:
    """Place the images that `PETA.mat` numbers, with their attributes and persons."""
    source = files[_MAT].source
    advice = f"They are in {_MAT} of {source}; its images are 00001.png and on, in images/. {PAGE}"
    peta = read_mat(files[_MAT].read(), f"{source} ({_MAT})", PAGE, "peta").get("peta")
    parts = peta if isinstance(peta, dict) else {}
    refuse([f"there is no peta.{name}" for name in ("attribute", "data") if name not in parts], "problems", advice)
    names = texts(parts["attribute"]) or []
    data = rows_of(parts["data"], _FIRST + len(names)) if names else None
    if data is None or not len(data):
        raise BrunaError(
            f"{source}: peta.data of {_MAT} is no matrix of {_FIRST} + {len(names)} columns for {len(names)} names "
            f"in peta.attribute. {PAGE}"
        )
    images = [f"{number:05d}.png" for number in range(1, len(data) + 1)]
    paths = images_by_name(files, images)
    problems = [f"there is no image {image}" for image in images if image not in paths]
    problems += _number_problems(data[:, :_FIRST]) + value_problems(data[:, _FIRST:], names, images)
    refuse(problems, "problems", advice)
    table = pd.DataFrame(no_yes(data[:, _FIRST:]), columns=attribute_names(names))
    table.insert(0, "path", [f"train/{image}" for image in images], allow_duplicates=True)
    table.insert(len(table.columns), PERSON, data[:, 1].astype(np.int64).astype(str), allow_duplicates=True)
    placed = {f"train/{image}": files[path] for image, path in paths.items()}
    return attribute_set(placed, DATASET, table, source, advice)


def _number_problems(numbers: npt.NDArray[np.float64]) -> list[str]:
    """What is wrong in the first columns: a person with two numbers would be on both sides of the split."""
    if not ((numbers == numbers.round()) & (numbers >= 0) & (numbers < LARGEST)).all():
        return [f"the first {_FIRST} columns of peta.data hold other values than whole numbers"]
    problems = []
    first: dict[tuple[float, float], float] = {}
    for row, (image, person, dataset, number) in enumerate(numbers, start=1):
        if image != row:
            problems.append(f"row {row} of peta.data is of image {image:.0f}")
        if (other := first.setdefault((dataset, number), person)) != person:
            problems.append(
                f"row {row} of peta.data is of person {person:.0f}, but person {number:.0f} of data set {dataset:.0f} "
                f"was {other:.0f} before"
            )
    return problems


PETA = Format(
    name="PETA",
    layout="PETA.mat with images/00001.png, ...",
    follows="the readers of github dangweili/pedestrian-attribute-recognition-pytorch and "
    "valencebond/Rethinking_of_PAR; the first columns as davidygp/Pedestrian-Attribute-Recognition writes them; no "
    "real copy was read",
    read=read,
    signs=(_MAT,),
)
