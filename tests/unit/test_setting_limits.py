"""Every setting has limits, and what lies within them trains."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import BaseModel
from ruamel.yaml import YAML

from bruna.batches.seeds import step_generator
from bruna.batches.store import ImageStore
from bruna.errors import BrunaError
from bruna.params import Params, TrainAttributes, TrainUNet, parse_params, read_params
from bruna.processes import ALONE
from bruna.training.attribute_data import load_part
from bruna.training.attributes import _Recipe as AttributesRecipe
from bruna.training.identity_loss import NO_IDENTITY, identity_loss
from bruna.training.schedules import margin_of_epoch
from bruna.training.unet import Pairs
from bruna.training.unet import _Recipe as UNetRecipe
from person_table import mask_pairs, person_table

PARAMS = Path(__file__).parents[2] / "params.yaml"
RAW = YAML(typ="safe", pure=True).load(PARAMS.read_text())
CPU = torch.device("cpu")


def _numbers(group: type[BaseModel] = Params, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in group.model_fields.items():
        where = (*above, field.alias or name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _numbers(field.annotation, where)
        elif field.annotation in (int, float):
            yield where


def _with(where: tuple[str, ...], value: object) -> Any:
    raw = copy.deepcopy(RAW)
    group = raw
    for name in where[:-1]:
        group = group[name]
    group[where[-1]] = value
    return raw


@pytest.mark.parametrize("where", list(_numbers()), ids=".".join)
def test_every_number_has_limits(where: tuple[str, ...]) -> None:
    for value in (float("inf"), float("-inf"), float("nan"), -1, 2**70, 1e300, True, "1", None):
        with pytest.raises(BrunaError, match=rf"{'.'.join(where)}: found"):
            parse_params(_with(where, value), "params.yaml")


def test_the_numbers_are_all_found() -> None:
    found = {".".join(where) for where in _numbers()}
    assert {"split.seed", "train_bruna.augment.hue", "evaluate.rerank_lambda", "runtime.threads"} <= found
    assert len(found) > 80


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_a_seed_within_the_limits_is_taken_by_every_generator(seed: int) -> None:
    parse_params(_with(("split", "seed"), seed), "params.yaml")
    torch.manual_seed(seed)
    np.random.default_rng(seed)
    np.random.RandomState(seed)


def _accepted(group: str, **values: Any) -> Any:
    """A group with other values; None where they are refused."""
    params = getattr(read_params(PARAMS), group)
    augment = params.augment.model_dump() | {"pad": 3}
    try:
        return type(params).model_validate(params.model_dump() | {"augment": augment} | values)
    except ValueError as error:
        assert "to 3 or more" in str(error) or "is a single pixel" in str(error)
        return None


@pytest.mark.parametrize(("last_stride", "accepted"), [(2, {3}), (1, {1, 2, 3})])
def test_what_is_accepted_of_task_1_takes_all_steps(last_stride: int, accepted: set[int]) -> None:
    """Batch normalisation refuses a single image where its map is one pixel: also as an epoch's odd last one."""
    size = (16, 16)
    table = person_table(range(1, 8), 1, size)
    for batch_size in (1, 2, 3):
        for identity_weight in (0.0, 0.5):
            params: TrainAttributes | None = _accepted(
                "train_attributes",
                network="simple_cnn",
                image_size=size,
                last_stride=last_stride,
                batch_size=batch_size,
                identity_weight=identity_weight,
            )
            assert (params is not None) == (batch_size in ({3} if identity_weight else accepted))
            if params is not None:
                part = load_part(table, params, CPU)
                recipe = AttributesRecipe(part, part, params, CPU, ALONE)
                for step in range(recipe.steps(0)):
                    recipe.step(0, step, step_generator(0, "step", step))


def test_what_is_accepted_of_the_unet_takes_all_steps() -> None:
    for size, depth, accepted in (((16, 16), 4, False), ((32, 16), 4, True), ((16, 16), 3, True)):
        for batch_size in (1, 2):
            params: TrainUNet | None = _accepted(
                "train_unet", image_size=size, depth=depth, width=2, batch_size=batch_size
            )
            assert (params is not None) == accepted
            if params is not None:
                table = mask_pairs(size).head(1)
                paths = list(table["path"])
                masks = ImageStore.decode(list(table["mask"]), paths, size, kind="binary")
                pair = Pairs(ImageStore.decode(list(table["image"]), paths, size), masks, paths)
                UNetRecipe(pair, pair, params, CPU, ALONE).step(0, 0, step_generator(0, "step"))


def test_a_batch_without_anybody_teaches_no_identity() -> None:
    """A batch may be nothing but junk; the mean over no image is NaN."""
    logits = torch.rand(2, 3, requires_grad=True)
    loss = identity_loss(logits, torch.full((2,), NO_IDENTITY), 0.1)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0 and logits.grad is not None and not logits.grad.any()


def test_a_margin_grows_for_any_number_of_epochs() -> None:
    assert margin_of_epoch(99_999, 20.0, 1.1, 56.0) == 56.0


@pytest.mark.parametrize("cameras", [[], [1], [6, 2], list(range(1, 101))])
def test_any_cameras_may_be_told(cameras: list[int]) -> None:
    found = parse_params(_with(("train_attributes", "camera_classes"), cameras), "params.yaml")
    assert found.train_attributes.camera_classes == tuple(cameras)


@pytest.mark.parametrize(
    ("cameras", "says"),
    [
        ([0], "camera_classes.0: found 0"),
        ([4, -1], "camera_classes.1: found -1"),
        ([4, 2**31], f"camera_classes.1: found {2**31}"),
        ([4, 4.5], "camera_classes.1: found 4.5"),
        (["4"], "camera_classes.0: found '4'"),
        ([True], "camera_classes.0: found True"),
        (4, "camera_classes: found 4"),
        (None, "camera_classes: found None"),
        ("46", "camera_classes: found '46'"),
        (list(range(1, 102)), "camera_classes: found"),
        ([4, 6, 4], r"camera_classes \[4, 6, 4\] names a camera twice"),
    ],
)
def test_what_is_no_list_of_cameras_is_refused(cameras: object, says: str) -> None:
    with pytest.raises(BrunaError, match=says):
        parse_params(_with(("train_attributes", "camera_classes"), cameras), "params.yaml")
