"""What the networks make of images: features, attributes, junk, masks."""

from dataclasses import dataclass, field
from typing import get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from bruna.dataset.schema import Tasks, logit_slices
from bruna.errors import BrunaError
from bruna.inference.images import Rejected
from bruna.inference.settings import AttributesFrom, Settings, checked_count
from bruna.models.attribute_logits import most_probable, predictions, probabilities
from bruna.retrieval.distances import Euclidean
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.protocols import COURSE
from bruna.retrieval.ranking import top_k

_AVERAGED_AT_ONCE = 4096
"""Images whose neighbors are gathered at a time: with ten neighbors 5 MB."""


@dataclass(frozen=True, repr=False)
class Described:
    """N images as the networks see them.

    Attributes:
        names: N names, path or number of each image.
        settings: how the networks were used.
        schema: the A attributes that the networks tell.
        task1_logits: N x L logits of Task 1's network; None where it was not asked.
        gallery: features and attribute probabilities by Bruna, ready to be ranked; None where it was not asked.
        plain: the same without the mirror images; the same object where none were embedded.
        masks: N x H x W uint8 at the U-Net's size, the probability of the person times 255; None without a U-Net.
        rejected: images that could not be read and were left out.
        neighbors: how many images `attributes` and `probabilities` are averaged over.
    """

    names: list[str]
    settings: Settings
    schema: Tasks
    task1_logits: Tensor | None
    gallery: Gallery | None
    plain: Gallery | None
    masks: npt.NDArray[np.uint8] | None = None
    rejected: list[Rejected] = field(default_factory=list)
    neighbors: int = 1
    _known: dict[tuple[AttributesFrom, int], Tensor] = field(default_factory=dict, init=False, repr=False)
    """The probabilities that were asked for: averaging over neighbors ranks N images for each of N."""

    def __repr__(self) -> str:
        return f"Described({len(self)} images, {len(self.rejected)} rejected)"

    def __len__(self) -> int:
        return len(self.names)

    @property
    def features(self) -> npt.NDArray[np.float32]:
        """N x F, what images are ranked by."""
        return _of_bruna(self.gallery).features.numpy()

    @property
    def junk(self) -> npt.NDArray[np.float32]:
        """N probabilities that an image shows no person."""
        return _of_task1(self.task1_logits)[:, -1].sigmoid().numpy()

    @property
    def attributes(self) -> dict[str, npt.NDArray[np.object_]]:
        """The most probable value of every attribute by its name, N texts: `attributes["gender"][0]` is `female`."""
        codes = self.attribute_codes()
        return {
            attribute.name: np.array(attribute.values, dtype=np.object_)[codes[:, i]]
            for i, attribute in enumerate(self.schema)
        }

    @property
    def probabilities(self) -> dict[str, pd.DataFrame]:
        """The probabilities of every attribute by its name: a row an image, a column a value; rows sum to 1."""
        found = self.attribute_probabilities().numpy()
        tables = {}
        for attribute, where in zip(self.schema, logit_slices(self.schema).values(), strict=True):
            part = found[:, where]
            values = np.hstack([1 - part, part]) if attribute.binary else part
            tables[attribute.name] = pd.DataFrame(values, index=self.names, columns=list(attribute.values))
        return tables

    def to_pandas(self) -> pd.DataFrame:
        """A row an image: `image` (its name), a column of text an attribute, `junk` (its probability).

        Without Task 1's network there is no `junk`.
        """
        junk = {} if self.task1_logits is None else {"junk": self.junk}
        return pd.DataFrame({"image": self.names, **self.attributes, **junk})

    def attribute_probabilities(
        self, attributes_from: AttributesFrom | None = None, neighbors: int | None = None
    ) -> Tensor:
        """N x L probabilities of the attributes' values, laid out as `logit_slices` says.

        Args:
            attributes_from: the network that predicts; default: that of the settings.
            neighbors: average over so many images: each one and those nearest to it by Bruna's features among the N,
                which are mostly other images of the same person. No identity is looked at. 1 takes each image alone.
                Default: the attribute `neighbors`.

        Raises:
            BrunaError: a network that this needs was not asked.
            ValueError: an argument is none of those above.
        """
        chosen = self._chosen(attributes_from, neighbors)
        if chosen not in self._known:
            self._known[chosen] = self._probabilities(*chosen)
        return self._known[chosen]

    def _probabilities(self, attributes_from: AttributesFrom, neighbors: int) -> Tensor:
        parts = []
        if attributes_from in ("task1", "both"):
            parts.append(probabilities(_of_task1(self.task1_logits), self.schema))
        if attributes_from in ("bruna", "both"):
            by_bruna = _of_bruna(self.gallery).attributes
            assert by_bruna is not None  # a `Described` has them
            parts.append(by_bruna)
        found = parts[0] if len(parts) == 1 else (parts[0] + parts[1]) / 2
        return found if neighbors == 1 else _over_neighbors(found, _of_bruna(self.gallery).features, neighbors)

    def attribute_codes(
        self, attributes_from: AttributesFrom | None = None, neighbors: int | None = None
    ) -> npt.NDArray[np.int64]:
        """N x A codes, the most probable value of each attribute; the arguments of `attribute_probabilities`."""
        attributes_from, neighbors = self._chosen(attributes_from, neighbors)
        if not needs_bruna(attributes_from, neighbors):
            return predictions(_of_task1(self.task1_logits), self.schema).numpy()
        return most_probable(self.attribute_probabilities(attributes_from, neighbors), self.schema).numpy()

    def _chosen(self, attributes_from: AttributesFrom | None, neighbors: int | None) -> tuple[AttributesFrom, int]:
        attributes_from = self.settings.attributes_from if attributes_from is None else attributes_from
        if attributes_from not in get_args(AttributesFrom):
            raise ValueError(f"attributes_from is {attributes_from!r}: give task1, bruna or both")
        return attributes_from, checked_count("neighbors", self.neighbors if neighbors is None else neighbors)


def needs_bruna(attributes_from: AttributesFrom, neighbors: int) -> bool:
    """Whether attributes that are predicted so take more than Task 1's network."""
    return attributes_from != "task1" or neighbors > 1


def _over_neighbors(found: Tensor, features: Tensor, neighbors: int) -> Tensor:
    gallery = Gallery.unlabelled(features)
    # Under the course protocol nothing is dropped: an image is the nearest to itself, at distance 0.
    nearest = top_k(gallery, gallery, Euclidean(), COURSE, min(neighbors, len(gallery))).indices
    return torch.cat([found[rows].mean(dim=1) for rows in torch.split(nearest, _AVERAGED_AT_ONCE)])


def _of_task1(logits: Tensor | None) -> Tensor:
    if logits is None:
        raise BrunaError("this needs Task 1's network, which was not loaded")
    return logits


def _of_bruna(gallery: Gallery | None) -> Gallery:
    if gallery is None:
        raise BrunaError("this needs Bruna's network, which was not loaded")
    return gallery


def mean_direction(first: Tensor, second: Tensor) -> Tensor:
    """The mean of two embeddings of the same images (N x F), as long as they are themselves on average.

    The mean of two vectors is shorter than they are, the more so the less they agree; a distance would take that
    for a difference between images.
    """
    mean = (first + second) / 2
    length = (torch.linalg.vector_norm(first, dim=1) + torch.linalg.vector_norm(second, dim=1)) / 2
    scale: Tensor = length / torch.linalg.vector_norm(mean, dim=1).clamp_min(1e-12)
    return mean * scale[:, None]
