"""Task 1 (paper, section 3.1): attributes, cameras and junk from one image."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn

from bruna.batches.attribute_items import AttributeSampler, task1_targets, zoom
from bruna.batches.augment import Augmenter
from bruna.dataset.priors import log_priors
from bruna.dataset.schema import attributes_among
from bruna.inference.predicting import attribute_logits
from bruna.losses import adjusted_logits, attribute_losses
from bruna.models.attribute_logits import predictions
from bruna.models.attributes import AttributeNetwork
from bruna.params import TrainAttributes
from bruna.processes import ALONE, Processes, with_whole_batch_norm
from bruna.runtime import mixed_precision
from bruna.tracking.protocol import Tracker
from bruna.training.attribute_data import Measured, Part, load_part, measure
from bruna.training.checkpoint import Checkpoints
from bruna.training.ema import WeightEMA
from bruna.training.identity_loss import NO_IDENTITY, class_numbers, identity_head, identity_loss
from bruna.training.loop import History, run
from bruna.training.pretrained import load_pretrained
from bruna.training.schedules import learning_rate_factor, set_learning_rates
from bruna.training.task_counts import balanced_accuracies, counts, epoch_metrics, no_counts
from bruna.training.task_weights import next_task_weights

IDENTITY_SMOOTHING = 0.1
"""Label smoothing of the identity loss, as in Luo et al. (2019)."""


@dataclass(frozen=True)
class AttributeResult:
    """A trained Task 1 network and its predictions for the images it was and was not trained on."""

    model: AttributeNetwork
    history: History
    train: Measured
    validation: Measured


@dataclass(frozen=True)
class _Batch:
    """The items of a step: this process's images, x 3 x H x W; B x T targets and B class numbers of the identities."""

    pixels: Tensor
    targets: Tensor
    classes: Tensor


class _Recipe:
    name = "train_attributes"

    def __init__(
        self, train: Part, validation: Part, params: TrainAttributes, device: torch.device, processes: Processes
    ) -> None:
        self.seed, self.epochs, self.params, self.device = params.seed, params.epochs, params, device
        self.processes = processes
        self.train, self.validation, self.tasks = train, validation, train.tasks
        torch.manual_seed(params.seed)
        model = AttributeNetwork(
            params.network,
            self.tasks,
            last_stride=params.last_stride,
            pool=params.pool,
            dropout=params.dropout,
            flip_test=params.flip_test,
        )
        load_pretrained(model.backbone, params.network, params.pretrained)
        with_whole_batch_norm(model.backbone, processes)
        self.model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = WeightEMA(self.model, params.ema_decay)
        self.classes, people = class_numbers(train.identities)
        self.identity_head = identity_head(self.model.head.in_features, people if params.identity_weight else 0)
        self.identity_head.to(device)
        self.networks: list[nn.Module] = [self.model, self.identity_head]
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
        priors = log_priors(train.codes.numpy(), attributes_among(self.tasks))
        self.log_priors = torch.tensor(priors, dtype=torch.float32, device=device)
        self.task_weights = torch.full((len(self.tasks),), 1 / len(self.tasks), device=device)
        self.confusion = no_counts(self.tasks, device)  # of the epoch's training images
        self._drawn: tuple[int, npt.NDArray[np.int64], npt.NDArray[np.bool_]] | None = None
        self.advice = (
            f"Lower train_attributes.lr (it is {params.lr:g}) or raise warmup_epochs (it is {params.warmup_epochs:g}), "
            "and train again."
        )

    @property
    def averaged(self) -> AttributeNetwork:
        """The network that is measured and kept: the weights' EMA, where there is one."""
        network = self.ema.network
        assert isinstance(network, AttributeNetwork)
        return network

    def steps(self, epoch: int) -> int:
        return -(-len(self.train.store) // self.params.batch_size)

    def _draws(self, epoch: int, step: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """The rows of a step's images, and which of them become junk."""
        if self._drawn is None or self._drawn[0] != epoch:
            self._drawn = (epoch, *self.sampler.epoch(epoch))
        _, indices, junk = self._drawn
        # Equal parts, so that the last step is no single image (which batch normalisation refuses).
        rows = np.array_split(np.arange(len(indices)), self.steps(epoch))[step]
        return indices[rows], junk[rows]

    def batch_paths(self, epoch: int, step: int) -> list[str]:
        return [self.train.paths[row] for row in self._draws(epoch, step)[0]]

    def batch(self, epoch: int, step: int, generator: torch.Generator) -> _Batch:
        """The items of a step: drawn, made junk where that was drawn, augmented."""
        chosen, junk = self._draws(epoch, step)
        is_junk, share = torch.from_numpy(junk), self.processes.share_of_batch(len(chosen))
        images = self.train.store[chosen[share]]
        zooms = torch.rand(int(is_junk.sum()), 3, generator=generator)[(is_junk.cumsum(0) - 1)[share][is_junk[share]]]
        if len(zooms):
            where = is_junk[share].nonzero()[:, 0].to(images.device)
            images[where] = zoom(images[where], zooms)
        draws = self.augment.draw(len(chosen), *self.params.image_size, generator)
        pixels, _ = self.augment.apply(images, None, draws.part(share))
        return _Batch(
            pixels=pixels.contiguous(memory_format=torch.channels_last),
            targets=task1_targets(
                self.train.codes[chosen], self.train.cameras[chosen], is_junk, self.params.camera_classes
            ).to(self.device),
            classes=self.classes[chosen].masked_fill(is_junk, NO_IDENTITY).to(self.device),
        )

    def step(self, epoch: int, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        batch = self.batch(epoch, step, generator)
        position = epoch + step / self.steps(epoch)
        schedule = self.params.warmup_epochs, self.params.schedule
        set_learning_rates(self.optimizer, learning_rate_factor(position, self.epochs, *schedule))
        self.model.train()
        with mixed_precision(self.device):
            pooled = self.processes.gather(self.model.pooled(batch.pixels))
            logits, identities = self.model.classify(pooled).float(), self.identity_head(pooled)
        losses = attribute_losses(self._adjusted(logits), batch.targets, self.tasks, self.params.label_smoothing)
        loss = (self.task_weights * losses).sum()
        each = {f"loss/{task.name}": value for task, value in zip(self.tasks, losses.detach(), strict=True)}
        if self.params.identity_weight:
            identity = identity_loss(identities.float(), batch.classes, IDENTITY_SMOOTHING)
            loss = loss + self.params.identity_weight * identity
            each["identity_loss"] = identity.detach()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.processes.average_gradients(self.networks)
        self.optimizer.step()
        self.ema.update()
        self.confusion += counts(predictions(logits.detach(), self.tasks), batch.targets, self.tasks)
        return {"loss": loss.detach(), **each}

    def _adjusted(self, logits: Tensor) -> Tensor:
        return adjusted_logits(logits, self.log_priors.to(logits.device), self.params.logit_adjustment)

    def end_epoch(self, epoch: int) -> dict[str, float]:
        tasks = self.tasks
        train = epoch_metrics("train", self.confusion, tasks)
        weights = {f"train/task_weight/{t.name}": float(w) for t, w in zip(tasks, self.task_weights, strict=True)}
        found = balanced_accuracies(self.confusion)
        self.task_weights = next_task_weights(self.task_weights, found, self.params.task_weights)
        self.confusion.zero_()
        batch_size = 4 * self.params.batch_size
        logits = attribute_logits(self.averaged, self.validation.store, batch_size, processes=self.processes)
        known = self.validation.targets
        losses = attribute_losses(self._adjusted(logits), known, tasks)
        validation = epoch_metrics("validation", counts(predictions(logits, tasks), known, tasks), tasks)
        return {"validation/loss": float(losses.mean()), **train, **validation, **weights}

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "identity_head": self.identity_head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "task_weights": self.task_weights,
            "confusion": self.confusion,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
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
    processes: Processes = ALONE,
) -> AttributeResult:
    """Train Task 1's network and measure it on both sides of the split.

    The weights of the last epoch, or their EMA, are kept: none is chosen by its validation figures.

    Args:
        train, validation: image tables of the split.
        params: the group `train_attributes`.
        tracker: gets each epoch's metrics.
        checkpoints: where the state is kept.
        device: where to train.
        processes: that train together.

    Raises:
        BrunaError: the training diverges.
    """
    parts = load_part(train, params, device), load_part(validation, params, device)
    recipe = _Recipe(*parts, params, device, processes)
    history = run(recipe, checkpoints=checkpoints, tracker=tracker, unit="images", per_step=params.batch_size)
    return AttributeResult(
        model=recipe.averaged,
        history=history,
        train=measure(recipe.averaged, parts[0], params, "measure train", processes),
        validation=measure(recipe.averaged, parts[1], params, "measure validation", processes),
    )
