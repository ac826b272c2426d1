"""The embeddings of a set of images and what is known of each image."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from bruna.dataset.identities import UNKNOWN_CAMERA, UNLABELLED
from bruna.errors import BrunaError


@dataclass(frozen=True)
class Gallery:
    """The embeddings of N images; the query images are given in the same form.

    Attributes:
        features: N x F floats, `ft` of the paper; computed with in float32.
        attributes: N x A floats, `att` of the paper, or None where the distance does without.
        identities: N integers; above 0 a person, 0 a distractor, -1 junk, -2 unlabelled.
        cameras: N integers, 0 where unknown.

    Raises:
        BrunaError: an embedding is not finite (the network that made it diverged).
        ValueError: the shapes do not fit together.
    """

    features: Tensor
    attributes: Tensor | None
    identities: Tensor
    cameras: Tensor

    def __post_init__(self) -> None:
        n = len(self.features)
        for name, values in (("features", self.features), ("attributes", self.attributes)):
            if values is None:
                continue
            if values.dim() != 2 or len(values) != n:
                raise ValueError(f"{name} must be {n} x K, got {tuple(values.shape)}")
            # A float32 sum over a row is finite only where every number is, and small enough to be squared.
            damaged = ~torch.linalg.vector_norm(values.float(), dim=1).square().isfinite()
            if bool(damaged.any()):
                rows = damaged.nonzero().flatten()
                raise BrunaError(
                    f"{len(rows)} of {n} embeddings have {name} that are not finite (the first is number "
                    f"{int(rows[0])}). The network diverged: lower its learning rate and train it again."
                )
        for name, values in (("identities", self.identities), ("cameras", self.cameras)):
            if values.shape != (n,) or values.is_floating_point():
                raise ValueError(f"{name} must be {n} integers, got {values.dtype} {tuple(values.shape)}")

    @classmethod
    def unlabelled(cls, features: Tensor, attributes: Tensor | None = None) -> Self:
        """Embeddings of images of which neither identity nor camera is known."""
        n = len(features)
        return cls(features, attributes, torch.full((n,), UNLABELLED), torch.full((n,), UNKNOWN_CAMERA))

    def __len__(self) -> int:
        return len(self.features)

    def select(self, indices: Tensor) -> "Gallery":
        """The images at `indices` (K integers, any order), as a gallery of K."""
        here = indices.to(self.features.device)
        return Gallery(
            self.features[here],
            None if self.attributes is None else self.attributes[here],
            self.identities[indices.to(self.identities.device)],
            self.cameras[indices.to(self.cameras.device)],
        )
