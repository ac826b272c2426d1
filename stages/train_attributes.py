"""Train the network of Task 1: the attributes, two cameras and junk from one image.

Writes the network, the metrics of every epoch, and its predictions for the images of both sides of the split.
"""

import harness  # isort: split

from bruna.dataset.tables import read_table
from bruna.pipeline.train_attributes import train_and_save


def run(stage: harness.Stage) -> None:
    split = stage.artifacts / "split"
    metrics = train_and_save(
        read_table(split / "train.parquet"),
        read_table(split / "validation.parquet"),
        stage.params,
        folder=stage.artifacts / "attributes",
        records=stage.artifacts / "train_attributes",
        checkpoints=stage.checkpoints,
        tracker=stage.tracker,
        device=stage.device,
    )
    shown = ("accuracy", "precision", "recall", "majority")
    stage.finish(
        metrics, show=[f"{side}/{part}/{m}" for side in metrics for part in ("attributes", "overall") for m in shown]
    )


if __name__ == "__main__":
    harness.main(__file__, __doc__, run)
