"""What params.yaml may say: one strict, frozen model a group; an unknown key or a wrong type is refused.

The comments in params.yaml explain each setting to its user; the bounds stand here.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bruna.errors import BrunaError, counted
from bruna.yaml_file import parse, read_text

_LARGEST = 1e6
"""Of a rate, weight or margin: float32, in which all is computed, still has room for its square times a loss."""
_MOST = 99_999
"""Of what is counted: an epoch has five digits in the name of a checkpoint."""
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, le=_LARGEST)]
Amount = Annotated[float, Field(ge=0, le=_LARGEST)]
Count = Annotated[int, Field(ge=1, le=_MOST)]
CountOrZero = Annotated[int, Field(ge=0, le=_MOST)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What every generator takes."""
_SMALLEST_SIDE, _LARGEST_SIDE = 16, 4096
"""Pixels a side: the smallest that every network takes, and many times what a person in a picture has."""
_Side = Annotated[int, Field(ge=_SMALLEST_SIDE, le=_LARGEST_SIDE)]
ImageSize = Annotated[tuple[_Side, _Side], Field(strict=False)]
BackboneName = Literal["mobilenet_v3_small", "mobilenet_v3_large", "mobilenet_v2", "resnet18", "resnet50"]
NetworkName = Literal[
    "simple_cnn",
    "lenet5",
    "alexnet",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
]
_UNPUBLISHED_NETWORKS = ("simple_cnn", "lenet5")
"""Networks without ImageNet weights."""
_VECTOR_NETWORKS = ("lenet5", "alexnet")
"""Networks that end in a vector: they have no last feature map to enlarge or to halve."""
_ALEXNET_SMALLEST = 63
"""Pixels a side that AlexNet's three poolings need."""
_SHRINKS_BY = {"simple_cnn": 16}
"""How many pixels of an image become one of the last feature map, a side; 32 for the networks that are not listed."""
_BOTTLENECK = 4096
"""Channels of a U-Net's bottleneck at most: four times the paper's."""
_SHOWN = 100
"""Characters of a wrong value that a message shows."""

_REMOVED = "was removed: delete its line (docs/explanation/ablations.md says why)"
_FORMER = {
    "train_attributes.average": "is now called train_attributes.ema_decay",
    "train_attributes.half_size_epochs": _REMOVED,
    "train_attributes.mixup": _REMOVED,
    "train_attributes.class_weights": _REMOVED,
    "train_bruna.strangers": "is now called train_bruna.negatives, and its value `shared` is now `in_batch`",
    "train_bruna.picks": "is now called train_bruna.mining",
    "train_bruna.positives": _REMOVED,
    "train_bruna.pool": _REMOVED,
    "train_bruna.average": _REMOVED,
    "train_bruna.finetune_unet": _REMOVED,
    "evaluate.attributes_by": "is now called evaluate.attributes_from",
    "evaluate.attributes_sightings": "is now called evaluate.attribute_neighbors",
    "evaluate.rank_list_queries": "is now called report.rank_list_queries",
    "evaluate.rank_list_length": "is now called report.rank_list_length",
}
"""Settings of earlier versions and what became of them."""
_FORMER_VALUES = {
    ("train_attributes.task_weights", "raise_worst_normalised"),
    ("train_attributes.task_weights", "recall"),
    ("train_bruna.adversary_loss", "regression"),
}
"""Values that a setting had in earlier versions."""


Processes = Annotated[int, Field(ge=1, le=1024)]


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Augment(_Group):
    """Random changes of a training image; each image of a batch gets a draw of its own."""

    pad: CountOrZero
    brightness: Share
    contrast: Share
    saturation: Share
    hue: Annotated[float, Field(ge=0, le=0.5)]
    rotation: Annotated[float, Field(ge=0, le=180)]
    equalize: Share
    flip: Share
    erase: Share


def _pad_fits(group: Any) -> Any:
    """Reflect padding mirrors at an image's edge, and so takes no more than the image has beyond it."""
    pad, smallest = group.augment.pad, min(group.image_size)
    if pad >= smallest:
        raise ValueError(
            f"augment.pad {pad} is too much for image_size {list(group.image_size)}: {smallest - 1} pixels can be "
            "reflected at most"
        )
    return group


def _warmup_ends(group: Any) -> Any:
    if group.warmup_epochs >= group.epochs:
        raise ValueError(
            f"warmup_epochs {group.warmup_epochs:g} leaves nothing of {counted(group.epochs, 'epochs')}: lower it, or "
            "train longer"
        )
    return group


class Validate(_Group):
    """Group `validate`."""

    image_size: ImageSize | None
    on_bad_image: Literal["fail", "quarantine"]


class Split(_Group):
    """Group `split`."""

    seed: Seed
    train_share: Annotated[float, Field(gt=0, lt=1)]
    mask_train_share: Annotated[float, Field(gt=0, lt=1)]
    measured_on: Literal["validation", "development"]


class TrainUNet(_Group):
    """Group `train_unet`."""

    seed: Seed
    processes: Processes
    image_size: ImageSize
    width: Count
    depth: Annotated[int, Field(ge=1, le=10)]
    epochs: Count
    batch_size: Count
    lr: Positive
    augment: Augment

    @model_validator(mode="after")
    def _depth(self) -> Self:
        step = 2**self.depth
        if any(side % step for side in self.image_size):
            raise ValueError(
                f"image_size {list(self.image_size)} is halved {counted(self.depth, 'times')}: each side must be a "
                f"multiple of {step}"
            )
        if max(self.image_size) == step:
            raise ValueError(
                f"image_size {list(self.image_size)} halved {counted(self.depth, 'times')} is a single pixel, which "
                "batch normalisation cannot learn from: lower depth, or set a larger image_size"
            )
        if (channels := self.width * step) > _BOTTLENECK:
            raise ValueError(
                f"width {self.width} doubled {counted(self.depth, 'times')} makes {channels:,} channels; "
                f"{_BOTTLENECK:,} is the most: lower width or depth"
            )
        return self

    _padded = model_validator(mode="after")(_pad_fits)


class Segment(_Group):
    """Group `segment`."""

    batch_size: Count


class TrainAttributes(_Group):
    """Group `train_attributes` (Task 1, section 3.1)."""

    seed: Seed
    processes: Processes
    network: NetworkName
    pretrained: str
    image_size: ImageSize
    last_stride: Literal[1, 2]
    pool: Literal["whole", "halves"]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    flip_test: bool
    epochs: Count
    batch_size: Count
    lr: Positive
    backbone_lr_factor: Positive
    weight_decay: Amount
    schedule: Literal["constant", "cosine"]
    warmup_epochs: Amount
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    camera_classes: Annotated[tuple[Count, ...], Field(strict=False, max_length=100)]
    junk_share: Share
    weak_share: Share
    weak_below: CountOrZero
    task_weights: Literal["equal", "raise_worst"]
    identity_weight: Amount
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    logit_adjustment: Amount
    augment: Augment

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if self.junk_share + self.weak_share > 1:
            raise ValueError("junk_share + weak_share is more than 1")
        if len(set(self.camera_classes)) < len(self.camera_classes):
            raise ValueError(f"camera_classes {list(self.camera_classes)} names a camera twice")
        return self

    _padded = model_validator(mode="after")(_pad_fits)
    _warmed_up = model_validator(mode="after")(_warmup_ends)

    @model_validator(mode="after")
    def _suits_network(self) -> Self:
        if self.network in _UNPUBLISHED_NETWORKS and self.pretrained == "imagenet":
            raise ValueError(f"pretrained: imagenet has no weights for network {self.network}: set pretrained to none")
        if self.network in _VECTOR_NETWORKS and (self.last_stride, self.pool) != (2, "whole"):
            raise ValueError(
                f"network {self.network} ends in a vector, not in a feature map: last_stride must be 2 and pool whole"
            )
        if self.network == "alexnet" and min(self.image_size) < _ALEXNET_SMALLEST:
            raise ValueError(
                f"network alexnet needs images of {_ALEXNET_SMALLEST} pixels a side at least: image_size is "
                f"{list(self.image_size)}"
            )
        return self

    @model_validator(mode="after")
    def _no_step_of_one(self) -> Self:
        """Batch normalisation learns nothing from one number: of one image, where its map is one pixel or a vector."""
        if self.batch_size > 2:  # an epoch is cut into equal parts, so that no step has less than half of it
            return self
        one_pixel = _SHRINKS_BY.get(self.network, 32) // (2 if self.last_stride == 1 else 1)
        normalises = self.network not in _VECTOR_NETWORKS and max(self.image_size) <= one_pixel
        if normalises or self.identity_weight:
            of = f"{self.network} at image_size {list(self.image_size)}" if normalises else "identity_weight above 0"
            raise ValueError(
                f"batch_size {self.batch_size} makes steps of a single image, and with {of} batch normalisation needs "
                "two at least: set batch_size to 3 or more"
            )
        return self


class TrainBruna(_Group):
    """Group `train_bruna` (Task 2, section 3.2)."""

    seed: Seed
    processes: Processes
    backbone: BackboneName
    pretrained: str
    adversary_pretrained: str
    image_size: ImageSize
    features: Annotated[int, Field(ge=2, le=16_384)]
    mask: Literal["none", "segmented", "channel"]
    bottleneck: bool
    dropout: Annotated[float, Field(ge=0, lt=1)]
    last_stride: Literal[1, 2]
    neck: Literal["none", "batch_norm"]
    epochs: Count
    tuples_per_identity: Annotated[int, Field(ge=1, le=1000)]
    batch_tuples: Count
    anchors: Literal["any", "across_cameras"]
    negatives: Literal["own", "in_batch"]
    mining: Literal["adversary", "random", "hardest"]
    lr: Positive
    backbone_lr: Positive
    adversary_lr: Positive
    weight_decay: Amount
    schedule: Literal["constant", "cosine"]
    warmup_epochs: Amount
    halve_every: CountOrZero
    grad_clip: Amount
    attribute_weight: Amount
    triplet_weight: Amount
    identity_weight: Amount
    identity_smoothing: Annotated[float, Field(ge=0, lt=1)]
    identity_margin: Annotated[float, Field(ge=0, lt=1)]
    batch_hard_weight: Amount
    batch_hard_margin: Annotated[float, Field(gt=0, le=2)]
    margin: Positive
    margin_growth: Positive
    margin_max: Positive
    adversary_loss: Literal["paper", "unit_regression"]
    validate_every: CountOrZero
    augment: Augment

    _padded = model_validator(mode="after")(_pad_fits)
    _warmed_up = model_validator(mode="after")(_warmup_ends)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.negatives == "in_batch" and self.batch_tuples < 3:
            raise ValueError(
                f"negatives: in_batch needs at least 3 tuples a batch; batch_tuples is {self.batch_tuples}"
            )
        if self.margin_max < self.margin:
            raise ValueError(
                f"margin_max {self.margin_max:g} is below margin {self.margin:g}: raise margin_max, or lower margin"
            )
        if self.halve_every >= self.epochs:
            raise ValueError(
                f"halve_every {self.halve_every} halves nothing in {counted(self.epochs, 'epochs')}: lower it, or set 0"
            )
        weights = self.attribute_weight, self.triplet_weight, self.identity_weight, self.batch_hard_weight
        if not any(weights):
            raise ValueError(
                "attribute_weight, triplet_weight, identity_weight and batch_hard_weight are all 0: nothing would be "
                "learned"
            )
        return self


class Evaluate(_Group):
    """Group `evaluate`."""

    batch_size: Count
    attribute_offset: Amount
    flip: bool
    rerank: bool
    rerank_k1: Count
    rerank_k2: Count
    rerank_lambda: Share
    filter_junk: bool
    junk_threshold: Share
    reid_test_length: Count
    attributes_from: Literal["task1", "bruna", "both"]
    attribute_neighbors: Count

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.rerank_k2 > self.rerank_k1:
            raise ValueError(
                f"rerank_k2 {self.rerank_k2} is more than rerank_k1 {self.rerank_k1}: an image's encoding is averaged "
                "over some of its neighbors; lower rerank_k2 or raise rerank_k1"
            )
        if self.filter_junk and self.junk_threshold == 0:
            raise ValueError(
                "junk_threshold 0 leaves out every image of a gallery: raise it, or set filter_junk: false"
            )
        return self


class Report(_Group):
    """Group `report`: what the pictures show; no figure depends on it."""

    rank_list_queries: Annotated[int, Field(ge=0, le=100)]
    rank_list_length: Annotated[int, Field(ge=1, le=50)]  # bruna.evaluation.retrieval.RANKED


class Runtime(_Group):
    """Group `runtime`: where the work runs; no stage is run again when it changes."""

    device: str
    threads: Annotated[int, Field(ge=0, le=1024)]
    instructions: Literal["avx2", "native"]


class Params(_Group):
    """The whole of params.yaml."""

    runtime: Runtime
    validate_: Annotated[Validate, Field(alias="validate")]
    split: Split
    train_unet: TrainUNet
    segment: Segment
    train_attributes: TrainAttributes
    train_bruna: TrainBruna
    evaluate: Evaluate
    report: Report

    def group(self, name: str) -> Any:
        """The group of a stage by the stage's name."""
        return getattr(self, "validate_" if name == "validate" else name)


def parse_params(raw: Any, source: str) -> Params:
    """Check what a params file says.

    Args:
        raw: the parsed YAML.
        source: its name, for the message.

    Raises:
        BrunaError: a key is unknown or missing, or a value has the wrong type or range; one line each.
    """
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        lines = "\n".join(f"  {_problem(details)}" for details in error.errors())
        raise BrunaError(
            f"{source} is not usable:\n{lines}\nEach setting is explained where it stands in params.yaml; "
            "`git diff params.yaml` shows what was changed."
        ) from None


def _problem(details: Any) -> str:
    """One of pydantic's findings in words: the key, what was found, what to do."""
    key = ".".join(str(part) for part in details["loc"]) or "the file"
    found = "a group" if isinstance(details["input"], dict) else _shown(details["input"])
    if details["type"] == "value_error":  # of a group's own check, which says what it found
        return f"{key}: {details['ctx']['error']}"
    if details["type"] == "missing":
        return f"{key}: missing"
    if details["type"] == "model_type":
        found = "nothing" if details["input"] is None else found
        return f"{key}: found {found}, where settings and their values belong"
    if details["type"] == "extra_forbidden":
        return f"{key}: found {found}; this setting {_FORMER.get(key) or _unknown(details['loc'])}"
    if (key, str(details["input"])) in _FORMER_VALUES:
        return f"{key}: found {found}, which was removed (docs/explanation/ablations.md says why); {details['msg']}"
    return f"{key}: found {found}; {details['msg']}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."


def _unknown(location: Sequence[Any]) -> str:
    """`is unknown`, and the known name beside it that is spelled nearest."""
    *groups, name = location
    known = _names(Params)
    for group in groups:
        known = _names(known[group])
    near = get_close_matches(str(name), known, n=1)
    return f"is unknown: did you mean {near[0]}?" if near else "is unknown"


def _names(group: Any) -> dict[str, Any]:
    """The names in a group, as params.yaml has them, and the type of each."""
    return {field.alias or name: field.annotation for name, field in group.model_fields.items()}


def read_params(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        BrunaError: the file is missing, not YAML, or says something that is not allowed.
    """
    return parse_params(parse(read_text(path), path), str(path))


def read_groups(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Read params.yaml as far as it can be used.

    Returns:
        The groups without a mistake by name, and a line for each mistake in the others.

    Raises:
        BrunaError: the file is missing or not YAML.
    """
    raw = parse(read_text(path), path)
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        wrong = {details["loc"][0] if details["loc"] else None for details in error.errors()}
        right = set() if None in wrong else set(_names(Params)) - wrong
        groups = {name: group.model_validate(raw[name]) for name, group in _names(Params).items() if name in right}
        return groups, [_problem(details) for details in error.errors()]
    return {name: params.group(name) for name in _names(Params)}, []


def read_runtime(path: Path) -> Runtime:
    """The group `runtime` of a params.yaml of this project, whatever stands in its other groups.

    A file that is missing, or another project's (it lacks one of our groups), says nothing: torch then chooses.

    Raises:
        BrunaError: the group says something that is not allowed.
    """
    anywhere = Runtime(device="auto", threads=0, instructions="avx2")
    try:
        raw = parse(read_text(path), path)
    except BrunaError:
        return anywhere
    if not isinstance(raw, dict) or not set(_names(Params)) <= set(raw):
        return anywhere
    groups, problems = read_groups(path)
    if "runtime" not in groups:
        raise BrunaError(f"{path}: {'; '.join(each for each in problems if each.startswith('runtime'))}")
    runtime: Runtime = groups["runtime"]
    return runtime
