"""Divide the identities into train and validation so that every attribute value is on both sides in proportion.

Packs the images of each side, the test images and the mask pairs into tables, and writes how even the split is.
"""

import harness  # isort: split

from bruna.dataset.packing import pack_tables
from bruna.dataset.splitting import split_dataset
from bruna.dataset.tables import read_table


def run(stage: harness.Stage) -> None:
    manifest = read_table(stage.artifacts / "validate" / "manifest.parquet")
    split = split_dataset(manifest, stage.data, stage.params)
    pack_tables(split, stage.data, stage.artifacts / "split")
    split.balance.to_csv(stage.plots / "balance.csv", index=False)
    stage.tracker.table(split.balance, "tables/balance.json")
    stage.finish(split.metrics)


if __name__ == "__main__":
    harness.main(__file__, __doc__, run)
