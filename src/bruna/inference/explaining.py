"""Why two images match: where the U-Net sees the person, and how alike the halves of two people are to Bruna.

Bruna averages its feature map over the upper and over the lower half of an image, joins both (and the U-Net's
bottleneck) to one vector, and one linear layer makes the embedding of it. A linear layer splits exactly: what it gives
is the sum of the part of each half, of the bottleneck and of its bias. The similarity of two halves is the cosine of
their parts, less those of the mean image.

The mean has to go: it is what all images share. On the validation pairs of different cameras of a network trained for
four epochs on Market-1501, the median cosine of the upper halves of two different people is 0.73 with it and -0.04
without, of one person 0.90 and 0.60; of the lower halves 0.46 and -0.04, 0.82 and 0.64. How well the two kinds of pairs
are told apart stays the same (area under the ROC 0.964 and 0.964, 0.941 and 0.943; with the sample's network 0.940 and
0.933, 0.970 and 0.968), but 0 now means as alike as two people are on average. The layer norm after the linear layer
and the neck move no median by more than 0.02, and are left aside; so is the bottleneck, whose part tells little (0.58
and 0.59).

It tells what the distance rests on, not whether it is right: nobody has trained the halves to be compared alone, and
the upper half of the image need not be the upper half of the body.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from safetensors.numpy import load, save
from torch import Tensor, nn

from bruna.errors import BrunaError
from bruna.files import whole_file
from bruna.inference.describer import Describer
from bruna.models.bruna import POOLED, Bruna

HALVES = "halves.safetensors"
"""The halves of the mean image beside the models: written by `evaluate`, read by a search."""
Floats = npt.NDArray[np.float32]


class Halves(NamedTuple):
    """The parts of the `upper` and of the `lower` half in N embeddings, each N x F."""

    upper: Floats
    lower: Floats

    def mean(self) -> "Halves":
        """Of all N images, each 1 x F."""
        return Halves(*(part.mean(axis=0, keepdims=True) for part in self))


class Similar(NamedTuple):
    """How alike the `upper` and the `lower` halves of N pairs are: from -1 to 1, 0 as two people on average."""

    upper: Floats
    lower: Floats


@dataclass(frozen=True)
class Explained:
    """N images.

    Attributes:
        halves: their parts of the embedding.
        masks: N x H x W uint8 at the U-Net's size, the probability of the person times 255; None without a U-Net, or
            where the masks were given.
    """

    halves: Halves
    masks: npt.NDArray[np.uint8] | None


def explain(
    people: Describer,
    images: Sequence[bytes],
    names: Sequence[str],
    segments: pd.DataFrame | None = None,
    progress: str | None = None,
) -> Explained:
    """Run the U-Net and Bruna over images, as they are and not mirrored.

    One call at a time: it listens to the network while it runs.

    Args:
        people: the networks, Bruna among them.
        images: N image files, at least one.
        names: N names, for messages; paths, where there are `segments`.
        segments: the table of the stage `segment`, which takes the place of the U-Net; None runs it.
        progress: show a progress bar of this name.

    Raises:
        BrunaError: Bruna was not loaded, or an image cannot be read.
    """
    if people.bruna is None:
        raise BrunaError("this needs Bruna's network, which was not loaded")
    network = people.bruna.network
    alone = replace(people, attribute_network=None, settings=replace(people.settings, flip=False))
    with _inputs_of(_joining(network)) as inputs:
        found = alone.describe(list(images), names=names, masks=segments is None, _segments=segments, progress=progress)
    upper, lower, _ = parts(network, torch.cat(inputs))
    return Explained(Halves(upper.numpy(), lower.numpy()), found.masks)


@torch.no_grad()
def parts(network: Bruna, joined: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the linear layer makes of each part of its input; their sum and its bias are what it gives.

    Args:
        network: Bruna.
        joined: N x K, what its linear layer gets: the pooled map of both halves, channel by channel, then the
            bottleneck if it takes one.

    Returns:
        Of the upper half, the lower half and the bottleneck, each N x F float32, on the CPU.
    """
    weight = _joining(network).weight
    pooled = network.backbone.out_channels * POOLED[0] * POOLED[1]
    where = slice(0, pooled, POOLED[0]), slice(1, pooled, POOLED[0]), slice(pooled, None)
    upper, lower, bottleneck = ((joined[:, part] @ weight[:, part].T).cpu() for part in where)
    return upper, lower, bottleneck


def similarity(query: Halves, hits: Halves, typical: Halves) -> Similar:
    """How alike the halves of a person and of N images are.

    Args:
        query: one image, or N images, each for its hit; of several photos of one person take the `mean`.
        hits: N images.
        typical: the mean image (`read_typical`).

    Raises:
        BrunaError: the mean image is that of other networks.
    """
    if typical.upper.shape[1] != query.upper.shape[1]:
        raise BrunaError(f"{HALVES} beside the models is of other networks. `dvc repro evaluate` writes it again.")
    return Similar(*(_cosines(a - mean, b - mean) for a, b, mean in zip(query, hits, typical, strict=True)))


def _cosines(first: Floats, second: Floats) -> Floats:
    """Of each row of `second` and its row of `first`, or the only one; 0 for a row of zeros."""
    one, other = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30) for rows in (first, second))
    return cast(Floats, np.clip((one * other).sum(axis=1), -1, 1).astype(np.float32))


def write_typical(typical: Halves, folder: Path) -> None:
    """Keep the halves of the mean image in a folder, `artifacts/evaluate`."""
    with whole_file(folder / HALVES) as beside:
        beside.write_bytes(save({name: np.ascontiguousarray(part) for name, part in typical._asdict().items()}))


def read_typical(folder: Path) -> Halves | None:
    """The halves of the mean image in a folder; None where `evaluate` has not left them there.

    Raises:
        BrunaError: the file is damaged.
    """
    file = folder / HALVES
    if not file.exists():
        return None
    try:
        found = Halves(**load(file.read_bytes()))
        if found.upper.ndim != 2 or found.upper.shape != found.lower.shape or len(found.upper) != 1:
            raise ValueError(f"its halves are {found.upper.shape} and {found.lower.shape}")
    except Exception as error:  # whatever the library's reader stumbles over
        raise BrunaError(
            f"{file} is not usable ({str(error).partition(chr(10))[0]}). `dvc repro evaluate` writes it again."
        ) from None
    return found


def _joining(network: Bruna) -> nn.Linear:
    """The layer that makes the embedding."""
    return next(layer for layer in network.extract if isinstance(layer, nn.Linear))


@contextmanager
def _inputs_of(layer: nn.Module) -> Iterator[list[Tensor]]:
    """What a layer gets while the block runs, a batch at a time."""
    inputs: list[Tensor] = []
    listening = layer.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    try:
        yield inputs
    finally:
        listening.remove()
