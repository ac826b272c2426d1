"""Training the U-Net on image and mask pairs (paper, section 3.2.4)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn

from bruna.batches.augment import Augmenter
from bruna.batches.seeds import step_generator
from bruna.batches.store import ImageStore
from bruna.errors import BrunaError, counted
from bruna.inference.batching import batches_of
from bruna.losses import segmentation_loss
from bruna.metrics.segmentation import mask_agreement
from bruna.models.normalize import as_floats
from bruna.models.unet import UNet
from bruna.params import TrainUNet
from bruna.processes import ALONE, Processes, with_whole_batch_norm
from bruna.runtime import mixed_precision
from bruna.tracking.protocol import Tracker
from bruna.training.checkpoint import Checkpoints
from bruna.training.loop import History, run
from bruna.training.schedules import cosine, set_learning_rates

MASK_THRESHOLD = 0.5
"""A pixel belongs to the person from this probability on."""


@dataclass(frozen=True)
class UNetResult:
    """A trained U-Net.

    Attributes:
        model: on the device it was trained on, in evaluation mode.
        history: the metrics of every epoch.
        metrics: `iou` and `dice` over the held-out pairs, and the numbers of pairs.
        probabilities: M x H x W float32, what the U-Net makes of the held-out images.
        iou: M, intersection over union of each.
        constant_iou: what the best constant mask has, see `best_constant_iou`.
    """

    model: UNet
    history: History
    metrics: dict[str, float]
    probabilities: npt.NDArray[np.float32]
    iou: npt.NDArray[np.float64]
    constant_iou: float


@dataclass(frozen=True)
class Pairs:
    """Image and mask pairs in memory: N x 3 x H x W and N x 1 x H x W (0 or 255, grey where resized); N paths."""

    images: ImageStore
    masks: ImageStore
    paths: list[str]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def truth(self) -> Tensor:
        """The masks, N x H x W bool, on the CPU."""
        return self.masks.pixels[:, 0].cpu() > 127


class _Recipe:
    name = "train_unet"

    def __init__(
        self, train: Pairs, held_out: Pairs, params: TrainUNet, device: torch.device, processes: Processes
    ) -> None:
        self.seed, self.epochs, self.params, self.device = params.seed, params.epochs, params, device
        self.processes = processes
        self.train, self.held_out = train, held_out
        torch.manual_seed(params.seed)
        model = with_whole_batch_norm(UNet(params.width, params.depth), processes)
        self.model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.networks: list[nn.Module] = [self.model]
        parameters = [{"params": list(self.model.parameters()), "lr": params.lr, "base_lr": params.lr}]
        self.optimizer = torch.optim.Adam(parameters, fused=True)
        self.advice = f"Lower train_unet.lr (it is {params.lr:g}) and train again."
        self.augment = Augmenter(params.augment)

    def steps(self, epoch: int) -> int:
        return max(len(self.train) // self.params.batch_size, 1)

    def _chosen(self, epoch: int, step: int) -> Tensor:
        order = torch.randperm(len(self.train), generator=step_generator(self.seed, self.name, "order", epoch))
        return order[step * self.params.batch_size : (step + 1) * self.params.batch_size]

    def batch_paths(self, epoch: int, step: int) -> list[str]:
        return [self.train.paths[row] for row in self._chosen(epoch, step)]

    def step(self, epoch: int, step: int, generator: torch.Generator) -> dict[str, Tensor]:
        chosen = self._chosen(epoch, step)
        draws = self.augment.draw(len(chosen), *self.params.image_size, generator)
        share = self.processes.share_of_batch(len(chosen))
        own = chosen[share]
        images, masks = self.augment.apply(self.train.images[own], self.train.masks[own], draws.part(share))
        assert masks is not None  # they went in
        set_learning_rates(self.optimizer, cosine(epoch + step / self.steps(epoch), self.epochs))
        self.model.train()
        with mixed_precision(self.device):
            logits = self.model(images.contiguous(memory_format=torch.channels_last)).logits
        loss = segmentation_loss(self.processes.gather(logits.float()), self.processes.gather(masks))
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.processes.average_gradients(self.networks)
        self.optimizer.step()
        return {"loss": loss.detach()}

    def end_epoch(self, epoch: int) -> dict[str, float]:
        _, iou, dice = measure(self.model, self.held_out, self.params.batch_size, self.processes)
        return {"validation/iou": float(iou.mean()), "validation/dice": float(dice.mean())}

    def state_dict(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])


def measure(
    model: UNet, pairs: Pairs, batch_size: int, processes: Processes = ALONE
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Segment pairs and compare.

    Returns:
        M x H x W probabilities; M values of IoU and M of Dice (see `mask_agreement`).
    """
    model.eval()
    probabilities = []
    with torch.inference_mode():
        for rows in batches_of(len(pairs), batch_size, processes=processes):
            logits = model(as_floats(pairs.images[rows])).logits
            probabilities.append(logits.sigmoid()[:, 0])
    found = processes.joined(probabilities)
    iou, dice = mask_agreement(found >= MASK_THRESHOLD, pairs.truth)
    return found.numpy(), iou.numpy(), dice.numpy()


def best_constant_iou(train: Tensor, held_out: Tensor) -> float:
    """Mean IoU of one and the same mask for every image, the best of ten: what a U-Net has to beat.

    They are the pixels that show the person in at least 0, 10, ... 90% of the training masks; the first is the whole
    image.

    Args:
        train: N x H x W, bool, N at least 1.
        held_out: M x H x W, bool; what the constants are measured on.
    """
    shares = train.float().mean(dim=0)
    constants = [(shares >= tenth / 10).expand_as(held_out) for tenth in range(10)]
    return max(float(mask_agreement(constant, held_out)[0].mean()) for constant in constants)


def train_unet(
    pairs: pd.DataFrame,
    params: TrainUNet,
    *,
    tracker: Tracker,
    checkpoints: Checkpoints,
    device: torch.device,
    processes: Processes = ALONE,
) -> UNetResult:
    """Train on the rows with part `train` and measure on those with part `held_out`.

    Args:
        pairs: columns path, image, mask (encoded bytes), part; see `bruna.dataset.packing`.
        params: the group `train_unet`.
        tracker: gets each epoch's metrics.
        checkpoints: where the state is kept.
        device: where to train.
        processes: that train together.

    Raises:
        BrunaError: one of the two parts is empty, or the training diverges.
    """
    stores = []
    for part in ("train", "held_out"):
        rows = pairs[pairs["part"] == part]
        if rows.empty:
            raise BrunaError(
                f"no mask pair is in part {part!r} ({counted(len(pairs), 'pairs')} in all). The U-Net needs two: "
                "import more with `bruna import ... --masks FOLDER`, or change split.mask_train_share."
            )
        paths = list(rows["path"])
        images = ImageStore.decode(list(rows["image"]), paths, params.image_size)
        masks = ImageStore.decode(list(rows["mask"]), paths, params.image_size, kind="binary")
        stores.append(Pairs(images.to(device), masks.to(device), paths))
    train, held_out = stores
    recipe = _Recipe(train, held_out, params, device, processes)
    history = run(recipe, checkpoints=checkpoints, tracker=tracker, unit="images", per_step=params.batch_size)
    probabilities, iou, dice = measure(recipe.model, held_out, params.batch_size, processes)
    metrics = {
        "iou": float(iou.mean()),
        "dice": float(dice.mean()),
        "pairs_train": float(len(train)),
        "pairs_held_out": float(len(held_out)),
    }
    return UNetResult(
        model=recipe.model,
        history=history,
        metrics=metrics,
        probabilities=probabilities,
        iou=iou,
        constant_iou=best_constant_iou(train.truth, held_out.truth),
    )
