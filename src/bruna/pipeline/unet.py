"""What `train_unet` leaves: the U-Net, its curves, overlays of the held-out pairs."""

from pathlib import Path

import pandas as pd
import torch

from bruna.inference.saved_models import save_models
from bruna.params import TrainUNet
from bruna.pipeline.common import keep_augmentation, keep_figure, keep_history
from bruna.report.figures import curves
from bruna.report.overlays import MaskPair, mask_overlays
from bruna.tracking.protocol import Tracker
from bruna.training.checkpoint import Checkpoints
from bruna.training.unet import train_unet


def train_and_keep(
    pairs: pd.DataFrame,
    params: TrainUNet,
    *,
    folder: Path,
    plots: Path,
    checkpoints: Path,
    tracker: Tracker,
    device: torch.device,
) -> dict[str, float]:
    """Train the U-Net and write all that the stage writes.

    A data set without mask pairs is no mistake: the stage then leaves settings that say so, and the stages
    after it do without masks, or say what to set.

    Returns:
        The stage's metrics.
    """
    if pairs.empty:
        save_models(folder, {}, {"trained": False})
        keep_history([{"epoch": 0.0, "train/loss": float("nan")}], plots)
        return {"pairs_train": 0, "pairs_held_out": 0}
    result = train_unet(pairs, params, tracker=tracker, checkpoints=Checkpoints(checkpoints), device=device)
    settings = {
        "trained": True,
        "width": params.width,
        "depth": params.depth,
        "image_size": list(params.image_size),
        "threshold": 0.5,
        "params": params.model_dump(mode="json"),
    }
    save_models(folder, {"model": result.model}, settings)
    tracker.file(folder, "model")
    keep_augmentation(pairs[pairs["part"] == "train"], params.image_size, params.augment, plots, tracker)
    keep_figure(curves(keep_history(result.history, plots), title="U-Net"), "curves", plots, tracker)

    def pair_of(i: int) -> MaskPair:
        return MaskPair(result.images[i].transpose(1, 2, 0), result.masks[i], result.probabilities[i])

    keep_figure(mask_overlays(result.iou, pair_of), "overlays", plots, tracker)
    return result.metrics
