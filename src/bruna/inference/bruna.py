"""Bruna: loaded from a folder, run over many images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import torch
from PIL import Image
from pydantic import Field

from bruna.batches.persons import PersonStore
from bruna.batches.store import ImageStore, resized
from bruna.dataset.schema import Tasks
from bruna.inference.embedding import embed
from bruna.inference.images import Decoded
from bruna.inference.loading import (
    Dropout,
    ImageSize,
    SavedTasks,
    Strict,
    Stride,
    Width,
    load_weights,
    one_of,
    rebuilding,
    saved_tasks,
)
from bruna.inference.unet import Segments
from bruna.models.backbones import BACKBONES
from bruna.models.bruna import Bruna, Embedding


class _Network(Strict):
    backbone: Annotated[str, one_of(BACKBONES)]
    features: Width
    mask: Literal["none", "segmented", "channel"]
    bottleneck: Annotated[int, Field(ge=0, le=4096)]
    dropout: Dropout
    last_stride: Stride = 2
    neck: Literal["none", "batch_norm"] = "none"


class _Saved(Strict):
    network: _Network
    attributes: SavedTasks
    image_size: ImageSize


@dataclass(frozen=True)
class BrunaEmbedder:
    """The trained network of Task 2.

    Attributes:
        network: in evaluation mode, on `device`.
        size: height and width it sees, pixels.
        features: numbers in an embedding, F.
        device: where it computes.
    """

    network: Bruna
    size: tuple[int, int]
    features: int
    device: torch.device

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "BrunaEmbedder | None":
        """Load `bruna.safetensors` and `settings.json`; None where the data set had no identities to train on."""
        with rebuilding(folder) as settings:
            if settings.get("trained") is False:
                return None
            saved = _Saved.model_validate(settings)
            network = Bruna(**saved.network.model_dump(), attributes=saved_tasks(saved.attributes))
        load_weights(network, folder / "bruna.safetensors", device)
        return cls(network, saved.image_size, saved.network.features, device)

    @property
    def attributes(self) -> Tasks:
        """The attributes that its head tells."""
        return self.network.attributes

    @property
    def takes_masks(self) -> bool:
        """Whether it needs the U-Net's masks."""
        return self.network.mask != "none"

    @property
    def takes_bottlenecks(self) -> bool:
        """Whether it needs the U-Net's bottlenecks."""
        return self.network.bottleneck_norm is not None

    def persons(self, block: Decoded, found: Segments | pd.DataFrame | None) -> PersonStore:
        """A block of images as it takes them.

        Args:
            block: N images.
            found: what the U-Net has just found in them (masks of another size are resized as images are), or the
                table of the stage `segment`, or None.

        Raises:
            BrunaError: it needs masks or bottlenecks and there are none.
        """
        images = ImageStore(block.pixels[self.size])
        if not isinstance(found, Segments):
            return PersonStore.with_segments(
                images, block.names, found, masks=self.takes_masks, bottleneck=self.takes_bottlenecks
            ).to(self.device)
        masks = None
        if self.takes_masks:
            fitting = [resized(Image.fromarray(mask), self.size) for mask in found.masks]
            masks = ImageStore(torch.from_numpy(np.stack(fitting)[:, None]))
        bottlenecks = torch.from_numpy(found.bottlenecks) if self.takes_bottlenecks else None
        return PersonStore(images, masks, bottlenecks).to(self.device)

    def embed(self, store: PersonStore, batch_size: int, *, mirrored: bool = False) -> Embedding:
        """Run it over a store of images of `size`; see `embed`."""
        return embed(self.network, store, batch_size, mirrored=mirrored)
