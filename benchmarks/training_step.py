"""What a training step of Task 2 costs: Bruna's, the paper's loop over tuples, and the two backbones alone.

    python benchmarks/training_step.py [--threads 2] [--compile]

All sides work on the same 64 x 128 images of smooth noise, with MobileNetV3-small, 1,600 features, the mask as a
fourth channel and the bottleneck joined. The paper's loop takes an optimiser step a tuple of 12 images and runs a
U-Net of width 64 inside it, whose encoder its authors trained along; another side keeps the U-Net frozen, a third is
given masks and bottlenecks. Before anything is timed, the plain losses
of that loop and those of Bruna's batched step are compared; where they differ the exit status is 1.
"""

import argparse
import copy
import itertools
import os
import statistics
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple
from unittest import mock

import numpy as np
import torch
from batches import SETTINGS, SIZE, make_images
from measure import ROOT, Cell, Report, Work, alternate, median_and_spread, number, parser, seconds, spread
from torch import Tensor, nn
from torch.nn import functional as F

from bruna.batches.persons import PersonStore
from bruna.batches.seeds import step_generator
from bruna.batches.store import ImageStore
from bruna.batches.tuples import ANCHORS, NEGATIVES, TUPLE
from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.schema import logit_slices
from bruna.losses import adversarial_loss, attribute_losses
from bruna.models.adversary import Adversary
from bruna.models.bruna import Embedding
from bruna.models.unet import UNet
from bruna.params import TrainBruna, read_params
from bruna.runtime import prepare_torch
from bruna.training.adversary import predict_distances
from bruna.training.bruna import _Recipe
from bruna.training.bruna_data import LabelledPersons
from bruna.training.tuple_losses import MINED, tuple_losses

IDENTITIES, IMAGES_EACH = 64, 6
UNET_WIDTH, UNET_DEPTH = 64, 4
BATCH_TUPLES = 8
TOLERANCE = 1e-4
"""Largest relative difference between two losses that should be equal."""
AGAINST_PAPER, AGAINST_LOOP, AGAINST_FLOOR = 50.0, 10.0, 1.3
"""How many times faster than the two loops the step is to be, and how much slower than the floor it may be."""
TUNED, PAPER, LOOP, OURS, FLOOR = (
    "paper's loop, U-Net in the step, its encoder trained",
    "paper's loop, U-Net in the step, frozen",
    "paper's loop, masks given",
    "Bruna's step",
    "both backbones alone",
)


class Losses(NamedTuple):
    """The three losses of section 3.2, names as in what a step returns."""

    triplet_loss: Tensor
    classification_loss: Tensor
    adversarial_loss: Tensor


def settings(batch_tuples: int) -> TrainBruna:
    """The paper's network, losses and augmentation; params.yaml has no say in what a step costs."""
    return read_params(ROOT / "params.yaml").train_bruna.model_copy(
        update={
            "seed": 0,
            "backbone": "mobilenet_v3_small",
            "pretrained": "none",
            "adversary_pretrained": "none",
            "image_size": SIZE,
            "features": 1600,
            "mask": "channel",
            "bottleneck": True,
            "dropout": 0.2,
            "tuples_per_identity": 1,
            "batch_tuples": batch_tuples,
            "lr": 1e-4,
            "backbone_lr": 1e-5,
            "adversary_lr": 1e-5,
            "grad_clip": 10.0,
            "adversary_loss": "paper",
            # What the paper does not have is off: the plain loop has none of it.
            "last_stride": 2,
            "neck": "none",
            "negatives": "own",
            "schedule": "constant",
            "warmup_epochs": 0,
            "identity_weight": 0.0,
            "batch_hard_weight": 0.0,
            "augment": SETTINGS["Task 2"],
        }
    )


def make_persons() -> LabelledPersons:
    """Noise for images and masks, random attributes and bottlenecks."""
    count = IDENTITIES * IMAGES_EACH
    encoded, names = make_images(count), ["image"] * count
    make = torch.Generator().manual_seed(0)
    bottlenecks = torch.randn(count, UNET_WIDTH * 2**UNET_DEPTH, generator=make)
    masks = ImageStore.decode(encoded, names, SIZE, kind="gray")
    return LabelledPersons(
        store=PersonStore(ImageStore.decode(encoded, names, SIZE), masks, bottlenecks),
        attributes=ATTRIBUTES,
        codes=torch.stack([torch.randint(len(a.values), (count,), generator=make) for a in ATTRIBUTES], dim=1),
        identities=torch.arange(count) // IMAGES_EACH,
        cameras=torch.arange(count) % IMAGES_EACH + 1,
        paths=names,
    )


class TupleLoop:
    """The training of section 3.2 in the plainest code: tuple by tuple, one loss term after the other.

    Args:
        recipe: whose networks it copies, into PyTorch's standard memory layout.
        unet: run on every image inside the step; None takes the masks and bottlenecks that are there.
        tuned: train its encoder through the bottleneck features, as the paper's authors did.
    """

    def __init__(self, recipe: _Recipe, unet: UNet | None, tuned: bool = False) -> None:
        self.persons, self.params, self.augment = recipe.train, recipe.params, recipe.augment
        self.margin = recipe.margin(0)
        self.bruna = copy.deepcopy(recipe.bruna).to(memory_format=torch.contiguous_format)
        self.adversary = copy.deepcopy(recipe.adversary).to(memory_format=torch.contiguous_format)
        self.unet, self.tuned = unet, tuned
        head, backbone = self.bruna.parameter_groups()
        self.optimizers = [
            torch.optim.Adam(
                [{"params": head, "lr": self.params.lr}, {"params": backbone, "lr": self.params.backbone_lr}],
                weight_decay=self.params.weight_decay,
                foreach=False,
            ),
            torch.optim.Adam(self.adversary.parameters(), lr=self.params.adversary_lr, foreach=False),
        ]
        if unet is not None and tuned:
            self.optimizers.append(torch.optim.Adam(unet.parameters(), lr=self.params.backbone_lr, foreach=False))

    def step(self, rows: Tensor, generator: torch.Generator) -> None:
        """Learn from one tuple, 12 rows of the training table."""
        batch = self.persons.store[rows]
        images, masks = self.augment(batch.images, None if self.unet else batch.masks, generator)
        bottlenecks = batch.bottlenecks
        if self.unet is not None:
            with torch.set_grad_enabled(self.tuned):
                found = self.unet(images)
            masks, bottlenecks = found.logits.detach().sigmoid(), found.bottleneck
        losses = self.losses(images, masks, bottlenecks, self.persons.codes[rows])
        loss = self.params.attribute_weight * losses.classification_loss
        loss = loss + self.params.triplet_weight * losses.triplet_loss
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        losses.adversarial_loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.bruna.parameters(), self.params.grad_clip, foreach=False)
        for optimizer in self.optimizers:
            optimizer.step()

    def losses(self, images: Tensor, masks: Tensor | None, bottlenecks: Tensor | None, codes: Tensor) -> Losses:
        """The losses of one tuple: four images of a person, then eight of other persons."""
        found = self.bruna(images, masks, bottlenecks)
        own, others = list(found.features[:ANCHORS]), list(found.features[ANCHORS:])
        same = torch.zeros(())
        for k in range(ANCHORS):
            rest = [own[i] for i in range(ANCHORS) if i != k]
            same = same + (own[k] - sum(rest, torch.zeros_like(own[k])) / len(rest)).norm() / ANCHORS

        predicted = self._predicted(images)
        mined = sorted(range(NEGATIVES), key=lambda k: predicted[k].item())[:MINED]
        different, adversarial = torch.zeros(()), torch.zeros(())
        for k in mined:
            distance = torch.zeros(())
            for image in own:
                distance = distance + (image - others[k]).norm() / ANCHORS
            different = different + distance / MINED
            right = distance.item() > same.item()
            adversarial = adversarial + (-predicted[k] if right else predicted[k]) / MINED
        return Losses(
            triplet_loss=same + torch.clamp(self.margin - different, min=0),
            classification_loss=plain_classification(found.logits, codes),
            adversarial_loss=adversarial,
        )

    def _predicted(self, images: Tensor) -> list[Tensor]:
        """The adversary's distances between the first image and each of the eight negatives."""
        features = self.adversary.embed(torch.cat([images[:1], images[ANCHORS:]]))
        return [((features[0] - other).square() * self.adversary.weight).sum() for other in features[1:]]


def plain_classification(logits: Tensor, codes: Tensor) -> Tensor:
    """The mean of the twelve attribute losses, by PyTorch's own loss functions."""
    total = torch.zeros(())
    for i, (attribute, where) in enumerate(zip(ATTRIBUTES, logit_slices(ATTRIBUTES).values(), strict=True)):
        if attribute.binary:
            one = F.binary_cross_entropy_with_logits(logits[:, where.start], codes[:, i].float())
        else:
            one = F.cross_entropy(logits[:, where], codes[:, i])
        total = total + one / len(ATTRIBUTES)
    return total


def same_losses(persons: LabelledPersons, device: torch.device, tuples: int, *, training: bool) -> list[list[Cell]]:
    """Bruna's step on `tuples` tuples and the plain loop over them, compared.

    In training mode batch normalisation sees all images of a batch at once, so that there only a batch of one tuple
    can give the same; dropout is switched off.

    Returns:
        A row a loss, its last cell the relative difference.
    """
    recipe = _Recipe(persons, persons, settings(tuples), device)
    settle(recipe)
    rows = torch.from_numpy(np.array_split(recipe.tuples(1), recipe.steps(1))[0])
    assert len(rows) == tuples
    batch = persons.store[rows.flatten()]
    images, masks = recipe.augment(batch.images, batch.masks, step_generator(0, "agreement"))
    assert masks is not None and batch.bottlenecks is not None

    loop = TupleLoop(recipe, None)
    loop.margin = recipe.margin(1)
    loop.bruna.train(training)
    loop.adversary.train(training)
    each = [
        loop.losses(images[part], masks[part], batch.bottlenecks[part], persons.codes[row])
        for row, part in zip(rows, (slice(at, at + TUPLE) for at in range(0, len(images), TUPLE)), strict=True)
    ]
    with held_mode(recipe, training):
        ours = recipe.step(1, 0, step_generator(0, "agreement"))
    table: list[list[Cell]] = []
    mode = "training" if training else "evaluation"
    for i, name in enumerate(Losses._fields):
        plain, batched = float(torch.stack([losses[i] for losses in each]).mean().detach()), float(ours[name])
        difference = abs(plain - batched) / max(abs(plain), 1e-12)
        what = f"{name.replace('_', ' ')} of {tuples}, {mode} mode"
        table.append([what, f"{batched:.6f}", f"{plain:.6f}", difference])
    return table


def settle(recipe: _Recipe) -> None:
    """Give both networks running statistics that have seen images, and no dropout.

    Without these an untrained network makes nearly the same of all images in evaluation mode, and there is nothing
    to compare.
    """
    for part in [*recipe.bruna.modules(), *recipe.adversary.modules()]:
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        elif isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
            part.momentum = None  # the mean over all steps
    for step in range(4):
        recipe.step(0, step, step_generator(0, "warm up", step))


@contextmanager
def held_mode(recipe: _Recipe, training: bool) -> Iterator[None]:
    """Within `with` both networks stay in one mode, whatever a step sets."""
    recipe.bruna.train(training)
    recipe.adversary.train(training)
    with mock.patch.object(recipe.bruna, "train"), mock.patch.object(recipe.adversary, "train"):
        yield


@contextmanager
def denormals_kept() -> Iterator[None]:
    """Within `with` the processor computes with denormal numbers, as PyTorch does unless told otherwise."""
    torch.set_flush_denormal(False)
    try:
        yield
    finally:
        torch.set_flush_denormal(True)


class Drawn(NamedTuple):
    """A batch of tuples as a step sees it: rows of the table, and augmented images in the networks' layout."""

    rows: Tensor
    images: Tensor
    masks: Tensor
    bottlenecks: Tensor
    seen: Tensor
    """The images that the adversary sees: the first of each tuple and the eight negatives."""


def draw(recipe: _Recipe) -> Drawn:
    """The first batch of the first epoch."""
    rows = torch.from_numpy(recipe.tuples(0)[:BATCH_TUPLES].reshape(-1))
    batch = recipe.train.store[rows]
    images, masks = recipe.augment(batch.images, batch.masks, step_generator(0, "benchmark"))
    assert masks is not None and batch.bottlenecks is not None
    seen = images.view(BATCH_TUPLES, TUPLE, *images.shape[1:])[:, [0, *range(ANCHORS, TUPLE)]].flatten(0, 1)
    images, seen = (x.contiguous(memory_format=torch.channels_last) for x in (images, seen))
    return Drawn(rows, images, masks, batch.bottlenecks, seen)


def backbones_alone(recipe: _Recipe, drawn: Drawn, layout: torch.memory_format, compiled: bool = False) -> Work:
    """Forward and backward of copies of both backbones on a step's images, in training mode."""
    pairs = []
    for network, images in (
        (recipe.bruna.backbone, torch.cat([drawn.images, drawn.masks], dim=1)),
        (recipe.adversary.backbone, drawn.seen),
    ):
        backbone: nn.Module = copy.deepcopy(network).to(memory_format=layout).train()
        if compiled:
            backbone = torch.compile(backbone)  # type: ignore[assignment]
        pairs.append((backbone, images.contiguous(memory_format=layout)))

    def work() -> None:
        for backbone, images in pairs:
            backbone.zero_grad()
            backbone(images).sum().backward()

    return work


def sides(recipe: _Recipe, drawn: Drawn, args: argparse.Namespace) -> dict[str, tuple[Work, int]]:
    """What the first table compares: each side and how many tuples a call of it works through."""
    tuples = torch.from_numpy(recipe.tuples(0))
    counter = itertools.count()

    def loop(unet: UNet | None, count: int, tuned: bool = False) -> Work:
        plain = TupleLoop(recipe, unet, tuned)

        def work() -> None:
            with denormals_kept():
                for row in tuples[:count]:
                    plain.step(row, step_generator(0, "loop", next(counter)))

        return work

    def ours() -> None:
        for _ in range(args.steps):
            at = next(counter)
            recipe.step(0, at % recipe.steps(0), step_generator(0, "ours", at))

    alone = backbones_alone(recipe, drawn, torch.channels_last)

    def floor() -> None:
        for _ in range(args.steps):
            alone()

    frozen = UNet(UNET_WIDTH, UNET_DEPTH).eval().requires_grad_(False)
    batched = args.steps * BATCH_TUPLES
    return {
        TUNED: (loop(UNet(UNET_WIDTH, UNET_DEPTH), args.paper_tuples, tuned=True), args.paper_tuples),
        PAPER: (loop(frozen, args.paper_tuples), args.paper_tuples),
        LOOP: (loop(None, args.loop_tuples), args.loop_tuples),
        OURS: (ours, batched),
        FLOOR: (floor, batched),
    }


def compare(report: Report, works: Mapping[str, tuple[Work, int]], repeats: int) -> None:
    """Measure the sides, add the first table and whether the targets are met."""
    times = alternate({name: work for name, (work, _) in works.items()}, repeats)
    rates = {name: [works[name][1] / value for value in values] for name, values in times.items()}
    median = {name: statistics.median(values) for name, values in rates.items()}
    ratios = {name: median[OURS] / value for name, value in median.items()}
    rows: list[list[Cell]] = [[name, *median_and_spread(values), ratios[name]] for name, values in rates.items()]
    report.table(["side", "tuples/s (median)", "spread", "Bruna's step: times its rate"], rows)
    slower = 1 / ratios[FLOOR]
    for what, value, goal, met in (
        (f"Against the {TUNED}", ratios[TUNED], f"at least {AGAINST_PAPER:g}", ratios[TUNED] >= AGAINST_PAPER),
        (f"Against the {PAPER}", ratios[PAPER], f"at least {AGAINST_PAPER:g}", ratios[PAPER] >= AGAINST_PAPER),
        (f"Against the {LOOP}", ratios[LOOP], f"at least {AGAINST_LOOP:g}", ratios[LOOP] >= AGAINST_LOOP),
        ("Time of a step over that of both backbones alone", slower, f"at most {AGAINST_FLOOR:g}",
         slower <= AGAINST_FLOOR),
    ):  # fmt: skip
        report.line(f"{what}: {number(value)} (goal: {goal}, {'met' if met else 'not met'})")


class Given(nn.Module):
    """In a backbone's place: a feature map that is there already and takes a gradient."""

    def __init__(self, feature_map: Tensor) -> None:
        super().__init__()
        self.feature_map = nn.Parameter(feature_map.detach().clone())

    def forward(self, _: Tensor) -> Tensor:
        """The feature map, whatever the images."""
        return self.feature_map


def heads(recipe: _Recipe, drawn: Drawn) -> Work:
    """Forward and backward of both networks without their backbones."""
    bruna, adversary = copy.deepcopy(recipe.bruna).train(), copy.deepcopy(recipe.adversary).train()
    with torch.no_grad():
        bruna_map = bruna.backbone(torch.cat([drawn.images, drawn.masks], dim=1))
        adversary_map = adversary.backbone(drawn.seen)
    bruna.add_module("backbone", Given(bruna_map))
    adversary.add_module("backbone", Given(adversary_map))

    def work() -> None:
        found = bruna(drawn.images, drawn.masks, drawn.bottlenecks)
        (found.features.sum() + found.logits.sum()).backward()
        predicted(adversary, drawn).sum().backward()  # type: ignore[no-untyped-call]

    return work


def predicted(adversary: Adversary, drawn: Drawn) -> Tensor:
    """The adversary's distances of the eight negatives of each tuple, T x 8."""
    positions = torch.arange(BATCH_TUPLES * TUPLE).view(BATCH_TUPLES, TUPLE)
    return predict_distances(adversary, drawn.images, positions[:, 0], positions[:, ANCHORS:]).distances


def losses_alone(recipe: _Recipe, drawn: Drawn) -> Work:
    """Forward and backward of the losses, from embeddings, logits and predicted distances."""
    with torch.no_grad():
        found: Embedding = recipe.bruna(drawn.images, drawn.masks, drawn.bottlenecks)
        given = (found.features, found.logits, predicted(recipe.adversary, drawn))
    embedding, logits, guess = (tensor.clone().requires_grad_() for tensor in given)
    codes = recipe.train.codes[drawn.rows]

    def work() -> None:
        features = embedding.view(BATCH_TUPLES, TUPLE, -1)
        found = tuple_losses(features[:, :ANCHORS], features[:, ANCHORS:], guess, margin=recipe.margin(0))
        (found.triplet + attribute_losses(logits, codes, ATTRIBUTES).mean()).backward()  # type: ignore[no-untyped-call]
        adversarial_loss(guess.gather(1, found.mined), found.correct).backward()  # type: ignore[no-untyped-call]

    return work


def parts(recipe: _Recipe, drawn: Drawn) -> dict[str, Work]:
    """The parts of a step, each by itself on the same batch."""
    batch = recipe.train.store[drawn.rows]
    counter = itertools.count()

    def augmentation() -> None:
        images, _ = recipe.augment(batch.images, batch.masks, step_generator(0, "augmentation", next(counter)))
        images.contiguous(memory_format=torch.channels_last)

    def clipping() -> None:
        torch.nn.utils.clip_grad_norm_(recipe.bruna.parameters(), recipe.params.grad_clip)

    recipe.step(0, 0, step_generator(0, "gradients"))  # which clipping and optimisers need
    return {
        "fetching images, masks and codes": lambda: (
            recipe.train.store[drawn.rows],
            recipe.train.codes[drawn.rows],
        ),
        "augmentation": augmentation,
        "both backbones": backbones_alone(recipe, drawn, torch.channels_last),
        "both networks but their backbones": heads(recipe, drawn),
        "losses": losses_alone(recipe, drawn),
        "clipping": clipping,
        "Bruna's optimiser": recipe.optimizer.step,
        "adversary's optimiser": recipe.adversary_optimizer.step,
    }


def where_the_rest_goes(report: Report, recipe: _Recipe, drawn: Drawn, args: argparse.Namespace) -> None:
    """Measure the parts of a step beside whole steps, and add the second table."""
    counter = itertools.count()

    def whole() -> None:
        at = next(counter)
        recipe.step(0, at % recipe.steps(0), step_generator(0, "whole", at))

    times = _milliseconds({**parts(recipe, drawn), "whole step": whole}, args)
    total = statistics.median(times.pop("whole step"))
    rows: list[list[Cell]] = [
        [name, *median_and_spread(values), f"{100 * statistics.median(values) / total:.1f}%"]
        for name, values in times.items()
    ]
    rest = total - sum(statistics.median(values) for values in times.values())
    rows += [["what is left", rest, "–", f"{100 * rest / total:.1f}%"], ["whole step", total, "–", "100%"]]
    title = f"Where the rest goes, a step of {BATCH_TUPLES} tuples"
    report.table(["part", "ms (median)", "spread", "share"], rows, title)


def _milliseconds(works: Mapping[str, Work], args: argparse.Namespace) -> dict[str, list[float]]:
    """Milliseconds of one call of each work, `--steps` calls a measurement."""

    def often(work: Work) -> Work:
        def calls() -> None:
            for _ in range(args.steps):
                work()

        return calls

    times = alternate({name: often(work) for name, work in works.items()}, args.repeats)
    return {name: [1000 * value / args.steps for value in values] for name, values in times.items()}


def options(report: Report, recipe: _Recipe, drawn: Drawn, args: argparse.Namespace) -> None:
    """Measure what might make a step faster, and add the third table."""

    def adam(*, foreach: bool | None = None, fused: bool | None = None) -> Work:
        copies = []
        for parameter in [*recipe.bruna.parameters(), *recipe.adversary.parameters()]:
            copied = nn.Parameter(parameter.detach().clone())
            copied.grad = None if parameter.grad is None else parameter.grad.clone()
            copies.append(copied)
        return torch.optim.Adam(copies, foreach=foreach, fused=fused).step

    eager = backbones_alone(recipe, drawn, torch.channels_last)
    works: dict[str, Work] = {
        "both optimisers, foreach=False": adam(foreach=False),
        "both optimisers, foreach=True": adam(foreach=True),
        "both optimisers, fused=True": adam(fused=True),
        "both backbones, contiguous": backbones_alone(recipe, drawn, torch.contiguous_format),
        "both backbones, channels_last": eager,
    }
    first = None
    if args.compile:
        works["both backbones, compiled"] = backbones_alone(recipe, drawn, torch.channels_last, compiled=True)
        first = seconds(works["both backbones, compiled"])
    times = _milliseconds(works, args)
    base = {name.split(",")[0]: statistics.median(times[name]) for name in reversed(works)}
    rows: list[list[Cell]] = [
        [name, *median_and_spread(values), base[name.split(",")[0]] / statistics.median(values)]
        for name, values in times.items()
    ]
    report.table(["option", "ms (median)", "spread", "times faster than the first"], rows, "Options")
    if first is not None:
        gain = [a - b for a, b in zip(times["both backbones, channels_last"], times["both backbones, compiled"],
                                      strict=True)]  # fmt: skip
        report.line(f"torch.compile: the first call took {number(first)} s; gain {spread(gain)} ms a step")


def main() -> None:
    """Compare the losses, measure and report."""
    args = _arguments()
    device = prepare_torch("cpu", args.threads)
    persons = make_persons()
    agreed = same_losses(persons, device, BATCH_TUPLES, training=False)
    agreed += same_losses(persons, device, 1, training=True)
    for name, ours, plain, difference in agreed:
        if not (isinstance(difference, float) and difference < TOLERANCE):
            sys.exit(f"error: {name}: Bruna's step says {ours}, the plain loop {plain}: nothing was measured")
    report = Report(
        "A training step of Task 2",
        "Bruna's step of 8 tuples of 12 images, 64 x 128 pixels (MobileNetV3-small, 1,600 features, mask channel, "
        "bottleneck), against the paper's loop, an optimiser step a tuple, standard memory layout and denormal "
        f"numbers, with and without a U-Net of width {UNET_WIDTH} run inside it; and against forward and backward of "
        "the two backbones alone. All sides fetch and augment the same images with Bruna's augmentation, but the "
        f"backbones alone do not. {args.repeats} measurements of each in turn.",
    )
    recipe = _Recipe(persons, persons, settings(BATCH_TUPLES), device)
    drawn = draw(recipe)
    compare(report, sides(recipe, drawn, args), args.repeats)
    where_the_rest_goes(report, recipe, drawn, args)
    options(report, recipe, drawn, args)
    columns = ["loss, number of tuples", "Bruna's step", "plain loop", "relative difference"]
    report.table(columns, [[*row[:-1], f"{row[-1]:.1e}"] for row in agreed], "The same losses")
    report.line(
        f"A batch of {BATCH_TUPLES} tuples is compared in evaluation mode: in training mode batch normalisation over "
        f"{BATCH_TUPLES * TUPLE} images and over {TUPLE} differ by nature."
    )
    report.write(args.docs / "training_step.md", args.threads)


def _arguments() -> argparse.Namespace:
    found = parser(__doc__, repeats=5, threads=os.cpu_count() or 1)
    found.add_argument("--steps", type=int, default=4, help="steps a measurement (default 4)")
    found.add_argument("--paper-tuples", type=int, default=1, help="tuples a measurement of the paper's loop")
    found.add_argument("--loop-tuples", type=int, default=4, help="the same without the U-Net")
    found.add_argument("--compile", action="store_true", help="also measure torch.compile, which takes minutes")
    return found.parse_args()


if __name__ == "__main__":
    main()
