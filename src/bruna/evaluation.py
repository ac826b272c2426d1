"""What the trained models say of an image table: embeddings, attributes, junk; and how good the attributes are."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from bruna.batches.persons import PersonStore
from bruna.batches.store import ImageStore
from bruna.dataset.attributes import ATTRIBUTES, NAMES, UNKNOWN
from bruna.dataset.tables import attribute_codes
from bruna.inference import attribute_logits, embed, segment_table, task_predictions
from bruna.models.attributes import AttributeNetwork
from bruna.models.bruna import Bruna, attribute_probabilities, most_probable
from bruna.models.unet import UNet
from bruna.report.attribute_metrics import TASKS, task_metrics
from bruna.retrieval.gallery import Gallery
from bruna.saved_models import load_attribute_network, load_bruna, load_unet

_DESCRIBED_AT_ONCE = 4096
"""Images decoded at a time, so that memory grows by embeddings only."""
ATTRIBUTES_BY = {"attributes": "task1", "attributes_bruna": "bruna", "attributes_both": "both"}
"""Name of the figures -> who answers, as `answers` names them."""


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
    masks, joined = bruna.mask != "none", bruna.bottleneck_norm is not None and bruna.encoder is None
    if segments is None and (masks or joined):
        segments = segment_table(table, models.unet, batch_size, models.device, name)
    by_path = None if segments is None else segments.set_index("path")
    plain, mirrored, logits = [], [], []
    for start in range(0, len(table), _DESCRIBED_AT_ONCE):
        rows = table.iloc[start : start + _DESCRIBED_AT_ONCE]
        part = None if by_path is None else by_path.loc[rows["path"]].reset_index()
        persons = PersonStore.decode(rows, part, size, masks=masks, bottleneck=joined).to(models.device)
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
    identities = torch.tensor(table["identity"].to_numpy(np.int64))
    cameras = torch.tensor(table["camera"].to_numpy(np.int64))
    features, attributes = (torch.cat([getattr(e, what) for e in plain]) for what in ("features", "attributes"))
    alone = Gallery(features, attributes, identities, cameras)
    both = alone
    if flip:
        other, others = (torch.cat([getattr(e, what) for e in mirrored]) for what in ("features", "attributes"))
        both = Gallery(mean_direction(features, other), (attributes + others) / 2, identities, cameras)
    return Described(
        paths=table["path"].to_numpy(),
        gallery=both,
        plain=alone,
        codes=attribute_codes(table),
        attributes=attribute_probabilities(task1),
        predicted=task_predictions(task1).numpy(),
        junk=task1[:, -1].sigmoid(),
    )


def mean_direction(first: Tensor, second: Tensor) -> Tensor:
    """The mean of two embeddings of the same images (N x F), as long as they are themselves on average.

    The mean of two vectors is shorter than they are, the more so the less they agree; a distance would take that
    for a difference between images.
    """
    mean = (first + second) / 2
    length = (torch.linalg.vector_norm(first, dim=1) + torch.linalg.vector_norm(second, dim=1)) / 2
    scale: Tensor = length / torch.linalg.vector_norm(mean, dim=1).clamp_min(1e-12)
    return mean * scale[:, None]


def answers(described: Described, by: str) -> npt.NDArray[np.int64]:
    """N x 12 codes: the most probable value of each attribute.

    Args:
        described: the images.
        by: whose probabilities: `task1`; `bruna`, its attribute head; `both`, the mean of the two.
    """
    if by == "task1":
        return described.predicted[:, : len(ATTRIBUTES)]
    probabilities = described.gallery.attributes
    if probabilities is None:
        raise ValueError("this gallery has no attributes: it was not described by Bruna")
    if by == "both":
        probabilities = (probabilities + described.attributes) / 2
    return most_probable(probabilities).numpy()


def attribute_figures(described: Described, by: str = "task1") -> dict[str, dict[str, float]]:
    """Accuracy, macro precision and macro recall of each attribute, beside those of a constant answer.

    `majority` is the accuracy of always answering the commonest value, `chance` the balanced accuracy (`recall`) of
    any constant answer. Empty where nothing is annotated.

    Args:
        described: the images.
        by: who answers; see `answers`.
    """
    known = (described.codes >= 0).any(axis=1)
    if not known.any():
        return {}
    extras = np.full((int(known.sum()), len(TASKS) - len(ATTRIBUTES)), UNKNOWN)
    truth = np.concatenate([described.codes[known], extras], axis=1)
    found = task_metrics(truth, np.concatenate([answers(described, by)[known], np.zeros_like(extras)], axis=1))
    return {
        name: {
            "accuracy": float(result.accuracy),
            "precision": float(result.precision),
            "recall": float(result.recall),
            "majority": float(result.majority),
            "chance": float(result.chance),
        }
        for name, result in zip(NAMES, found, strict=False)
    }
