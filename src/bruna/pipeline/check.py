"""What would stop the pipeline later, told before anything starts: settings, and the data set by its file names.

`bruna check`, and with it `make run`, and every stage call `check`. Of the images it opens the first few of each
folder, for their sizes; what all the pixels tell, the stage `validate` finds.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from bruna.dataset.facts import find_files, image_size
from bruna.dataset.filenames import MASK_PAIR
from bruna.errors import BrunaError, counted
from bruna.params import Params, read_groups
from bruna.runtime import find_device

_LOOKED_AT = 3
"""Images of each folder whose size is read."""
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
        try:
            files = find_files(data)
        except BrunaError as error:
            findings.append(str(error))
        else:
            for found in (
                _about_names(files, groups),
                _about_people(files, groups),
                _about_tests(files),
                _about_masks(files, groups),
                _about_sizes(data, files, groups),
                _about_memory(files, groups),
            ):
                findings += found
            if not (data / "annotations_train.csv").exists():
                findings.append(f"{data.name}/annotations_train.csv is missing: the attributes of every identity.")
    if findings:
        lines = "\n".join(f"  {finding}" for finding in findings)
        raise BrunaError(f"{counted(len(findings), 'findings')} would stop the pipeline:\n{lines}")
    return Params.model_validate(groups)


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
        trained_on = min(max(round(share * identities), 1), identities - 1)  # as the stage `split`
        if trained_on < 2:
            how = "raise it" if identities > 2 else "bring more identities"
            yield (
                f"split.train_share {share:g} leaves 1 of {identities} identities to train on, and a tuple of "
                f"train_bruna needs another person as a negative: {how}."
            )
    if train.groupby("identity")["camera"].nunique().max() < 2:
        yield (
            "no identity in train/ is seen by two cameras: under the Market-1501 protocol a query would have no match. "
            "The camera stands in the file's name (_c1, _c2)."
        )
    elsewhere = files[files["subset"].isin(["query", "gallery"]) & (files["identity"] > 0)]
    both = sorted(set(train["identity"]) & set(elsewhere["identity"]))
    if both:
        shown = ", ".join(f"{identity:04d}" for identity in both[:_SHOWN]) + (", ..." if len(both) > _SHOWN else "")
        yield f"{counted(len(both), 'identities')} of train/ also in query/ or gallery/: {shown}."


def _about_tests(files: pd.DataFrame) -> Iterator[str]:
    """Queries need something to be searched in, and a labelled one a match."""
    for queries, gallery in (("query", "gallery"), ("queries", "test")):
        found = files["subset"] == queries
        if found.any() and not (files["subset"] == gallery).any():
            yield f"{queries}/ holds {counted(int(found.sum()), 'images')} to seek in {gallery}/, which holds none."
    sets = {name: files[(files["subset"] == name) & (files["identity"] > 0)] for name in ("query", "gallery")}
    if all((files["subset"] == name).any() for name in sets):
        pairs = sets["query"][["identity", "camera"]].merge(sets["gallery"][["identity", "camera"]], on="identity")
        if not (pairs["camera_x"] != pairs["camera_y"]).any():
            yield "no image in query/ has a match in gallery/: the same identity, seen by another camera."


def _about_masks(files: pd.DataFrame, groups: Groups) -> Iterator[str]:
    """Mask pairs, where Bruna needs the U-Net that they train."""
    pairs = files[(files["subset"] == MASK_PAIR) & files["pair_problem"].isna() & files["name_problem"].isna()]
    if len(pairs) == 1:
        yield "masks/ holds 1 pair of image and mask; the U-Net needs 2 at least: to train on and to measure with."
    if len(pairs) == 0 and "train_bruna" in groups:
        asked = []
        if groups["train_bruna"].mask != "none":
            asked.append(f"train_bruna.mask is {groups['train_bruna'].mask} (set it to none)")
        if groups["train_bruna"].bottleneck:
            asked.append("train_bruna.bottleneck is true (set it to false)")
        if asked:
            yield (
                f"{' and '.join(asked)}, and masks/ holds no pairs of image and mask to train a U-Net on. "
                "`bruna import ... --masks` brings some."
            )


def _about_sizes(data: Path, files: pd.DataFrame, groups: Groups) -> Iterator[str]:
    """The first images of each folder against `validate.image_size`."""
    if "validate" not in groups or groups["validate"].image_size is None:
        return
    height, width = groups["validate"].image_size
    people = files[(files["subset"] != MASK_PAIR) & files["name_problem"].isna()]
    sizes = {path: image_size(data / path) for path in people.groupby("subset")["path"].head(_LOOKED_AT)}
    known = {path: size for path, size in sizes.items() if size is not None}
    other = {path: size for path, size in known.items() if size != (height, width)}
    # With `quarantine` an image of another size is set aside; without any left there is nothing to train on.
    if other and (groups["validate"].on_bad_image == "fail" or len(other) == len(known)):
        path, size = next(iter(other.items()))
        yield (
            f"validate.image_size is {height} x {width} (height x width), and {path} is {size[0]} x {size[1]}. Set it "
            f"to [{size[0]}, {size[1]}], or to null where sizes differ."
        )


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
