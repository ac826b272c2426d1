"""What `evaluate` measures of the trained networks, before any of it is written."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from bruna.dataset.tables import read_table
from bruna.evaluation.attributes import all_figures
from bruna.evaluation.breakdown import Breakdown, breakdown
from bruna.evaluation.calibration import FEWEST_PEOPLE, Calibrated, calibrate_ranked
from bruna.evaluation.distractors import ADDED, among_distractors
from bruna.evaluation.intervals import Measured, attribute_measures, interval_figures
from bruna.evaluation.labelled import LabelledImages, describe_table, image_contents, true_codes
from bruna.evaluation.retrieval import Ranked, Retrieval, figures_of, histogram_ranking, retrieve, untrained_ranking
from bruna.headlines import INTERVALS
from bruna.inference.bruna import BrunaEmbedder
from bruna.inference.describer import Describer
from bruna.params import Evaluate
from bruna.pipeline.measures import headline_measures

SETS = {"validation": "validation identities", "test": "test set"}
"""What is measured, and what it is called."""


@dataclass(frozen=True, eq=False)
class Everything:
    """What was measured.

    Attributes:
        figures: of the stage, without its warnings.
        sets: the ranked ones, by the names of `SETS`; none without Bruna.
        calibrated: the distance, on the validation identities; None where too few people are seen twice.
        groups: by set, who is found less well; a set without cameras and attributes has none.
        measures: the headline metrics of all stages on every identity.
        unlabelled: the images of the folders that nobody is known in, by folder; none without Bruna.
    """

    figures: dict[str, Any]
    sets: Mapping[str, Retrieval]
    calibrated: Calibrated | None
    groups: Mapping[str, Breakdown]
    measures: Mapping[str, Measured]
    unlabelled: Mapping[str, LabelledImages]


def measure_everything(
    people: Describer, untrained: BrunaEmbedder | None, params: Evaluate, artifacts: Path
) -> Everything:
    """Measure the trained networks on everything the split left for it; what could not be trained is left out.

    Args:
        people: the trained networks.
        untrained: Bruna before its training, a baseline; None where it was not trained.
        params: the group `evaluate`.
        artifacts: the folder of all stages' outputs.
    """
    sets = _labelled_sets(people, params, artifacts) if people.bruna else {}
    figures: dict[str, Any] = {name: found.summary() for name, found in sets.items()}
    for name, found in sets.items():
        figures[name] |= all_figures(found.gallery.found, found.gallery.codes, params)
    baselines = {} if untrained is None else _baselines(people, untrained, sets["validation"], params, artifacts)
    if baselines:
        figures["baselines"] = {name: figures_of(ranking) for name, ranking in baselines.items()}
    unlabelled = _unlabelled(people, artifacts) if sets else {}
    distracted = among_distractors(sets["validation"], unlabelled, params) if sets else {}
    if distracted:
        figures["distractors"] = {name: ranked.summary() for name, ranked in distracted.items()}
    attributes: dict[str, dict[str, Measured]] = {}
    if people.bruna is None:
        alone, attributes = _attributes_alone(people, params, artifacts)
        figures |= alone
    calibrated = calibrate_ranked(sets["validation"], params, SETS["validation"]) if sets else None
    if sets:
        figures["validation"]["verification"] = calibrated.figures if calibrated else {"people_needed": FEWEST_PEOPLE}
    measures = headline_measures(artifacts, sets, attributes, baselines, distracted, params)
    figures[INTERVALS] = interval_figures(measures)
    groups = {name: by_group for name, found in sets.items() if (by_group := breakdown(found, params))}
    for name, by_group in groups.items():
        figures[name]["breakdown"] = by_group.facts()
    return Everything(figures, sets, calibrated, groups, measures, unlabelled)


def described_part(people: Describer, artifacts: Path, name: str) -> LabelledImages:
    """The images of a table of the stage `split`, e.g. `test/gallery`, with their masks of the stage `segment`."""
    table = read_table(artifacts / "split" / f"{name}.parquet")
    segments = read_table(artifacts / "segment" / f"{name}.parquet")
    return describe_table(people, table, segments, PurePosixPath(name).name)


def _labelled_sets(people: Describer, params: Evaluate, artifacts: Path) -> dict[str, Retrieval]:
    """The validation identities, every image both query and gallery; and the test set, if the data set has one."""
    images = described_part(people, artifacts, "validation")
    sets = {"validation": retrieve(images, images, params)}
    if all((artifacts / "split" / "test" / f"{part}.parquet").exists() for part in ("query", "gallery")):
        query, gallery = (described_part(people, artifacts, f"test/{part}") for part in ("query", "gallery"))
        sets["test"] = retrieve(query, gallery, params)
    return sets


def _unlabelled(people: Describer, artifacts: Path) -> dict[str, LabelledImages]:
    """The images of `queries/` and `test/`, where the data set has them; embedded once, and kept without `plain`."""
    found = {}
    for name in ADDED:
        if (artifacts / "split" / "test" / f"{name}.parquet").exists():
            images = described_part(people, artifacts, f"test/{name}")
            described = replace(images.found, plain=images.found.gallery)
            found[name] = replace(images, found=described, plain=images.gallery)
    return found


def _attributes_alone(
    people: Describer, params: Evaluate, artifacts: Path
) -> tuple[dict[str, Any], dict[str, dict[str, Measured]]]:
    """The attributes of the validation images and of the labelled test images, where there is no Bruna to rank by."""
    figures: dict[str, Any] = {"validation": {}}
    measures: dict[str, dict[str, Measured]] = {}
    if people.attribute_network is None:
        return figures, measures
    tables = {"validation": artifacts / "split" / "validation.parquet"}
    tables["test"] = artifacts / "split" / "test" / "gallery.parquet"
    for name, file in tables.items():
        if name == "validation" or file.exists():
            table = read_table(file)
            found = people.describe(
                list(table["image"]), names=list(table["path"]), masks=False, progress=f"describe {name}"
            )
            codes = true_codes(found, table)
            if measured := all_figures(found, codes, params):
                identities = table["identity"].to_numpy(np.int64)
                figures[name] = measured
                measures[name] = attribute_measures(found, identities, codes, image_contents(table), params)
    return figures, measures


def _baselines(
    people: Describer, untrained: BrunaEmbedder, validation: Retrieval, params: Evaluate, artifacts: Path
) -> dict[str, Ranked]:
    """What a network that has learned nothing, and colour alone, make of the validation identities."""
    alone = replace(people, unet=None, attribute_network=None, bruna=untrained)
    table = read_table(artifacts / "split" / "validation.parquet")
    segments = read_table(artifacts / "segment" / "validation.parquet")
    images = describe_table(alone, table, segments, "validation, untrained")
    return {
        "untrained": untrained_ranking(images, validation, params),
        "histogram": histogram_ranking(table, untrained.size, validation.kept),
    }
