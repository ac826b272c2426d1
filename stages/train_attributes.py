"""Train the network of Task 1: twelve attributes, two cameras and junk from one image.

Writes the network, Table 1 of the paper for both sides of the split, 15 confusion matrices a side, the curves,
and the most and least confident images of every attribute (in MLflow).
"""

import harness  # isort: split

from bruna.dataset.tables import read_table
from bruna.pipeline.attributes import train_and_keep


def run(stage: harness.Stage) -> None:
    split = stage.artifacts / "split"
    metrics = train_and_keep(
        read_table(split / "train.parquet"),
        read_table(split / "validation.parquet"),
        stage.params,
        folder=stage.artifacts / "attributes",
        plots=stage.plots,
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
