"""Task 1's network: one image to the logits of twelve attributes, two cameras and junk (paper, section 3.1)."""

from torch import Tensor, nn

from bruna.dataset.attributes import EXTRA_CLASSES, LOGITS
from bruna.models.backbones import Backbone, first_convolution
from bruna.models.normalize import Normalize

TASK1_LOGITS = LOGITS + len(EXTRA_CLASSES)


class AttributeNetwork(nn.Module):
    """A backbone, global average pooling and one linear layer of 32 + 3 outputs.

    Args:
        network: a name in `bruna.models.backbones.BACKBONES`.
    """

    def __init__(self, network: str) -> None:
        super().__init__()
        self.normalize = Normalize()
        self.backbone = Backbone(network)
        self.head = nn.Linear(self.backbone.out_channels, TASK1_LOGITS)

    def forward(self, images: Tensor) -> Tensor:
        """B x 3 x H x W images, float, 0 to 1, to B x 35 logits."""
        logits: Tensor = self.head(self.backbone(self.normalize(images)).mean(dim=(2, 3)))
        return logits

    def fine_tuning_groups(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """The parameters for the high and for the low learning rate (paper, sections 3.1.1 and 3.1.4).

        High: the first convolution and the last two layers, which are the last residual stage (or block) and
        the head. Low: everything between.
        """
        high = [
            *first_convolution(self.backbone)[1].parameters(),
            *list(self.backbone.features.children())[-1].parameters(),
            *self.head.parameters(),
        ]
        known = {id(parameter) for parameter in high}
        return high, [parameter for parameter in self.parameters() if id(parameter) not in known]
