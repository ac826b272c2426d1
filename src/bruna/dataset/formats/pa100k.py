"""PA-100K: 100,000 images with 26 attributes each, in `annotation.mat`.

Its variables: `attributes` (A cells), and for train, val and test `*_images_name` (N cells) and `*_label` (N x A, 0 or
1). Test images become the gallery, the others are for training and validation. Its parts were made by tracklets, but
which images show one person is not published: the split of train/, by image, may have persons on both sides.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bruna.dataset.dataset_file import DatasetFile
from bruna.dataset.formats.attribute_sets import (
    attribute_names,
    attribute_set,
    images_by_name,
    no_yes,
    rows_of,
    texts,
    value_problems,
)
from bruna.dataset.formats.base import Format, refuse
from bruna.dataset.formats.mat import read_mat
from bruna.dataset.formats.source_files import Files

_NAMES = ("annotation.mat", "annotation/annotation.mat")
_FOLDERS = {"train": "train", "val": "train", "test": "gallery"}
"""Parts of the release, and their folder in the data set."""
_VARIABLES = ("attributes", *(f"{part}_{kind}" for part in _FOLDERS for kind in ("images_name", "label")))
_DATASET = DatasetFile(
    name="PA-100K",
    source="github.com/xh-liu/HydraPlus-Net (Liu et al. 2017); its train and val are in train/, its test in gallery/; "
    "which images show one person is not published",
    terms="none are published with it; its authors ask to be cited",
    identities=False,
    attributes_of="image",
)
_ADVICE = (
    "PA-100K is annotation.mat with its images in data/ (or release_data/), together in one folder or archive; "
    "github.com/xh-liu/HydraPlus-Net links to it."
)


def read(files: Files) -> Files:
    """Place the images that `annotation.mat` names, with their attributes."""
    at = next((name for name in _NAMES if name in files), None)
    if at is None:
        return {}
    source = files[at].source
    found = read_mat(files[at].read(), f"{source} ({at})", _ADVICE, *_VARIABLES)
    if not found:
        return {}  # the annotations of something else
    advice = f"They are in {at} of {source}. {_ADVICE}"
    refuse([f"there is no {name}" for name in _VARIABLES if name not in found], "missing variables", advice)
    attributes = texts(found["attributes"]) or []
    refuse([] if attributes else ["attributes holds no names"], "wrong variables", advice)
    parts = {part: _part(found, part, len(attributes)) for part in _FOLDERS}
    refuse([each for each in parts.values() if isinstance(each, str)], "wrong variables", advice)
    good = {part: each for part, each in parts.items() if not isinstance(each, str)}
    names = [name for its, _ in good.values() for name in its]
    values = np.concatenate([label for _, label in good.values()])
    paths = images_by_name(files, names)
    problems = [f"there is no image {name}" for name in names if name not in paths]
    twice = pd.Series(names, dtype=object).duplicated()
    problems += [f"{name} is named twice" for name, again in zip(names, twice, strict=True) if again]
    refuse(problems + value_problems(values, attributes, names), "problems", advice)
    places = [f"{_FOLDERS[part]}/{name}" for part, (its, _) in good.items() for name in its]
    table = pd.DataFrame(no_yes(values), columns=attribute_names(attributes))
    table.insert(0, "path", places, allow_duplicates=True)
    placed = {place: files[paths[name]] for place, name in zip(places, names, strict=True)}
    return attribute_set(placed, _DATASET, table, source, advice)


def _part(found: dict[str, Any], part: str, attributes: int) -> tuple[list[str], npt.NDArray[np.float64]] | str:
    """The names of N images and their N x A values; or what is wrong with them."""
    names, label = texts(found[f"{part}_images_name"]), rows_of(found[f"{part}_label"], attributes)
    if names is None:
        return f"{part}_images_name holds something else than names"
    if label is None or len(label) != len(names):
        shape = " x ".join(f"{size:,}" for size in _shape(found[f"{part}_label"]))
        return f"{part}_label has {shape or 'no'} values for {len(names):,} images x {attributes:,} attributes"
    return names, label


def _shape(value: Any) -> list[int]:
    """Lengths of nested lists, outer ones first."""
    return [len(value), *_shape(value[0])] if isinstance(value, list) and value else []


PA100K = Format(
    name="PA-100K",
    layout="annotation.mat with data/*.jpg, release_data/*.jpg or data/release_data/release_data/*.jpg",
    follows="github.com/valencebond/Rethinking_of_PAR, which reads annotation.mat; no real copy was read",
    read=read,
    signs=("annotation.mat", "annotation/"),
    also=_NAMES,
)
