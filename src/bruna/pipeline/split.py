"""The `split` stage as one call: split the identities, measure the balance, pack the tables."""

from pathlib import Path

import numpy as np
import pandas as pd

from bruna.dataset.annotations import read_annotations
from bruna.dataset.balance import balance_table, most_frequent, size_warnings, split_summary
from bruna.dataset.dataset_file import read_dataset_file
from bruna.dataset.packing import pack_tables
from bruna.dataset.splitting import split_identities
from bruna.params import Split


def split_dataset(
    folder: Path, manifest: pd.DataFrame, params: Split, out: Path
) -> tuple[pd.DataFrame, dict[str, object]]:
    """Split a validated data set and write its tables under `out`.

    Args:
        folder: the data set.
        manifest: its accepted files, from the validation.
        params: shares and seed.
        out: where `train.parquet`, `validation.parquet`, `masks.parquet` and `test/` go.

    Returns:
        The balance table (for balance.csv) and the summary (its figures); the summary has the
        numbers of `balance.split_summary`, `rows`, the rows of each table, and `warnings` where the sides have other
        sizes than asked.

    Raises:
        BrunaError: fewer than two identities (where nobody knows who is who: groups, or images), a file that changed
            since the validation, a full disk.
    """
    dataset = read_dataset_file(folder)
    annotations = read_annotations(folder, dataset)
    attributes = annotations.attributes
    labelled = manifest[manifest["subset"] == "train"]
    people = labelled["identity"].to_numpy() if dataset.identities else annotations.groups_of(labelled)
    _, place, images = np.unique(people, return_inverse=True, return_counts=True)
    codes = most_frequent(annotations.of(labelled), people, attributes)
    what = "identities" if dataset.identities else "groups of images" if dataset.group else "images"
    train = split_identities(
        codes, attributes, train_share=params.train_share, seed=params.seed, images=images, what=what
    )
    rows = pack_tables(
        folder,
        manifest,
        annotations,
        train[place],
        out,
        mask_train_share=params.mask_train_share,
        seed=params.seed,
    )
    balance = balance_table(codes, attributes, train, images, train_share=params.train_share)
    summary = split_summary(balance, train, images)
    if not dataset.identities:
        summary = {name: value for name, value in summary.items() if "identit" not in name}
    forced = size_warnings(balance, train, params.train_share, what)
    return balance, {**summary, "rows": rows, **({"warnings": forced} if forced else {})}
