"""What the trained models say of an image table: embeddings, attributes, junk."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from bruna.batches.persons import PersonStore
from bruna.batches.store import ImageStore
from bruna.dataset.tables import attribute_codes
from bruna.inference.attributes import attribute_logits, load_attribute_network
from bruna.inference.bruna import embed, load_bruna
from bruna.inference.unet import load_unet, segment_table
from bruna.models.attribute_logits import attribute_probabilities, task_predictions
from bruna.models.attributes import AttributeNetwork
from bruna.models.bruna import Bruna, Embedding
from bruna.models.unet import UNet
from bruna.retrieval.gallery import Gallery

_DESCRIBED_AT_ONCE = 4096
"""Images decoded at a time, so that memory grows by embeddings only."""


@dataclass(frozen=True)
class Models:
    """The three trained networks on one device, each with the height and width it sees."""

    unet: tuple[UNet, tuple[int, int]] | None
    attributes: tuple[AttributeNetwork, tuple[int, int]]
    bruna: tuple[Bruna, tuple[int, int]]
    device: torch.device

    @classmethod
    def load(cls, artifacts: Path, device: torch.device) -> "Models":
        """Load what the training stages left in `artifacts/{unet,attributes,bruna}`."""
        return cls(
            unet=load_unet(artifacts / "unet", device),
            attributes=load_attribute_network(artifacts / "attributes", device),
            bruna=load_bruna(artifacts / "bruna", device),
            device=device,
        )


@dataclass(frozen=True)
class Described:
    """A table's images as the networks see them.

    Attributes:
        paths: N keys.
        gallery: embeddings, attribute probabilities by Bruna, identities, cameras.
        plain: the same without the mirror images; the same object where none were embedded.
        codes: N x 12 true attribute codes, -1 where not annotated.
        attributes: N x 32 probabilities by Task 1.
        predicted: N x 15 codes by Task 1: the twelve attributes, camera4, camera6, junk.
        junk: N probabilities of junk by Task 1.
    """

    paths: npt.NDArray[np.object_]
    gallery: Gallery
    plain: Gallery
    codes: npt.NDArray[np.int64]
    attributes: Tensor
    predicted: npt.NDArray[np.int64]
    junk: Tensor


def describe(
    table: pd.DataFrame,
    segments: pd.DataFrame | None,
    models: Models,
    batch_size: int,
    name: str,
    *,
    flip: bool = False,
) -> Described:
    """Run Task 1 and Bruna once over a table, Bruna over the mirror images too if asked.

    Args:
        table: an image table.
        segments: the masks and bottlenecks of its images; made here by the U-Net if None and needed.
        models: the trained networks.
        batch_size: images a pass.
        name: of the table, for the progress bars.
        flip: describe each image by the mean of what Bruna says of it and of its mirror image.
    """
    bruna, size = models.bruna
    network, network_size = models.attributes
    by_path = _segments_by_path(table, segments, models, batch_size, name)
    plain, mirrored, logits = [], [], []
    for start in range(0, len(table), _DESCRIBED_AT_ONCE):
        rows = table.iloc[start : start + _DESCRIBED_AT_ONCE]
        persons = _persons(rows, by_path, models)
        label = f"embed {name} from {start:,}" if len(table) > _DESCRIBED_AT_ONCE else f"embed {name}"
        plain.append(embed(bruna, persons, batch_size, label))
        if flip:
            text = label.replace("embed", "embed mirrored")
            mirrored.append(embed(bruna, persons, batch_size, text, mirrored=True))
        same = network_size == size
        images = persons.images if same else ImageStore.decode(list(rows["image"]), list(rows["path"]), network_size)
        images = images.to(models.device)
        logits.append(attribute_logits(network, images, batch_size, label.replace("embed", "attributes of")))
    task1 = torch.cat(logits)
    straight = _joined(plain)
    alone = _gallery(*straight, table)
    return Described(
        paths=table["path"].to_numpy(),
        gallery=_gallery(*_mean(straight, _joined(mirrored)), table) if flip else alone,
        plain=alone,
        codes=attribute_codes(table),
        attributes=attribute_probabilities(task1),
        predicted=task_predictions(task1).numpy(),
        junk=task1[:, -1].sigmoid(),
    )


def bruna_says(table: pd.DataFrame, models: Models, batch_size: int, *, flip: bool = False) -> tuple[Tensor, Tensor]:
    """Bruna's features (N x F) and attribute probabilities (N x 32) of a table that fits into memory, without bars.

    Args:
        table: columns path and image.
        models: the trained networks; the U-Net is run where Bruna wants it.
        batch_size: images a pass.
        flip: as in `describe`.
    """
    persons = _persons(table, _segments_by_path(table, None, models, batch_size, None), models)
    plain = _joined([embed(models.bruna[0], persons, batch_size)])
    return _mean(plain, _joined([embed(models.bruna[0], persons, batch_size, mirrored=True)])) if flip else plain


def _needs_unet(bruna: Bruna) -> tuple[bool, bool]:
    """Whether it takes masks, and bottlenecks that somebody else made."""
    return bruna.mask != "none", bruna.bottleneck_norm is not None and bruna.encoder is None


def _segments_by_path(
    table: pd.DataFrame, segments: pd.DataFrame | None, models: Models, batch_size: int, name: str | None
) -> pd.DataFrame | None:
    """The given segments by path, made by the U-Net where there are none and Bruna needs them."""
    if segments is None and any(_needs_unet(models.bruna[0])):
        segments = segment_table(table, models.unet, batch_size, models.device, name)
    return None if segments is None else segments.set_index("path")


def _persons(rows: pd.DataFrame, by_path: pd.DataFrame | None, models: Models) -> PersonStore:
    masks, bottleneck = _needs_unet(models.bruna[0])
    part = None if by_path is None else by_path.loc[rows["path"]].reset_index()
    return PersonStore.decode(rows, part, models.bruna[1], masks=masks, bottleneck=bottleneck).to(models.device)


def _joined(parts: list[Embedding]) -> tuple[Tensor, Tensor]:
    """Features and attribute probabilities."""
    return torch.cat([part.features for part in parts]), torch.cat([part.attributes for part in parts])


def _mean(plain: tuple[Tensor, Tensor], mirrored: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return mean_direction(plain[0], mirrored[0]), (plain[1] + mirrored[1]) / 2


def _gallery(features: Tensor, attributes: Tensor, table: pd.DataFrame) -> Gallery:
    identities, cameras = (torch.tensor(table[column].to_numpy(np.int64)) for column in ("identity", "camera"))
    return Gallery(features, attributes, identities, cameras)


def mean_direction(first: Tensor, second: Tensor) -> Tensor:
    """The mean of two embeddings of the same images (N x F), as long as they are themselves on average.

    The mean of two vectors is shorter than they are, the more so the less they agree; a distance would take that
    for a difference between images.
    """
    mean = (first + second) / 2
    length = (torch.linalg.vector_norm(first, dim=1) + torch.linalg.vector_norm(second, dim=1)) / 2
    scale: Tensor = length / torch.linalg.vector_norm(mean, dim=1).clamp_min(1e-12)
    return mean * scale[:, None]
