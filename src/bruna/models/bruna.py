"""Bruna (paper, section 3.2.1): an embedding of 1,600 features and the attributes predicted from it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bruna.dataset.attributes import ATTRIBUTES, LOGITS, logit_slices
from bruna.models.backbones import IMAGE_CHANNELS, Backbone
from bruna.models.normalize import Normalize
from bruna.models.unet import Encoder

GEM_START = 3.0
"""Exponent of the generalised mean before training; 1 is the average, infinity the maximum."""
POOLED = (2, 1)
"""The feature map is averaged over the upper and the lower half of the person (original.md)."""


@dataclass(frozen=True)
class Embedding:
    """What Bruna says of a batch.

    Attributes:
        features: B x F, `ft` of the paper: what images are ranked by.
        logits: B x 32 attribute logits.
        metric: B x F, what distances are learned on: `features`, but for a neck in training.
    """

    features: Tensor
    logits: Tensor
    metric: Tensor

    @property
    def attributes(self) -> Tensor:
        """B x 32 probabilities, `att` of the paper."""
        return attribute_probabilities(self.logits)


class Bruna(nn.Module):
    """Feature extractor and attribute head.

    Args:
        backbone: a name in `bruna.models.backbones.BACKBONES`.
        features: length of the embedding (paper: 1,600).
        mask: what becomes of the person mask (section 3.2.4): `none`; `segmented`, it multiplies the image;
            `channel`, it is a fourth input channel.
        bottleneck: length of the U-Net's pooled bottleneck joined to the embedding, 0 for none.
        dropout: probability before the last linear layer of the extractor.
        last_stride: 2, or 1 to double the last feature map (Sun et al., PCB, 2018).
        pool: `average`; or `gem`, the generalised mean with a learned exponent (Radenovic et al., 2018).
        neck: `none`; or `batch_norm`: identities are told apart, and images ranked, by the batch-normalised features,
            while distances are learned on the features before it (Luo et al., BNNeck, 2019).
        encoder: width and depth of a U-Net encoder that Bruna runs itself and that is trained with it (original.md),
            `bottleneck` being its `width * 2**depth`; None takes the bottleneck as an input.
    """

    def __init__(
        self,
        backbone: str,
        features: int,
        mask: str,
        bottleneck: int,
        dropout: float,
        last_stride: int = 2,
        pool: str = "average",
        neck: str = "none",
        encoder: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.mask = mask
        self.normalize = Normalize()
        self.backbone = Backbone(backbone, IMAGE_CHANNELS + (mask == "channel"), last_stride)
        self.exponent = nn.Parameter(torch.tensor(GEM_START)) if pool == "gem" else None
        pooled = self.backbone.out_channels * POOLED[0] * POOLED[1]
        self.backbone_norm = nn.LayerNorm(pooled)
        self.bottleneck_norm = nn.LayerNorm(bottleneck) if bottleneck else None
        self.extract = nn.Sequential(
            nn.Hardswish(),
            nn.Dropout(dropout),
            nn.Linear(pooled + bottleneck, features),
            # No learned scale: every embedding has length sqrt(features), which gives the margin its unit.
            nn.LayerNorm(features, eps=1e-8, elementwise_affine=False),
        )
        self.task1 = nn.Sequential(
            nn.Linear(features, 128),
            nn.ReLU(),
            nn.Dropout(0.4),
            nn.Linear(128, LOGITS),
        )
        self.neck = None
        if neck == "batch_norm":
            self.neck = nn.BatchNorm1d(features)
            self.neck.bias.requires_grad_(False)  # a shift would be lost on a classifier of angles
        self.encoder = Encoder(*encoder) if encoder else None

    def forward(self, images: Tensor, masks: Tensor | None = None, bottleneck: Tensor | None = None) -> Embedding:
        """Embed a batch.

        Args:
            images: B x 3 x H x W, float, 0 to 1.
            masks: B x 1 x H x W, float, 0 to 1; needed unless `mask` is `none`.
            bottleneck: B x C, float; needed where the network was built with one and has no encoder of its own.
        """
        if self.encoder is not None:
            bottleneck = self.encoder.pooled(images)
        if masks is not None and self.mask == "segmented":
            images = images * masks
        x = self.normalize(images)
        if self.mask == "channel":
            if masks is None:
                raise ValueError("this Bruna takes the mask as a fourth channel: masks is None")
            x = torch.cat([x, masks], dim=1)
        x = self.backbone_norm(self._pooled(self.backbone(x)).flatten(1))
        if self.bottleneck_norm is not None:
            if bottleneck is None:
                raise ValueError("this Bruna joins bottleneck features: bottleneck is None")
            x = torch.cat([x, self.bottleneck_norm(bottleneck)], dim=1)
        metric = self.extract(x)
        features = metric if self.neck is None else self.neck(metric)
        if self.neck is not None and not self.training:
            # Of the length that the LayerNorm gives, so that distances keep their unit.
            features = F.normalize(features) * features.shape[1] ** 0.5
        return Embedding(features, self.task1(metric), metric)

    def _pooled(self, x: Tensor) -> Tensor:
        """B x C x h x w to B x C x 2 x 1."""
        if self.exponent is None:
            return F.adaptive_avg_pool2d(x, POOLED)
        exponent = self.exponent.clamp(1, 8)
        return F.adaptive_avg_pool2d(x.clamp(min=1e-6).pow(exponent), POOLED).pow(1 / exponent)

    def parameter_groups(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """The parameters of the layers after the backbone, and those of the pretrained parts (section 3.2.5).

        A U-Net encoder is among the latter, as it was in the authors' optimiser (original.md).
        """
        backbone = list(self.backbone.parameters())
        if self.encoder is not None:
            backbone += self.encoder.parameters()
        known = {id(parameter) for parameter in backbone}
        return [parameter for parameter in self.parameters() if id(parameter) not in known], backbone


def attribute_probabilities(logits: Tensor) -> Tensor:
    """B x 32 (or more) logits to B x 32 probabilities: a sigmoid a binary attribute, a softmax the others."""
    parts = []
    for attribute, where in zip(ATTRIBUTES, logit_slices().values(), strict=True):
        part = logits[:, where]
        parts.append(part.sigmoid() if attribute.binary else part.softmax(dim=1))
    return torch.cat(parts, dim=1)


def attribute_predictions(logits: Tensor) -> Tensor:
    """B x 32 (or more) logits to B x 12 codes: the most probable value of each attribute."""
    return _codes(logits, 0.0)


def most_probable(probabilities: Tensor) -> Tensor:
    """B x 32 probabilities to B x 12 codes: the most probable value of each attribute."""
    return _codes(probabilities, 0.5)


def _codes(values: Tensor, even: float) -> Tensor:
    """B x 32 (or more) to B x 12 codes; a binary attribute is its second value where it is above `even`."""
    codes = []
    for attribute, where in zip(ATTRIBUTES, logit_slices().values(), strict=True):
        part = values[:, where]
        codes.append((part[:, 0] > even).long() if attribute.binary else part.argmax(dim=1))
    return torch.stack(codes, dim=1)
