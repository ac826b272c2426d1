"""Convolutional feature extractors of torchvision, without their classifiers, for any number of channels."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

IMAGE_CHANNELS = 3
BATCH_NORM_MOMENTUM = 0.1
BACKBONES = ("mobilenet_v3_small", "mobilenet_v3_large", "mobilenet_v2", "resnet18", "resnet50")


class Backbone(nn.Module):
    """A backbone's feature map.

    Its parameters are named as in torchvision behind the prefix `features.`, so that published state dicts fit.

    Args:
        name: one of `BACKBONES`.
        channels: input channels: 3, or 4 with a mask.
        last_stride: 2, or 1 to take out the last halving of the feature map.
    """

    def __init__(self, name: str, channels: int = IMAGE_CHANNELS, last_stride: int = 2) -> None:
        super().__init__()
        from torchvision import models as zoo  # noqa: PLC0415 - two seconds, which the U-Net's stages do not need

        network = zoo.get_model(name, weights=None)
        if name.startswith("resnet"):
            parts = [(key, part) for key, part in network.named_children() if key not in ("avgpool", "fc")]
            self.features = nn.Sequential(OrderedDict(parts))
            self.out_channels: int = network.fc.in_features
        else:
            self.features = network.features
            self.out_channels = _last_width(self.features)
        for part in self.features.modules():
            if isinstance(part, nn.BatchNorm2d):
                # MobileNetV3 comes with 0.01: after a few hundred steps its running statistics, which evaluation
                # uses, would still be those of the start.
                part.momentum = BATCH_NORM_MOMENTUM
        if last_stride == 1:
            _keep_last_resolution(self.features)
        if channels != IMAGE_CHANNELS:
            widen_first_convolution(self.features, channels)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised B x channels x H x W images to a B x out_channels x H/32 x W/32 feature map."""
        features: Tensor = self.features(images)
        return features


def first_convolution(module: nn.Module) -> tuple[str, nn.Conv2d]:
    """The name and the module of the first convolution."""
    return next((name, part) for name, part in module.named_modules() if isinstance(part, nn.Conv2d))


def _keep_last_resolution(features: nn.Module) -> None:
    """Give every convolution of the last stage that halves the feature map the stride 1."""
    halving = [
        [part for part in stage.modules() if isinstance(part, nn.Conv2d) and part.stride == (2, 2)]
        for stage in features.children()
    ]
    for part in next(parts for parts in reversed(halving) if parts):
        part.stride = (1, 1)


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
