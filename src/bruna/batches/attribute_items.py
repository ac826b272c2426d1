"""What Task 1 draws (paper, section 3.1.2): persons, now and then one with a rare attribute, now and then junk."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from bruna.batches.seeds import numpy_generator, step_generator
from bruna.dataset.schema import UNKNOWN

ZOOM = (0.1, 0.3)
"""Sides of a junk crop as a share of the image's: 1% to 9% of the area, so that it never shows a person."""
MEASURED_JUNK_EVERY = 10
"""When Task 1 is measured, every tenth image also appears as junk, zoomed into by a fixed draw."""


class AttributeSampler:
    """Draws the items of any epoch; the draws depend on the seed and the epoch alone.

    Args:
        codes: N x A attribute codes, -1 where unknown.
        identities: N identities.
        seed: of the draws.
        junk_share: probability that an item is a zoom into an image, labelled junk.
        weak_share: probability that an item comes from the weak set instead; with an empty weak set this
            share goes to persons.
        weak_below: an attribute value borne by fewer identities than this makes its bearers weak.
    """

    def __init__(
        self,
        codes: npt.NDArray[np.integer],
        identities: npt.NDArray[np.integer],
        *,
        seed: int,
        junk_share: float,
        weak_share: float,
        weak_below: int,
    ) -> None:
        self.seed = seed
        self.junk_share = junk_share
        self.weak_share = weak_share
        self.count = len(codes)
        self.weak = weak_images(codes, identities, weak_below)

    def __len__(self) -> int:
        """Number of items of an epoch."""
        return self.count

    def epoch(self, epoch: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Draw an epoch: one shuffled pass over the images, some of whose items are replaced or made junk.

        Returns:
            N positions in `codes`, and N booleans: True where the image is to be zoomed into junk.
        """
        random = numpy_generator(self.seed, "attribute items", epoch)
        indices = random.permutation(self.count)
        chance = random.random(self.count)
        junk = chance < self.junk_share
        if len(self.weak):
            rare = ~junk & (chance < self.junk_share + self.weak_share)
            indices = np.where(rare, random.choice(self.weak, self.count), indices)
        return indices, junk


def weak_images(
    codes: npt.NDArray[np.integer], identities: npt.NDArray[np.integer], below: int
) -> npt.NDArray[np.int64]:
    """Positions of the images that bear an attribute value which fewer than `below` identities bear.

    Args:
        codes: N x A attribute codes; -1 is no value.
        identities: N identities.
        below: the number of identities from which on a value is common.
    """
    weak = np.zeros(len(codes), dtype=bool)
    for column in codes.T:
        bearers = np.unique(np.stack([column, identities], axis=1), axis=0)
        values, counts = np.unique(bearers[:, 0], return_counts=True)
        weak |= np.isin(column, values[(counts < below) & (values != UNKNOWN)])
    return np.flatnonzero(weak)


def measured_draws(count: int, seed: int) -> Tensor:
    """The draws of the `count` zooms of one side of the split that are measured as junk: count x 3, see `zoom`.

    Args:
        count: how many images are zoomed into: every `MEASURED_JUNK_EVERY`-th, from the first on.
        seed: `train_attributes.seed`.
    """
    return torch.rand(count, 3, generator=step_generator(seed, "measured_junk"))


def zoom(images: Tensor, draws: Tensor) -> Tensor:
    """Zoom each image into a small part of itself, at full size: no whole person is left to see.

    Args:
        images: B x 3 x H x W, uint8, on any device.
        draws: B x 3, uniform from 0 to 1: side (see `ZOOM`), and place across and down.

    Returns:
        B x 3 x H x W, uint8, on the same device.
    """
    side = ZOOM[0] + (ZOOM[1] - ZOOM[0]) * draws[:, :1]
    centre = (2 * draws[:, 1:] - 1) * (1 - side)  # in -1..1 coordinates, such that the crop stays inside
    matrix = torch.cat([torch.diag_embed(side.expand(-1, 2)), centre[:, :, None]], dim=2).to(images.device)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    # Border padding: a crop at the very edge interpolates half a pixel beyond it.
    zoomed = F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    return zoomed.round_().clamp_(0, 255).to(torch.uint8)


def task1_targets(codes: Tensor, cameras: Tensor, junk: Tensor, camera_classes: Sequence[int]) -> Tensor:
    """The targets of Task 1.

    A junk item shows no person, so its attributes are unknown (-1, ignored by the losses), but it keeps the
    background and thereby the camera. The camera classes are unknown where the camera is (0).

    Args:
        codes: B x A, int64, attribute codes, -1 where unknown.
        cameras: B, integer, from 1; 0 where unknown.
        junk: B, bool.
        camera_classes: the cameras that are told from all others.

    Returns:
        B x T, int64, in the order of `bruna.dataset.schema.task1_tasks`; -1 where a target is unknown.
    """
    attributes = codes.to(torch.int64).masked_fill(junk[:, None], UNKNOWN)
    views = cameras[:, None] == torch.tensor(list(camera_classes), dtype=cameras.dtype, device=cameras.device)
    camera_targets = views.to(torch.int64).masked_fill((cameras == 0)[:, None], UNKNOWN)
    return torch.cat([attributes, camera_targets, junk.to(torch.int64)[:, None]], dim=1)
