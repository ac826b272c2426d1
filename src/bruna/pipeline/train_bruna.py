"""What `train_bruna` keeps: Bruna before and after training, the adversary, the epochs, mined hard negatives."""

from pathlib import Path
from typing import Any

import pandas as pd
import torch

from bruna.batches.tuples import ANCHORS
from bruna.dataset.tables import write_table
from bruna.files import whole_folder
from bruna.inference.saving import save_models
from bruna.metrics.baselines import ranking_warnings
from bruna.nested import nested
from bruna.params import TrainBruna
from bruna.pipeline.common import write_epochs
from bruna.processes import ALONE, Processes
from bruna.retrieval.protocols import MARKET1501
from bruna.tracking.protocol import Tracker
from bruna.training.adversary import HardNegatives
from bruna.training.bruna import train_bruna
from bruna.training.checkpoint import Checkpoints


def train_and_save(
    tables: tuple[pd.DataFrame, pd.DataFrame],
    segments: tuple[pd.DataFrame, pd.DataFrame],
    params: TrainBruna,
    *,
    folder: Path,
    records: Path,
    checkpoints: Path,
    tracker: Tracker,
    device: torch.device,
    processes: Processes = ALONE,
) -> dict[str, Any] | None:
    """Train Bruna; write both networks, and the records that its pictures and baseline are made from.

    Without identities there is nothing to train on: the settings then say so.

    Args:
        tables: train and validation image tables.
        segments: their masks and bottlenecks.
        params: the group `train_bruna`.
        folder: of the networks and their settings.
        records: the folder of `epochs.csv`, `hard_negatives.parquet` and of Bruna before its training, `untrained/`.
        checkpoints: where the training keeps its state.
        tracker: the stage's run.
        device: where to train.
        processes: that train together.

    Returns:
        The stage's figures: retrieval by the distance of features before and after training; and `warnings` where the
        training gained nothing.
        None in all processes but the first, which writes.
    """
    train, validation = tables
    if not (train["identity"] > 0).any():
        if not processes.first:
            return None
        save_models(folder, {}, {"trained": False})
        with whole_folder(records) as beside:
            save_models(beside / "untrained", {}, {"trained": False})
        print("note: nobody knows who is who in this data set: Bruna is not trained.")
        return {"trained": False}
    result = train_bruna(
        train,
        validation,
        segments,
        params,
        tracker=tracker,
        checkpoints=Checkpoints(checkpoints),
        device=device,
        processes=processes,
    )
    if not processes.first:
        return None
    save_models(folder, {"bruna": result.bruna, "adversary": result.adversary}, result.settings)
    tracker.file(folder, "model")
    with whole_folder(records) as beside:
        write_epochs(result.history, beside, tracker)
        write_table(_hard_negatives(result.hard_negatives, train), beside / "hard_negatives.parquet")
        save_models(beside / "untrained", {"bruna": result.untrained}, result.settings)
    trained = _part(result.history[-1], "validation/")
    figures = {"untrained": nested(result.untrained_metrics), "trained": nested(trained)}
    name = f"{MARKET1501.name}/map"
    if name in trained:
        before = {"Bruna before its training": result.untrained_metrics[name]}
        if below := ranking_warnings(trained[name], before, "features, validation identities"):
            return {**figures, "warnings": below}
    return figures


def _part(metrics: dict[str, float], prefix: str) -> dict[str, float]:
    return {key.removeprefix(prefix): value for key, value in metrics.items() if key.startswith(prefix)}


def _hard_negatives(found: HardNegatives, train: pd.DataFrame) -> pd.DataFrame:
    """One row a tuple: paths of its images, which of its negatives are mined, Bruna's distances from its first image.

    Columns: `anchors` (4 paths), `negatives` (8 paths), `mined` (2 positions in `negatives`), `distances` (8),
    `anchor_distance` (of the person's second image).
    """
    paths = train["path"].to_numpy(object)[found.tuples]
    return pd.DataFrame(
        {
            "anchors": paths[:, :ANCHORS].tolist(),
            "negatives": paths[:, ANCHORS:].tolist(),
            "mined": found.mined.tolist(),
            "distances": found.distances.tolist(),
            "anchor_distance": found.anchor_distances.astype(float),
        }
    )
