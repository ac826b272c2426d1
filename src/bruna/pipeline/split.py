"""The `split` stage as one call: split the identities, measure the balance, pack the tables."""

from pathlib import Path

import numpy as np
import pandas as pd

from bruna.dataset.annotations import read_annotations
from bruna.dataset.balance import balance_table, split_summary
from bruna.dataset.packing import pack_tables
from bruna.dataset.splitting import split_identities
from bruna.params import Split


def split_dataset(
    folder: Path, manifest: pd.DataFrame, params: Split, out: Path
) -> tuple[pd.DataFrame, dict[str, object]]:
    """Split a validated data set and write its tables under `out`.

    Args:
        folder: the data set, with `annotations_train.csv` and perhaps `annotations_test.csv`.
        manifest: its accepted files, from the validation.
        params: shares and seed.
        out: where `train.parquet`, `validation.parquet`, `masks.parquet` and `test/` go.

    Returns:
        The balance table (for balance.csv) and the summary (its figures); the summary has the
        numbers of `balance.split_summary` and `rows`, the rows of each table.

    Raises:
        BrunaError: fewer than two identities, a file that changed since the validation, a full disk.
    """
    annotations = read_annotations(folder / "annotations_train.csv")
    labelled = manifest["identity"][manifest["subset"] == "train"].to_numpy()
    identities, images = np.unique(labelled, return_counts=True)
    codes = annotations.of(identities)
    train = split_identities(codes, train_share=params.train_share, seed=params.seed, images=images)
    test_file = folder / "annotations_test.csv"
    rows = pack_tables(
        folder,
        manifest,
        annotations,
        identities[train],
        out,
        mask_train_share=params.mask_train_share,
        seed=params.seed,
        test_annotations=read_annotations(test_file) if test_file.exists() else None,
    )
    balance = balance_table(codes, train, images, train_share=params.train_share)
    return balance, {**split_summary(balance, train, images), "rows": rows}
