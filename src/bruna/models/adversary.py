"""The adversary (paper, section 3.2.2): predicts how far apart Bruna sees two images, to pick hard strangers."""

import torch
from torch import Tensor, nn

from bruna.models.backbones import Backbone
from bruna.models.normalize import Normalize


class Adversary(nn.Module):
    """MobileNetV3-small features and a learned diagonal metric between them.

    The predicted distance of images i and j is sum_k w_k (a_ik - a_jk)^2, with w starting at one (original.md).
    """

    def __init__(self) -> None:
        super().__init__()
        self.normalize = Normalize()
        self.backbone = Backbone("mobilenet_v3_small")
        self.weight = nn.Parameter(torch.ones(self.backbone.out_channels))

    def embed(self, images: Tensor) -> Tensor:
        """B x 3 x H x W images, float, 0 to 1, to B x 576 features."""
        features: Tensor = self.backbone(self.normalize(images)).mean(dim=(2, 3))
        return features

    def distance(self, anchors: Tensor, others: Tensor) -> Tensor:
        """Predicted distances.

        Args:
            anchors: T x C features, one anchor a tuple.
            others: T x K x C features of the strangers.

        Returns:
            T x K.
        """
        return ((anchors.unsqueeze(1) - others).square() * self.weight).sum(dim=2)
