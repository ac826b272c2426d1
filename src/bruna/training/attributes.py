"""Task 1 (paper, section 3.1): twelve attributes, two cameras and junk from one image."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from bruna.batches.attribute_items import AttributeSampler, task1_targets, zoom_junk
from bruna.batches.augment import Augmenter
from bruna.batches.seeds import step_generator
from bruna.batches.store import ImageStore
from bruna.dataset.attributes import ATTRIBUTES, EXTRA_CLASSES
from bruna.dataset.tables import attribute_codes
from bruna.inference import attribute_logits, task_predictions
from bruna.losses import TASKS, attribute_losses
from bruna.models.attributes import AttributeNetwork
from bruna.params import TrainAttributes
from bruna.runtime import mixed_precision
from bruna.tracking import Tracker
from bruna.training.averaging import RunningAverage
from bruna.training.checkpoint import Checkpoints
from bruna.training.loop import History, cosine, run, set_learning_rates
from bruna.training.pretrained import load_pretrained

WORST_RAISED_BY = 1.1
"""Factor of the worst task's weight after an epoch (paper, section 3.1.3)."""
_MEASURED_JUNK_EVERY = 10
"""When measuring, every tenth image also appears as junk, zoomed into by a fixed draw."""
_MOST_VALUES = max(len(attribute.values) for attribute in ATTRIBUTES)


@dataclass(frozen=True)
class Measured:
    """What the network says of one part of the data.

    Attributes:
        true: M x 15 codes, -1 where not annotated; the rows after the part's N images are zoomed junk.
        predicted: M x 15 codes.
        logits: M x 35.
        images: M x 3 x H x W uint8, what the network saw.
    """

    true: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float32]
    images: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class AttributeResult:
    """A trained Task 1 network and what it says of the images it was and was not trained on."""

    model: AttributeNetwork
    history: History
    train: Measured
    validation: Measured


@dataclass(frozen=True)
class Part:
    """One side of the split in memory: N images, N x 12 codes, N identities, N cameras (int64, on the CPU)."""

    store: ImageStore
    codes: Tensor
    identities: Tensor
    cameras: Tensor

    @property
    def targets(self) -> Tensor:
        """N x 15 targets of images that are what they are: no junk."""
        return task1_targets(self.codes, self.cameras, torch.zeros(len(self.codes), dtype=torch.bool))


class _Programme:
    name = "train_attributes"

    def __init__(self, train: Part, validation: Part, params: TrainAttributes, device: torch.device) -> None:
        self.seed, self.epochs, self.params, self.device = params.seed, params.epochs, params, device
        self.train, self.validation = train, validation
        torch.manual_seed(params.seed)
        model = AttributeNetwork(params.network)
        load_pretrained(model.backbone, params.network, params.pretrained)
        self.model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = RunningAverage(self.model, params.average)
        high, low = self.model.fine_tuning_groups()
        low_rate = params.lr * params.backbone_lr_factor
        self.optimizer = torch.optim.Adam(
            [
                {"params": high, "lr": params.lr, "base_lr": params.lr},
                {"params": low, "lr": low_rate, "base_lr": low_rate},
            ],
            weight_decay=params.weight_decay,
            fused=True,
        )
        self.augment = Augmenter(params.augment)
        self.sampler = AttributeSampler(
            train.codes.numpy(),
            train.identities.numpy(),
            seed=params.seed,
            junk_share=params.junk_share,
            weak_share=params.weak_share,
            weak_below=params.weak_below,
        )
        self.class_weights = _class_weights(train.codes.numpy(), params.class_weights, device)
        self.task_weights = torch.full((len(TASKS),), 1 / len(TASKS), device=device)
        self.confusion = torch.zeros(len(TASKS), _MOST_VALUES, _MOST_VALUES, dtype=torch.int64, device=device)
        self._drawn: tuple[int, npt.NDArray[np.int64], npt.NDArray[np.bool_]] | None = None

    @property
    def kept(self) -> AttributeNetwork:
        """The network that is measured and kept."""
        kept = self.average.kept
        assert isinstance(kept, AttributeNetwork)
        return kept

    def steps(self, epoch: int) -> int:
        return -(-len(self.train.store) // self.params.batch_size)

    def _draws(self, epoch: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        if self._drawn is None or self._drawn[0] != epoch:
            self._drawn = (epoch, *self.sampler.epoch(epoch))
        return self._drawn[1], self._drawn[2]

    def step(self, epoch: int, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        indices, junk = self._draws(epoch)
        # Equal parts, so that the last step is no single image (which batch normalisation refuses).
        rows = np.array_split(np.arange(len(indices)), self.steps(epoch))[step]
        chosen, is_junk = indices[rows], junk[rows]
        images = self.train.store[chosen]
        if is_junk.any():
            where = torch.from_numpy(np.flatnonzero(is_junk)).to(images.device)
            images[where] = zoom_junk(images[where], generator)
        pixels, _ = self.augment(images, None, generator)
        targets = task1_targets(self.train.codes[chosen], self.train.cameras[chosen], torch.from_numpy(is_junk))
        targets = targets.to(self.device)
        if self.params.schedule == "cosine":
            set_learning_rates(self.optimizer, cosine(epoch + step / self.steps(epoch), self.epochs))
        self.model.train()
        with mixed_precision(self.device):
            logits = self.model(pixels.contiguous(memory_format=torch.channels_last)).float()
        losses = attribute_losses(logits, targets, self.class_weights)
        loss = (self.task_weights * losses).sum()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.average.update()
        self._count(task_predictions(logits.detach()), targets)
        each = {f"loss/{task}": value for task, value in zip(TASKS, losses.detach(), strict=True)}
        return {"loss": loss.detach(), **each}

    def _count(self, predicted: Tensor, targets: Tensor) -> None:
        """Add a batch to the epoch's 15 training confusion matrices (true value, predicted value)."""
        size = _MOST_VALUES**2
        task = torch.arange(len(TASKS), device=targets.device).expand_as(targets)
        known = targets >= 0
        flat = (task * size + targets * _MOST_VALUES + predicted)[known]
        self.confusion += torch.bincount(flat, minlength=len(TASKS) * size).view_as(self.confusion)

    def end_epoch(self, epoch: int) -> dict[str, float]:
        recall = mean_recall(self.confusion)
        metrics = {f"train/recall/{task}": float(value) for task, value in zip(TASKS, recall, strict=True)}
        weights = {f"train/task_weight/{task}": float(w) for task, w in zip(TASKS, self.task_weights, strict=True)}
        self.task_weights = next_task_weights(self.task_weights, recall, self.params.task_weights)
        self.confusion.zero_()
        logits = attribute_logits(self.kept, self.validation.store, 4 * self.params.batch_size)
        known = self.validation.targets
        losses = attribute_losses(logits, known)
        right = (task_predictions(logits) == known)[:, : len(ATTRIBUTES)].double().mean(dim=0)
        validation = {f"validation/accuracy/{a.name}": float(v) for a, v in zip(ATTRIBUTES, right, strict=True)}
        total = {
            "validation/loss": float(losses.mean()),
            "validation/accuracy": float(right.mean()),
            "train/recall": float(recall[: len(ATTRIBUTES)].mean()),
        }
        return {**total, **metrics, **weights, **validation}

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "task_weights": self.task_weights,
            "confusion": self.confusion,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.task_weights = state["task_weights"].to(self.device)
        self.confusion = state["confusion"].to(self.device)


def mean_recall(confusion: Tensor) -> Tensor:
    """Mean recall of each task over the values that occur; T x V x V counts (true, predicted) to T."""
    bearers = confusion.sum(dim=2)
    recall = confusion.diagonal(dim1=1, dim2=2) / bearers.clamp(min=1)
    return recall.sum(dim=1) / (bearers > 0).sum(dim=1).clamp(min=1)


def next_task_weights(weights: Tensor, recall: Tensor, rule: str) -> Tensor:
    """The 15 loss weights of the next epoch.

    `equal` keeps them; `raise_worst` multiplies the worst task's by 1.1 (paper, section 3.1.3);
    `raise_worst_normalised` lets them sum to one again; `recall` takes 1 - mean recall, normalised (original.md).
    """
    if rule == "equal":
        return weights
    if rule == "recall":
        shortfall = (1 - recall).clamp(min=1e-6)
        return (shortfall / shortfall.sum()).to(weights.dtype)
    raised = weights.clone()
    raised[int(recall.argmin())] *= WORST_RAISED_BY
    return raised / raised.sum() if rule == "raise_worst_normalised" else raised


def _class_weights(codes: npt.NDArray[np.int64], rule: str, device: torch.device) -> list[Tensor | None]:
    """Weights inside age and the colours: images / (values x images of the value); None for binary ones."""
    if rule == "none":
        return [None] * len(ATTRIBUTES)
    weights: list[Tensor | None] = []
    for i, attribute in enumerate(ATTRIBUTES):
        counts = np.bincount(codes[codes[:, i] >= 0, i], minlength=len(attribute.values))
        inverse = counts.sum() / (len(counts) * np.maximum(counts, 1))
        weights.append(None if attribute.binary else torch.tensor(inverse, dtype=torch.float32, device=device))
    return weights


def load_part(table: pd.DataFrame, size: tuple[int, int], device: torch.device) -> Part:
    """Decode one side of the split for Task 1."""
    return Part(
        store=ImageStore.decode(list(table["image"]), list(table["path"]), size).to(device),
        codes=torch.from_numpy(attribute_codes(table)),
        identities=torch.tensor(table["identity"].to_numpy(np.int64)),
        cameras=torch.tensor(table["camera"].to_numpy(np.int64)),
    )


def measure(model: AttributeNetwork, part: Part, params: TrainAttributes, description: str) -> Measured:
    """Predict every image of a part, and zooms into every tenth of them as junk."""
    generator = step_generator(params.seed, "measured_junk")
    junk = zoom_junk(part.store.pixels[::_MEASURED_JUNK_EVERY], generator)
    batch = 4 * params.batch_size
    logits = torch.cat(
        [
            attribute_logits(model, part.store, batch, description),
            attribute_logits(model, ImageStore(junk, part.store.device), batch),
        ]
    )
    as_junk = np.full((len(junk), len(TASKS)), -1, dtype=np.int64)
    as_junk[:, TASKS.index(EXTRA_CLASSES[-1])] = 1
    return Measured(
        true=np.concatenate([part.targets.numpy(), as_junk]),
        predicted=task_predictions(logits).numpy(),
        logits=logits.numpy(),
        images=torch.cat([part.store.pixels, junk]).cpu().numpy(),
    )


def train_attributes(
    train: pd.DataFrame,
    validation: pd.DataFrame,
    params: TrainAttributes,
    *,
    tracker: Tracker,
    checkpoints: Checkpoints,
    device: torch.device,
) -> AttributeResult:
    """Train Task 1's network and measure it on both sides of the split.

    The weights of the last epoch, or their running average, are kept: none is chosen by its validation figures.
    """
    size = params.image_size
    parts = load_part(train, size, device), load_part(validation, size, device)
    programme = _Programme(*parts, params, device)
    history = run(programme, checkpoints=checkpoints, tracker=tracker, unit="images", per_step=params.batch_size)
    return AttributeResult(
        model=programme.kept,
        history=history,
        train=measure(programme.kept, parts[0], params, "measure train"),
        validation=measure(programme.kept, parts[1], params, "measure validation"),
    )
