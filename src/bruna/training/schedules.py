"""What changes over the epochs of a training: learning rates, and the margin of the triplet loss."""

import torch


def cosine(epoch_position: float, epochs: float) -> float:
    """Half a cosine wave from 1 at position 0 to 0 at position `epochs`."""
    return float(0.5 * (1 + torch.cos(torch.tensor(torch.pi * min(epoch_position / epochs, 1.0), dtype=torch.float64))))


def learning_rate_factor(position_in_epochs: float, epochs: int, warmup_epochs: float, schedule: str) -> float:
    """What every learning rate is multiplied by: a linear warm-up, then constant or half a cosine wave.

    The warm-up (Goyal et al., Accurate, large minibatch SGD, 2017) rises from 0 at position 0 to 1 at
    `warmup_epochs`; the wave takes the rest of the epochs.

    Args:
        position_in_epochs: epochs behind, with the share of the present one: `epoch + step / steps`.
        epochs: of the whole training.
        warmup_epochs: fewer than `epochs`, may be a fraction; 0 warms up nothing.
        schedule: `constant` or `cosine`.

    Returns:
        0 to 1.

    Raises:
        ValueError: there is no such schedule.
    """
    if schedule not in ("constant", "cosine"):
        raise ValueError(f"schedule is {schedule!r}: expected constant or cosine")
    if position_in_epochs < warmup_epochs:
        return position_in_epochs / warmup_epochs
    if schedule == "constant":
        return 1.0
    return cosine(position_in_epochs - warmup_epochs, epochs - warmup_epochs)


def set_learning_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's learning rate to its `base_lr` times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def margin_of_epoch(epoch: int, margin: float, growth: float, largest: float) -> float:
    """P of the triplet loss in an epoch: `margin * growth**epoch`, at most `largest` (authors' code; paper, 3.2.3).

    Args:
        epoch: from 0.
        margin: P of the first epoch, in units of the feature distance.
        growth: factor from one epoch to the next.
        largest: P grows no further.
    """
    try:
        return min(margin * growth**epoch, largest)
    except OverflowError:  # beyond 1e308, after thousands of epochs
        return largest
