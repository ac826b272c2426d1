"""Convolutional feature extractors, torchvision's and our small ones, without their classifiers."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bruna.models.small_networks import lenet5, simple_cnn

IMAGE_CHANNELS = 3
BATCH_NORM_MOMENTUM = 0.1
BACKBONES = ("mobilenet_v3_small", "mobilenet_v3_large", "mobilenet_v2", "resnet18", "resnet50")
"""Those that Bruna takes."""
OWN_NETWORKS = {"simple_cnn": simple_cnn, "lenet5": lenet5}
"""Those that are ours, for which nobody publishes weights."""
NETWORKS = (*OWN_NETWORKS, "alexnet", "resnet34", "resnet101", "resnet152", *BACKBONES)
"""Those that Task 1 takes (paper, sections 3.1 and 5.1)."""
_ALEXNET_MAP = 6


class Backbone(nn.Module):
    """A backbone's feature map.

    Its parameters are named as in torchvision behind the prefix `features.`, so that published state dicts fit.

    Args:
        name: one of `NETWORKS`.
        channels: input channels: 3, or 4 with a mask.
        last_stride: 2, or 1 to take out the last down-sampling, so that the feature map has twice the height and
            width (Sun et al., Beyond part models, 2018). Not for LeNet-5 and AlexNet, which end in a vector.

    Raises:
        ValueError: `last_stride` is not 1 or 2, or the network has none to take out.
    """

    def __init__(self, name: str, channels: int = IMAGE_CHANNELS, last_stride: int = 2) -> None:
        super().__init__()
        self.features: nn.Sequential
        self.classifier: nn.Sequential | None = None
        self.out_channels: int
        if name in OWN_NETWORKS:
            self.features = OWN_NETWORKS[name]()
            self.out_channels = _last_width(self.features)
        else:
            self._take_published(name)
        for part in self.features.modules():
            if isinstance(part, nn.BatchNorm2d):
                # MobileNetV3 comes with 0.01: after a few hundred steps its running statistics, which evaluation
                # uses, would still be those of the start.
                part.momentum = BATCH_NORM_MOMENTUM
        if last_stride == 1:
            _take_out_last_stride(self.features, name)
        elif last_stride != 2:
            raise ValueError(f"last_stride is {last_stride}: expected 1 or 2")
        if channels != IMAGE_CHANNELS:
            widen_first_convolution(self.features, channels)

    def _take_published(self, name: str) -> None:
        from torchvision import models as zoo  # noqa: PLC0415 - two seconds, which the U-Net's stages do not need

        network = zoo.get_model(name, weights=None)
        if name.startswith("resnet"):
            parts = [(key, part) for key, part in network.named_children() if key not in ("avgpool", "fc")]
            self.features = nn.Sequential(OrderedDict(parts))
            self.out_channels = network.fc.in_features
        elif name == "alexnet":
            # Nine tenths of AlexNet are its two hidden layers of 4,096: without them it would be another network.
            self.features, self.classifier = network.features, network.classifier[:-1]
            self.out_channels = network.classifier[-1].in_features
        else:
            self.features = network.features
            self.out_channels = _last_width(self.features)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised B x channels x H x W images to a feature map.

        Returns:
            B x out_channels x H/32 x W/32; H/16 x W/16 for the simple CNN, twice that with `last_stride` 1; 1 x 1
            for LeNet-5 and AlexNet.
        """
        features: Tensor = self.features(images)
        if self.classifier is not None:
            vectors = self.classifier(F.adaptive_avg_pool2d(features, _ALEXNET_MAP).flatten(1))
            features = vectors[:, :, None, None]
        return features

    def last_layer(self) -> nn.Module:
        """The last stage, block or layer that has parameters."""
        layers = self.features if self.classifier is None else self.classifier
        return [part for part in layers if any(True for _ in part.parameters())][-1]


def _take_out_last_stride(features: nn.Sequential, name: str) -> None:
    """Give stride 1 to the convolutions of stride 2 in the last child of `features` that has one."""
    for part in reversed(features):
        strided = [m for m in part.modules() if isinstance(m, nn.Conv2d) and m.stride == (2, 2)]
        for convolution in strided:  # of a residual block both branches
            convolution.stride = (1, 1)
        if strided:
            return
    raise ValueError(f"{name} has no convolution of stride 2 to take out: last_stride must be 2")


def first_convolution(module: nn.Module) -> tuple[str, nn.Conv2d]:
    """The name and the module of the first convolution."""
    return next((name, part) for name, part in module.named_modules() if isinstance(part, nn.Conv2d))


def _last_width(features: nn.Module) -> int:
    return [part for part in features.modules() if isinstance(part, nn.Conv2d)][-1].out_channels


def widen_first_convolution(module: nn.Module, channels: int) -> None:
    """Let the first convolution take `channels` channels; the image's weights stay, the new ones start at zero."""
    name, old = first_convolution(module)
    new = nn.Conv2d(
        channels,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]
        stride=old.stride,  # type: ignore[arg-type]
        padding=old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    with torch.no_grad():
        new.weight.zero_()
        new.weight[:, :IMAGE_CHANNELS] = old.weight
        if old.bias is not None and new.bias is not None:
            new.bias.copy_(old.bias)
    parent = module.get_submodule(name.rpartition(".")[0])
    setattr(parent, name.rpartition(".")[2], new)
