"""Train the U-Net that finds the person in an image, on pairs of image and mask.

Writes the network, loss and IoU of every epoch, and what it makes of the held-out pairs. A data set without mask
pairs gets settings.json with `trained: false`, and Bruna goes without masks.
"""

import harness  # isort: split

from bruna.dataset.tables import read_table
from bruna.files import write_json
from bruna.pipeline.train_unet import train_and_save


def run(stage: harness.Stage) -> None:
    figures = train_and_save(
        read_table(stage.artifacts / "split" / "masks.parquet"),
        stage.params,
        folder=stage.artifacts / "unet",
        records=stage.artifacts / "train_unet",
        checkpoints=stage.checkpoints,
        tracker=stage.tracker,
        device=stage.device,
        processes=stage.processes,
    )
    if figures is not None:  # the first process of a training has them
        write_json(figures, stage.figures_file)
        stage.finish(figures)


if __name__ == "__main__":
    harness.main(__file__, __doc__, run)
