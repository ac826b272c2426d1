"""Task 1's network: one image to the logits of attributes, of cameras and of junk (paper, section 3.1)."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from bruna.dataset.schema import Task, logit_count
from bruna.models.backbones import Backbone, first_convolution
from bruna.models.normalize import Normalize

_POOLED = {"whole": 1, "halves": 2}


class AttributeNetwork(nn.Module):
    """A backbone, average pooling, dropout and one linear layer.

    Args:
        network: a name in `bruna.models.backbones.NETWORKS`.
        tasks: what it tells (`bruna.dataset.schema.task1_tasks`); their logits, L, are its output.
        last_stride: of the backbone, 2 or 1 (see `Backbone`).
        pool: `whole`, one average of the feature map; `halves`, the averages of its upper and its lower half joined,
            so that the head can tell what is worn above from what is worn below.
        dropout: probability before the linear layer.
        flip_test: `predict` takes the mean of the logits of an image and of its mirror image.
    """

    def __init__(
        self,
        network: str,
        tasks: Sequence[Task],
        *,
        last_stride: int = 2,
        pool: str = "whole",
        dropout: float = 0.0,
        flip_test: bool = False,
    ) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.flip_test = flip_test
        self.rows = _POOLED[pool]
        self.normalize = Normalize()
        self.backbone = Backbone(network, last_stride=last_stride)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.rows * self.backbone.out_channels, logit_count(tasks))

    def forward(self, images: Tensor) -> Tensor:
        """B x 3 x H x W images, float, 0 to 1, to B x L logits."""
        return self.classify(self.pooled(images))

    def pooled(self, images: Tensor) -> Tensor:
        """B x 3 x H x W images, float, 0 to 1, to the B x F features that the head classifies."""
        features: Tensor = self.backbone(self.normalize(images))
        if self.rows == 1:
            return features.mean(dim=(2, 3))
        return F.adaptive_avg_pool2d(features, (self.rows, 1)).flatten(1)

    def classify(self, pooled: Tensor) -> Tensor:
        """B x F features to B x L logits."""
        logits: Tensor = self.head(self.dropout(pooled))
        return logits

    def predict(self, images: Tensor) -> Tensor:
        """The logits that count: as `forward`, or the mean with the mirror image's where `flip_test` is set."""
        logits: Tensor = self(images)
        return (logits + self(images.flip(3))) / 2 if self.flip_test else logits

    def fine_tuning_groups(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """The parameters for the high and for the low learning rate (paper, sections 3.1.1 and 3.1.4).

        High: the first convolution and the last two layers, which are the last residual stage (or block, or hidden
        layer) and the head. Low: everything between.
        """
        high = [
            *first_convolution(self.backbone)[1].parameters(),
            *self.backbone.last_layer().parameters(),
            *self.head.parameters(),
        ]
        known = {id(parameter) for parameter in high}
        return high, [parameter for parameter in self.parameters() if id(parameter) not in known]
