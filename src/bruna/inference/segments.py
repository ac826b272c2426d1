"""Masks and bottlenecks for Bruna: made by the U-Net on the fly, or kept by the stage `segment`."""

import io
from collections.abc import Callable
from concurrent.futures import Executor

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from PIL import Image

from bruna.batches.persons import PersonStore
from bruna.batches.store import ImageStore
from bruna.errors import BrunaError
from bruna.inference.bruna import BrunaEmbedder
from bruna.inference.images import Decoded, resized
from bruna.inference.unet import Segments, UNetSegmenter

Segment = Callable[[Decoded], Segments]
"""Gives the masks and bottlenecks of a block of images."""


def by_unet(unet: UNetSegmenter, batch_size: int) -> Segment:
    """Have the U-Net make them."""
    return lambda block: unet.segment(block.pixels[unet.size], batch_size)


def by_table(segments: pd.DataFrame, pool: Executor) -> Segment:
    """Take those that `segment_table` made, found by the images' names."""
    by_name = segments.set_index("path")

    def stored(block: Decoded) -> Segments:
        rows = by_name.loc[block.names]
        masks = list(pool.map(_mask, rows["mask"]))
        return Segments(np.stack(masks), np.stack(list(rows["bottleneck"])).astype(np.float32))

    return stored


def persons(block: Decoded, segments: Segments | None, bruna: BrunaEmbedder) -> PersonStore:
    """A block as Bruna takes it; masks of another size are resized as images are.

    Raises:
        BrunaError: Bruna needs masks or bottlenecks and there are none.
    """
    masks = bottlenecks = None
    if bruna.takes_masks or bruna.takes_bottlenecks:
        if segments is None:
            raise BrunaError(
                "Bruna needs the U-Net, and there is none: the data set had no mask pairs to train one. Import some "
                "(`bruna import ... --masks FOLDER`), or set train_bruna.mask: none and train_bruna.bottleneck: false."
            )
        if bruna.takes_masks:
            fitting = [resized(Image.fromarray(mask), bruna.size) for mask in segments.masks]
            masks = ImageStore(torch.from_numpy(np.stack(fitting)[:, None]))
        if bruna.takes_bottlenecks:
            bottlenecks = torch.from_numpy(segments.bottlenecks)
    return PersonStore(ImageStore(block.pixels[bruna.size]), masks, bottlenecks).to(bruna.device)


def _mask(encoded: bytes) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(encoded)) as opened:
        return np.asarray(opened.convert("L"))
