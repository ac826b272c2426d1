"""The images of a table in memory with what the U-Net found in them: what Bruna takes in."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bruna.batches.store import ImageStore
from bruna.errors import BrunaError


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
            BrunaError: an image is damaged; or masks or bottlenecks are asked for and the data set had no mask
                pairs to train a U-Net on.
        """
        paths = list(table["path"])
        images = ImageStore.decode(list(table["image"]), paths, size)
        if not (masks or bottleneck):
            return cls(images, None, None)
        if segments is None or segments["mask"].isna().any():
            raise BrunaError(
                "train_bruna.mask or train_bruna.bottleneck asks for the U-Net, and the data set has no mask pairs to "
                "train one. Import some (`bruna import ... --masks FOLDER`), or set train_bruna.mask: none and "
                "train_bruna.bottleneck: false."
            )
        rows = segments.set_index("path").loc[paths]
        return cls(
            images,
            ImageStore.decode(list(rows["mask"]), paths, size, kind="gray") if masks else None,
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
