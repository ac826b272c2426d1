"""What would stop the pipeline later, told before anything starts: settings, and the data set by its file names.

`bruna check`, and with it `make run`, and every stage call `check`. Of the images it opens the first few of each
folder, for their sizes; what all the pixels tell, the stage `validate` finds.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from bruna.dataset.annotations import find_annotations
from bruna.dataset.dataset_file import DATASET, read_dataset_file
from bruna.dataset.facts import find_files
from bruna.dataset.filenames import MASK_PAIR
from bruna.dataset.splitting import training_size
from bruna.errors import BrunaError, counted
from bruna.params import Params, read_groups
from bruna.pipeline.misfits import misfits
from bruna.runtime import find_device

_SHOWN = 3
"""Names that a finding lists."""
_PRETRAINED = (
    ("train_attributes", "pretrained"),
    ("train_bruna", "pretrained"),
    ("train_bruna", "adversary_pretrained"),
)

Groups = Mapping[str, Any]
"""The groups of params.yaml that are without a mistake, by name."""


def check(params: Path, data: Path | None) -> Params:
    """Read params.yaml, and see whether it, the data set and this machine fit together.

    Args:
        params: the file.
        data: the data set folder; None leaves out what concerns it.

    Raises:
        BrunaError: they do not; everything that was found, a line each.
    """
    groups, problems = read_groups(params)
    findings = [f"{params.name}: {problem}" for problem in problems]
    findings += _about_machine(groups)
    if data is not None:
        findings += _about_data(data, groups)
    if findings:
        lines = "\n".join(f"  {finding}" for finding in findings)
        raise BrunaError(f"{counted(len(findings), 'findings')} would stop the pipeline:\n{lines}")
    return Params.model_validate(groups)


def _about_data(data: Path, groups: Groups) -> list[str]:
    """Everything that concerns the data set."""
    try:
        dataset = read_dataset_file(data)
        files = find_files(data, identities=dataset.identities)
        annotations = find_annotations(data)
    except BrunaError as error:
        return [str(error)]
    findings = []
    if dataset.attributes and annotations is None:
        findings.append(
            f"{DATASET} names {counted(len(dataset.attributes), 'attributes')}, and there is no annotations.csv with "
            "their values."
        )
    if not dataset.attributes and not dataset.identities:
        findings.append(f"{DATASET} names no attributes, and nobody knows who is who: there is nothing to learn.")
    findings += map(str, misfits(data, files, dataset, groups))
    for found in (
        _about_names(files, groups),
        _about_people(files, groups) if dataset.identities else _about_images(files),
        _about_tests(files) if dataset.identities else (),
        _about_masks(files),
        _about_memory(files, groups),
    ):
        findings += found
    return findings


def _about_machine(groups: Groups) -> Iterator[str]:
    """The device and the files of weights that are named."""
    device = groups["runtime"].device if "runtime" in groups else "auto"
    if device not in ("auto", "cpu"):
        try:
            find_device(device, "runtime.device")
        except BrunaError as error:
            yield str(error)
    for group, name in _PRETRAINED:
        source = getattr(groups[group], name) if group in groups else "none"
        if source not in ("none", "imagenet") and not _is_file(source):
            yield (
                f"{group}.{name}: there is no file {source} (looked in {Path.cwd()}). Give the path of a state dict, "
                "imagenet, or none."
            )


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except OSError:  # a name that is too long, a folder that may not be looked into
        return False


def _about_names(files: pd.DataFrame, groups: Groups) -> Iterator[str]:
    """Names that do not tell what they should, and halves of mask pairs."""
    wrong = files[files["name_problem"].notna()]
    yield from _listed(wrong, "name_problem", "unusable names")
    if "validate" in groups and groups["validate"].on_bad_image == "fail":
        halves = files[files["pair_problem"].notna()]
        yield from _listed(halves, "pair_problem", "incomplete mask pairs")


def _listed(rows: pd.DataFrame, column: str, what: str) -> Iterator[str]:
    if len(rows):
        shown = "; ".join(f"{path}: {problem}" for path, problem in rows[["path", column]].head(_SHOWN).to_numpy())
        more = f"; and {len(rows) - _SHOWN:,} more" if len(rows) > _SHOWN else ""
        yield f"the data set has {counted(len(rows), what)}: {shown}{more}."


def _about_people(files: pd.DataFrame, groups: Groups) -> Iterator[str]:
    """Whether the labelled images are enough to train on and to measure with."""
    train = files[(files["subset"] == "train") & (files["identity"] > 0)]
    identities = int(train["identity"].nunique())
    if identities < 2:
        yield f"train/ shows {counted(identities, 'identities')}; at least 2 are needed: to train and to validate on."
        return
    if "split" in groups:
        share = groups["split"].train_share
        trained_on, needed = training_size(identities, share), 3
        if groups["split"].measured_on == "development":
            trained_on, needed = training_size(trained_on, share), 4
        if trained_on < 2:
            how = "raise it" if identities >= needed else "bring more identities"
            yield (
                f"split.train_share {share:g} leaves {trained_on} of {identities} identities to train on, and a tuple "
                f"of train_bruna needs another person as a negative: {how}."
            )
    elsewhere = files[files["subset"].isin(["query", "gallery"]) & (files["identity"] > 0)]
    both = sorted(set(train["identity"]) & set(elsewhere["identity"]))
    if both:
        shown = ", ".join(f"{identity:04d}" for identity in both[:_SHOWN]) + (", ..." if len(both) > _SHOWN else "")
        yield f"{counted(len(both), 'identities')} of train/ also in query/ or gallery/: {shown}."


def _about_images(files: pd.DataFrame) -> Iterator[str]:
    """Whether there are images to train on and to measure with, where nobody knows who is who."""
    if (images := int((files["subset"] == "train").sum())) < 2:
        yield f"train/ holds {counted(images, 'images')}; at least 2 are needed: to train and to validate on."


def _about_tests(files: pd.DataFrame) -> Iterator[str]:
    """Queries need something to be searched in, and a labelled one a match."""
    for queries, gallery in (("query", "gallery"), ("queries", "test")):
        found = files["subset"] == queries
        if found.any() and not (files["subset"] == gallery).any():
            yield f"{queries}/ holds {counted(int(found.sum()), 'images')} to seek in {gallery}/, which holds none."
    sets = {name: files[(files["subset"] == name) & (files["identity"] > 0)] for name in ("query", "gallery")}
    both = all((files["subset"] == name).any() for name in sets)
    if both and not set(sets["query"]["identity"]) & set(sets["gallery"]["identity"]):
        yield "no image in query/ has a match in gallery/: an image of the same identity."


def _about_masks(files: pd.DataFrame) -> Iterator[str]:
    """Mask pairs: none, or enough."""
    pairs = files[(files["subset"] == MASK_PAIR) & files["pair_problem"].isna() & files["name_problem"].isna()]
    if len(pairs) == 1:
        yield "masks/ holds 1 pair of image and mask; the U-Net needs 2 at least: to train on and to measure with."


def _about_memory(files: pd.DataFrame, groups: Groups) -> Iterator[str]:
    """The images that a training holds in memory, as bytes, against this machine's memory."""
    people = int(((files["subset"] == "train") & (files["identity"] > 0)).sum())
    pairs = int((files["subset"] == MASK_PAIR).sum())
    memory = psutil.virtual_memory().total
    for group, images, channels in (
        ("train_unet", pairs, 4),
        ("train_attributes", people, 3),
        ("train_bruna", people, 3),
    ):
        if group in groups:
            height, width = groups[group].image_size
            if (needed := images * channels * height * width) > memory:
                yield (
                    f"{group}.image_size: {counted(images, 'images')} of {height} x {width} pixels take "
                    f"{needed / 1e9:,.0f} GB, and this machine has {memory / 1e9:,.0f} GB of memory: lower it."
                )
