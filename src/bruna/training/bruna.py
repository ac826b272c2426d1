"""Task 2 (paper, section 3.2): Bruna against an adversary that picks hard strangers for it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from bruna.batches.augment import Augmenter
from bruna.batches.persons import PersonStore
from bruna.batches.seeds import step_generator
from bruna.batches.tuples import TupleSampler
from bruna.dataset.tables import attribute_codes
from bruna.inference import as_floats, embed, mask_floats
from bruna.losses import (
    adversarial_loss,
    adversarial_regression,
    attribute_losses,
    euclidean,
    leave_one_out_distances,
    triplet_loss,
)
from bruna.models.adversary import Adversary
from bruna.models.bruna import Bruna
from bruna.params import TrainBruna
from bruna.retrieval.distances import ProductDistance
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.protocols import COURSE, MARKET1501
from bruna.retrieval.ranking import evaluate_retrieval
from bruna.runtime import mixed_precision
from bruna.tracking import Tracker
from bruna.training.checkpoint import Checkpoints
from bruna.training.loop import History, run, set_learning_rates
from bruna.training.pretrained import load_pretrained

OWN, OTHERS, PICKED = 4, 8, 2
"""A tuple: images of one person, images of other people, and how many of those the adversary picks."""
TUPLE = OWN + OTHERS
ATTRIBUTE_OFFSET = 0.1
"""The constant of the paper's distance, for the mAP that is followed while training."""


@dataclass(frozen=True)
class People:
    """One side of the split in memory.

    Attributes:
        store: N images, with the masks and bottlenecks that Bruna takes.
        codes: N x 12 int64, on the store's device.
        identities, cameras: N int64, on the CPU.
    """

    store: PersonStore
    codes: Tensor
    identities: Tensor
    cameras: Tensor


@dataclass(frozen=True)
class HardPicks:
    """What the adversary picks on some training tuples (paper, Figure 6).

    Attributes:
        tuples: K x 12 rows of the training table.
        picked: K x 2 positions (0 to 7) among the tuple's other people.
        distances: K x 8, Bruna's distance of each other person from the tuple's first image.
        anchor_distances: K, Bruna's distance between the person's first two images.
    """

    tuples: npt.NDArray[np.int64]
    picked: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float32]
    anchor_distances: npt.NDArray[np.float32]


@dataclass(frozen=True)
class BrunaResult:
    """Trained networks, the metrics of every epoch, those before training, and examples of hard picks."""

    bruna: Bruna
    adversary: Adversary
    history: History
    untrained: dict[str, float]
    picks: HardPicks
    settings: dict[str, Any]


def load_people(table: pd.DataFrame, segments: pd.DataFrame | None, params: TrainBruna, device: torch.device) -> People:
    """Decode one side of the split for Bruna."""
    masks = params.mask != "none"
    store = PersonStore.decode(table, segments, params.image_size, masks=masks, bottleneck=params.bottleneck)
    return People(
        store=store.to(device),
        codes=torch.from_numpy(attribute_codes(table)).to(device),
        identities=torch.tensor(table["identity"].to_numpy(np.int64)),
        cameras=torch.tensor(table["camera"].to_numpy(np.int64)),
    )


def retrieval_metrics(bruna: Bruna, people: People, batch_size: int) -> dict[str, float]:
    """MAP and rank-1 under both protocols, every image both query and gallery, with the paper's distance."""
    found = embed(bruna, people.store, batch_size)
    gallery = Gallery(found.features, found.attributes, people.identities, people.cameras)
    itself = torch.arange(len(gallery))
    values: dict[str, float] = {}
    for protocol in (COURSE, MARKET1501):
        result = evaluate_retrieval(gallery, gallery, ProductDistance(ATTRIBUTE_OFFSET), protocol, self_index=itself)
        if bool(result.scored.any()):
            summary = result.summary()
            values |= {f"{protocol.name}/{key}": float(summary[key]) for key in ("map", "rank1")}
    return values


class _Programme:
    name = "train_bruna"

    def __init__(self, train: People, validation: People, params: TrainBruna, device: torch.device) -> None:
        self.seed, self.epochs, self.params, self.device = params.seed, params.epochs, params, device
        self.train, self.validation = train, validation
        torch.manual_seed(params.seed)
        bottlenecks = train.store.bottlenecks
        joined = 0 if bottlenecks is None else bottlenecks.shape[1]
        self.settings: dict[str, Any] = {
            "backbone": params.backbone,
            "features": params.features,
            "mask": params.mask,
            "bottleneck": joined,
            "dropout": params.dropout,
        }
        bruna = Bruna(**self.settings)
        load_pretrained(bruna.backbone, params.backbone, params.pretrained)
        adversary = Adversary()
        load_pretrained(adversary.backbone, "mobilenet_v3_small", params.adversary_pretrained)
        self.bruna = bruna.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.adversary = adversary.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        head, backbone = self.bruna.parameter_groups()
        self.optimizer = torch.optim.Adam(
            [
                {"params": head, "lr": params.lr, "base_lr": params.lr},
                {"params": backbone, "lr": params.backbone_lr, "base_lr": params.backbone_lr},
            ],
            weight_decay=params.weight_decay,
            fused=True,
        )
        rate = params.adversary_lr
        self.adversary_optimizer = torch.optim.Adam(
            [{"params": list(self.adversary.parameters()), "lr": rate, "base_lr": rate}], fused=True
        )
        self.augment = Augmenter(params.augment)
        self.sampler = TupleSampler(
            train.identities.numpy(), seed=params.seed, tuples_per_identity=params.tuples_per_identity
        )
        self._drawn: tuple[int, npt.NDArray[np.int64]] | None = None

    def tuples(self, epoch: int) -> npt.NDArray[np.int64]:
        if self._drawn is None or self._drawn[0] != epoch:
            self._drawn = (epoch, self.sampler.epoch(epoch))
        return self._drawn[1]

    def steps(self, epoch: int) -> int:
        return -(-len(self.tuples(epoch)) // self.params.batch_tuples)

    def margin(self, epoch: int) -> float:
        """P of the triplet loss in an epoch."""
        return min(self.params.margin * self.params.margin_growth**epoch, self.params.margin_max)

    def step(self, epoch: int, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        """One pass of all tuples of a batch: both networks see each image once."""
        tuples = np.array_split(self.tuples(epoch), self.steps(epoch))[step]
        rows = torch.from_numpy(tuples.reshape(-1))
        batch = self.train.store[rows]
        images, masks = self.augment(batch.images, batch.masks, generator)
        images = images.contiguous(memory_format=torch.channels_last)
        self.bruna.train()
        self.adversary.train()
        if self.params.halve_every:
            factor = 0.5 ** (epoch // self.params.halve_every)
            set_learning_rates(self.optimizer, factor)
            set_learning_rates(self.adversary_optimizer, factor)

        with mixed_precision(self.device):
            found = self.bruna(images, masks, batch.bottlenecks)
            seen_by_adversary = adversary_features(self.adversary, images, len(tuples))
        features, logits = found.features.float().view(len(tuples), TUPLE, -1), found.logits.float()
        own, others = features[:, :OWN], features[:, OWN:]
        predicted = predicted_distances(self.adversary, seen_by_adversary.float())
        picked = predicted.detach().topk(PICKED, dim=1, largest=False).indices
        distances = euclidean(own.unsqueeze(2), others.unsqueeze(1))  # T x own x others
        same = leave_one_out_distances(own).mean(dim=1)
        to_picked = distances.gather(2, picked.unsqueeze(1).expand(-1, OWN, -1))
        different = to_picked.mean(dim=(1, 2))

        triplet = triplet_loss(same, different, self.margin(epoch))
        classification = attribute_losses(logits, self.train.codes[rows.to(self.device)]).mean()
        loss = self.params.attribute_weight * classification + self.params.triplet_weight * triplet
        adversarial = self._adversarial(predicted, picked, distances, to_picked, same)
        self._update(loss, adversarial)
        with torch.no_grad():
            each = distances.mean(dim=1)
            return {
                "loss": loss.detach(),
                "triplet_loss": triplet.detach(),
                "classification_loss": classification.detach(),
                "adversarial_loss": adversarial.detach(),
                "same_person_distance": same.mean(),
                "different_person_distance": different.mean(),
                "random_person_distance": each.mean(),
                "hardest_person_distance": each.topk(PICKED, dim=1, largest=False).values.mean(),
            }

    def _adversarial(
        self, predicted: Tensor, picked: Tensor, distances: Tensor, to_picked: Tensor, same: Tensor
    ) -> Tensor:
        if self.params.adversary_loss == "regression":
            # The adversary sees the person's first image; all eight true distances are known anyway.
            return adversarial_regression(predicted, distances[:, 0])
        correct = (to_picked.mean(dim=1) > same.unsqueeze(1)).to(predicted.dtype).detach()
        return adversarial_loss(predicted.gather(1, picked), correct)

    def _update(self, loss: Tensor, adversarial: Tensor) -> None:
        self.optimizer.zero_grad()
        self.adversary_optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adversarial.backward()  # type: ignore[no-untyped-call]
        if self.params.grad_clip:
            torch.nn.utils.clip_grad_norm_(self.bruna.parameters(), self.params.grad_clip)
        self.optimizer.step()
        self.adversary_optimizer.step()

    def end_epoch(self, epoch: int) -> dict[str, float]:
        values = {"train/margin": self.margin(epoch)}
        every, last = self.params.validate_every, epoch + 1 == self.epochs
        if last or (every and (epoch + 1) % every == 0):
            measured = retrieval_metrics(self.bruna, self.validation, 128)
            values |= {f"validation/{name}": value for name, value in measured.items()}
        return values

    def state_dict(self) -> dict[str, Any]:
        return {
            "bruna": self.bruna.state_dict(),
            "adversary": self.adversary.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "adversary_optimizer": self.adversary_optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.bruna.load_state_dict(state["bruna"])
        self.adversary.load_state_dict(state["adversary"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.adversary_optimizer.load_state_dict(state["adversary_optimizer"])


def adversary_features(adversary: Adversary, images: Tensor, tuples: int) -> Tensor:
    """What the adversary sees of a tuple: the first image of the person, and the eight other people.

    Args:
        adversary: the network.
        images: (12 T) x 3 x H x W, tuple after tuple.
        tuples: T.

    Returns:
        T x 9 x C features.
    """
    seen = images.view(tuples, TUPLE, *images.shape[1:])[:, [0, *range(OWN, TUPLE)]]
    features = adversary.embed(seen.flatten(0, 1).contiguous(memory_format=torch.channels_last))
    return features.view(tuples, 1 + OTHERS, -1)


def predicted_distances(adversary: Adversary, features: Tensor) -> Tensor:
    """T x 9 x C of `adversary_features` to the predicted distances of the eight from the first, T x 8."""
    return adversary.distance(features[:, 0], features[:, 1:])


@torch.inference_mode()
def hard_picks(bruna: Bruna, adversary: Adversary, people: People, tuples: npt.NDArray[np.int64]) -> HardPicks:
    """What the adversary picks on given tuples, without augmentation, and how far those people truly are."""
    rows = torch.from_numpy(tuples.reshape(-1))
    batch = people.store[rows]
    pixels = as_floats(batch.images)
    bruna.eval()
    adversary.eval()
    found: Tensor = bruna(pixels, mask_floats(batch.masks), batch.bottlenecks).features
    features = found.view(len(tuples), TUPLE, -1)
    predicted = predicted_distances(adversary, adversary_features(adversary, pixels, len(tuples)))
    return HardPicks(
        tuples=tuples,
        picked=predicted.topk(PICKED, dim=1, largest=False).indices.cpu().numpy(),
        distances=euclidean(features[:, :1], features[:, OWN:]).cpu().numpy(),
        anchor_distances=euclidean(features[:, 0], features[:, 1]).cpu().numpy(),
    )


def train_bruna(
    train: pd.DataFrame,
    validation: pd.DataFrame,
    segments: tuple[pd.DataFrame, pd.DataFrame] | None,
    params: TrainBruna,
    *,
    tracker: Tracker,
    checkpoints: Checkpoints,
    device: torch.device,
) -> BrunaResult:
    """Train Bruna and the adversary.

    Args:
        train, validation: image tables of the split.
        segments: what `bruna.inference.segment_table` made of the two; needed for masks and bottlenecks.
        params: the group `train_bruna`.
        tracker: gets each epoch's metrics.
        checkpoints: where the state is kept.
        device: where to train.

    Returns:
        The networks after the last epoch: none is chosen by its validation figures.
    """
    first, second = segments if segments is not None else (None, None)
    people = load_people(train, first, params, device)
    unseen = load_people(validation, second, params, device)
    programme = _Programme(people, unseen, params, device)
    untrained = retrieval_metrics(programme.bruna, unseen, 128)
    history = run(
        programme, checkpoints=checkpoints, tracker=tracker, unit="images", per_step=params.batch_tuples * TUPLE
    )
    some = step_generator(params.seed, "hard_picks")
    tuples = programme.tuples(params.epochs)
    chosen = torch.randperm(len(tuples), generator=some)[:8].numpy()
    return BrunaResult(
        bruna=programme.bruna,
        adversary=programme.adversary,
        history=history,
        untrained=untrained,
        picks=hard_picks(programme.bruna, programme.adversary, people, tuples[chosen]),
        settings={**programme.settings, "image_size": list(params.image_size)},
    )
