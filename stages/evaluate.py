"""Rank galleries and predict attributes, measure both, and write the figures, tables and submissions."""

import harness  # isort: split

from bruna.evaluation.verification import sentences
from bruna.files import write_json
from bruna.inference.bruna import BrunaEmbedder
from bruna.inference.describer import load
from bruna.inference.settings import Settings
from bruna.pipeline.evaluate import evaluate_and_save


def run(stage: harness.Stage) -> None:
    figures = evaluate_and_save(
        load(stage.artifacts, stage.device, settings=Settings.of(stage.params.model_dump())),
        BrunaEmbedder.load(stage.artifacts / "train_bruna" / "untrained", stage.device),
        stage.params,
        artifacts=stage.artifacts,
        tracker=stage.tracker,
    )
    write_json(figures, stage.figures_file, sort_keys=False)  # attributes in the order of their schema
    stage.finish(figures)
    if found := figures.get("validation", {}).get("verification"):
        print(*sentences(found), sep="\n")


if __name__ == "__main__":
    harness.main(__file__, __doc__, run)
