"""Rank galleries, measure mAP, CMC and mINP under each protocol, and write submissions and the report page."""

import harness  # isort: split

from bruna.files import read_json
from bruna.inference.describe import Models
from bruna.pipeline.evaluate import evaluate_and_keep


def run(stage: harness.Stage) -> None:
    metrics = evaluate_and_keep(
        Models.load(stage.artifacts, stage.device),
        stage.params,
        untrained=read_json(stage.project / "metrics" / "train_bruna.json")["untrained"],
        artifacts=stage.artifacts,
        plots=stage.plots,
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
