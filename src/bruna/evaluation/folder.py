"""Measuring trained models on a data set folder that the pipeline has not seen: `bruna evaluate FOLDER`."""

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from bruna.dataset.annotations import read_annotations
from bruna.dataset.filenames import LABELLED
from bruna.dataset.packing import write_images
from bruna.dataset.tables import read_table
from bruna.dataset.validation import validate_dataset
from bruna.errors import counted
from bruna.evaluation.attributes import all_figures
from bruna.evaluation.labelled import describe_table
from bruna.evaluation.retrieval import Retrieval, retrieve
from bruna.evaluation.warnings import retrieval_warnings
from bruna.inference.describer import load
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
        retrieval: every image of the folder's `train/` ranked against all others.
        table: their image table (`bruna.dataset.tables`).
    """

    figures: dict[str, Any]
    retrieval: Retrieval
    table: pd.DataFrame


def evaluate_folder(folder: Path, *, models: Path, params: Params, device: torch.device) -> MeasuredFolder:
    """Rank every image of the folder's `train/` against all others, and predict its attributes.

    Args:
        folder: a data set folder (docs/reference/data-set.md) whose identities are all new to the models.
        models: the pipeline's artifacts folder, with `unet`, `attributes` and `bruna`, and with `split` for what they
            were trained on.
        params: of the pipeline; the groups `validate` and `evaluate` are used.
        device: where to compute.

    Returns:
        The ranking, the image table, and these figures: `images`, `identities`, `images_trained_on` (how many of
        the images the models have seen in training; 0 where `split` is missing);
        `retrieval.<course|market1501>.<map|rank1|rank5|rank10|minp|queries|left_out>`, with the junk filter as
        the parameters say and below `retrieval.unfiltered` without it; the same below
        `retrieval.variants.<features_only|no_flip|reranked>` with that one thing changed; and
        `attributes_predicted.<name>.<accuracy|precision|balanced_accuracy|majority|chance>` for the twelve attributes
        as `evaluate.attributes_from` and `evaluate.attribute_neighbors` say, `attributes_task1` by Task 1's network
        alone, `attributes_bruna` by Bruna's attribute head alone, `attributes_both` by the mean of their
        probabilities; `attribute_means.<which of these>.<accuracy|balanced_accuracy>` of all of them. Only where there
        are some: `quarantined`, the damaged images of `train/` that are not measured (`path`, `reason`), as
        `validate.on_bad_image` allows; and `warnings`, sentences: what was not measured, what was trained on, what is
        below a baseline.

    Raises:
        BrunaError: the folder does not pass the validation, a model is missing, or no query has a match.
    """
    settings = params.evaluate
    people = load(models, device, settings=Settings.of(settings.model_dump()))
    found = validate_dataset(folder, params.validate_)
    annotations = read_annotations(folder / "annotations_train.csv")
    manifest = found.manifest
    with tempfile.TemporaryDirectory() as scratch:
        packed = Path(scratch) / "people.parquet"
        write_images(folder, manifest[manifest["subset"] == LABELLED[0]], annotations, packed)
        table = read_table(packed)
    images = describe_table(people, table, None, folder.name)
    ranked = retrieve(images, images, settings)
    figures = {
        "images": len(table),
        "identities": int(table["identity"].nunique()),
        "images_trained_on": _trained_on(table, models / "split" / "train.parquet"),
        "retrieval": ranked.summary(),
        **all_figures(images, settings),
    }
    if left_out := {path: why for path, why in found.quarantined.items() if path.startswith(f"{LABELLED[0]}/")}:
        figures["quarantined"] = [{"path": path, "reason": why} for path, why in left_out.items()]
    warnings = [
        *_left_out(left_out, len(table)),
        *_known(figures["images_trained_on"], len(table)),
        *retrieval_warnings(ranked, folder.name, settings),
        *attribute_warnings(figures.get("attributes_predicted", {}).values(), f"attributes, {folder.name}"),
    ]
    return MeasuredFolder(figures | ({"warnings": warnings} if warnings else {}), ranked, table)


def _left_out(reasons: Mapping[str, str], measured: int) -> list[str]:
    if not reasons:
        return []
    named = "; ".join(f"{path}: {why}" for path, why in list(reasons.items())[:_NAMED])
    more = f"; and {len(reasons) - _NAMED:,} more" if len(reasons) > _NAMED else ""
    return [
        f"{measured:,} of {counted(measured + len(reasons), 'images')} are measured, the others are damaged "
        f"(validate.on_bad_image: quarantine leaves them out): {named}{more}."
    ]


def _known(seen: int, measured: int) -> list[str]:
    if not seen:
        return []
    return [
        f"the models were trained on {seen:,} of {counted(measured, 'images')}: the figures say little about people "
        "whom they have never seen."
    ]


def _trained_on(table: pd.DataFrame, training: Path) -> int:
    """How many images of a table are, byte for byte, in the table of training images."""
    if not training.exists():
        return 0
    known = {_digest(image) for image in read_table(training, ["image"])["image"]}
    return sum(_digest(image) in known for image in table["image"])


def _digest(image: bytes) -> bytes:
    return hashlib.sha256(image).digest()
