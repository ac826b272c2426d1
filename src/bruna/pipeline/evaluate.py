"""What `evaluate` leaves: figures of retrieval and attributes, the tables behind the pictures, the submissions."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from bruna.dataset.tables import read_table, write_table
from bruna.evaluation.attribute_tables import table1
from bruna.evaluation.attributes import all_figures
from bruna.evaluation.calibration import FEWEST_PEOPLE, Calibrated, calibrate_ranked
from bruna.evaluation.labelled import LabelledImages, describe_table, true_codes
from bruna.evaluation.operating_points import operating_points
from bruna.evaluation.retrieval import (
    Retrieval,
    cmc_table,
    histogram_figures,
    kept_images,
    nearest_unlabelled,
    per_query,
    ranked_table,
    retrieve,
    shown_protocol,
    untrained_figures,
)
from bruna.evaluation.submission import classification_csv, reid_text
from bruna.evaluation.warnings import discarded_warnings, retrieval_warnings
from bruna.files import whole_folder, write_json
from bruna.inference.bruna import BrunaEmbedder
from bruna.inference.calibration import write_calibration
from bruna.inference.describer import Describer
from bruna.inference.loading import load_settings
from bruna.metrics.baselines import attribute_warnings
from bruna.params import Evaluate
from bruna.retrieval.protocols import MARKET1501
from bruna.tracking.protocol import Tracker

_SETS = {"validation": "validation identities", "test": "test set"}


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
        The stage's figures: `validation`, `test` (where there is a labelled test set), `baselines`; and `warnings`
        where one of them is no better than what needs no training.
    """
    sets = _labelled_sets(people, params, artifacts) if people.bruna else {}
    metrics: dict[str, Any] = {name: found.summary() for name, found in sets.items()}
    for name, found in sets.items():
        metrics[name] |= all_figures(found.gallery.found, found.gallery.codes, params)
    if untrained is not None:
        metrics["baselines"] = _baselines(people, untrained, sets["validation"], params, artifacts)
    if people.bruna is None:
        metrics |= _attributes_alone(people, params, artifacts)
    calibrated = calibrate_ranked(sets["validation"], params, _SETS["validation"]) if sets else None
    if sets:
        metrics["validation"]["verification"] = calibrated.figures if calibrated else {"people_needed": FEWEST_PEOPLE}
    with whole_folder(artifacts / "evaluate") as folder:
        write_json(params.model_dump(mode="json"), folder / "settings.json")
        for name, found in sets.items():
            table = per_query(found)
            table.to_csv(folder / f"queries_{name}.csv", index=False)
            tracker.table(table, f"tables/queries_{name}.json")
            cmc_table(found).to_csv(folder / f"cmc_{name}.csv", index=False)
            write_table(ranked_table(found), folder / f"ranked_{name}.parquet")
        if calibrated is not None:
            _calibration_files(calibrated, folder, tracker)
        if people.attribute_network is not None:
            _attribute_tables(artifacts, folder, tracker)
        warnings = [*_warnings(sets, metrics, params), *_submissions(people, params, artifacts, folder)]
    tracker.file(artifacts / "evaluate", "evaluate")
    return {**metrics, **({"warnings": warnings} if warnings else {})}


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
    for name, words in _SETS.items():
        if name in sets:
            sentences += retrieval_warnings(sets[name], words, params, below if name == "validation" else {})
        attributes = metrics.get(name, {}).get("attributes_predicted", {})
        sentences += attribute_warnings(attributes.values(), f"attributes as predicted, {words}")
    return sentences


def _described(people: Describer, artifacts: Path, name: str) -> LabelledImages:
    table = read_table(artifacts / "split" / f"{name}.parquet")
    segments = read_table(artifacts / "segment" / f"{name}.parquet")
    return describe_table(people, table, segments, PurePosixPath(name).name)


def _labelled_sets(people: Describer, params: Evaluate, artifacts: Path) -> dict[str, Retrieval]:
    """The validation identities, every image both query and gallery; and the test set, if the data set has one."""
    images = _described(people, artifacts, "validation")
    sets = {"validation": retrieve(images, images, params)}
    if all((artifacts / "split" / "test" / f"{part}.parquet").exists() for part in ("query", "gallery")):
        query, gallery = (_described(people, artifacts, f"test/{part}") for part in ("query", "gallery"))
        sets["test"] = retrieve(query, gallery, params)
    return sets


def _attributes_alone(people: Describer, params: Evaluate, artifacts: Path) -> dict[str, Any]:
    """The attributes of the validation images and of the labelled test images, where there is no Bruna to rank by."""
    figures: dict[str, Any] = {"validation": {}}
    if people.attribute_network is None:
        return figures
    tables = {"validation": artifacts / "split" / "validation.parquet"}
    tables["test"] = artifacts / "split" / "test" / "gallery.parquet"
    for name, file in tables.items():
        if name == "validation" or file.exists():
            table = read_table(file)
            found = people.describe(
                list(table["image"]), names=list(table["path"]), masks=False, progress=f"describe {name}"
            )
            if measured := all_figures(found, true_codes(found, table), params):
                figures[name] = measured
    return figures


def _baselines(
    people: Describer, untrained: BrunaEmbedder, validation: Retrieval, params: Evaluate, artifacts: Path
) -> dict[str, Any]:
    """What a network that has learned nothing, and colour alone, make of the validation identities."""
    alone = replace(people, unet=None, attribute_network=None, bruna=untrained)
    table = read_table(artifacts / "split" / "validation.parquet")
    segments = read_table(artifacts / "segment" / "validation.parquet")
    images = describe_table(alone, table, segments, "validation, untrained")
    return {
        "untrained": untrained_figures(images, validation, params),
        "histogram": histogram_figures(table, untrained.size, validation.kept),
    }


def _calibration_files(calibrated: Calibrated, folder: Path, tracker: Tracker) -> None:
    """The calibration that a search reads, and the tables behind the pictures of it."""
    write_calibration(calibrated.calibration, folder)
    tables = {"verification": calibrated.verification.curve(), "reliability": calibrated.reliability}
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
        tracker.table(table, f"tables/{name}.json")


def _attribute_tables(artifacts: Path, folder: Path, tracker: Tracker) -> None:
    """Table 1 and the operating points, from the predictions that `train_attributes` kept."""
    sides = {
        side: read_table(artifacts / "train_attributes" / f"predictions_{side}.parquet")
        for side in ("train", "validation")
    }
    adjustment = load_settings(artifacts / "attributes")["params"]["logit_adjustment"]
    for name, table in (("table1", table1(sides)), ("operating_points", operating_points(sides, adjustment))):
        table.to_csv(folder / f"{name}.csv", index=False)
        tracker.table(table, f"tables/{name}.json")


def _submissions(people: Describer, params: Evaluate, artifacts: Path, folder: Path) -> list[str]:
    """`classification_test.csv` and `reid_test.txt` for the unlabelled images, where there are any.

    Returns:
        What is wrong with them, a sentence each.
    """

    if people.bruna is None:
        return []

    def described(part: str) -> LabelledImages | None:
        there = (artifacts / "split" / "test" / f"{part}.parquet").exists()
        return _described(people, artifacts, f"test/{part}") if there else None

    def file_names(images: LabelledImages) -> list[str]:
        return [PurePosixPath(path).name for path in images.found.names]

    gallery = described("test")
    if gallery is None:
        return []
    if gallery.found.schema:
        codes = gallery.found.attribute_codes(params.attributes_from, params.attribute_neighbors)
        text = classification_csv(file_names(gallery), codes.tolist(), gallery.found.schema)
        (folder / "classification_test.csv").write_text(text, encoding="utf-8")
    query = described("queries")
    if query is None:
        return []
    nearest = nearest_unlabelled(query, gallery, params)
    text = reid_text(file_names(query), file_names(gallery), nearest.indices.tolist())
    (folder / "reid_test.txt").write_text(text, encoding="utf-8")
    kept = kept_images(gallery, params)
    return discarded_warnings(len(kept), int((~kept).sum()), "reid_test.txt", params)
