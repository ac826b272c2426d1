"""Task 1 (paper, section 3.1): twelve attributes, two cameras and junk from one image."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from bruna.batches.attribute_items import AttributeSampler, task1_targets, zoom_junk
from bruna.batches.augment import Augmenter
from bruna.batches.mixup import Mixture, draw_mixture
from bruna.batches.seeds import numpy_generator
from bruna.dataset.attributes import ATTRIBUTES
from bruna.dataset.priors import log_priors
from bruna.inference import attribute_logits, task_predictions
from bruna.losses import TASKS, adjusted_logits, attribute_losses
from bruna.models.attributes import AttributeNetwork
from bruna.params import TrainAttributes
from bruna.runtime import mixed_precision
from bruna.tracking import Tracker
from bruna.training.attribute_parts import Measured, Part, load_part, measure
from bruna.training.averaging import RunningAverage
from bruna.training.checkpoint import Checkpoints
from bruna.training.identities import NOBODY, class_numbers, identity_head, identity_loss
from bruna.training.loop import History, learning_rate_factor, run, set_learning_rates
from bruna.training.pretrained import load_pretrained
from bruna.training.task_weights import class_weights, mean_recall, next_task_weights

_MOST_VALUES = max(len(attribute.values) for attribute in ATTRIBUTES)
IDENTITY_SMOOTHING = 0.1
"""Label smoothing of the identity loss, as in Luo et al. (2019)."""


@dataclass(frozen=True)
class AttributeResult:
    """A trained Task 1 network and what it says of the images it was and was not trained on."""

    model: AttributeNetwork
    history: History
    train: Measured
    validation: Measured


@dataclass(frozen=True)
class _Batch:
    """The items of a step: B x 3 x H x W images, B x 15 targets, B class numbers, how the images are blended."""

    pixels: Tensor
    targets: Tensor
    classes: Tensor
    mixture: Mixture | None

    def against(self, loss: Callable[[Tensor], Tensor], targets: Tensor) -> Tensor:
        """A loss against the batch's targets, or against those of both blended images."""
        return loss(targets) if self.mixture is None else self.mixture.loss(loss, targets)


class _Programme:
    name = "train_attributes"

    def __init__(self, train: Part, validation: Part, params: TrainAttributes, device: torch.device) -> None:
        self.seed, self.epochs, self.params, self.device = params.seed, params.epochs, params, device
        self.train, self.validation = train, validation
        torch.manual_seed(params.seed)
        model = AttributeNetwork(
            params.network,
            last_stride=params.last_stride,
            pool=params.pool,
            dropout=params.dropout,
            flip_test=params.flip_test,
        )
        load_pretrained(model.backbone, params.network, params.pretrained)
        self.model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = RunningAverage(self.model, params.average)
        self.classes, people = class_numbers(train.identities)
        self.identity_head = identity_head(self.model.head.in_features, people if params.identity_weight else 0)
        self.identity_head.to(device)
        high, low = self.model.fine_tuning_groups()
        low_rate = params.lr * params.backbone_lr_factor
        self.optimizer = torch.optim.Adam(
            [
                {"params": [*high, *self.identity_head.parameters()], "lr": params.lr, "base_lr": params.lr},
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
        self.class_weights = class_weights(train.codes.numpy(), params.class_weights, device)
        self.log_priors = torch.tensor(log_priors(train.codes.numpy()), dtype=torch.float32, device=device)
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

    def batch(self, epoch: int, step: int, generator: torch.Generator) -> _Batch:
        """The items of a step: drawn, made junk where that was drawn, augmented, halved, blended."""
        indices, junk = self._draws(epoch)
        # Equal parts, so that the last step is no single image (which batch normalisation refuses).
        rows = np.array_split(np.arange(len(indices)), self.steps(epoch))[step]
        chosen, is_junk = indices[rows], torch.from_numpy(junk[rows])
        images = self.train.store[chosen]
        if is_junk.any():
            where = is_junk.nonzero()[:, 0].to(images.device)
            images[where] = zoom_junk(images[where], generator)
        pixels, _ = self.augment(images, None, generator)
        if self.is_half_size(epoch):
            pixels = F.avg_pool2d(pixels, 2)
        mixture = draw_mixture(len(pixels), self.params.mixup, numpy_generator(self.seed, "mixup", epoch, step))
        if mixture is not None:
            pixels = mixture.images(pixels)
        return _Batch(
            pixels=pixels.contiguous(memory_format=torch.channels_last),
            targets=task1_targets(self.train.codes[chosen], self.train.cameras[chosen], is_junk).to(self.device),
            classes=self.classes[chosen].masked_fill(is_junk, NOBODY).to(self.device),
            mixture=mixture,
        )

    def step(self, epoch: int, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        batch = self.batch(epoch, step, generator)
        position = epoch + step / self.steps(epoch)
        schedule = self.params.warmup_epochs, self.params.schedule
        set_learning_rates(self.optimizer, learning_rate_factor(position, self.epochs, *schedule))
        self.model.train()
        with mixed_precision(self.device):
            pooled = self.model.pooled(batch.pixels)
            logits, identities = self.model.classify(pooled).float(), self.identity_head(pooled)
        judged = self._adjusted(logits)
        losses = batch.against(
            lambda true: attribute_losses(judged, true, self.class_weights, self.params.label_smoothing), batch.targets
        )
        loss = (self.task_weights * losses).sum()
        each = {f"loss/{task}": value for task, value in zip(TASKS, losses.detach(), strict=True)}
        if self.params.identity_weight:
            identity = batch.against(
                lambda who: identity_loss(identities.float(), who, IDENTITY_SMOOTHING), batch.classes
            )
            loss = loss + self.params.identity_weight * identity
            each["identity_loss"] = identity.detach()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.average.update()
        self._count(task_predictions(logits.detach()), batch.targets)
        return {"loss": loss.detach(), **each}

    def is_half_size(self, epoch: int) -> bool:
        """Whether an epoch's images are halved (Tan and Le, EfficientNetV2, 2021: small images first)."""
        return epoch < self.params.half_size_epochs

    def _adjusted(self, logits: Tensor) -> Tensor:
        return adjusted_logits(logits, self.log_priors.to(logits.device), self.params.logit_adjustment)

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
        store = self.validation.store.halved() if self.is_half_size(epoch) else self.validation.store
        logits = attribute_logits(self.kept, store, 4 * self.params.batch_size)
        known = self.validation.targets
        losses = attribute_losses(self._adjusted(logits), known)
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
            "identity_head": self.identity_head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "task_weights": self.task_weights,
            "confusion": self.confusion,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.identity_head.load_state_dict(state["identity_head"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.task_weights = state["task_weights"].to(self.device)
        self.confusion = state["confusion"].to(self.device)


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
