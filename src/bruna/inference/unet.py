"""The U-Net: loaded from a folder, run over many images."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from pydantic import Field, model_validator
from torch import Tensor

from bruna.batches.store import ImageStore, encode_png
from bruna.inference.batching import batches_of, block_starts
from bruna.inference.loading import ImageSize, Strict, Width, load_weights, rebuilding
from bruna.models.normalize import as_floats
from bruna.models.unet import UNet
from bruna.progress import track


class Segments(NamedTuple):
    """`masks`: N x H x W uint8, probabilities of the person times 255; `bottlenecks`: N x C float32."""

    masks: npt.NDArray[np.uint8]
    bottlenecks: npt.NDArray[np.float32]


_BOTTLENECK = 4096


class _Saved(Strict):
    trained: Literal[True]
    width: Width
    depth: Annotated[int, Field(ge=1, le=10)]
    image_size: ImageSize

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if any(side % 2**self.depth for side in self.image_size):
            raise ValueError(
                f"image_size {list(self.image_size)} is halved {self.depth} times, and a side is no multiple of "
                f"{2**self.depth}"
            )
        if self.width * 2**self.depth > _BOTTLENECK:
            raise ValueError(f"width {self.width} doubled {self.depth} times is more than {_BOTTLENECK} channels")
        return self


@dataclass(frozen=True)
class UNetSegmenter:
    """The trained U-Net.

    Attributes:
        network: in evaluation mode, on `device`.
        size: height and width it works at, pixels.
        device: where it computes.
    """

    network: UNet
    size: tuple[int, int]
    device: torch.device

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "UNetSegmenter | None":
        """Load `model.safetensors` and `settings.json`; None where the data set had no mask pairs to train on."""
        with rebuilding(folder) as settings:
            if settings.get("trained") is False:
                return None
            saved = _Saved.model_validate(settings)
            network = UNet(saved.width, saved.depth)
        load_weights(network, folder / "model.safetensors", device)
        return cls(network, saved.image_size, device)

    @torch.inference_mode()
    def segment(self, pixels: Tensor, batch_size: int) -> Segments:
        """Segment N x 3 x H x W uint8 images of `size`, at least one, `batch_size` of them a pass."""
        store = ImageStore(pixels, self.device)
        masks, bottlenecks = [], []
        for rows in batches_of(len(store), batch_size):
            found = self.network(as_floats(store[rows]))
            masks.append((found.logits.sigmoid()[:, 0] * 255).round().byte().cpu().numpy())
            bottlenecks.append(found.bottleneck.cpu().numpy())
        return Segments(np.concatenate(masks), np.concatenate(bottlenecks))


def segment_table(table: pd.DataFrame, unet: UNetSegmenter | None, batch_size: int, name: str) -> pd.DataFrame:
    """Mask and pooled bottleneck of every image of a table, once, so that no training runs the U-Net.

    Args:
        table: columns path and image.
        unet: None (no mask pairs to train one) gives nulls.
        batch_size: images a pass.
        name: of the table, for the progress bar.

    Returns:
        Columns path, mask (PNG bytes, 8-bit probability, at the U-Net's size), bottleneck (float32 array of C).
    """
    if unet is None:
        return pd.DataFrame({"path": table["path"], "mask": None, "bottleneck": None})
    masks: list[bytes] = []
    bottlenecks: list[npt.NDArray[np.float32]] = []
    for block in track(_blocks(table, batch_size), f"segment {name}", total=len(table), count=len):
        pixels = ImageStore.decode(list(block["image"]), list(block["path"]), unet.size).pixels
        found = unet.segment(pixels, batch_size)
        masks.extend(encode_png(mask) for mask in found.masks)
        bottlenecks.extend(found.bottlenecks)
    return pd.DataFrame({"path": table["path"].to_numpy(), "mask": masks, "bottleneck": bottlenecks})


def _blocks(table: pd.DataFrame, batch_size: int) -> Iterator[pd.DataFrame]:
    starts = block_starts(len(table), batch_size)
    return (table.iloc[start : start + starts.step] for start in starts)
