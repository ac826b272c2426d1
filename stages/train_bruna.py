"""Train Bruna (Task 2, re-identification) against the adversary that picks its hard examples.

Writes both networks, the curves of every loss and distance (Figure 8 of the paper), and what the adversary picks
beside what a random draw gives (Figure 6).
"""

import harness  # isort: split

from bruna.dataset.tables import read_table
from bruna.inference.unet import load_unet
from bruna.pipeline.bruna import train_and_keep


def run(stage: harness.Stage) -> None:
    split, segment = stage.artifacts / "split", stage.artifacts / "segment"
    metrics = train_and_keep(
        (read_table(split / "train.parquet"), read_table(split / "validation.parquet")),
        (read_table(segment / "train.parquet"), read_table(segment / "validation.parquet")),
        stage.params,
        unet=unet[0] if (unet := load_unet(stage.artifacts / "unet", stage.device)) else None,
        folder=stage.artifacts / "bruna",
        plots=stage.plots,
        checkpoints=stage.checkpoints,
        tracker=stage.tracker,
        device=stage.device,
    )
    stage.finish(metrics)


if __name__ == "__main__":
    harness.main(__file__, __doc__, run)
