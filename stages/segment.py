"""Run the U-Net once over every image and keep its mask and pooled bottleneck, so that no training loop runs it."""

import harness  # isort: split

from bruna.files import write_json
from bruna.inference.unet import UNetSegmenter, segment_table


def run(stage: harness.Stage) -> None:
    unet = UNetSegmenter.load(stage.artifacts / "unet", stage.device)
    split, segment = stage.artifacts / "split", stage.artifacts / "segment"
    (segment / "test").mkdir(parents=True, exist_ok=True)
    tables = [split / "train.parquet", split / "validation.parquet", *sorted((split / "test").glob("*.parquet"))]
    images = sum(segment_table(p, segment / p.relative_to(split), unet, stage.params.batch_size) for p in tables)
    figures = {"images": images, "segmented": images if unet else 0}
    write_json(figures, stage.figures_file)
    stage.finish(figures)


if __name__ == "__main__":
    harness.main(__file__, __doc__, run)
