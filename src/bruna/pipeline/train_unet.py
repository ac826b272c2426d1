"""What `train_unet` keeps: the U-Net, its epochs, and what it makes of the held-out pairs."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from bruna.batches.store import encode_png
from bruna.dataset.tables import write_table
from bruna.files import whole_folder
from bruna.inference.saving import save_models
from bruna.metrics.baselines import beats
from bruna.params import TrainUNet
from bruna.pipeline.common import write_epochs
from bruna.processes import ALONE, Processes
from bruna.tracking.protocol import Tracker
from bruna.training.checkpoint import Checkpoints
from bruna.training.unet import MASK_THRESHOLD, UNetResult, train_unet


def train_and_save(
    pairs: pd.DataFrame,
    params: TrainUNet,
    *,
    folder: Path,
    records: Path,
    checkpoints: Path,
    tracker: Tracker,
    device: torch.device,
    processes: Processes = ALONE,
) -> dict[str, Any] | None:
    """Train the U-Net; write it, and the records that its pictures are drawn from.

    A data set without mask pairs is no mistake: the settings then say so and the records are an empty folder. The
    stages after it do without masks, or say what to set.

    Args:
        pairs: the table of mask pairs of the stage `split`.
        params: the group `train_unet`.
        folder: of the network and its settings.
        records: the folder of `epochs.csv` and `held_out.parquet`.
        checkpoints: where the training keeps its state.
        tracker: the stage's run.
        device: where to train.
        processes: that train together.

    Returns:
        The stage's figures; `warnings` among them where it learned nothing.
        None in all processes but the first, which writes.
    """
    if pairs.empty:
        if not processes.first:
            return None
        save_models(folder, {}, {"trained": False})
        with whole_folder(records):
            return {"pairs_train": 0, "pairs_held_out": 0}
    result = train_unet(
        pairs, params, tracker=tracker, checkpoints=Checkpoints(checkpoints), device=device, processes=processes
    )
    if not processes.first:
        return None
    settings = {
        "trained": True,
        "width": params.width,
        "depth": params.depth,
        "image_size": list(params.image_size),
        "threshold": MASK_THRESHOLD,
        "params": params.model_dump(mode="json"),
    }
    save_models(folder, {"model": result.model}, settings)
    tracker.file(folder, "model")
    with whole_folder(records) as beside:
        write_epochs(result.history, beside, tracker)
        write_table(_held_out(pairs, result), beside / "held_out.parquet")
    if beats(result.metrics["iou"], result.constant_iou):
        return result.metrics
    below = (
        f"the U-Net, held-out pairs: IoU {result.metrics['iou']:.1%} is not above {result.constant_iou:.1%}, which one "
        "and the same mask for every image has: nothing was learned."
    )
    return {**result.metrics, "warnings": [below]}


def _held_out(pairs: pd.DataFrame, result: UNetResult) -> pd.DataFrame:
    """One row a held-out pair: path, IoU, and the U-Net's probabilities as the bytes of an 8-bit PNG."""

    def png(probabilities: npt.NDArray[np.float32]) -> bytes:
        return encode_png(np.rint(probabilities * 255).astype(np.uint8))

    return pd.DataFrame(
        {
            "path": pairs.loc[pairs["part"] == "held_out", "path"].to_numpy(object),
            "iou": result.iou,
            "probability": [png(mask) for mask in result.probabilities],
        }
    )
