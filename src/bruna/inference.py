"""A trained network over many images, in batches: masks, attributes, embeddings."""

import io
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from bruna.batches.persons import PersonStore
from bruna.batches.store import ImageStore
from bruna.dataset.attributes import LOGITS
from bruna.models.attributes import AttributeNetwork
from bruna.models.bruna import Bruna, Embedding, attribute_predictions
from bruna.models.unet import UNet
from bruna.progress import track

_DECODED_AT_ONCE = 4096
"""Images of a table that are held decoded at a time, so that memory does not grow with the table."""


def _batches(count: int, batch_size: int, description: str | None) -> Iterator[Tensor]:
    starts = range(0, count, batch_size)
    parts = (torch.arange(start, min(start + batch_size, count)) for start in starts)
    return iter(track(parts, description, total=count, count=len)) if description else parts


def as_floats(images: Tensor) -> Tensor:
    """B x 3 x H x W uint8 to float32, 0 to 1, in the memory layout that convolutions are fastest in."""
    return (images.float() / 255).contiguous(memory_format=torch.channels_last)


def mask_floats(masks: Tensor | None) -> Tensor | None:
    """B x 1 x H x W uint8 probabilities to float32, 0 to 1; None stays None."""
    return None if masks is None else masks.float() / 255


@torch.inference_mode()
def attribute_logits(
    network: AttributeNetwork, store: ImageStore, batch_size: int, description: str | None = None
) -> Tensor:
    """Task 1's logits of every image of a store.

    Args:
        network: Task 1's network; put into evaluation mode.
        store: N images.
        batch_size: images a pass.
        description: shows a progress bar of this name; None shows none.

    Returns:
        N x 35, float32, on the CPU.
    """
    network.eval()
    parts = [network.predict(as_floats(store[rows])).cpu() for rows in _batches(len(store), batch_size, description)]
    return torch.cat(parts)


def task_predictions(logits: Tensor) -> Tensor:
    """N x 35 logits to N x 15 codes: the twelve attributes, then camera4, camera6 and junk as 0 or 1."""
    return torch.cat([attribute_predictions(logits), (logits[:, LOGITS:] > 0).long()], dim=1)


@torch.inference_mode()
def embed(
    bruna: Bruna, store: PersonStore, batch_size: int, description: str | None = None, *, mirrored: bool = False
) -> Embedding:
    """Bruna's features and attribute logits of every image of a store.

    Args:
        bruna: the network; put into evaluation mode.
        store: N images, with the masks and bottlenecks that Bruna takes.
        batch_size: images a pass.
        description: shows a progress bar of this name; None shows none.
        mirrored: embed the mirror images, masks mirrored with them. A bottleneck from the stage `segment` stays that
            of the image as it is: it was made once. A Bruna with an encoder of its own makes that of the mirror image.

    Returns:
        N x F features and N x 32 logits, float32, on the CPU.
    """
    bruna.eval()
    features, logits = [], []
    for rows in _batches(len(store), batch_size, description):
        batch = store[rows]
        images, masks = as_floats(batch.images), mask_floats(batch.masks)
        if mirrored:
            images, masks = images.flip(-1), None if masks is None else masks.flip(-1)
        found = bruna(images, masks, batch.bottlenecks)
        features.append(found.features.cpu())
        logits.append(found.logits.cpu())
    found_features = torch.cat(features)
    return Embedding(found_features, torch.cat(logits), found_features)


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
