"""Rank galleries and predict attributes, measure both, and write the figures, tables and submissions."""

import harness  # isort: split

from bruna.inference.bruna import BrunaEmbedder
from bruna.inference.described import Settings
from bruna.inference.describer import load
from bruna.pipeline.evaluate import evaluate_and_save


def run(stage: harness.Stage) -> None:
    metrics = evaluate_and_save(
        load(stage.artifacts, stage.device, settings=Settings.of(stage.params.model_dump())),
        BrunaEmbedder.load(stage.artifacts / "train_bruna" / "untrained", stage.device),
        stage.params,
        artifacts=stage.artifacts,
        tracker=stage.tracker,
    )
    shown = ("map", "rank1", "rank5", "rank10", "minp")
    parts = [part for part in metrics if isinstance(metrics[part], dict)]
    names = [f"{p}/{q}/{k}" for p in parts for q in ("course", "market1501") for k in shown]
    for part in parts:
        names += [f"{part}/variants/{name}/market1501/map" for name in ("features_only", "no_flip", "reranked")]
    names += [f"{part}/attribute_means/attributes_answered/{key}" for part in parts for key in ("accuracy", "recall")]
    stage.finish(metrics, show=names)


if __name__ == "__main__":
    harness.main(__file__, __doc__, run)
