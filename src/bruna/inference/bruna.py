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
from bruna.inference.embedding import embed
from bruna.inference.images import Decoded
from bruna.inference.loading import Dropout, ImageSize, Strict, Stride, Width, load_weights, one_of, rebuilding
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
    def load(cls, folder: Path, device: torch.device) -> "BrunaEmbedder":
        """Load `bruna.safetensors` and `settings.json`."""
        with rebuilding(folder) as settings:
            saved = _Saved.model_validate(settings)
            network = Bruna(**saved.network.model_dump())
        load_weights(network, folder / "bruna.safetensors", device)
        return cls(network, saved.image_size, saved.network.features, device)

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
