"""Bruna (paper, section 3.2.1): an embedding of 1,600 features and the attributes predicted from it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bruna.dataset.schema import Task, Tasks, logit_count
from bruna.models.attribute_logits import probabilities
from bruna.models.backbones import IMAGE_CHANNELS, Backbone
from bruna.models.normalize import Normalize

POOLED = (2, 1)
"""The feature map is averaged over the upper and the lower half of the person (authors' code)."""


@dataclass(frozen=True)
class Embedding:
    """What Bruna makes of a batch.

    Attributes:
        features: B x F, `ft` of the paper: what images are ranked by.
        logits: B x L attribute logits.
        metric: B x F, what distances are learned on: `features`, but for a neck in training.
        schema: the attributes that the logits tell.
    """

    features: Tensor
    logits: Tensor
    metric: Tensor
    schema: Tasks

    @property
    def attributes(self) -> Tensor:
        """B x L probabilities, `att` of the paper."""
        return probabilities(self.logits, self.schema)


class Bruna(nn.Module):
    """Feature extractor and attribute head.

    Args:
        backbone: a name in `bruna.models.backbones.BACKBONES`.
        features: length of the embedding (paper: 1,600).
        attributes: what the attribute head tells; without any there is no head.
        mask: what becomes of the person mask (section 3.2.4): `none`; `segmented`, it multiplies the image;
            `channel`, it is a fourth input channel.
        bottleneck: length of the U-Net's pooled bottleneck joined to the embedding, 0 for none.
        dropout: probability before the last linear layer of the extractor.
        last_stride: 2, or 1 to double the last feature map (Sun et al., PCB, 2018).
        neck: `none`; or `batch_norm`: identities are told apart, and images ranked, by the batch-normalised features,
            while distances are learned on the features before it (Luo et al., BNNeck, 2019).
    """

    def __init__(
        self,
        backbone: str,
        features: int,
        attributes: Sequence[Task],
        mask: str,
        bottleneck: int,
        dropout: float,
        last_stride: int = 2,
        neck: str = "none",
    ) -> None:
        super().__init__()
        self.attributes = tuple(attributes)
        self.mask = mask
        self.normalize = Normalize()
        self.backbone = Backbone(backbone, IMAGE_CHANNELS + (mask == "channel"), last_stride)
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
        self.attribute_head = None
        if attributes:
            self.attribute_head = nn.Sequential(
                nn.Linear(features, 128),
                nn.ReLU(),
                nn.Dropout(0.4),
                nn.Linear(128, logit_count(attributes)),
            )
        self.neck = None
        if neck == "batch_norm":
            self.neck = nn.BatchNorm1d(features)
            self.neck.bias.requires_grad_(False)  # a shift would be lost on a classifier of angles

    def forward(self, images: Tensor, masks: Tensor | None = None, bottleneck: Tensor | None = None) -> Embedding:
        """Embed a batch.

        Args:
            images: B x 3 x H x W, float, 0 to 1.
            masks: B x 1 x H x W, float, 0 to 1; needed unless `mask` is `none`.
            bottleneck: B x C, float; needed where the network was built with one.
        """
        return self.embed(self.pooled(images, masks), bottleneck)

    def pooled(self, images: Tensor, masks: Tensor | None = None) -> Tensor:
        """The backbone's B x P averaged feature map; the arguments of `forward`."""
        if masks is not None and self.mask == "segmented":
            images = images * masks
        x = self.normalize(images)
        if self.mask == "channel":
            if masks is None:
                raise ValueError("this Bruna takes the mask as a fourth channel: masks is None")
            x = torch.cat([x, masks], dim=1)
        return F.adaptive_avg_pool2d(self.backbone(x), POOLED).flatten(1)

    def embed(self, pooled: Tensor, bottleneck: Tensor | None = None) -> Embedding:
        """What follows the backbone: B x P of `pooled` to an embedding."""
        x = self.backbone_norm(pooled)
        if self.bottleneck_norm is not None:
            if bottleneck is None:
                raise ValueError("this Bruna joins bottleneck features: bottleneck is None")
            x = torch.cat([x, self.bottleneck_norm(bottleneck)], dim=1)
        metric = self.extract(x)
        features = metric if self.neck is None else self.neck(metric)
        if self.neck is not None and not self.training:
            # Of the length that the LayerNorm gives, so that distances keep their unit.
            features = F.normalize(features) * features.shape[1] ** 0.5
        logits = metric[:, :0] if self.attribute_head is None else self.attribute_head(metric)
        return Embedding(features, logits, metric, self.attributes)

    def parameter_groups(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """The parameters of the layers after the backbone, and those of the pretrained parts (section 3.2.5)."""
        backbone = list(self.backbone.parameters())
        known = {id(parameter) for parameter in backbone}
        return [parameter for parameter in self.parameters() if id(parameter) not in known], backbone
