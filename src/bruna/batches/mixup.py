"""Mix-up: images blended in pairs, each judged by both images' targets (Zhang et al., mixup, 2018)."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Mixture(NamedTuple):
    """How a batch is blended: image i is `share` of itself and 1 - `share` of image `partner[i]`.

    `share`: 0.5 to 1, so that an image's own targets weigh most; `partner`: B positions in the batch.
    """

    share: float
    partner: Tensor

    def images(self, images: Tensor) -> Tensor:
        """B x C x H x W, float, blended."""
        return torch.lerp(images[self.partner.to(images.device)], images, self.share)

    def loss(self, loss: Callable[[Tensor], Tensor], targets: Tensor) -> Tensor:
        """`share` of the loss against the images' own targets and 1 - `share` of that against their partners'.

        Args:
            loss: of B targets.
            targets: B or B x K, of the images before they were blended.
        """
        return torch.lerp(loss(targets[self.partner.to(targets.device)]), loss(targets), self.share)


def draw_mixture(count: int, alpha: float, random: np.random.Generator) -> Mixture | None:
    """Draw one share for a batch from Beta(alpha, alpha), and a partner for each image.

    Args:
        count: B.
        alpha: the larger, the nearer to half and half; 0 blends nothing.
        random: the generator.

    Returns:
        None where nothing is to be blended.
    """
    if not alpha:
        return None
    share = float(random.beta(alpha, alpha))
    return Mixture(max(share, 1 - share), torch.from_numpy(random.permutation(count)))
