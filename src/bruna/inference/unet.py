"""The U-Net: loaded from a folder, run over many images."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from bruna.batches.store import ImageStore
from bruna.inference.saved_models import load_weights, rebuilding
from bruna.models.normalize import as_floats
from bruna.models.unet import UNet
from bruna.progress import track

_DECODED_AT_ONCE = 4096
"""Images of a table that are held decoded at a time, so that memory does not grow with the table."""


def load_unet(folder: Path, device: torch.device) -> tuple[UNet, tuple[int, int]] | None:
    """The U-Net and the height and width it works at; None where the data set had no mask pairs to train one."""
    with rebuilding(folder) as settings:
        if not settings["trained"]:
            return None
        model = UNet(settings["width"], settings["depth"])
        height, width = settings["image_size"]
    load_weights(model, folder / "model.safetensors", device)
    return model, (height, width)


@torch.inference_mode()
def segment_table(
    table: pd.DataFrame,
    unet: tuple[UNet, tuple[int, int]] | None,
    batch_size: int,
    device: torch.device,
    name: str | None,
) -> pd.DataFrame:
    """Mask and pooled bottleneck of every image of a table, once, so that no training runs the U-Net.

    Args:
        table: columns path and image.
        unet: the network and the height and width it works at; None (no mask pairs to train one) gives nulls.
        batch_size: images a pass.
        device: where the network is.
        name: of the table, for the progress bar; None shows none.

    Returns:
        Columns path, mask (PNG bytes, 8-bit probability, at the U-Net's size), bottleneck (float32 array of C).
    """
    if unet is None:
        return pd.DataFrame({"path": table["path"], "mask": None, "bottleneck": None})
    network, size = unet
    network.eval()
    masks: list[bytes] = []
    bottlenecks: list[npt.NDArray[np.float32]] = []
    for block in _blocks(table, size, device, batch_size, f"segment {name}" if name else None):
        found = network(as_floats(block))
        probabilities = (found.logits.sigmoid()[:, 0] * 255).round().byte().cpu().numpy()
        masks.extend(_png(mask) for mask in probabilities)
        bottlenecks.extend(found.bottleneck.cpu().numpy())
    return pd.DataFrame({"path": table["path"].to_numpy(), "mask": masks, "bottleneck": bottlenecks})


def _blocks(
    table: pd.DataFrame, size: tuple[int, int], device: torch.device, batch_size: int, description: str | None
) -> Iterator[Tensor]:
    def batches() -> Iterator[Tensor]:
        for start in range(0, len(table), _DECODED_AT_ONCE):
            rows = table.iloc[start : start + _DECODED_AT_ONCE]
            store = ImageStore.decode(list(rows["image"]), list(rows["path"]), size)
            for at in range(0, len(store), batch_size):
                yield store.pixels[at : at + batch_size].to(device)

    return iter(track(batches(), description, total=len(table), count=len)) if description else batches()


def _png(mask: npt.NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    return file.getvalue()
