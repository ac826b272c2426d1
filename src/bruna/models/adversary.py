"""The adversary (paper, section 3.2.2): predicts how far apart Bruna sees two images, to mine hard negatives."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bruna.models.backbones import Backbone
from bruna.models.normalize import Normalize


class Adversary(nn.Module):
    """MobileNetV3-small features and a learned diagonal metric between them.

    The predicted distance of images i and j is sum_k w_k (a_ik - a_jk)^2, with w starting at one (authors' code).

    Args:
        unit: scale each image's features a_i to length one, as Bruna's are of one length: predicted distances then
            lie between 0 and 4 from the first step on.
    """

    def __init__(self, unit: bool = False) -> None:
        super().__init__()
        self.unit = unit
        self.normalize = Normalize()
        self.backbone = Backbone("mobilenet_v3_small")
        self.weight = nn.Parameter(torch.ones(self.backbone.out_channels))

    def embed(self, images: Tensor) -> Tensor:
        """B x 3 x H x W images, float, 0 to 1, to B x 576 features."""
        features: Tensor = self.backbone(self.normalize(images)).mean(dim=(2, 3))
        return F.normalize(features) if self.unit else features

    def distance(self, anchors: Tensor, others: Tensor) -> Tensor:
        """Predicted distances.

        Args:
            anchors: T x C features, one anchor a tuple.
            others: T x K x C features of the negatives.

        Returns:
            T x K.
        """
        return ((anchors.unsqueeze(1) - others).square() * self.weight).sum(dim=2)

    def pairwise(self, features: Tensor) -> Tensor:
        """N x C features to the predicted distances of all pairs, N x N."""
        scaled = features * self.weight
        own = (scaled * features).sum(dim=1)
        return own.unsqueeze(1) + own.unsqueeze(0) - 2 * scaled @ features.T
