"""Every setting of a training does what params.yaml says: a table of settings, effects and what is seen of them.

The looks are in watched_trainings.py; what is to be seen is worked by hand. A setting without a row fails.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from torch import Tensor

import watched_trainings as look
from bruna.batches import attribute_items, tuples
from bruna.batches.augment import Augmenter, Draws
from bruna.batches.seeds import step_generator
from bruna.params import Augment
from bruna.training import attributes, checkpoint, task_weights, tuple_losses, unet
from watched_trainings import CHANGES, MANY, PLAIN, STILL

WAVE = [1.0, (2 + math.sqrt(2)) / 4, 0.5, (2 - math.sqrt(2)) / 4]
"""A cosine from one to zero at the beginning of each of four epochs."""


@dataclass(frozen=True)
class Effect:
    """A setting, what it does, and by its values what is to be seen."""

    setting: str
    does: str
    look: Callable[..., Any]
    seen: dict[Any, Any]


def _effects(name: str) -> Iterator[Effect]:
    """What settings of all three trainings do."""
    yield Effect(
        f"{name}.seed",
        "initial weights, draws, changes",
        partial(look.same_draws, name),
        {0: [True] * 3, 1: [False] * 3},
    )
    yield Effect(
        f"{name}.image_size",
        "size of both sides",
        partial(look.sizes_of, name),
        {(32, 16): ((32, 16),) * 2, (48, 32): ((48, 32),) * 2},
    )
    yield Effect(
        f"{name}.epochs", "length of the training", partial(look.epochs_of, name), {1: [1.0], 3: [1.0, 2.0, 3.0]}
    )


def _scheduled(name: str) -> Iterator[Effect]:
    yield Effect(
        f"{name}.schedule",
        "learning rates over four epochs",
        partial(look.rates, name),
        {"constant": [1] * 4, "cosine": WAVE},
    )
    yield Effect(
        f"{name}.warmup_epochs", "learning rates rise first", partial(look.rates, name), {0: [1] * 4, 2: [0, 0.5, 1, 1]}
    )


EFFECTS = [
    *_effects("train_unet"),
    Effect(
        "train_unet.width", "channels of the levels, halvings", look.unet_parts, {2: [2, 4, 8, 2], 3: [3, 6, 12, 2]}
    ),
    Effect(
        "train_unet.depth", "channels of the levels, halvings", look.unet_parts, {1: [2, 4, 1], 3: [2, 4, 8, 16, 3]}
    ),
    Effect("train_unet.batch_size", "pairs a step", lambda **s: len(look.shown("train_unet", **s)), {2: 2, 3: 3, 8: 8}),
    Effect(
        "train_unet.lr",
        "length of the first step, then a cosine",
        look.unet_rates,
        {lr: [lr, *(lr * each for each in WAVE)] for lr in (0.01, 0.002)},
    ),
    *_effects("train_attributes"),
    Effect(
        "train_attributes.network",
        "the backbone",
        partial(look.made, "train_attributes", "backbone"),
        {"simple_cnn": (24, 256, 2, 1), "lenet5": (24, 84, 1, 1), "resnet18": (24, 512, 1, 1)},
    ),
    Effect(
        "train_attributes.last_stride",
        "size of the map",
        partial(look.made, "train_attributes", "backbone"),
        {2: (24, 256, 2, 1), 1: (24, 256, 4, 2)},
    ),
    Effect(
        "train_attributes.pool",
        "inputs of the head",
        partial(look.taken, "train_attributes", "head"),
        {"whole": (24, 256), "halves": (24, 512)},
    ),
    Effect(
        "train_attributes.dropout", "share that the head is not shown", look.task1_dropped, {0.0: 0, 0.3: 0.3, 0.5: 0.5}
    ),
    Effect(
        "train_attributes.flip_test",
        "a mirror image is told the same",
        look.told_of_its_mirror_image,
        {True: True, False: False},
    ),
    Effect(
        "train_attributes.batch_size",
        "images a step, of 24 in equal steps",
        lambda **s: [len(look.shown("train_attributes", number, **s)) for number in range(2)],
        {8: [8, 8], 10: [8, 8], 13: [12, 12]},
    ),
    Effect(
        "train_attributes.lr",
        "length of the first step",
        partial(look.task1_moved, backbone_lr_factor=1.0),
        {rate: dict.fromkeys(["first", "middle", "last", "head", "identity_head"], rate) for rate in (0.01, 0.002)},
    ),
    Effect(
        "train_attributes.backbone_lr_factor",
        "the same, of the layers between",
        partial(look.task1_moved, lr=0.01),
        {
            factor: {"first": 0.01, "middle": 0.01 * factor, "last": 0.01, "head": 0.01, "identity_head": 0.01}
            for factor in (0.1, 0.5)
        },
    ),
    Effect(
        "train_attributes.weight_decay",
        "all weights shrink",
        partial(look.decays, "train_attributes", "head.weight"),
        {0.0: False, 1e6: True},
    ),
    *_scheduled("train_attributes"),
    Effect(
        "train_attributes.ema_decay",
        "share of earlier weights",
        look.share_of_the_former_weights,
        {0.0: 0, 0.75: 0.75, 0.9: 0.9},
    ),
    Effect(
        "train_attributes.camera_classes",
        "tasks beside the attributes, each true of one camera of four",
        look.told_cameras,
        {
            (): {"junk": 0, "logits": 33},
            (4, 6): {"camera4": 1 / 4, "camera6": 0, "junk": 0, "logits": 35},
            (2,): {"camera2": 1 / 4, "junk": 0, "logits": 34},
        },
    ),
    Effect(
        "train_attributes.junk_share",
        "items that are zoomed into",
        look.drawn_items,
        {
            0.0: {"junk": 0, "nobody": 0, "zoomed": 0, "hat": 1 / 6, "rows": 24},
            1.0: {"junk": 1, "nobody": 1, "zoomed": 1, "hat": 0, "rows": 24},
        },
    ),
    Effect(
        "train_attributes.weak_share",
        "items of rare values",
        lambda **s: look.drawn_items(weak_below=2, **s)["hat"],
        {0.0: 1 / 6, 1.0: 1},
    ),
    Effect(
        "train_attributes.weak_below",
        "what is rare: one person of six wears a hat",
        lambda **s: look.drawn_items(weak_share=1.0, **s)["hat"],
        {1: 1 / 6, 2: 1},
    ),
    Effect(
        "train_attributes.task_weights",
        "the weight of the worst task",
        look.weights_after_an_epoch,
        {"equal": [1, 1, 1], "raise_worst": [1, 1.1, 1]},
    ),
    Effect(
        "train_attributes.identity_weight",
        "weight of the identity loss",
        look.task1_identity,
        {value: {"weight": value, "loss": 1.0} for value in (0.0, 0.5, 2.0)},
    ),
    Effect(
        "train_attributes.label_smoothing",
        "smoothing of both kinds of loss",
        look.smoothed_by,
        {0.0: [0] * 2, 0.2: [0.2] * 2},
    ),
    Effect(
        "train_attributes.logit_adjustment",
        "multiple of the log share",
        look.adjusted_by,
        {0.0: [0], 1.0: [1], 2.0: [2]},
    ),
    *_effects("train_bruna"),
    Effect(
        "train_bruna.backbone",
        "the backbone",
        partial(look.made, "train_bruna", "backbone"),
        {"mobilenet_v3_small": (24, 576, 1, 1), "resnet18": (24, 512, 1, 1)},
    ),
    Effect(
        "train_bruna.features",
        "length of the embedding",
        partial(look.made, "train_bruna", "extract"),
        {16: (24, 16), 24: (24, 24)},
    ),
    Effect(
        "train_bruna.mask",
        "channels; whether the background is seen; mean of the mask",
        look.taken_in,
        {"none": [3, 1, 0], "segmented": [3, 0, 0], "channel": [4, 1, 0.5]},
    ),
    Effect(
        "train_bruna.bottleneck",
        "numbers joined to the pooled ones",
        partial(look.taken, "train_bruna", "extract"),
        {False: (24, 1152), True: (24, 1157)},
    ),
    Effect("train_bruna.dropout", "share that the extractor drops", look.bruna_dropped, {0.0: 0, 0.3: 0.3, 0.5: 0.5}),
    Effect(
        "train_bruna.last_stride",
        "size of the map",
        partial(look.made, "train_bruna", "backbone"),
        {2: (24, 576, 1, 1), 1: (24, 576, 2, 1)},
    ),
    Effect(
        "train_bruna.neck",
        "what identities are told apart by",
        look.classified_by,
        {"none": "metric", "batch_norm": "normalised"},
    ),
    Effect(
        "train_bruna.tuples_per_identity",
        "times that each is the anchor",
        look.tuples_of,
        {n: {"times": n, "in_turn": n == 1, "steps": 3 * n, "tuples": 2, "images": 24} for n in (1, 3)},
    ),
    Effect(
        "train_bruna.batch_tuples",
        "tuples a step",
        look.tuples_of,
        {
            6: {"times": 1, "in_turn": True, "steps": 1, "tuples": 6, "images": 72},
            3: {"times": 1, "in_turn": True, "steps": 2, "tuples": 3, "images": 36},
            5: {"times": 1, "in_turn": True, "steps": 2, "tuples": 3, "images": 36},
        },
    ),
    Effect(
        "train_bruna.batch_tuples",
        "tuples a step at least, where negatives come from the batch",
        partial(look.tuples_of, negatives="in_batch"),
        {
            3: {"times": 1, "in_turn": True, "steps": 2, "tuples": 3, "images": 12},
            4: {"times": 1, "in_turn": True, "steps": 1, "tuples": 6, "images": 24},
            7: {"times": 1, "in_turn": True, "steps": 1, "tuples": 6, "images": 24},
        },
    ),
    Effect(
        "train_bruna.anchors",
        "cameras of an anchor's four images",
        look.cameras_of_anchors,
        {"any": [2, 3, 4], "across_cameras": [4]},
    ),
    Effect(
        "train_bruna.negatives",
        "images a step; anchors in turn",
        partial(look.tuples_of, batch_tuples=4, tuples_per_identity=3),
        {
            "own": {"times": 3, "in_turn": False, "steps": 5, "tuples": 4, "images": 48},
            "in_batch": {"times": 3, "in_turn": True, "steps": 4, "tuples": 5, "images": 20},
        },
    ),
    Effect(
        "train_bruna.mining",
        "whose two nearest are mined",
        look.mined_by,
        {"adversary": "the adversary", "hardest": "Bruna", "random": "nobody: the first two"},
    ),
    *(
        Effect(
            f"train_bruna.{setting}",
            "length of the first step",
            partial(look.bruna_moved, **{"lr": 0.001, "backbone_lr": 0.002, "adversary_lr": 0.003, setting: None}),
            {
                rate: {
                    **dict.fromkeys(["norm", "extract", "attribute_head", "classifier"], 0.001),
                    "backbone": 0.002,
                    "adversary": 0.003,
                    **dict.fromkeys(parts, rate),
                }
                for rate in (0.01, 0.005)
            },
        )
        for setting, parts in (
            ("lr", ["norm", "extract", "attribute_head", "classifier"]),
            ("backbone_lr", ["backbone"]),
            ("adversary_lr", ["adversary"]),
        )
    ),
    Effect(
        "train_bruna.weight_decay",
        "all weights shrink",
        partial(look.decays, "train_bruna", "extract.2.weight"),
        {0.0: False, 1e6: True},
    ),
    *_scheduled("train_bruna"),
    Effect(
        "train_bruna.halve_every",
        "learning rates over four epochs",
        partial(look.rates, "train_bruna"),
        {0: [1] * 4, 1: [1, 0.5, 0.25, 0.125], 2: [1, 1, 0.5, 0.5]},
    ),
    Effect("train_bruna.grad_clip", "largest norm of the gradient", look.gradient, {0.0: 1, 0.25: 0.25, 0.5: 0.5}),
    *(
        Effect(
            f"train_bruna.{setting}", f"weight of the {part}", partial(look.weighed, part), {0.0: 0, 0.5: 0.5, 2.0: 2}
        )
        for setting, part in (
            ("attribute_weight", "classification_loss"),
            ("triplet_weight", "triplet_loss"),
            ("identity_weight", "identity_loss"),
            ("batch_hard_weight", "batch_hard_loss"),
        )
    ),
    Effect(
        "train_bruna.identity_smoothing",
        "whether the loss is torch's smoothed one",
        lambda **s: look.smoothed_identity(**s) == pytest.approx(1, rel=1e-4),
        {0.0: False, 0.3: True},
    ),
    Effect(
        "train_bruna.identity_margin",
        "which logits give the loss: linear ones, or cosines with a margin",
        lambda **s: tuple(look.identity_margin_found(**s)),
        {0.0: ("linear",), 0.3: ("0.3",), 0.5: ("0.5",)},
    ),
    Effect("train_bruna.batch_hard_margin", "the loss, less that of 2", look.batch_hard_from_2, {2.5: 0.5, 3.0: 1.0}),
    Effect(
        "train_bruna.margin",
        "P of four epochs",
        look.margins,
        {100.0: [100, 150, 225, 337.5], 50.0: [50, 75, 112.5, 168.75]},
    ),
    Effect("train_bruna.margin_growth", "P of four epochs", look.margins, {1.0: [100] * 4, 2.0: [100, 200, 400, 800]}),
    Effect(
        "train_bruna.margin_max",
        "P of four epochs",
        look.margins,
        {1000.0: [100, 150, 225, 337.5], 160.0: [100, 150, 160, 160]},
    ),
    Effect(
        "train_bruna.adversary_loss",
        "unit vectors; the paper's loss, which has no lower bound",
        look.adversary_learns,
        {
            "paper": {"units": False, "paper": True, "negative": True},
            "unit_regression": {"units": True, "paper": False, "negative": False},
        },
    ),
    Effect(
        "train_bruna.validate_every",
        "epochs of 5 that are measured",
        look.validated,
        {0: [5], 1: [1, 2, 3, 4, 5], 2: [2, 4, 5]},
    ),
    *(
        Effect(
            f"{name}.{setting}",
            "initial weights",
            partial(look.starts_from_file, name, built),
            {"none": False, "FILE": True},
        )
        for name, setting, built in (
            ("train_attributes", "pretrained", "simple_cnn"),
            ("train_bruna", "pretrained", "mobilenet_v3_small"),
            ("train_bruna", "adversary_pretrained", "mobilenet_v3_small"),
        )
    ),
    *(
        Effect(
            f"{name}.augment.{key}",
            "changes of the images",
            partial(look.changed, name),
            {0: "nothing", value: "torchvision's"},
        )
        for name in PLAIN
        for key, value in {**dict.fromkeys(CHANGES, 0.5), "pad": 5, "rotation": 20.0}.items()
    ),
]


def _own_keys(group: dict[str, Any]) -> Iterator[str]:
    for key, value in group.items():
        yield from (f"{key}.{inner}" for inner in value) if isinstance(value, dict) else [key]


def test_every_setting_of_a_training_is_in_the_table() -> None:
    settings = {
        f"{name}.{key}"
        for name in PLAIN
        for key in _own_keys(look.settings_of_the_project().group(name).model_dump())
        if key != "processes"  # of the stage's script: test_processes.py, tests/pipeline
    }
    assert {effect.setting for effect in EFFECTS} == settings
    assert all(len(effect.seen) > 1 for effect in EFFECTS)


def test_what_is_seen_has_no_row_that_any_value_would_pass() -> None:
    for effect in EFFECTS:
        first, *others = effect.seen.values()
        assert any(other != first for other in others), effect.setting


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.setting)
def test_a_setting_has_its_effect(effect: Effect) -> None:
    _, *inner, key = effect.setting.split(".")
    for value, wanted in effect.seen.items():
        found = effect.look(**({"augment": {key: value}} if inner else {key: value}))
        exact = isinstance(wanted, str | tuple)
        assert found == (wanted if exact else pytest.approx(wanted, rel=0.05, abs=1e-5))


RANGES: dict[str, tuple[float, Callable[[Draws], Tensor], tuple[float, float]]] = {
    "pad": (7, lambda draws: draws.shift.float(), (0, 14)),
    "brightness": (0.1, lambda draws: draws.factors[:, 0], (0.9, 1.1)),
    "contrast": (0.2, lambda draws: draws.factors[:, 1], (0.8, 1.2)),
    "saturation": (0.3, lambda draws: draws.factors[:, 2], (0.7, 1.3)),
    "hue": (0.4, lambda draws: draws.factors[:, 3], (-0.4, 0.4)),
    "rotation": (30.0, lambda draws: draws.angle, (-30, 30)),
    "equalize": (0.2, lambda draws: draws.equalize.float().mean(), (0.2, 0.2)),
    "flip": (0.4, lambda draws: draws.flip.float().mean(), (0.4, 0.4)),
    "erase": (0.7, lambda draws: (draws.box[:, 2] > 0).float().mean(), (0.7, 0.7)),
}
"""Of each setting of `augment`: a value, what is drawn, and its least and largest."""


@pytest.mark.parametrize("key", RANGES)
def test_what_is_drawn_for_a_change_has_the_range_of_its_setting_alone(key: str) -> None:
    values = {name: value for name, (value, _, _) in RANGES.items()}
    for changed_too in ({}, {name: 0 for name in values if name != key}):
        draws = Augmenter(Augment(**(values | changed_too))).draw(MANY, 128, 64, step_generator(0))
        _, drawn, wanted = RANGES[key]
        assert (float(drawn(draws).min()), float(drawn(draws).max())) == pytest.approx(wanted, rel=0.05, abs=0.005)


# What is not in params.yaml: numbers of the papers, written again.


def test_an_erased_rectangle_has_the_paper_s_areas_and_ratios() -> None:
    """Zhong et al., section 4.1: 2% to 40% of the area, height over width 0.3 to 3.3, both ends reached."""
    draws = Augmenter(Augment(**(STILL | {"erase": 1.0}))).draw(MANY, 500, 500, step_generator(0))
    tall, wide = draws.box[:, 2].double(), draws.box[:, 3].double()
    area, ratio = tall * wide / 500**2, tall / wide
    assert (float(area.min()), float(area.max())) == pytest.approx((0.02, 0.4), rel=0.03)
    assert (float(ratio.min()), float(ratio.max())) == pytest.approx((0.3, 3.3), rel=0.03)
    assert float(area.mean()) == pytest.approx(0.21, rel=0.05)  # uniform: where large ones do not fit, others are drawn
    assert float(ratio.log().mean()) == pytest.approx(0, abs=0.03)  # on a log scale
    ends = draws.box[:, :2] + draws.box[:, 2:]
    assert draws.box[:, :2].amin(dim=0).tolist() == [0, 0] and ends.amax(dim=0).tolist() == [500, 500]  # at every edge
    assert (tall > 0).all()  # ten tries: of an image of equal sides hardly one is left whole


def test_the_paper_s_numbers_are_the_paper_s() -> None:
    found = {
        "images of a tuple": (tuples.ANCHORS, tuples.NEGATIVES, tuples.TUPLE),  # section 3.2.2
        "mined": tuple_losses.MINED,
        "the worst task's weight": task_weights.WORST_RAISED_BY,  # section 3.1.3
        "sides of junk": attribute_items.ZOOM,
        "Task 1's identity smoothing": attributes.IDENTITY_SMOOTHING,  # Luo et al. (2019)
        "a pixel is the person's from": unet.MASK_THRESHOLD,
        "one image in so many is measured as junk": attribute_items.MEASURED_JUNK_EVERY,
        "checkpoints kept": checkpoint.KEEP,
    }
    assert list(found.values()) == [(4, 8, 12), 2, 1.1, (0.1, 0.3), 0.1, 0.5, 10, 2]
