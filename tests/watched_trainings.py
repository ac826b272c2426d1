"""Small trainings looked at from inside: what a step does under some settings, as numbers that can be worked by hand.

A look takes settings by name, builds the recipe that a training hands to the epoch loop, and mostly takes a step.
"""

import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision.transforms.v2.functional as TF
from torch import Tensor, nn
from torch.nn import functional as F

from bruna.batches.augment import Augmenter, Draws
from bruna.batches.seeds import derived_seed, step_generator
from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.schema import logit_slices
from bruna.dataset.tables import attribute_columns
from bruna.models.backbones import Backbone
from bruna.models.normalize import Normalize
from bruna.params import Augment, Params, read_params
from bruna.processes import ALONE, Processes
from bruna.runtime import prepare_torch
from bruna.tracking.protocol import NullTracker
from bruna.training import attributes, loop, unet
from bruna.training import bruna as bruna_training
from bruna.training.checkpoint import Checkpoints
from course_schema import NAMES
from person_table import encoded, mask_pairs, person_table

CPU = torch.device("cpu")
SIZE = (32, 16)
STILL: dict[str, Any] = dict.fromkeys(Augment.model_fields, 0.0) | {"pad": 0}
MANY = 10_000
PEOPLE, EACH = 6, 4
BAG, HAT = NAMES.index("bag"), NAMES.index("hat")
PLAIN: dict[str, dict[str, Any]] = {  # small, and with as little beside the looked-at setting as can be
    "train_unet": {"image_size": SIZE, "width": 2, "depth": 2, "epochs": 4, "batch_size": 8},
    "train_attributes": {
        "network": "simple_cnn",
        "image_size": SIZE,
        "epochs": 4,
        "batch_size": PEOPLE * EACH,
        "schedule": "constant",
        "ema_decay": 0.0,
        "junk_share": 0.0,
        "weak_share": 0.0,
        "label_smoothing": 0.0,
        "logit_adjustment": 0.0,
    },
    "train_bruna": {
        "image_size": SIZE,
        "features": 16,
        "mask": "none",
        "bottleneck": False,
        "dropout": 0.0,
        "epochs": 4,
        "tuples_per_identity": 1,
        "batch_tuples": 2,
        "schedule": "constant",
        "warmup_epochs": 0,
        "grad_clip": 0.0,
        "margin": 100.0,
        "margin_growth": 1.5,
        "margin_max": 1000.0,
    },
}


class _CaughtError(Exception):
    def __init__(self, recipe: Any) -> None:
        self.recipe = recipe


@cache
def settings_of_the_project() -> Params:
    return read_params(Path(__file__).parents[1] / "params.yaml")


@cache
def _tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two sides of the split. Of the first, identity 3 alone wears a hat and identities 1 to 3 carry a bag."""
    train, validation = person_table(range(1, PEOPLE + 1), EACH, SIZE), person_table(range(7, 9), 2, SIZE)
    codes = np.zeros((len(train), len(ATTRIBUTES)), np.int64)
    codes[:, HAT] = train["identity"] == 3
    codes[:, BAG] = train["identity"] <= 3
    train = train.assign(**attribute_columns(codes, ATTRIBUTES))
    return train, validation


@cache
def _segments() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Masks that show the upper half of every image, and bottlenecks of five numbers."""
    mask = np.zeros(SIZE, np.uint8)
    mask[: SIZE[0] // 2] = 255
    kept = {"mask": encoded(mask, "PNG"), "bottleneck": np.arange(5.0)}
    train, validation = (table["path"].to_frame() for table in _tables())
    return tuple(
        paths.assign(**{name: [value] * len(paths) for name, value in kept.items()}) for paths in (train, validation)
    )  # type: ignore[return-value]


def _group(name: str, settings: dict[str, Any]) -> Any:
    settings = PLAIN[name] | settings
    augment = Augment(**(STILL | settings.pop("augment", {})))
    return getattr(settings_of_the_project(), name).model_copy(update={**settings, "augment": augment})


def _training(name: str, settings: dict[str, Any], processes: Processes) -> Any:
    params = _group(name, settings)
    shared: dict[str, Any] = {"tracker": NullTracker(), "checkpoints": Checkpoints(None), "device": CPU}
    shared["processes"] = processes
    if name == "train_unet":
        return unet.train_unet(mask_pairs(SIZE), params, **shared)
    if name == "train_attributes":
        return attributes.train_attributes(*_tables(), params, **shared)
    return bruna_training.train_bruna(*_tables(), _segments(), params, **shared)


def recipe_of(name: str, processes: Processes = ALONE, **settings: Any) -> Any:
    """The recipe that a training with these settings hands to the epoch loop."""

    def caught(recipe: Any, **_: Any) -> None:
        raise _CaughtError(recipe)

    module = {"train_unet": unet, "train_attributes": attributes, "train_bruna": bruna_training}[name]
    prepare_torch("cpu", 1)
    with patch.object(module, "run", caught), pytest.raises(_CaughtError) as found:
        _training(name, settings, processes)
    return found.value.recipe


def step(recipe: Any, epoch: int = 0, number: int = 0) -> dict[str, float]:
    """Take a step with the loop's own draws; the losses it tells of."""
    torch.manual_seed(0)
    losses = recipe.step(epoch, number, step_generator(recipe.seed, recipe.name, epoch, number))
    return {name: float(value) for name, value in losses.items()}


def network(recipe: Any) -> nn.Module:
    found: nn.Module = recipe.bruna if recipe.name == "train_bruna" else recipe.model
    return found


@contextmanager
def passing(module: nn.Module) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Collects what goes into a module and what comes out."""
    passed: list[tuple[Tensor, Tensor]] = []
    handle = module.register_forward_hook(lambda _, given, made: passed.append((given[0].detach().clone(), made)))
    yield passed
    handle.remove()


def shown(name: str, number: int = 0, **settings: Any) -> Tensor:
    """The images that the network sees in a step, 0 to 1."""
    recipe = recipe_of(name, **settings)
    first = next(part for part in network(recipe).modules() if isinstance(part, Normalize))
    with passing(first) as passed:
        step(recipe, 0, number)
    return passed[0][0]


_still = cache(shown)


def taken(name: str, part: str, **settings: Any) -> tuple[int, ...]:
    """The shape of what a part of the network takes in in a step."""
    recipe = recipe_of(name, **settings)
    with passing(network(recipe).get_submodule(part)) as passed:
        step(recipe)
    return tuple(passed[0][0].shape)


def made(name: str, part: str, **settings: Any) -> tuple[int, ...]:
    """The shape of what a part of the network makes of it."""
    recipe = recipe_of(name, **settings)
    with passing(network(recipe).get_submodule(part)) as passed:
        step(recipe)
    return tuple(passed[0][1].shape)


def moved(recipe: Any, **modules: nn.Module) -> dict[str, float]:
    """How far the weights of modules go in a first step: Adam takes each as far as its learning rate, up or down."""
    before = {name: [p.detach().clone() for p in module.parameters()] for name, module in modules.items()}
    step(recipe)
    return {
        name: max(
            float((p.detach() - old).abs().max()) for p, old in zip(module.parameters(), before[name], strict=True)
        )
        for name, module in modules.items()
    }


def decays(name: str, part: str, **settings: Any) -> bool:
    """Whether all weights of a part go towards zero, as they do where the weight decay outweighs every gradient."""
    recipe = recipe_of(name, **settings)
    weight: Tensor = network(recipe).get_parameter(part)
    before = weight.detach().clone()
    step(recipe)
    return bool(((weight.detach() - before).sign() == -before.sign()).all())


def rates(name: str, **settings: Any) -> list[float]:
    """By how much every learning rate is multiplied in the first step of each of four epochs."""
    recipe = recipe_of(name, **settings)
    optimizers = [value for value in vars(recipe).values() if isinstance(value, torch.optim.Optimizer)]
    assert len(optimizers) == (2 if name == "train_bruna" else 1)
    found = []
    for epoch in range(4):
        step(recipe, epoch)
        factors = {group["lr"] / group["base_lr"] for each in optimizers for group in each.param_groups}
        assert max(factors) == pytest.approx(min(factors))
        found.append(factors.pop())
    return found


def same_draws(name: str, **settings: Any) -> list[bool]:
    """Whether initial weights, the images of a step, and its random changes are those of seed 0."""

    def seen(recipe: Any) -> list[Any]:
        weights = torch.cat([p.detach().flatten() for p in network(recipe).parameters()])
        first = next(part for part in network(recipe).modules() if isinstance(part, Normalize))
        with passing(first) as passed:
            step(recipe)
        drawn = []

        def looked(epoch: int, number: int, generator: torch.Generator) -> dict[str, Tensor]:
            drawn.append((generator.initial_seed(), torch.initial_seed()))
            return {"loss": torch.ones(())}

        with patch.object(recipe, "step", looked), patch.object(recipe, "end_epoch", lambda _: {}):
            loop.run(recipe, checkpoints=Checkpoints(None), tracker=NullTracker(), unit="", per_step=1)
        assert drawn[0][0] == derived_seed(recipe.seed, name, 0, 0)
        assert len(set(drawn)) == len({d for _, d in drawn}) == 4 * recipe.steps(0)  # every step has draws of its own
        return [weights, passed[0][0], torch.tensor(drawn)]

    pairs = zip(seen(recipe_of(name, seed=0)), seen(recipe_of(name, **settings)), strict=True)
    return [torch.equal(first, second) for first, second in pairs]


def starts_from_file(name: str, built: str, **settings: Any) -> bool:
    """Whether a network's backbone, and no other, starts from the weights of a file, where a file is given."""
    torch.manual_seed(1)
    given = Backbone(built).state_dict()
    (setting,) = settings
    with tempfile.TemporaryDirectory() as folder:
        torch.save(given, Path(folder) / "weights.pth")
        source = settings[setting].replace("FILE", f"{folder}/weights.pth")
        recipe = recipe_of(name, **{setting: source})
    networks = {"pretrained": network(recipe), "adversary_pretrained": getattr(recipe, "adversary", None)}
    found = {
        other: all(torch.equal(value, part.backbone.state_dict()[key]) for key, value in given.items())
        for other, part in networks.items()
        if part is not None
    }
    own = found.pop(setting)
    assert not any(found.values())
    return own


def changed(name: str, **settings: Any) -> str:
    """What became of the images of a step, each with the draw that the augmenter made for it."""
    ((key, value),) = settings["augment"].items()
    still, found = _still(name), shown(name, **settings)
    if torch.allclose(found, still, atol=1e-6):
        return "nothing"
    generator = step_generator(settings_of_the_project().group(name).seed, name, 0, 0)
    draws = Augmenter(Augment(**(STILL | {key: value}))).draw(len(still), *SIZE, generator)
    wanted = torch.stack([CHANGES[key](image, draws, i, value) for i, image in enumerate(still)])
    return "torchvision's" if torch.allclose(found, wanted, atol=2e-4) else "something else"


def _cropped(image: Tensor, draws: Draws, i: int, pad: int) -> Tensor:
    return torch.as_tensor(TF.crop(TF.pad(image, [pad], padding_mode="reflect"), *draws.shift[i].tolist(), *SIZE))


def _equalized(image: Tensor, draws: Draws, i: int, _: float) -> Tensor:
    return TF.equalize((image * 255).round().to(torch.uint8)).float() / 255 if draws.equalize[i] else image


def _erased(image: Tensor, draws: Draws, i: int, _: float) -> Tensor:
    color = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    return torch.as_tensor(TF.erase(image, *draws.box[i].tolist(), color))


CHANGES: dict[str, Callable[[Tensor, Draws, int, Any], Tensor]] = {
    "pad": _cropped,
    "brightness": lambda image, draws, i, _: TF.adjust_brightness(image, float(draws.factors[i, 0])),
    "contrast": lambda image, draws, i, _: TF.adjust_contrast(image, float(draws.factors[i, 1])),
    "saturation": lambda image, draws, i, _: TF.adjust_saturation(image, float(draws.factors[i, 2])),
    "hue": lambda image, draws, i, _: TF.adjust_hue(image, float(draws.factors[i, 3])),
    "rotation": lambda image, draws, i, _: TF.rotate(
        image, float(draws.angle[i]), interpolation=TF.InterpolationMode.BILINEAR
    ),
    "equalize": _equalized,
    "flip": lambda image, draws, i, _: image.flip(2) if draws.flip[i] else image,
    "erase": _erased,
}
"""What torchvision makes of an image by each setting of `augment`."""


# What is seen of the U-Net's training.


def unet_parts(**settings: Any) -> list[int]:
    model = recipe_of("train_unet", **settings).model
    return [*model.encoder.widths, len(model.up)]


def epochs_of(name: str, **settings: Any) -> list[float]:
    """The epochs of a whole training."""
    return [record["epoch"] for record in _training(name, settings, ALONE).history]


def sizes_of(name: str, **settings: Any) -> tuple[Any, ...]:
    recipe = recipe_of(name, **settings)
    sides = (recipe.train, recipe.held_out) if name == "train_unet" else (recipe.train, recipe.validation)
    stores = [getattr(side, "store", side) for side in sides]
    return tuple(tuple(getattr(store, "images", store).pixels.shape[2:]) for store in stores)


def unet_rates(**settings: Any) -> list[float]:
    """How far the first step goes, and the learning rate in the first step of each of four epochs."""
    recipe = recipe_of("train_unet", **settings)
    first = moved(recipe, model=recipe.model)["model"]
    return [first, *(settings["lr"] * factor for factor in rates("train_unet", **settings))]


# What is seen of Task 1's training.


def task1_moved(**settings: Any) -> dict[str, float]:
    recipe = recipe_of("train_attributes", identity_weight=1.0, **settings)
    features = recipe.model.backbone.features
    return moved(
        recipe,
        first=features.block1[0],
        middle=features.block2,
        last=features.block4,
        head=recipe.model.head,
        identity_head=recipe.identity_head,
    )


def task1_dropped(**settings: Any) -> float:
    model = recipe_of("train_attributes", **settings).model.train()
    model.head = nn.Identity()
    torch.manual_seed(0)
    return float((model.classify(torch.ones(MANY, 10)) == 0).float().mean())


def told_of_its_mirror_image(**settings: Any) -> bool:
    model = recipe_of("train_attributes", **settings).model.eval()
    images = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    return torch.allclose(model.predict(images), model.predict(images.flip(3)), atol=1e-6)


def share_of_the_former_weights(**settings: Any) -> float:
    """After two steps: (average - second) / (first - second)."""
    recipe, weights = recipe_of("train_attributes", **settings), []
    for epoch in range(2):
        step(recipe, epoch)
        weights.append(recipe.model.head.weight.detach().double().clone())
    kept = recipe.averaged.head.weight.detach().double()
    return float(((kept - weights[1]) * (weights[0] - weights[1])).sum() / (weights[0] - weights[1]).square().sum())


def drawn_items(**settings: Any) -> dict[str, float]:
    """Of the items of an epoch: the shares that are labelled junk, told of no identity, zoomed, and wear a hat."""
    recipe = recipe_of("train_attributes", **settings)
    items = recipe.batch(0, 0, step_generator(0))
    originals = (recipe.train.store.pixels.float() / 255).flatten(1)
    known = torch.cdist(items.pixels.flatten(1), originals).amin(dim=1) < 1e-3
    return {
        "junk": float((items.targets[:, -1] == 1).float().mean()),
        "nobody": float((items.classes < 0).float().mean()),
        "zoomed": float((~known).float().mean()),
        "hat": float((items.targets[:, HAT] == 1).float().mean()),
        "rows": float(len(items.targets)),
    }


def told_cameras(**settings: Any) -> dict[str, Any]:
    """The tasks beside the attributes with the share of a step's images they are true of, and numbers of logits."""
    recipe = recipe_of("train_attributes", **settings)
    items, first = recipe.batch(0, 0, step_generator(0)), len(ATTRIBUTES)
    with passing(recipe.model.head) as passed:
        step(recipe)
    true = {
        task.name: float((items.targets[:, first + i] == 1).float().mean())
        for i, task in enumerate(recipe.tasks[first:])
    }
    return {**true, "logits": float(passed[0][1].shape[1])}


def weights_after_an_epoch(**settings: Any) -> list[float]:
    """Of the first three tasks, the second of which was the worst."""
    recipe = recipe_of("train_attributes", **settings)
    recipe.confusion += 5 * torch.eye(recipe.confusion.shape[1], dtype=torch.int64)
    recipe.confusion[1, 0, 1] = 5
    recipe.end_epoch(0)
    assert not recipe.confusion.any()  # the next epoch counts anew
    return [float(weight) * len(recipe.tasks) for weight in recipe.task_weights[:3]]


def task1_answers(**settings: Any) -> tuple[Tensor, Tensor, dict[str, float]]:
    """The logits of a step, the codes of its images, and its losses."""
    recipe = recipe_of("train_attributes", **settings)
    with passing(recipe.model.head) as passed:
        losses = step(recipe)
    return passed[0][1].detach(), recipe.train.codes[recipe.sampler.epoch(0)[0]], losses


def smoothed_by(**settings: Any) -> list[float]:
    """The smoothing with which torch has the same loss, of a binary attribute and of another."""
    logits, codes, losses = task1_answers(**settings)
    where = logit_slices(ATTRIBUTES)
    age, bag = logits[:, where["age"]], logits[:, where["bag"]][:, 0]
    found = []
    for name, loss in (
        ("bag", lambda s: F.binary_cross_entropy_with_logits(bag, (1 - s) * codes[:, BAG] + s / 2)),
        ("age", lambda s: F.cross_entropy(age, codes[:, 0], label_smoothing=s)),
    ):
        found += [s for s in (0.0, 0.1, 0.2) if float(loss(s)) == pytest.approx(losses[f"loss/{name}"], rel=1e-5)]
    return found


def adjusted_by(**settings: Any) -> list[float]:
    """The tau with which torch has the loss of the hat, which one image of six shows: its log share is log(1/5)."""
    logits, codes, losses = task1_answers(**settings)
    hat = logits[:, logit_slices(ATTRIBUTES)["hat"]][:, 0]
    return [
        tau
        for tau in (0.0, 1.0, 2.0)
        if float(F.binary_cross_entropy_with_logits(hat + tau * math.log(1 / 5), codes[:, HAT].float()))
        == pytest.approx(losses["loss/hat"], rel=1e-5)
    ]


def task1_identity(**settings: Any) -> dict[str, float]:
    """The weight with which the identity loss is in the sum, and its ratio to torch's with the fixed smoothing."""
    recipe = recipe_of("train_attributes", **settings)
    with passing(recipe.identity_head) as passed:
        losses = step(recipe)
    if "identity_loss" not in losses:
        return {"weight": 0.0, "loss": 1.0}
    tasks = sum(value for name, value in losses.items() if name.startswith("loss/")) / len(recipe.tasks)
    people = torch.from_numpy(_tables()[0]["identity"].to_numpy()[recipe.sampler.epoch(0)[0]]) - 1
    wanted = F.cross_entropy(passed[0][1].detach(), people, label_smoothing=0.1)
    return {
        "weight": (losses["loss"] - tasks) / losses["identity_loss"],
        "loss": losses["identity_loss"] / float(wanted),
    }


# What is seen of Task 2's training.


def bruna_moved(**settings: Any) -> dict[str, float]:
    recipe = recipe_of("train_bruna", **settings)
    return moved(
        recipe,
        backbone=recipe.bruna.backbone,
        norm=recipe.bruna.backbone_norm,
        extract=recipe.bruna.extract,
        attribute_head=recipe.bruna.attribute_head,
        classifier=recipe.classifier,
        adversary=recipe.adversary,
    )


def taken_in(**settings: Any) -> list[float]:
    """What the backbone takes in: channels, whether the image shows what the mask does not, the mask's mean."""
    recipe = recipe_of("train_bruna", **settings)
    with passing(recipe.bruna.normalize) as images, passing(recipe.bruna.backbone) as inputs:
        step(recipe)
    lower, into = images[0][0][:, :, SIZE[0] // 2 :], inputs[0][0]
    mask = into[:, 3] if into.shape[1] > 3 else torch.zeros(1)
    return [into.shape[1], float(lower.max() > 0), float(mask.mean())]


def bruna_dropped(**settings: Any) -> float:
    recipe = recipe_of("train_bruna", **settings)
    recipe.bruna.train()
    torch.manual_seed(0)
    kept = recipe.bruna.extract[:2](torch.full((MANY, 10), 5.0))
    return float((kept == 0).float().mean())


def classified_by(**settings: Any) -> str:
    """What identities are told apart by: the embedding that distances are learned on, or its normalised form."""
    recipe = recipe_of("train_bruna", **settings)
    with passing(recipe.bruna.extract) as embedded, passing(recipe.classifier) as classified:
        step(recipe)
    given, metric = classified[0][0], embedded[0][1].detach()
    if torch.equal(given, metric):
        return "metric"
    normalised = (metric - metric.mean(0)) / (metric.var(0, unbiased=False) + 1e-5).sqrt()
    return "normalised" if torch.allclose(given, normalised, atol=1e-4) else "something else"


def tuples_of(**settings: Any) -> dict[str, Any]:
    """Of an epoch: how often each identity is the anchor, steps; of the first step: tuples and images.

    `in_turn`: whether all identities have been the anchor once before any is again.
    """
    recipe = recipe_of("train_bruna", **settings)
    anchors = recipe.train.identities[torch.from_numpy(recipe.tuples(0)[:, 0])]
    drawn = recipe.batch(0, 0)
    with passing(recipe.bruna.normalize) as passed:
        step(recipe)
    assert len(passed[0][0]) == len(drawn.rows)
    (times,) = set(torch.bincount(anchors)[1:].tolist())
    return {
        "times": times,
        "in_turn": len(anchors[:PEOPLE].unique()) == PEOPLE,
        "steps": recipe.steps(0),
        "tuples": len(drawn.anchors),
        "images": len(drawn.rows),
    }


def cameras_of_anchors(**settings: Any) -> list[int]:
    """How many cameras an anchor's four images are of, where everybody has two images of each of six cameras."""
    people = person_table(range(1, PEOPLE + 1), 12, SIZE)
    with patch(f"{__name__}._tables", lambda: (people, people)):
        recipe = recipe_of("train_bruna", tuples_per_identity=200, **settings)
    cameras = people["camera"].to_numpy()[recipe.tuples(0)[:, :4]]
    return sorted({len(set(row)) for row in cameras})


def mined_by(**settings: Any) -> str:
    """Whose two nearest are mined."""
    recipe, given = recipe_of("train_bruna", **settings), []
    losses = bruna_training.tuple_losses

    def spied(anchors: Tensor, negatives: Tensor, predicted: Tensor, **options: Any) -> Any:
        found = losses(anchors, negatives, predicted, **options)
        own = torch.cdist(anchors, negatives).mean(dim=1)
        given.append((found.mined, predicted, own))
        return found

    with patch.object(bruna_training, "tuple_losses", spied):
        step(recipe)
    mined, predicted, own = given[0]
    mined = mined.sort(dim=1).values
    nearest = {
        name: values.topk(2, dim=1, largest=False).indices.sort(dim=1).values
        for name, values in (("the adversary", predicted), ("Bruna", own))
    }
    nearest["nobody: the first two"] = torch.tensor([[0, 1]]).expand(len(mined), -1)
    return " and ".join(name for name, wanted in nearest.items() if torch.equal(mined, wanted))


def gradient(**settings: Any) -> float:
    """The norm of Bruna's gradient after a step, 1 at most."""
    recipe = recipe_of("train_bruna", **settings)
    step(recipe)
    grads = [p.grad.norm() for p in recipe.bruna.parameters() if p.grad is not None]
    return min(float(torch.stack(grads).norm()), 1.0)


def weighed(part: str, **settings: Any) -> float:
    """The weight of one loss in the sum: what is left of it without the three others."""
    weights = {"attribute": 0.0, "triplet": 0.0, "identity": 0.0, "batch_hard": 0.0}
    losses = step(recipe_of("train_bruna", **{f"{name}_weight": value for name, value in weights.items()} | settings))
    return losses["loss"] / losses[part] if losses["loss"] else 0.0


def smoothed_identity(**settings: Any) -> float:
    """The loss as a multiple of torch's, which is smoothed by 0.3."""
    recipe = recipe_of("train_bruna", **settings)
    with passing(recipe.classifier) as passed:
        loss = step(recipe)["identity_loss"]
    people = recipe.train.identities[torch.from_numpy(recipe.batch(0, 0).rows)] - 1
    return loss / float(F.cross_entropy(passed[0][1].detach(), people, label_smoothing=0.3))


def identity_margin_found(**settings: Any) -> list[str]:
    """Of a plain linear layer and cosines with two margins: those whose logits give the loss."""
    recipe = recipe_of("train_bruna", **settings)
    weight = recipe.classifier.weight.detach().clone()
    with passing(recipe.classifier) as passed:
        loss = step(recipe)["identity_loss"]
    given = passed[0][0]
    people = recipe.train.identities[torch.from_numpy(recipe.batch(0, 0).rows)] - 1
    own = F.one_hot(people, PEOPLE)
    cosines = torch.cosine_similarity(given[:, None], weight[None], dim=2)
    logits = {"linear": given @ weight.T, "0.3": 24 * (cosines - 0.3 * own), "0.5": 24 * (cosines - 0.5 * own)}
    smoothing = recipe.params.identity_smoothing
    wanted = {name: float(F.cross_entropy(of, people, label_smoothing=smoothing)) for name, of in logits.items()}
    return [name for name, value in wanted.items() if value == pytest.approx(loss, rel=1e-4)]


def batch_hard_from_2(**settings: Any) -> float:
    """By how much the loss is larger than with a margin of 2, where every image counts."""
    settings = {"batch_hard_weight": 1.0, **settings}
    found, base = (
        step(recipe_of("train_bruna", **{**settings, "batch_hard_margin": margin}))["batch_hard_loss"]
        for margin in (settings["batch_hard_margin"], 2.0)
    )
    return found - base


def margins(**settings: Any) -> list[float]:
    """P in a step of each epoch: L_triplet is d_same + P - d_different where P is the larger."""
    recipe, found = recipe_of("train_bruna", **settings), []
    for epoch in range(4):
        losses = step(recipe, epoch)
        found.append(losses["triplet_loss"] - losses["same_person_distance"] + losses["different_person_distance"])
        assert recipe.margin(epoch) == pytest.approx(found[-1], rel=1e-4)
    return found


def adversary_learns(**settings: Any) -> dict[str, bool]:
    """Whether its features are unit vectors, and its loss the paper's."""
    recipe, given = recipe_of("train_bruna", **settings), []
    losses = bruna_training.tuple_losses

    def spied(*arguments: Tensor, **options: Any) -> Any:
        given.append((arguments[2].detach(), losses(*arguments, **options)))
        return given[-1][1]

    with patch.object(bruna_training, "tuple_losses", spied):
        loss = step(recipe)["adversarial_loss"]
    predicted, found = given[0]
    wanted = ((1 - 2 * found.correct) * predicted.gather(1, found.mined)).mean()
    features = recipe.adversary.embed(torch.rand(2, 3, *SIZE))
    units = bool(((features.norm(dim=1) - 1).abs() < 1e-4).all())
    return {"units": units, "paper": loss == pytest.approx(float(wanted), rel=1e-4), "negative": loss < 0}


def validated(**settings: Any) -> list[int]:
    """The epochs of 5 after which the validation side is measured."""
    recipe = recipe_of("train_bruna", epochs=5, **settings)
    with patch.object(recipe, "measure", lambda: {"market1501/map": 1.0}):
        return [epoch + 1 for epoch in range(5) if "validation/market1501/map" in recipe.end_epoch(epoch)]
