"""Colour changes of a whole batch, each image with its own amount: torchvision's formulas, without its loop.

Images here are 3 x B x H x W, float32, 0 to 255, channel by channel, so that each channel of the batch is one run of
memory. `adjust_*` of torchvision.transforms.v2.functional on one float image gives the same numbers to rounding;
tests/unit/test_batches_augment.py holds it to that.

The work is bound by memory: every pass over the pixels counts. `torch.where` and comparisons are avoided, for on a
CPU each costs as much as ten additions.
"""

import torch
from torch import Tensor

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
"""Columns of the factors given to `jitter_`."""
WHITE = 255.0

_GREY = (0.2989, 0.587, 0.114)
_LEVELS = 256


def jitter_(images: Tensor, factors: Tensor, order: list[int]) -> None:
    """Change brightness, contrast, saturation and hue in place, each image by its own amount.

    Args:
        images: 3 x B x H x W.
        factors: B x 4 on the CPU: factors of brightness, contrast, saturation (1 = no change), and the
            hue's shift in turns (0 = no change).
        order: which column of `factors` comes first, second, ...; columns left out are not applied.
    """
    on_device = factors.to(images.device)[..., None, None]
    for kind in order:
        factor = on_device[:, kind]
        if kind == BRIGHTNESS:
            images.mul_(factor).clamp_(0, WHITE)
        elif kind == CONTRAST:
            means = images.mean(dim=(2, 3), keepdim=True)
            grey = means[0] * _GREY[0] + means[1] * _GREY[1] + means[2] * _GREY[2]
            torch.addcmul(grey * (1 - factor), images, factor, out=images).clamp_(0, WHITE)
        elif kind == SATURATION:
            grey = torch.mul(images[0], _GREY[0]).add_(images[1], alpha=_GREY[1]).add_(images[2], alpha=_GREY[2])
            torch.addcmul(grey.mul_(1 - factor), images, factor, out=images).clamp_(0, WHITE)
        else:
            shift_hue_(images, factors[:, HUE])


def shift_hue_(images: Tensor, shift: Tensor) -> None:
    """Turn the hue of each image by its own shift in place, leaving HSV saturation and value as they are.

    In sextants of the colour circle the hue is h; with d the circular distance of h to a channel's own place
    (red 0, green 2, blue -2), the channel is min + c * clamp(2 - d, 0, 1), where c = max - min: what a way to HSV
    and back comes to. The hue itself is found from the same formula turned round: with w = (red - min) / c and
    q = |green - blue| / c, its distance to red's place is 3 - 3w - q + 2wq, towards green where green > blue.
    Everything below is in units of c, so that one division is enough and a grey pixel (c = 0) stays as it is.

    Args:
        images: 3 x B x H x W.
        shift: B on the CPU, in turns of the circle.
    """
    sextants = (6 * shift).to(images.device)[:, None, None]
    red, green, blue = images.unbind(0)
    low = torch.minimum(red, green)
    torch.minimum(low, blue, out=low)
    top = torch.maximum(red, green)
    torch.maximum(top, blue, out=top)
    chroma = top - low
    weight, tilt = red - low, green - blue
    hue = torch.sub(chroma, weight).mul_(3).sub_(tilt.abs())
    hue.add_(weight.mul_(tilt.abs()).div_(chroma.clamp(min=1e-6)), alpha=2)
    torch.copysign(hue, tilt, out=hue).addcmul_(chroma, sextants)
    if float(shift.abs().max()) > 1 / 6:  # |hue| is at most 3 sextants; up to 4 the distances below are right
        circle = 6 * chroma
        hue.sub_(torch.div(hue, circle.clamp(min=1e-6)).round_().mul_(circle))
    red.copy_(hue)
    torch.sub(hue, chroma, alpha=2, out=green)
    torch.add(hue, chroma, alpha=2, out=blue)
    # 3 - ||h - place| - 3| is the distance round the circle, for |h - place| up to 6.
    images.abs_().sub_(chroma, alpha=3).abs_().add_(low - chroma)
    torch.clamp(images, low, top, out=images)


def equalize(images: Tensor) -> Tensor:
    """Equalise the histogram of each channel of each image, exactly as Pillow and torchvision do on uint8.

    Args:
        images: B x 3 x H x W, uint8.

    Returns:
        The same shape, uint8. A channel with fewer than 255 pixels below its brightest level is left as it is.
    """
    count, channels = images.shape[:2]
    offset = torch.arange(0, count * channels * _LEVELS, _LEVELS, dtype=torch.int32, device=images.device)
    pixels = (images + offset.view(count, channels, 1, 1)).flatten()
    counts = torch.bincount(pixels, minlength=count * channels * _LEVELS).view(-1, _LEVELS)
    darker = counts.cumsum(1) - counts
    below_brightest = torch.where(counts > 0, darker, 0).amax(1, keepdim=True)
    step = below_brightest // (_LEVELS - 1)
    table = ((darker + step // 2) // step.clamp(min=1)).clamp_(max=_LEVELS - 1)
    table = torch.where(step > 0, table, torch.arange(_LEVELS, device=images.device))
    return table.to(torch.uint8).flatten().index_select(0, pixels).view(images.shape)
