"""U-Net (Ronneberger, Fischer and Brox, 2015): person masks and bottleneck features."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bruna.models.normalize import Normalize


def _level(inside: int, outside: int) -> nn.Sequential:
    """Two 3 x 3 convolutions. Padded, and with batch normalisation, unlike the 2015 paper: masks keep the size."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, padding=1, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
        nn.Conv2d(outside, outside, 3, padding=1, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    )


@dataclass(frozen=True)
class Segmentation:
    """What the U-Net predicts of a batch.

    Attributes:
        logits: B x 1 x H x W; the sigmoid is the probability that a pixel belongs to the person.
        bottleneck: B x C, the deepest feature map averaged over its pixels (paper, section 3.2.4).
    """

    logits: Tensor
    bottleneck: Tensor


class Encoder(nn.Module):
    """The contracting half of a U-Net.

    Args:
        width: channels of the first level; each level below has twice as many.
        depth: number of halvings.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(depth + 1)]
        self.widths = widths
        self.normalize = Normalize()
        self.down = nn.ModuleList(
            [_level(inside, outside) for inside, outside in zip([3, *widths[:-1]], widths, strict=True)]
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """B x 3 x H x W images, float, 0 to 1, to the feature map of every level, the deepest last."""
        x = self.normalize(images)
        levels: list[Tensor] = []
        for depth, encode in enumerate(self.down):
            x = encode(x if depth == 0 else F.max_pool2d(x, 2))
            levels.append(x)
        return levels


class UNet(nn.Module):
    """Encoder and decoder of `depth` halvings with skip connections.

    Args:
        width: channels of the first level; each level below has twice as many.
        depth: number of halvings. The bottleneck has `width * 2**depth` channels (64 and 4 give 1,024).
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.encoder = Encoder(width, depth)
        widths = self.encoder.widths
        self.bottleneck_channels = widths[-1]
        self.up = nn.ModuleList(
            [nn.ConvTranspose2d(widths[level + 1], widths[level], 2, stride=2) for level in range(depth)]
        )
        self.merge = nn.ModuleList([_level(2 * widths[level], widths[level]) for level in range(depth)])
        self.out = nn.Conv2d(width, 1, 1)

    def forward(self, images: Tensor) -> Segmentation:
        """Segment a batch.

        Args:
            images: B x 3 x H x W, float, 0 to 1; H and W multiples of `2**depth`.
        """
        skips: list[Tensor] = self.encoder(images)
        x = skips.pop()
        bottleneck = x.mean(dim=(2, 3))
        for level in reversed(range(len(self.up))):
            x = self.merge[level](torch.cat([skips.pop(), self.up[level](x)], dim=1))
        return Segmentation(self.out(x), bottleneck)
