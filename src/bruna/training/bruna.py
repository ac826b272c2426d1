"""Task 2 (paper, section 3.2): Bruna against an adversary that mines hard negatives for it."""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn

from bruna.batches.augment import Augmenter
from bruna.batches.seeds import numpy_generator, step_generator
from bruna.batches.tuples import ANCHORS, TUPLE, TupleBatch, TupleSampler, in_batch_negatives, own_negatives
from bruna.dataset.schema import as_json
from bruna.losses import attribute_losses, batch_hard_loss
from bruna.models.adversary import Adversary
from bruna.models.bruna import Bruna
from bruna.params import TrainBruna
from bruna.processes import ALONE, Processes, with_whole_batch_norm
from bruna.runtime import mixed_precision
from bruna.tracking.protocol import Tracker
from bruna.training.adversary import (
    HardNegatives,
    adversary_loss,
    mine_hard_negatives,
    predict_distances,
    rows_of,
)
from bruna.training.bruna_data import LabelledPersons, load_persons, retrieval_metrics
from bruna.training.checkpoint import Checkpoints
from bruna.training.identity_loss import CosineClassifier, class_numbers, cosine_logits, identity_loss
from bruna.training.loop import History, run
from bruna.training.pretrained import load_pretrained
from bruna.training.schedules import learning_rate_factor, margin_of_epoch, set_learning_rates
from bruna.training.tuple_losses import tuple_losses

_SHOWN_TUPLES = 8
"""Tuples that are kept as examples of what the adversary mines."""


@dataclass(frozen=True)
class BrunaResult:
    """What the training leaves.

    Attributes:
        bruna, adversary: the trained networks.
        untrained: Bruna before its training, a baseline.
        history: the metrics of every epoch.
        untrained_metrics: those of `retrieval_metrics` before the training.
        hard_negatives: what the adversary mines in some tuples.
        settings: what rebuilds Bruna from its weights, and the parameters.
    """

    bruna: Bruna
    adversary: Adversary
    untrained: Bruna
    history: History
    untrained_metrics: dict[str, float]
    hard_negatives: HardNegatives
    settings: dict[str, Any]


def _classifier(params: TrainBruna, people: int) -> nn.Module:
    if not params.identity_weight:
        return nn.Identity()
    if params.identity_margin:
        return CosineClassifier(params.features, people)
    return nn.Linear(params.features, people, bias=False)


class _Recipe:
    name = "train_bruna"

    def __init__(
        self,
        train: LabelledPersons,
        validation: LabelledPersons,
        params: TrainBruna,
        device: torch.device,
        processes: Processes,
    ) -> None:
        self.seed, self.epochs, self.params, self.device = params.seed, params.epochs, params, device
        self.processes = processes
        self.train, self.validation = train, validation
        torch.manual_seed(params.seed)
        bottlenecks = train.store.bottlenecks
        self.network: dict[str, Any] = {
            "backbone": params.backbone,
            "features": params.features,
            "mask": params.mask,
            "bottleneck": 0 if bottlenecks is None else bottlenecks.shape[1],
            "dropout": params.dropout,
            "last_stride": params.last_stride,
            "neck": params.neck,
        }
        bruna = Bruna(**self.network, attributes=train.attributes)
        load_pretrained(bruna.backbone, params.backbone, params.pretrained)
        adversary = Adversary(unit=params.adversary_loss == "unit_regression")
        load_pretrained(adversary.backbone, "mobilenet_v3_small", params.adversary_pretrained)
        for backbone in (bruna.backbone, adversary.backbone):
            with_whole_batch_norm(backbone, processes)
        classes, people = class_numbers(train.identities)
        self.classes = classes.to(device)
        self.classifier = _classifier(params, people)
        self.bruna = bruna.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.adversary = adversary.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.classifier.to(device)
        self.networks: list[nn.Module] = [self.bruna, self.classifier, self.adversary]
        self._set_optimizers()
        self.augment = Augmenter(params.augment)
        self.sampler = TupleSampler(
            train.identities.numpy(),
            seed=params.seed,
            tuples_per_identity=params.tuples_per_identity,
            in_turn=params.negatives == "in_batch",
            cameras=train.cameras.numpy() if params.anchors == "across_cameras" else None,
        )
        self._drawn: tuple[int, npt.NDArray[np.int64]] | None = None
        self.advice = (
            f"Lower train_bruna.lr, backbone_lr or adversary_lr (they are {params.lr:g}, {params.backbone_lr:g} and "
            f"{params.adversary_lr:g}) or set grad_clip (it is {params.grad_clip:g}), and train again. Where it is "
            "adversarial_loss: adversary_loss: unit_regression is bounded, paper is not."
        )

    def _set_optimizers(self) -> None:
        params = self.params
        head, backbone = self.bruna.parameter_groups()
        self.optimizer = torch.optim.Adam(
            [
                {"params": [*head, *self.classifier.parameters()], "lr": params.lr, "base_lr": params.lr},
                {"params": backbone, "lr": params.backbone_lr, "base_lr": params.backbone_lr},
            ],
            weight_decay=params.weight_decay,
            fused=True,
        )
        rate = params.adversary_lr
        self.adversary_optimizer = torch.optim.Adam(
            [{"params": list(self.adversary.parameters()), "lr": rate, "base_lr": rate}], fused=True
        )

    def tuples(self, epoch: int) -> npt.NDArray[np.int64]:
        if self._drawn is None or self._drawn[0] != epoch:
            self._drawn = (epoch, self.sampler.epoch(epoch))
        return self._drawn[1]

    def steps(self, epoch: int) -> int:
        count, size = len(self.tuples(epoch)), self.params.batch_tuples
        # Negatives from the batch need other tuples in it: there, the batches are rather too large than too small.
        return max(1, count // size) if self.params.negatives == "in_batch" else -(-count // size)

    def batch(self, epoch: int, step: int) -> TupleBatch:
        """The tuples of a step, and the images that they are made of."""
        tuples = np.array_split(self.tuples(epoch), self.steps(epoch))[step]
        if self.params.negatives == "own":
            return own_negatives(tuples)
        # The label names a sequence of draws: another one would be another sequence, and other weights.
        random = numpy_generator(self.seed, "shared strangers", epoch, step)
        return in_batch_negatives(tuples, self.train.identities.numpy(), random)

    def batch_paths(self, epoch: int, step: int) -> list[str]:
        return [self.train.paths[row] for row in self.batch(epoch, step).rows]

    def margin(self, epoch: int) -> float:
        """P of the triplet loss in an epoch."""
        return margin_of_epoch(epoch, self.params.margin, self.params.margin_growth, self.params.margin_max)

    def step(self, epoch: int, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """One pass of all tuples of a batch: both networks see each image once."""
        drawn = self.batch(epoch, step)
        rows = torch.from_numpy(drawn.rows)
        share = self.processes.share_of_batch(len(rows), ANCHORS)  # of four in a row the adversary sees one at least
        batch = self.train.store[rows[share]]
        draws = self.augment.draw(len(rows), *self.params.image_size, generator)
        images, masks = self.augment.apply(batch.images, batch.masks, draws.part(share))
        images = images.contiguous(memory_format=torch.channels_last)
        self.bruna.train()
        self.adversary.train()
        self._set_rates(epoch, step)
        anchors, negatives = torch.from_numpy(drawn.anchors), torch.from_numpy(drawn.negatives)
        with mixed_precision(self.device):
            bottlenecks = None if batch.bottlenecks is None else self.processes.gather(batch.bottlenecks)
            found = self.bruna.embed(self.processes.gather(self.bruna.pooled(images, masks)), bottlenecks)
            identity_logits = self.classifier(found.features)
            prediction = predict_distances(self.adversary, images, anchors[:, 0], negatives, self.processes, share)
        metric, rows = found.metric.float(), rows.to(self.device)
        tuples = tuple_losses(
            rows_of(metric, anchors),
            rows_of(metric, negatives),
            prediction.distances.float(),
            margin=self.margin(epoch),
            mining=self.params.mining,
        )
        adversarial = adversary_loss(self.adversary, prediction, tuples, metric, self.params.adversary_loss)
        losses = {"triplet_loss": (self.params.triplet_weight, tuples.triplet)}
        if self.train.attributes:
            of_attributes = attribute_losses(found.logits.float(), self.train.codes[rows], self.train.attributes)
            losses["classification_loss"] = self.params.attribute_weight, of_attributes.mean()
        if self.params.identity_weight:
            logits = identity_logits.float()
            if self.params.identity_margin:
                logits = cosine_logits(logits, self.classes[rows], self.params.identity_margin)
            identity = identity_loss(logits, self.classes[rows], self.params.identity_smoothing)
            losses["identity_loss"] = self.params.identity_weight, identity
        if self.params.batch_hard_weight:
            batch_hard = batch_hard_loss(metric, self.classes[rows], self.params.batch_hard_margin)
            losses["batch_hard_loss"] = self.params.batch_hard_weight, batch_hard
        loss = torch.stack([weight * value for weight, value in losses.values()]).sum()
        self._update(loss, adversarial)
        return {
            "loss": loss.detach(),
            **{name: value.detach() for name, (_, value) in losses.items()},
            "adversarial_loss": adversarial.detach(),
            **tuples.distances,
        }

    def _set_rates(self, epoch: int, step: int) -> None:
        position = epoch + step / self.steps(epoch)
        factor = learning_rate_factor(position, self.epochs, self.params.warmup_epochs, self.params.schedule)
        if self.params.halve_every:
            factor *= 0.5 ** (epoch // self.params.halve_every)
        set_learning_rates(self.optimizer, factor)
        set_learning_rates(self.adversary_optimizer, factor)

    def _update(self, loss: Tensor, adversarial: Tensor) -> None:
        self.optimizer.zero_grad()
        self.adversary_optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adversarial.backward()  # type: ignore[no-untyped-call]
        self.processes.average_gradients(self.networks)
        if self.params.grad_clip:
            torch.nn.utils.clip_grad_norm_(self.bruna.parameters(), self.params.grad_clip)
        self.optimizer.step()
        self.adversary_optimizer.step()

    def measure(self) -> dict[str, float]:
        """Retrieval on the validation identities, in batches of as many images as tuples at most hold."""
        return retrieval_metrics(self.bruna, self.validation, self.params.batch_tuples * TUPLE, self.processes)

    def end_epoch(self, epoch: int) -> dict[str, float]:
        values = {"train/margin": self.margin(epoch)}
        every, last = self.params.validate_every, epoch + 1 == self.epochs
        if last or (every and (epoch + 1) % every == 0):
            measured = self.measure()
            values |= {f"validation/{name}": value for name, value in measured.items()}
        return values

    def state_dict(self) -> dict[str, Any]:
        return {
            "bruna": self.bruna.state_dict(),
            "classifier": self.classifier.state_dict(),
            "adversary": self.adversary.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "adversary_optimizer": self.adversary_optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.bruna.load_state_dict(state["bruna"])
        self.classifier.load_state_dict(state["classifier"])
        self.adversary.load_state_dict(state["adversary"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.adversary_optimizer.load_state_dict(state["adversary_optimizer"])


def train_bruna(
    train: pd.DataFrame,
    validation: pd.DataFrame,
    segments: tuple[pd.DataFrame, pd.DataFrame] | None,
    params: TrainBruna,
    *,
    tracker: Tracker,
    checkpoints: Checkpoints,
    device: torch.device,
    processes: Processes = ALONE,
) -> BrunaResult:
    """Train Bruna and the adversary.

    Args:
        train, validation: image tables of the split.
        segments: what `bruna.inference.unet.segment_table` made of the two; needed for masks and bottlenecks.
        params: the group `train_bruna`.
        tracker: gets each epoch's metrics.
        checkpoints: where the state is kept.
        device: where to train.
        processes: that train together.

    Returns:
        The networks after the last epoch: none is chosen by its validation figures.

    Raises:
        BrunaError: the settings ask for masks or bottlenecks and there is no U-Net, or the training diverges.
    """
    first, second = segments if segments is not None else (None, None)
    persons = load_persons(train, first, params, device)
    unseen = load_persons(validation, second, params, device)
    recipe = _Recipe(persons, unseen, params, device, processes)
    untrained, untrained_metrics = copy.deepcopy(recipe.bruna), recipe.measure()
    history = run(
        recipe,
        checkpoints=checkpoints,
        tracker=tracker,
        unit="draws",
        per_step=params.batch_tuples * (TUPLE if params.negatives == "own" else ANCHORS),
        growth=lambda epoch: max(recipe.margin(epoch) / params.margin, 1.0),
    )
    tuples = recipe.tuples(params.epochs)
    # The label names a sequence of draws, as above: another one would show other tuples.
    some = torch.randperm(len(tuples), generator=step_generator(params.seed, "hard_picks"))[:_SHOWN_TUPLES].numpy()
    return BrunaResult(
        bruna=recipe.bruna,
        adversary=recipe.adversary,
        untrained=untrained,
        history=history,
        untrained_metrics=untrained_metrics,
        hard_negatives=mine_hard_negatives(recipe.bruna, recipe.adversary, persons, tuples[some]),
        settings={
            "network": recipe.network,
            "attributes": as_json(persons.attributes),
            "image_size": list(params.image_size),
            "params": params.model_dump(mode="json"),
        },
    )
