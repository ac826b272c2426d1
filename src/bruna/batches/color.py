"""Colour changes of a whole batch, each image with its own amount: torchvision's formulas, without its loop.

Images here are 3 x B x H x W, float32, 0 to 1, channel by channel, so that each channel of the batch is one run of
memory. `adjust_*` of torchvision.transforms.v2.functional on one float image gives the same numbers to rounding;
tests/unit/test_batches_augment.py holds it to that.

`torch.where` and comparisons are avoided: on a CPU each costs ten additions.
"""

import torch
from torch import Tensor

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
"""Columns of the factors given to `jitter_`."""

_LEVELS = 256


def jitter_rank(order: Tensor) -> Tensor:
    """The positions of a batch's images, sorted by their order of changes as `jitter_` wants them.

    Args:
        order: B x K, as for `jitter_`.

    Returns:
        B positions: first by when the hue's turn is, then by the other changes.
    """
    columns = order.shape[1]
    turn = ((order == HUE) * torch.arange(columns)).sum(1)
    digits = torch.tensor([4**place for place in reversed(range(columns))], dtype=torch.int64)
    key = turn * 4**columns + (order * digits).sum(1)
    return torch.argsort(key, stable=True)


def jitter_(images: Tensor, factors: Tensor, order: Tensor) -> None:
    """Change brightness, contrast, saturation and hue in place, in an order of each image's own.

    The first three have one form, clamp(factor * image + (1 - factor) * target), with black, the mean grey
    and the grey image for target. So one pass serves a batch in which some images are at their contrast and
    others at their saturation; the hue is changed of those whose turn it is.

    Args:
        images: 3 x B x H x W, sorted by `jitter_rank`.
        factors: B x 4 on the CPU: factors of brightness, contrast, saturation (1 = no change), and the
            hue's shift in turns (0 = no change).
        order: B x K on the CPU: which column of `factors` comes first, second, ... K-th; columns that are
            left out are not applied.
    """
    for kind in order.unbind(1):
        present = set(kind.tolist())
        if present != {HUE}:
            _blend_(images, factors.gather(1, kind[:, None])[:, 0].masked_fill(kind == HUE, 1.0), kind)
        if HUE in present:
            turn = (kind == HUE).nonzero()[:, 0]
            first, end = int(turn[0]), int(turn[-1]) + 1  # one run, because the images are sorted
            shift_hue_(images[:, first:end], factors[first:end, HUE].to(images.device))


def _blend_(images: Tensor, factor: Tensor, kind: Tensor) -> None:
    """images = clamp(factor * images + (1 - factor) * target), the target as the kind of each image says."""
    of_mean, of_grey = (1 - factor) * (kind == CONTRAST), (1 - factor) * (kind == SATURATION)
    rest = torch.stack([factor, of_mean, of_grey]).to(images.device)[..., None, None]
    factor, of_mean, of_grey = rest[0], rest[1], rest[2]
    if bool(((kind == CONTRAST) | (kind == SATURATION)).any()):
        grey = torch.mul(images[0], 0.2989).add_(images[1], alpha=0.587).add_(images[2], alpha=0.114)
        mean = grey.mean(dim=(1, 2), keepdim=True)
        target = grey.mul_(of_grey).add_(mean * of_mean)
        torch.addcmul(target, images, factor, out=images)
    else:
        images.mul_(factor)
    images.clamp_(0, 1)


def shift_hue_(images: Tensor, shift: Tensor) -> None:
    """Turn the hue of each image by its own shift in place, leaving HSV saturation and value as they are.

    In sextants of the colour circle the hue is h; with d the circular distance of h to a channel's own place
    (red 0, green 2, blue 4), the channel is min + (max - min) * clamp(2 - d, 0, 1): what a way to HSV and back
    comes to. The hue itself is found from the same formula turned round: with w = (red - min) / (max - min) and
    q = |green - blue| / (max - min), its distance to red's place is 3 - 3w - q + 2wq, towards green where green > blue.

    Args:
        images: 3 x B x H x W.
        shift: B, in turns of the circle, on the images' device.
    """
    red, green, blue = images.unbind(0)
    low = torch.minimum(red, green)
    torch.minimum(low, blue, out=low)
    chroma = torch.maximum(red, green)
    torch.maximum(chroma, blue, out=chroma).sub_(low)
    scale = chroma.clamp(min=1e-6).reciprocal_()  # a grey pixel has no hue; its chroma of 0 keeps it grey below
    weight = torch.sub(red, low).mul_(scale)
    tilt = torch.sub(green, blue).mul_(scale)
    hue = torch.sub(weight, 0.5).mul_(tilt.abs()).mul_(2).sub_(weight.mul_(3)).add_(3)
    torch.copysign(hue, tilt, out=hue)  # sign() would be 0 for cyan, whose distance of 3 has either sign
    hue.add_(6 * shift[:, None, None])
    hue.sub_(torch.div(hue, 6).floor_().mul_(6))
    for channel, place in zip((red, green, blue), (0.0, 2.0, 4.0), strict=True):
        torch.sub(hue, place, out=channel)
    # |h - place| is at most 6, so 3 - ||h - place| - 3| is the distance round the circle.
    images.abs_().sub_(3).abs_().sub_(1).clamp_(0, 1).mul_(chroma).add_(low)


def equalize(images: Tensor) -> Tensor:
    """Equalise the histogram of each channel of each image, exactly as Pillow and torchvision do on uint8.

    Args:
        images: B x 3 x H x W, uint8.

    Returns:
        The same shape, uint8. A channel of a single value is left as it is.
    """
    pixels = images.flatten(0, 1).flatten(1).long()
    channels, area = pixels.shape
    offset = torch.arange(channels, device=images.device)[:, None] * _LEVELS
    counts = torch.bincount((pixels + offset).flatten(), minlength=channels * _LEVELS).view(channels, _LEVELS)
    cumulative = counts.cumsum(1)
    brightest = counts.gather(1, pixels.amax(1, keepdim=True))
    step = (area - brightest) // (_LEVELS - 1)
    before = cumulative - counts  # pixels darker than each level
    table = ((before + step // 2) // step.clamp(min=1)).clamp_(max=_LEVELS - 1)
    equal = torch.where(step > 0, table.gather(1, pixels), pixels)
    return equal.to(torch.uint8).view(images.shape)
