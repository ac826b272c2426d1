"""Bruna: loaded from a folder, run over many images."""

from dataclasses import dataclass
from pathlib import Path

import torch

from bruna.batches.persons import PersonStore
from bruna.inference.batching import batches_of
from bruna.inference.saved_models import load_weights, rebuilding
from bruna.models.bruna import Bruna, Embedding
from bruna.models.normalize import as_floats, mask_floats


@dataclass(frozen=True)
class BrunaEmbedder:
    """The trained network of Task 2.

    Attributes:
        network: in evaluation mode, on `device`.
        size: height and width it sees, pixels.
        device: where it computes.
    """

    network: Bruna
    size: tuple[int, int]
    device: torch.device

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "BrunaEmbedder":
        """Load `bruna.safetensors` and `settings.json`."""
        with rebuilding(folder) as settings:
            network = Bruna(**settings["network"])
            height, width = settings["image_size"]
        load_weights(network, folder / "bruna.safetensors", device)
        return cls(network, (height, width), device)

    @property
    def takes_masks(self) -> bool:
        """Whether it needs the U-Net's masks."""
        return self.network.mask != "none"

    @property
    def takes_bottlenecks(self) -> bool:
        """Whether it needs the U-Net's bottlenecks."""
        return self.network.bottleneck_norm is not None

    def embed(self, store: PersonStore, batch_size: int, *, mirrored: bool = False) -> Embedding:
        """Run it over a store of images of `size`; see `embed`."""
        return embed(self.network, store, batch_size, mirrored=mirrored)


@torch.inference_mode()
def embed(bruna: Bruna, store: PersonStore, batch_size: int, *, mirrored: bool = False) -> Embedding:
    """Bruna's features and attribute logits of every image of a store.

    Args:
        bruna: the network; put into evaluation mode.
        store: N images, with the masks and bottlenecks that Bruna takes.
        batch_size: images a pass.
        mirrored: embed the mirror images, masks mirrored with them. The bottleneck stays that of the image as it is.

    Returns:
        N x F features and N x 32 logits, float32, on the CPU.
    """
    bruna.eval()
    features, logits = [], []
    for rows in batches_of(len(store), batch_size):
        batch = store[rows]
        images, masks = as_floats(batch.images), mask_floats(batch.masks)
        if mirrored:
            images, masks = images.flip(-1), None if masks is None else masks.flip(-1)
        found = bruna(images, masks, batch.bottlenecks)
        features.append(found.features.cpu())
        logits.append(found.logits.cpu())
    found_features = torch.cat(features)
    return Embedding(found_features, torch.cat(logits), found_features)
