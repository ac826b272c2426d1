"""Random changes of a whole batch at once, each image with its own draw (paper, section 3.1.2).

In the paper's order: reflect padding and a random crop back to size, colour jitter, rotation, histogram
equalisation, horizontal flip; then random erasing (Zhong et al., Random Erasing Data Augmentation, 2017). What
differs from the paper's chain of torchvision transforms, on purpose:

- The flip is done with the crop and the angle turned round for it: the same image, one resampling less.
- Rotation is bilinear; torchvision's default is nearest, which leaves jagged edges at 64 pixels. What a rotation
  brings in from outside is black (mask: background), as there.
- The order of the four colour changes is drawn anew for every `GROUP` images; their amounts are each image's own.
- Pixels stay float32 between the changes instead of being rounded to 8 bits after each; only equalisation, which
  counts levels, rounds.
"""

import math
from dataclasses import dataclass, fields
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from bruna.batches.color import BRIGHTNESS, CONTRAST, HUE, SATURATION, WHITE, equalize, jitter_
from bruna.errors import BrunaError
from bruna.params import Augment

ERASE_AREA = (0.02, 0.4)
"""Area of an erased rectangle as a share of the image's (Zhong et al., section 4.1)."""
ERASE_RATIO = (0.3, 3.3)
"""Its height over its width, drawn on a log scale, as torchvision does."""
ERASE_TRIES = 10
"""Draws of a rectangle before an image is left whole because none fitted."""
ERASE_COLOR = (0.485, 0.456, 0.406)
"""What an erased pixel becomes: the ImageNet mean, 0 after normalisation."""

GROUP = 16
"""Images that share one order of colour changes; a CPU changes so many at a time, so that they stay in its cache."""


@dataclass(frozen=True)
class Draws:
    """What was drawn for B images, on the CPU whatever device the images are on.

    Attributes:
        shift: B x 2, int64, rows and columns (0 to 2 * pad) by which the crop is moved in the padded image.
        flip: B, bool.
        angle: B, float32, degrees, anticlockwise.
        factors: B x 4, float32, of brightness, contrast, saturation and hue (see `color.jitter_`).
        order: B x 4, int64, the order of these four, the same within each run of `GROUP` images.
        equalize: B, bool.
        box: B x 4, int64, top, left, height and width of the erased rectangle; all 0 where there is none.
    """

    shift: Tensor
    flip: Tensor
    angle: Tensor
    factors: Tensor
    order: Tensor
    equalize: Tensor
    box: Tensor

    def part(self, images: slice) -> "Draws":
        """What was drawn for some of the images."""
        return Draws(*(getattr(self, field.name)[images] for field in fields(self)))


class Augmenter:
    """Changes batches as `params` says.

    Args:
        params: probabilities and ranges; a change whose setting is 0 costs nothing.
    """

    def __init__(self, params: Augment) -> None:
        self.params = params
        ranges = {
            BRIGHTNESS: params.brightness,
            CONTRAST: params.contrast,
            SATURATION: params.saturation,
            HUE: params.hue,
        }
        self._ranges = torch.tensor(list(ranges.values()))
        self._colors = {kind for kind, range_ in ranges.items() if range_ > 0}

    def __call__(
        self, images: Tensor, masks: Tensor | None, generator: torch.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """Change each image, and its mask with it where it moves.

        Args:
            images: B x 3 x H x W, uint8, on any device.
            masks: B x 1 x H x W, uint8, on the same device, or None.
            generator: a CPU generator: the draws are the same whatever the device.

        Returns:
            Images, B x 3 x H x W, float32, 0 to 1, and masks, B x 1 x H x W, float32, 0 to 1, or None.

        Raises:
            BrunaError: the padding is as large as the image.
        """
        height, width = images.shape[2:]
        return self.apply(images, masks, self.draw(len(images), height, width, generator))

    def draw(self, count: int, height: int, width: int, generator: torch.Generator) -> Draws:
        """Draw for `count` images of a size.

        Every image takes the same number of random numbers whatever the settings: with one setting changed,
        all other draws stay as they were.
        """
        params = self.params
        if params.pad >= min(height, width):
            raise BrunaError(
                f"augment.pad is {params.pad}, but images of {height} x {width} pixels can be reflected by at most "
                f"{min(height, width) - 1}. Set a smaller pad."
            )
        chance = torch.rand(count, 16 + 2 * ERASE_TRIES, generator=generator)
        boxes = torch.zeros(count, 4, dtype=torch.int64)
        if params.erase > 0:
            boxes = _boxes(chance[:, 14:], height, width) * (chance[:, 13:14] < params.erase)
        return Draws(
            shift=_whole(chance[:, 0:2], torch.tensor(2 * params.pad + 1)),
            flip=chance[:, 2] < params.flip,
            angle=(2 * chance[:, 3] - 1) * params.rotation,
            factors=(2 * chance[:, 4:8] - 1) * self._ranges + torch.tensor([1.0, 1.0, 1.0, 0.0]),
            order=chance[::GROUP, 8:12].argsort(dim=1).repeat_interleave(GROUP, dim=0)[:count],
            equalize=chance[:, 12] < params.equalize,
            box=boxes,
        )

    def apply(self, images: Tensor, masks: Tensor | None, draws: Draws) -> tuple[Tensor, Tensor | None]:
        """Change a batch as drawn; shapes as in `__call__`."""
        both = images if masks is None else torch.cat([images, masks], dim=1)
        chunk = GROUP if both.device.type == "cpu" else max(len(both), 1)
        starts = _run_starts(both.shape, draws, self.params.pad, chunk).to(both.device)
        # Turning the mirrored image the other way is the mirror image of turning it.
        angle = torch.where(draws.flip, -draws.angle, draws.angle).to(both.device)
        changed = torch.empty(both.shape, dtype=torch.float32, device=both.device)
        for start in range(0, len(both), chunk):
            part = slice(start, start + chunk)
            planes = _crop_and_flip(both[part], starts[:, part], self.params.pad).float()
            self._jitter_(planes[:3], draws.factors[part], draws.order[part])
            moved = planes.transpose(0, 1)
            if self.params.rotation > 0:
                moved = _rotate(moved, angle[part])
            torch.mul(moved, 1 / WHITE, out=changed[part])
        _equalize_(changed, draws.equalize)
        _erase_(changed, draws.box)
        return changed[:, :3], None if masks is None else changed[:, 3:]

    def _jitter_(self, planes: Tensor, factors: Tensor, orders: Tensor) -> None:
        # A part of a batch may begin and end within a group.
        starts = [0, *((orders[1:] != orders[:-1]).any(dim=1).nonzero()[:, 0] + 1).tolist()]
        for start, end in zip(starts, [*starts[1:], len(orders)], strict=True):
            order = [kind for kind in orders[start].tolist() if kind in self._colors]
            jitter_(planes[:, start:end], factors[start:end], order)


def _whole(chance: Tensor, count: Tensor) -> Tensor:
    """Uniform whole numbers 0 to count - 1 from uniform numbers in [0, 1)."""
    # In float32 the largest chance times count can round up to count itself.
    return torch.minimum((chance * count).long(), count - 1)


def _boxes(chance: Tensor, height: int, width: int) -> Tensor:
    """Draw a rectangle an image: B x 4, top, left, height, width; all 0 where no try fitted."""
    area, ratio = chance[:, 2:].view(len(chance), 2, ERASE_TRIES).unbind(1)
    area = (ERASE_AREA[0] + (ERASE_AREA[1] - ERASE_AREA[0]) * area) * height * width
    low, high = math.log(ERASE_RATIO[0]), math.log(ERASE_RATIO[1])
    ratio = (low + (high - low) * ratio).exp()
    tall, wide = (area * ratio).sqrt().round().long(), (area / ratio).sqrt().round().long()
    fits = (tall < height) & (wide < width) & (tall > 0) & (wide > 0)
    first = fits.int().argmax(1, keepdim=True)
    tall, wide = tall.gather(1, first)[:, 0], wide.gather(1, first)[:, 0]
    top = _whole(chance[:, 0], (height - tall + 1).clamp(min=1))
    left = _whole(chance[:, 1], (width - wide + 1).clamp(min=1))
    return torch.stack([top, left, tall, wide], dim=1) * fits.any(1, keepdim=True)


def _crop_and_flip(images: Tensor, starts: Tensor, pad: int) -> Tensor:
    """Reflect-pad, crop each image back to size at its own shift, flip where told.

    Columns are padded and a mirrored copy is laid beside each image; a row of any crop, flipped or not, is then a
    run of `width` bytes of that memory, and the whole crop is one copy of runs. Rows need no padding.

    Args:
        images: B x C x H x W, uint8, one chunk.
        starts: C x B x H, where each row of the result starts, from `_run_starts`.
        pad: pixels.

    Returns:
        C x B x H x W, uint8.
    """
    width = images.shape[3]
    if pad:
        left, right = images[..., 1 : pad + 1].flip(3), images[..., -pad - 1 : -1].flip(3)
        images = torch.cat([left, images, right], dim=3)
    memory = torch.stack([images, images.flip(3)], dim=1).flatten()
    runs = memory.as_strided((len(memory) - width + 1, width), (1, 1))
    return runs.index_select(0, starts.flatten()).view(*starts.shape, width)


def _run_starts(shape: torch.Size, draws: Draws, pad: int, chunk: int) -> Tensor:
    """Where the rows of the crops start in the memory of their chunk (see `_crop_and_flip`): C x B x H, on the CPU."""
    count, channels, height, width = shape
    rows = (torch.arange(height) + draws.shift[:, :1] - pad).abs_()
    rows = height - 1 - (height - 1 - rows).abs_()
    copy = 2 * (torch.arange(count) % chunk) + draws.flip
    plane = copy * channels + torch.arange(channels)[:, None]
    column = torch.where(draws.flip, 2 * pad - draws.shift[:, 1], draws.shift[:, 1])
    return (plane[:, :, None] * height + rows) * (width + 2 * pad) + column[:, None]


def _rotate(images: Tensor, angle: Tensor) -> Tensor:
    """Rotate each image about its centre by its own angle (degrees, anticlockwise); black comes in from outside."""
    straight, across = _grid(images.shape[2], images.shape[3], images.device)
    angle = angle.deg2rad()[:, None, None, None]
    grid = (straight * angle.cos()).addcmul_(across, angle.sin())
    # Sampling image by image from memory laid out channel by channel takes nearly twice as long as the copy and it.
    return F.grid_sample(images.contiguous(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)


@lru_cache(maxsize=8)
def _grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Where pixels come from in an image turned by 0 and by 90 degrees; H x W x 2 each, in units of half the sides."""
    x = (2 * torch.arange(width, device=device) + 1) / width - 1
    y = (2 * torch.arange(height, device=device) + 1) / height - 1
    y, x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([x, y], dim=2), torch.stack([-y * (height / width), x * (width / height)], dim=2)


def _equalize_(both: Tensor, happens: Tensor) -> None:
    """Equalise the images for which `happens` (B, bool, on the CPU) says so; their masks stay."""
    chosen = happens.nonzero()[:, 0].to(both.device)
    if len(chosen):
        levels = (both[chosen, :3] * WHITE).round_().to(torch.uint8)
        both[chosen, :3] = equalize(levels).float().mul_(1 / WHITE)


def _erase_(both: Tensor, boxes: Tensor) -> None:
    """Paint the rectangles that there are in `ERASE_COLOR`; the masks show background there."""
    chosen = boxes[:, 2].nonzero()[:, 0]
    if not len(chosen):
        return
    height, width = both.shape[2:]
    top, left, tall, wide = boxes[chosen].to(both.device)[:, :, None].unbind(1)
    y, x = torch.arange(height, device=both.device), torch.arange(width, device=both.device)
    rows, columns = (y >= top) & (y < top + tall), (x >= left) & (x < left + wide)
    inside = (rows[:, :, None] & columns[:, None, :])[:, None]
    paint = torch.tensor([*ERASE_COLOR, 0.0], device=both.device)[: both.shape[1], None, None]
    chosen = chosen.to(both.device)
    both[chosen] = torch.where(inside, paint, both[chosen])
