"""What `train_bruna` leaves: Bruna, the adversary, Figure 8's curves, Figure 6's hard examples."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from bruna.batches.store import ImageStore
from bruna.batches.tuples import ANCHORS
from bruna.inference.saved_models import save_models
from bruna.models.unet import UNet
from bruna.params import TrainBruna
from bruna.pipeline.common import keep_augmentation, keep_figure, keep_history, nested
from bruna.report.figures import BRUNA_CURVES, curves
from bruna.report.rank_list import HardExample, hard_examples
from bruna.tracking.protocol import Tracker
from bruna.training.bruna import BrunaResult, train_bruna
from bruna.training.checkpoint import Checkpoints
from bruna.training.tuple_losses import PICKED


def train_and_keep(
    tables: tuple[pd.DataFrame, pd.DataFrame],
    segments: tuple[pd.DataFrame, pd.DataFrame],
    params: TrainBruna,
    *,
    unet: UNet | None,
    folder: Path,
    plots: Path,
    checkpoints: Path,
    tracker: Tracker,
    device: torch.device,
) -> dict[str, Any]:
    """Train Bruna and write all that the stage writes.

    Args:
        tables: train and validation image tables.
        segments: their masks and bottlenecks.
        unet: the trained U-Net, if there is one.

    Returns:
        The stage's metrics: the last epoch's, and the retrieval figures before and after training.
    """
    train, validation = tables
    result = train_bruna(
        train,
        validation,
        segments,
        params,
        unet=unet,
        tracker=tracker,
        checkpoints=Checkpoints(checkpoints),
        device=device,
    )
    save_models(folder, {"bruna": result.bruna, "adversary": result.adversary}, result.settings)
    tracker.file(folder, "model")
    keep_augmentation(train, params.image_size, params.augment, plots, tracker)
    history = keep_history(result.history, plots)
    keep_figure(curves(history, BRUNA_CURVES, "Bruna and the adversary"), "curves", plots, tracker)
    keep_figure(_figure6(result, train), "hard_examples", plots, tracker)
    last = result.history[-1]
    return {
        "untrained": nested(result.untrained),
        "trained": nested(
            {key.removeprefix("validation/"): v for key, v in last.items() if key.startswith("validation/")}
        ),
        "last_epoch": {key.removeprefix("train/"): v for key, v in last.items() if key.startswith("train/")},
    }


def _figure6(result: BrunaResult, train: pd.DataFrame) -> Figure:
    """Two images of a person, the two strangers the adversary picks, and two at random from the others."""
    picks = result.picks
    some = picks.tuples[:5]
    rows = np.unique(some)
    store = ImageStore.decode(
        list(train["image"].iloc[rows]), list(train["path"].iloc[rows]), tuple(result.settings["image_size"])
    )
    pixels = dict(zip(rows.tolist(), store.pixels.permute(0, 2, 3, 1).numpy(), strict=True))
    examples = []
    for i, members in enumerate(some):
        strangers = members[ANCHORS:]
        picked = picks.picked[i]
        # The tuple's strangers are in random order: the first that were not picked are a random draw.
        others = [k for k in range(len(strangers)) if k not in picked][:PICKED]
        examples.append(
            HardExample(
                anchor=[pixels[int(row)] for row in members[:2]],
                anchor_distance=float(picks.anchor_distances[i]),
                picked=[pixels[int(strangers[k])] for k in picked],
                picked_distances=[float(picks.distances[i, k]) for k in picked],
                random=[pixels[int(strangers[k])] for k in others],
                random_distances=[float(picks.distances[i, k]) for k in others],
            )
        )
    return hard_examples(examples, "What the adversary picks, and what a random draw gives")
