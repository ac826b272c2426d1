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
            images.mul_(factor).add_(grey * (1 - factor)).clamp_(0, WHITE)
        elif kind == SATURATION:
            grey = torch.mul(images[0], _GREY[0]).add_(images[1], alpha=_GREY[1]).add_(images[2], alpha=_GREY[2])
            torch.addcmul(grey.mul_(1 - factor), images, factor, out=images).clamp_(0, WHITE)
        else:
            shift_hue_(images, factors[:, HUE])


def shift_hue_(images: Tensor, shift: Tensor) -> None:
    """Turn the hue of each image by its own shift in place, leaving HSV saturation and value as they are.

    Along the circle of hues a channel is max for two sextants, falls to min over one, is min for two and rises over
    one: it is a slope of max - min a sextant, clamped to min and max. On that slope, unclamped, a channel of value v
    stands at 2v - mid, for the sorted channels min, mid, max of its pixel: for mid that is v itself; max has gone
    max - mid beyond, as far as mid has still to go. So a turn by s sextants is

        v' = clamp(2v - mid - s (max - min) sign(next - last), min, max),

    next and last being the channels after and before v (green and blue for red). One such step is right up to one
    sextant; two sextants are a change of places of the channels. It agrees with the way to HSV and back.

    Args:
        images: 3 x B x H x W.
        shift: B on the CPU, in turns of the circle.
    """
    sextants = 6 * shift
    places = torch.round(sextants / 2)
    for i in places.nonzero()[:, 0].tolist():
        images[:, i] = images[:, i].roll(int(places[i]), dims=0)
    rest = (sextants - 2 * places).to(images.device)[:, None, None]

    red, green, blue = images.unbind(0)
    lower, upper = torch.minimum(red, green), torch.maximum(red, green)
    low, top = torch.minimum(lower, blue), torch.maximum(upper, blue)
    middle = torch.maximum(lower, torch.minimum(upper, blue, out=upper), out=lower)
    step = (low - top).mul_(rest)
    side = torch.empty_like(images)
    torch.sub(green, blue, out=side[0])
    torch.sub(blue, red, out=side[1])
    torch.sub(red, green, out=side[2])
    torch.lerp(middle, images, 2.0, out=images).addcmul_(side.sign_(), step)
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
