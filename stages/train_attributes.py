"""Train the network of Task 1: the attributes, two cameras and junk from one image.

Writes the network, the metrics of every epoch, and its predictions for the images of both sides of the split.
"""

import harness  # isort: split

from bruna.dataset.tables import read_table
from bruna.files import write_json
from bruna.pipeline.train_attributes import train_and_save


def run(stage: harness.Stage) -> None:
    split = stage.artifacts / "split"
    figures = train_and_save(
        read_table(split / "train.parquet"),
        read_table(split / "validation.parquet"),
        stage.params,
        folder=stage.artifacts / "attributes",
        records=stage.artifacts / "train_attributes",
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
