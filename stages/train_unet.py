"""Train the U-Net that finds the person in an image, on pairs of image and mask.

Writes the network, IoU and loss of every epoch, and the held-out pairs it does best and worst on. A data set
without mask pairs gets settings.json with `trained: false`, and Bruna goes without masks.
"""

import harness  # isort: split

from bruna.dataset.tables import read_table
from bruna.pipeline.unet import train_and_keep


def run(stage: harness.Stage) -> None:
    metrics = train_and_keep(
        read_table(stage.artifacts / "split" / "masks.parquet"),
        stage.params,
        folder=stage.artifacts / "unet",
        plots=stage.plots,
        checkpoints=stage.checkpoints,
        tracker=stage.tracker,
        device=stage.device,
    )
    stage.finish(metrics)


if __name__ == "__main__":
    harness.main(__file__, __doc__, run)
