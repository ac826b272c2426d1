"""Measuring trained models on a data set folder that the pipeline has not seen: `bruna evaluate FOLDER`."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from bruna.dataset.annotations import Annotations, read_annotations
from bruna.dataset.dataset_file import read_dataset_file
from bruna.dataset.packing import write_images
from bruna.dataset.tables import attribute_codes, read_table
from bruna.dataset.validation import validate_dataset, wide_warnings
from bruna.errors import BrunaError, counted
from bruna.evaluation.attributes import all_figures
from bruna.evaluation.breakdown import Breakdown, breakdown
from bruna.evaluation.browsed import Browsed, browse
from bruna.evaluation.calibration import FEWEST_PEOPLE, Calibrated, calibrate_ranked
from bruna.evaluation.common_attributes import with_schema_of
from bruna.evaluation.intervals import attribute_measures, interval_figures, set_measures
from bruna.evaluation.known import trained_on
from bruna.evaluation.labelled import describe_table, image_contents
from bruna.evaluation.retrieval import Retrieval, retrieve
from bruna.evaluation.warnings import retrieval_warnings
from bruna.headlines import INTERVALS
from bruna.inference.calibration import read_calibration
from bruna.inference.describer import load
from bruna.inference.engine import Engine, by_torch
from bruna.inference.explaining import read_typical
from bruna.inference.settings import Settings
from bruna.metrics.baselines import attribute_warnings
from bruna.params import Params

_NAMED = 10
"""Files that a warning names."""


@dataclass(frozen=True)
class MeasuredFolder:
    """What `evaluate_folder` found.

    Attributes:
        figures: all of them, nested; see `evaluate_folder`.
        retrieval: the gallery ranked for every query; None where nobody knows who is who.
        query, gallery: the image tables (`bruna.dataset.tables`); the same object where every image is both.
        calibrated: of the distance on these images; None where it is not asked for.
        browsed: what a page's browser shows; None where it is not asked for, or nothing was ranked.
        by_group: retrieval and false matches by camera and attribute; None where nothing tells groups apart.
    """

    figures: dict[str, Any]
    retrieval: Retrieval | None
    query: pd.DataFrame
    gallery: pd.DataFrame
    calibrated: Calibrated | None = None
    browsed: Browsed | None = None
    by_group: Breakdown | None = None


def evaluate_folder(
    folder: Path,
    *,
    models: Path,
    params: Params,
    device: torch.device,
    engine: Engine = by_torch,
    calibrate: bool = False,
    page: bool = False,
) -> MeasuredFolder:
    """Search a folder's `gallery/` for the images of its `query/`, and predict the attributes of the gallery.

    A folder that has not both is measured by its `train/`: each image is searched for among the others. Where nobody
    knows who is who, the attributes of `gallery/` are measured, or else those of `train/`.

    Args:
        folder: a data set folder (docs/reference/data-set.md) whose identities are all new to the models.
        models: the pipeline's artifacts folder, with `unet`, `attributes` and `bruna`, and with `split` and `validate`
            for what they were trained on.
        params: of the pipeline; the groups `validate` and `evaluate` are used.
        device: where to compute.
        engine: what runs the networks; what a page explains is always found by torch.
        calibrate: fit the probability of the same person to these images.
        page: find out what a page's browser of queries shows.

    Returns:
        The ranking, the image tables, and these figures: `images`, `identities`, `images_trained_on` and
        `identities_trained_on` (how many of them the models have seen in training, as `trained_on` says);
        `retrieval.<course|market1501>.<map|rank1|rank5|rank10|minp|queries|left_out>`, with the junk filter as
        the parameters say and below `retrieval.unfiltered` without it; the same below
        `retrieval.variants.<features_only|no_flip|reranked>` with that one thing changed; and
        `attributes_predicted.<name>.<accuracy|precision|balanced_accuracy|majority|chance>` for the attributes
        as `evaluate.attributes_from` and `evaluate.attribute_neighbors` say, `attributes_task1` by Task 1's network
        alone, `attributes_bruna` by Bruna's attribute head alone, `attributes_both` by the mean of their
        probabilities; `attribute_means.<which of these>.<accuracy|balanced_accuracy>` of all of them. What the models
        or the folder lack is left out. Only where there are some: `quarantined`, the damaged images that are not
        measured (`path`, `reason`), as `validate.on_bad_image` allows; `breakdown` (`Breakdown.facts`); and `warnings`,
        sentences: what was not measured, what was trained on, what is below a baseline. `intervals` as in the figures
        of the stage `evaluate`. With `calibrate` also `verification` (`bruna.evaluation.calibration.calibrate`).

    Raises:
        BrunaError: the folder does not pass the validation or has nothing to measure, a model is missing, or there
            are too few people to calibrate on.
    """
    settings = params.evaluate
    people = load(models, device, settings=Settings.of(settings.model_dump()))
    dataset = read_dataset_file(folder)
    if not dataset.identities and not dataset.attributes:
        raise BrunaError(
            f"{folder} has neither identities nor attributes: there is nothing to measure. `bruna attributes {folder}` "
            "tells what these people wear."
        )
    found = validate_dataset(folder, params.validate_)
    names = _measured(set(found.manifest["subset"]), identities=dataset.identities)
    annotations = read_annotations(folder, dataset)
    tables = {name: _table(folder, found.manifest, name, annotations) for name in dict.fromkeys(names)}
    tables, unlike = with_schema_of(tables, people.schema, folder.name)
    query, gallery = (tables[name] for name in names)
    every = pd.concat(tables.values())
    seen, known = trained_on(every, dataset, models)
    figures: dict[str, Any] = {
        "images": len(every),
        "identities": int(every["identity"][every["identity"] > 0].nunique()),
        **seen,
    }
    left_out = {path: why for path, why in found.quarantined.items() if path.partition("/")[0] in names}
    if left_out:
        figures["quarantined"] = [{"path": path, "reason": why} for path, why in left_out.items()]
    warnings = [
        *_left_out(left_out, len(every)),
        *known,
        *unlike,
        *wide_warnings(found.manifest[found.manifest["subset"].isin(names)]),
    ]
    ranked, calibrated, by_group, measures = None, None, None, {}
    if people.bruna is not None and dataset.identities:
        by = engine(people, len(every))
        images = {name: describe_table(by, table, None, f"{folder.name} {name}") for name, table in tables.items()}
        ranked = retrieve(images[names[0]], images[names[1]], settings)
        figures |= {"retrieval": ranked.summary(), **all_figures(ranked.gallery.found, ranked.gallery.codes, settings)}
        measures = set_measures(ranked, settings)
        if by_group := breakdown(ranked, settings):
            figures["breakdown"] = by_group.facts()
        warnings += retrieval_warnings(ranked, folder.name, settings)
        calibrated = calibrate_ranked(ranked, settings, folder.resolve().name) if calibrate else None
        if calibrated is not None:
            figures["verification"] = calibrated.figures
    elif people.schema:
        described = engine(people, len(gallery)).describe(
            list(gallery["image"]), names=list(gallery["path"]), masks=False, progress=f"describe {folder.name}"
        )
        codes, shown = attribute_codes(gallery), gallery["identity"].to_numpy(np.int64)
        figures |= all_figures(described, codes, settings)
        measures = attribute_measures(described, shown, codes, image_contents(gallery), settings)
    figures[INTERVALS] = interval_figures(measures)
    if calibrate and calibrated is None:
        raise BrunaError(
            f"{folder} has nothing to calibrate on: fewer than {FEWEST_PEOPLE} people are seen by two cameras, or, "
            "where no camera is known, in two images. Bring more labelled images, or leave out --calibrate."
        )
    if calibrate and seen.get("identities_trained_on"):
        warnings.append(
            "the calibration rests on people that the models were trained on too, whose images lie nearer together "
            "than those of others: its thresholds promise too much."
        )
    warnings += attribute_warnings(figures.get("attributes_predicted", {}).values(), f"attributes, {folder.name}")
    browsed = None
    if page and ranked is not None:
        calibration = calibrated.calibration if calibrated else read_calibration(models / "evaluate")
        typical = read_typical(models / "evaluate")
        browsed = browse(people, ranked, (query, gallery), typical, calibration, settings)
    figures |= {"warnings": warnings} if warnings else {}
    return MeasuredFolder(figures, ranked, query, gallery, calibrated, browsed, by_group)


def _measured(subsets: set[str], *, identities: bool) -> tuple[str, str]:
    """The subsets of queries and gallery; of nobody known, the one whose attributes are measured, twice."""
    if not identities:
        return ("gallery", "gallery") if "gallery" in subsets else ("train", "train")
    return ("query", "gallery") if {"query", "gallery"} <= subsets else ("train", "train")


def _table(folder: Path, manifest: pd.DataFrame, subset: str, annotations: Annotations) -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as scratch:
        packed = Path(scratch) / f"{subset}.parquet"
        write_images(folder, manifest[manifest["subset"] == subset], annotations, packed)
        return read_table(packed)


def _left_out(reasons: Mapping[str, str], measured: int) -> list[str]:
    if not reasons:
        return []
    named = "; ".join(f"{path}: {why}" for path, why in list(reasons.items())[:_NAMED])
    more = f"; and {len(reasons) - _NAMED:,} more" if len(reasons) > _NAMED else ""
    return [
        f"{measured:,} of {counted(measured + len(reasons), 'images')} are measured, the others are damaged "
        f"(validate.on_bad_image: quarantine leaves them out): {named}{more}."
    ]
