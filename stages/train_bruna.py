"""Train Bruna (Task 2, re-identification) against the adversary that mines its hard negatives.

Writes both networks and Bruna before its training, the metrics of every epoch, and what the adversary mines.
"""

import harness  # isort: split

from bruna.dataset.tables import read_table
from bruna.files import write_json
from bruna.pipeline.train_bruna import train_and_save


def run(stage: harness.Stage) -> None:
    split, segment = stage.artifacts / "split", stage.artifacts / "segment"
    figures = train_and_save(
        (read_table(split / "train.parquet"), read_table(split / "validation.parquet")),
        (read_table(segment / "train.parquet"), read_table(segment / "validation.parquet")),
        stage.params,
        folder=stage.artifacts / "bruna",
        records=stage.artifacts / "train_bruna",
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
