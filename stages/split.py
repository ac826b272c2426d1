"""Divide the identities into train and validation so that every attribute value is on both sides in proportion.

Packs the images of each side, the test images and the mask pairs into tables, and writes how even the split is.
"""

import harness  # isort: split

from bruna.dataset.tables import read_table
from bruna.files import whole_file, write_json
from bruna.pipeline.split import split_dataset


def run(stage: harness.Stage) -> None:
    manifest = read_table(stage.artifacts / "validate" / "manifest.parquet")
    balance, figures = split_dataset(stage.data, manifest, stage.params, stage.artifacts / "split")
    with whole_file(stage.artifacts / "split" / "balance.csv") as beside:
        balance.to_csv(beside, index=False)
    stage.tracker.table(balance, "tables/balance.json")
    write_json(figures, stage.figures_file)
    stage.finish(figures)


if __name__ == "__main__":
    harness.main(__file__, __doc__, run)
