"""The two small networks that the paper starts with (section 5.1): a simple CNN and LeNet-5, without classifiers."""

from collections import OrderedDict

from torch import nn

_SIMPLE_WIDTHS = (32, 64, 128, 256)
_LENET_MAP = 5
"""Side of LeNet-5's last feature map at its own 32 x 32 images."""


def simple_cnn() -> nn.Sequential:
    """Four 3 x 3 convolutions of stride 2, each with batch normalisation and ReLU.

    Returns:
        A module from B x 3 x H x W to B x 256 x H/16 x W/16, a child a convolution.
    """
    widths = (3, *_SIMPLE_WIDTHS)
    return nn.Sequential(
        OrderedDict((f"block{i + 1}", _block(widths[i], widths[i + 1], stride=2)) for i in range(len(_SIMPLE_WIDTHS)))
    )


def _block(inside: int, outside: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    )


def lenet5() -> nn.Sequential:
    """LeNet-5 up to its layer F6, with its 5 x 5 convolutions, tanh and average pooling.

    LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition, 1998. Ours takes
    three colours, joins all maps of S2 to all of C3, and has no trained factor in the pooling. Its own images are
    32 x 32: for any other size (16 x 16 and more) S4's map is averaged to the 5 x 5 that C5 looks at as a whole, so
    that C5 still knows what is where.

    Returns:
        A module from B x 3 x H x W to B x 84 x 1 x 1.
    """
    return nn.Sequential(
        OrderedDict(
            c1=nn.Conv2d(3, 6, 5),
            c1_tanh=nn.Tanh(),
            s2=nn.AvgPool2d(2),
            c3=nn.Conv2d(6, 16, 5),
            c3_tanh=nn.Tanh(),
            s4=nn.AvgPool2d(2),
            fit=nn.AdaptiveAvgPool2d(_LENET_MAP),
            c5=nn.Conv2d(16, 120, _LENET_MAP),
            c5_tanh=nn.Tanh(),
            f6=nn.Conv2d(120, 84, 1),  # a linear layer, on the one position that is left
            f6_tanh=nn.Tanh(),
        )
    )
