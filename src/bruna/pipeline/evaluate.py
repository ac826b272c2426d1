"""What `evaluate` leaves: figures of retrieval and attributes, the tables behind the pictures, the submissions."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from bruna.dataset.filenames import UNLABELLED_SUBSETS
from bruna.dataset.tables import read_table, write_table
from bruna.evaluation.attribute_tables import table1
from bruna.evaluation.browsed import Images, told_ranking, typical_halves
from bruna.evaluation.calibration import Calibrated
from bruna.evaluation.intervals import by_identity_table
from bruna.evaluation.labelled import LabelledImages, predicted_table
from bruna.evaluation.operating_points import operating_points
from bruna.evaluation.retrieval import (
    Retrieval,
    cmc_table,
    kept_images,
    nearest_unlabelled,
    per_query,
    shown_protocol,
)
from bruna.evaluation.submission import classification_csv, reid_text
from bruna.evaluation.warnings import discarded_warnings, retrieval_warnings
from bruna.files import whole_folder, write_json
from bruna.headlines import BY_IDENTITY
from bruna.inference.bruna import BrunaEmbedder
from bruna.inference.calibration import write_calibration
from bruna.inference.describer import Describer
from bruna.inference.explaining import write_typical
from bruna.inference.loading import load_settings
from bruna.metrics.baselines import attribute_warnings
from bruna.params import Evaluate
from bruna.pipeline.measured import SETS, measure_everything
from bruna.retrieval.protocols import MARKET1501
from bruna.tracking.protocol import Tracker


def evaluate_and_save(
    people: Describer, untrained: BrunaEmbedder | None, params: Evaluate, *, artifacts: Path, tracker: Tracker
) -> dict[str, Any]:
    """Measure the trained networks on everything the split left for it, and write all that the stage writes.

    What the data set did not allow to train is measured nowhere.

    Args:
        people: the trained networks.
        untrained: Bruna before its training, a baseline; None where it was not trained.
        params: the group `evaluate`.
        artifacts: the folder of all stages' outputs; this one's are `artifacts/evaluate`.
        tracker: the stage's run.

    Returns:
        The stage's figures: `validation`, `test` (where there is a labelled test set), `baselines`, `distractors`
        (where there are unlabelled images); `intervals` of the headline metrics of all stages; and `warnings` where one
        of them is no better than what needs no training.
    """
    found = measure_everything(people, untrained, params, artifacts)
    sets, metrics, calibrated = found.sets, found.figures, found.calibrated
    with whole_folder(artifacts / "evaluate") as folder:
        write_json(params.model_dump(mode="json"), folder / "settings.json")
        for name, ranked in sets.items():
            _table(per_query(ranked), f"queries_{name}", folder, tracker)
            cmc_table(ranked).to_csv(folder / f"cmc_{name}.csv", index=False)
            for side, images in _sides(name, ranked).items():
                how = params.attributes_from, params.attribute_neighbors
                write_table(predicted_table(images, *how), folder / f"predicted_{side}.parquet")
        for name, by_group in found.groups.items():
            _table(by_group.table, f"breakdown_{name}", folder, tracker)
        if sets:
            _rankings(people, sets, calibrated, artifacts, folder)
        write_table(by_identity_table(found.measures), folder / BY_IDENTITY)
        if calibrated is not None:
            _calibration_files(calibrated, folder, tracker)
        if people.attribute_network is not None:
            _attribute_tables(artifacts, folder, tracker)
        warnings = [*_warnings(sets, metrics, params), *_submissions(found.unlabelled, params, folder)]
    tracker.file(artifacts / "evaluate", "evaluate")
    return {**metrics, **({"warnings": warnings} if warnings else {})}


def _table(table: pd.DataFrame, name: str, folder: Path, tracker: Tracker) -> None:
    """Keep a table as a CSV file, and log it."""
    table.to_csv(folder / f"{name}.csv", index=False)
    tracker.table(table, f"tables/{name}.json")


def _sides(name: str, found: Retrieval) -> dict[str, LabelledImages]:
    """The images of a set, one table or two."""
    if found.query is found.gallery:
        return {name: found.query}
    return {f"{name}_query": found.query, f"{name}_gallery": found.gallery}


def _rankings(
    people: Describer, sets: Mapping[str, Retrieval], calibrated: Calibrated | None, artifacts: Path, folder: Path
) -> None:
    """The first images of every query, with what the page tells of them; and the mean image, for a search."""

    def images(side: str) -> Images:
        table = read_table(artifacts / "split" / f"{side}.parquet", ["path", "image"])
        return Images(table, read_table(artifacts / "segment" / f"{side}.parquet"))

    sides = {"validation": (images("validation"),) * 2}
    if "test" in sets:
        sides["test"] = images("test/query"), images("test/gallery")
    typical = typical_halves(people, sides["validation"][0])
    write_typical(typical, folder)
    calibration = calibrated.calibration if calibrated else None
    for name, found in sets.items():
        ranked = told_ranking(people, found, sides[name], typical, calibration)
        write_table(ranked, folder / f"ranked_{name}.parquet")


def _warnings(sets: Mapping[str, Retrieval], metrics: Mapping[str, Any], params: Evaluate) -> list[str]:
    """What the ranked sets and the predicted attributes do not beat."""
    baselines = {"untrained": "Bruna before its training", "histogram": "color histograms"}
    protocol = shown_protocol(sets["validation"].results).name if sets else MARKET1501.name
    below = {
        baselines[name]: figures[protocol]["map"]
        for name, figures in metrics.get("baselines", {}).items()
        if "map" in figures[protocol]
    }
    sentences = []
    for name, words in SETS.items():
        if name in sets:
            sentences += retrieval_warnings(sets[name], words, params, below if name == "validation" else {})
        attributes = metrics.get(name, {}).get("attributes_predicted", {})
        sentences += attribute_warnings(attributes.values(), f"attributes as predicted, {words}")
    return sentences


def _calibration_files(calibrated: Calibrated, folder: Path, tracker: Tracker) -> None:
    """The calibration that a search reads, and the tables behind the pictures of it."""
    write_calibration(calibrated.calibration, folder)
    tables = {"verification": calibrated.verification.curve(), "reliability": calibrated.reliability}
    for name, table in tables.items():
        _table(table, name, folder, tracker)


def _attribute_tables(artifacts: Path, folder: Path, tracker: Tracker) -> None:
    """Table 1 and the operating points, from the predictions that `train_attributes` kept."""
    sides = {
        side: read_table(artifacts / "train_attributes" / f"predictions_{side}.parquet")
        for side in ("train", "validation")
    }
    adjustment = load_settings(artifacts / "attributes")["params"]["logit_adjustment"]
    for name, table in (("table1", table1(sides)), ("operating_points", operating_points(sides, adjustment))):
        _table(table, name, folder, tracker)


def _submissions(unlabelled: Mapping[str, LabelledImages], params: Evaluate, folder: Path) -> list[str]:
    """`classification_test.csv` and `reid_test.txt` for the unlabelled images, where there are any.

    Returns:
        What is wrong with them, a sentence each.
    """

    def file_names(images: LabelledImages) -> list[str]:
        return [PurePosixPath(path).name for path in images.found.names]

    query, gallery = (unlabelled.get(name) for name in UNLABELLED_SUBSETS)
    if gallery is None:
        return []
    if gallery.found.schema:
        codes = gallery.found.attribute_codes(params.attributes_from, params.attribute_neighbors)
        text = classification_csv(file_names(gallery), codes.tolist(), gallery.found.schema)
        (folder / "classification_test.csv").write_text(text, encoding="utf-8")
    if query is None:
        return []
    nearest = nearest_unlabelled(query, gallery, params)
    text = reid_text(file_names(query), file_names(gallery), nearest.indices.tolist())
    (folder / "reid_test.txt").write_text(text, encoding="utf-8")
    kept = kept_images(gallery, params)
    return discarded_warnings(len(kept), int((~kept).sum()), "reid_test.txt", params)
