"""The U-Net: loaded from a folder, run over many images."""

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
from bruna.dataset.tables import count_rows, read_blocks, write_blocks
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


def segment_table(source: Path, target: Path, unet: UNetSegmenter | None, batch_size: int) -> int:
    """Mask and pooled bottleneck of every image of a table, once, so that no training runs the U-Net.

    Written are the columns of `segment_images`. A block of images is in memory at a time, whatever the table's length.

    Args:
        source: an image table.
        target: the table to write.
        unet: None (no mask pairs to train one) gives nulls.
        batch_size: images a pass.

    Returns:
        The number of images.

    Raises:
        BrunaError: the table cannot be read, an image cannot be decoded, or the target cannot be written.
    """
    images = count_rows(source)
    blocks = read_blocks(source, block_starts(images, batch_size).step, ("path", "image"))
    bar = track(blocks, f"segment {source.stem}", total=images, count=len)
    write_blocks((segment_images(block, unet, batch_size) for block in bar), target)
    return images


def segment_images(images: pd.DataFrame, unet: UNetSegmenter | None, batch_size: int) -> pd.DataFrame:
    """Mask and pooled bottleneck of N images, at least one.

    Args:
        images: columns path and image.
        unet: None gives nulls.
        batch_size: images a pass.

    Returns:
        Columns path, mask (PNG bytes, 8-bit probability, at the U-Net's size), bottleneck (float32 array of C).
    """
    if unet is None:
        return pd.DataFrame({"path": images["path"], "mask": None, "bottleneck": None})
    pixels = ImageStore.decode(list(images["image"]), list(images["path"]), unet.size).pixels
    found = unet.segment(pixels, batch_size)
    masks = [encode_png(mask) for mask in found.masks]
    return pd.DataFrame({"path": images["path"].to_numpy(), "mask": masks, "bottleneck": list(found.bottlenecks)})
