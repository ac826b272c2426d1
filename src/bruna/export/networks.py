"""The bare networks as graphs, floats to floats: what is left of `graphs.py` where the package does the rest itself."""

from torch import Tensor, nn

from bruna.dataset.schema import logit_count
from bruna.export.graphs import IMAGES, Graph, Port
from bruna.inference.describer import Describer
from bruna.models.attributes import AttributeNetwork
from bruna.models.bruna import Bruna
from bruna.models.unet import UNet

UNET, TASK1, BRUNA = "unet.onnx", "task1.onnx", "bruna.onnx"
_MASKS, _BOTTLENECKS, _LOGITS, _FEATURES = "masks", "bottlenecks", "logits", "features"


def networks_of(people: Describer) -> list[Graph]:
    """A graph of each network that is there, of what it computes of a batch."""
    found = []
    if people.unet is not None:
        network, size = people.unet.network, people.unet.size
        both = (_floats(_LOGITS, 1, *size), _floats(_BOTTLENECKS, network.bottleneck_channels))
        found.append(Graph(UNET, _UNet(network).eval(), (_floats(IMAGES, 3, *size),), both))
    if people.attribute_network is not None:
        of, size = people.attribute_network.network, people.attribute_network.size
        logits = _floats(_LOGITS, logit_count(of.tasks))
        found.append(Graph(TASK1, _Task1(of).eval(), (_floats(IMAGES, 3, *size),), (logits,)))
    if people.bruna is not None:
        embedder, size = people.bruna, people.bruna.size
        inputs = [_floats(IMAGES, 3, *size)]
        if embedder.takes_masks:
            inputs.append(_floats(_MASKS, 1, *size))
        if (norm := embedder.network.bottleneck_norm) is not None:
            inputs.append(_floats(_BOTTLENECKS, *norm.normalized_shape))
        outputs = [_floats(_FEATURES, embedder.features)]
        if embedder.attributes:
            outputs.append(_floats(_LOGITS, logit_count(embedder.attributes)))
        found.append(Graph(BRUNA, _Bruna(embedder.network).eval(), tuple(inputs), tuple(outputs)))
    return found


class _UNet(nn.Module):
    def __init__(self, network: UNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        found = self.network(images)
        return found.logits, found.bottleneck


class _Task1(nn.Module):
    def __init__(self, network: AttributeNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return (self.network.predict(images),)


class _Bruna(nn.Module):
    """The second and the third input are those that the network takes, of mask and bottleneck."""

    def __init__(self, network: Bruna) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, second: Tensor | None = None, third: Tensor | None = None) -> tuple[Tensor, ...]:
        masks, bottlenecks = (second, third) if self.network.mask != "none" else (None, second)
        found = self.network(images, masks, bottlenecks)
        return (found.features, found.logits) if self.network.attributes else (found.features,)


def _floats(name: str, *shape: int) -> Port:
    return Port(name, shape, "float32", "")
