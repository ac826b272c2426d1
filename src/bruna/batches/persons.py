"""The images of a table in memory with what the U-Net found in them: what Bruna takes in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bruna.batches.store import ImageStore
from bruna.errors import BrunaError

NO_UNET = (
    "Bruna needs the U-Net, and there is none: the data set had no mask pairs to train one. Import some "
    "(`bruna import ... --masks FOLDER`), or set train_bruna.mask: none and train_bruna.bottleneck: false."
)
"""What is said where masks or bottlenecks are needed."""


class Persons(NamedTuple):
    """A batch.

    `images`: B x 3 x H x W uint8; `masks`: B x 1 x H x W uint8 or None; `bottlenecks`: B x C float32 or None.
    """

    images: Tensor
    masks: Tensor | None
    bottlenecks: Tensor | None


@dataclass(frozen=True)
class PersonStore:
    """N images with their person masks and pooled bottleneck features, where these are needed.

    Attributes:
        images: N images.
        masks: N masks of 8-bit probabilities, or None.
        bottlenecks: N x C float32, or None.
    """

    images: ImageStore
    masks: ImageStore | None
    bottlenecks: Tensor | None

    @classmethod
    def decode(
        cls, table: pd.DataFrame, segments: pd.DataFrame | None, size: tuple[int, int], *, masks: bool, bottleneck: bool
    ) -> "PersonStore":
        """Decode an image table once.

        Args:
            table: columns path and image.
            segments: columns path, mask, bottleneck, in any order; needed for masks or bottlenecks.
            size: height and width of the images and masks.
            masks: whether the store is to hold masks.
            bottleneck: whether the store is to hold bottlenecks.

        Raises:
            BrunaError: an image is damaged, or see `with_segments`.
        """
        paths = list(table["path"])
        images = ImageStore.decode(list(table["image"]), paths, size)
        return cls.with_segments(images, paths, segments, masks=masks, bottleneck=bottleneck)

    @classmethod
    def with_segments(
        cls, images: ImageStore, paths: Sequence[str], segments: pd.DataFrame | None, *, masks: bool, bottleneck: bool
    ) -> "PersonStore":
        """Put to images, by their N paths, what the stage `segment` has kept of them; the arguments of `decode`.

        Raises:
            BrunaError: masks or bottlenecks are asked for, and the data set had no mask pairs to train a U-Net on or
                an image was not segmented.
        """
        if not (masks or bottleneck):
            return cls(images, None, None)
        if segments is None or segments["mask"].isna().any():
            raise BrunaError(NO_UNET)
        rows = segments.set_index("path").reindex(list(paths))
        if rows["mask"].isna().any():
            first = rows.index[rows["mask"].isna()][0]
            raise BrunaError(f"there is no mask of {first}. `dvc repro segment` makes those of all images.")
        height, width = images.pixels.shape[2:]
        return cls(
            images,
            ImageStore.decode(list(rows["mask"]), paths, (height, width), kind="gray") if masks else None,
            torch.from_numpy(np.stack(list(rows["bottleneck"])).astype(np.float32)) if bottleneck else None,
        )

    def to(self, device: torch.device) -> "PersonStore":
        """The same store on another device."""
        return PersonStore(
            self.images.to(device),
            None if self.masks is None else self.masks.to(device),
            None if self.bottlenecks is None else self.bottlenecks.to(device),
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: Tensor) -> Persons:
        """The images at `rows` (B integers), on the store's device."""
        return Persons(
            self.images[rows],
            None if self.masks is None else self.masks[rows],
            None if self.bottlenecks is None else self.bottlenecks[rows.to(self.bottlenecks.device)],
        )
