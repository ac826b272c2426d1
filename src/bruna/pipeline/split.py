"""The `split` stage as one call: split the identities, measure the balance, pack the tables."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from bruna.dataset.annotations import Annotations, read_annotations
from bruna.dataset.balance import balance_table, most_frequent, size_warnings, split_summary
from bruna.dataset.dataset_file import DatasetFile, read_dataset_file
from bruna.dataset.packing import pack_tables
from bruna.dataset.splitting import split_identities
from bruna.params import Split


class _Sides(NamedTuple):
    """The labelled images of a manifest and the two sides of their N people.

    `place`: the person on each image; `codes`, `images`: N x A attribute codes and the images of each person; `train`:
    N, True for training; `what`: the N are.
    """

    place: npt.NDArray[np.intp]
    codes: npt.NDArray[np.int64]
    images: npt.NDArray[np.intp]
    train: npt.NDArray[np.bool_]
    what: str


def split_dataset(
    folder: Path, manifest: pd.DataFrame, params: Split, out: Path
) -> tuple[pd.DataFrame, dict[str, object]]:
    """Split a validated data set and write its tables under `out`.

    Args:
        folder: the data set.
        manifest: its accepted files, from the validation.
        params: shares, seed, and which people are measured on.
        out: where `train.parquet`, `validation.parquet`, `masks.parquet` and `test/` go.

    Returns:
        The balance table (for balance.csv) and the summary (its figures); the summary has the
        numbers of `balance.split_summary`, `rows`, the rows of each table, and `warnings` where the sides have other
        sizes than asked, or development people stand in for the validation people.

    Raises:
        BrunaError: fewer than two identities (where nobody knows who is who: groups, or images), a file that changed
            since the validation, a full disk.
    """
    dataset = read_dataset_file(folder)
    annotations = read_annotations(folder, dataset)
    what = "identities" if dataset.identities else "groups of images" if dataset.group else "images"
    sides = _divide(manifest, dataset, annotations, params, what)
    warnings = []
    if params.measured_on == "development":
        left_out = ~sides.train
        manifest = manifest.drop(_labelled(manifest).index[left_out[sides.place]])
        sides = _divide(manifest, dataset, annotations, params, f"training {what}")
        warnings = [_on_development(int((~sides.train).sum()), int(left_out.sum()), what)]
    rows = pack_tables(
        folder,
        manifest,
        annotations,
        sides.train[sides.place],
        out,
        mask_train_share=params.mask_train_share,
        seed=params.seed,
    )
    balance = balance_table(
        sides.codes, annotations.attributes, sides.train, sides.images, train_share=params.train_share
    )
    summary = split_summary(balance, sides.train, sides.images)
    if not dataset.identities:
        summary = {name: value for name, value in summary.items() if "identit" not in name}
    warnings += size_warnings(balance, sides.train, params.train_share, sides.what)
    return balance, {**summary, "rows": rows, **({"warnings": warnings} if warnings else {})}


def _labelled(manifest: pd.DataFrame) -> pd.DataFrame:
    return manifest[manifest["subset"] == "train"]


def _divide(manifest: pd.DataFrame, dataset: DatasetFile, annotations: Annotations, params: Split, what: str) -> _Sides:
    """Split the people on the labelled images of a manifest."""
    labelled = _labelled(manifest)
    people = labelled["identity"].to_numpy() if dataset.identities else annotations.groups_of(labelled)
    _, place, images = np.unique(people, return_inverse=True, return_counts=True)
    codes = most_frequent(annotations.of(labelled), people, annotations.attributes)
    train = split_identities(
        codes, annotations.attributes, train_share=params.train_share, seed=params.seed, images=images, what=what
    )
    return _Sides(place, codes, images, train, what)


def _on_development(development: int, validation: int, what: str) -> str:
    """The warning beside every figure that is not of the validation people."""
    return (
        f"split.measured_on: development. What is called validation here are {development:,} development {what}, taken "
        f"from those that train; the {validation:,} validation {what} are in no table. Choose settings by these "
        "figures, and report those of split.measured_on: validation."
    )
