"""A batch as one picture, to look at what a network is really given."""

import torch
from PIL import Image
from torch import Tensor


def contact_sheet(images: Tensor, columns: int = 8, scale: int = 1) -> Image.Image:
    """Lay a batch out in rows, left to right, without gaps; the last row is filled up in black.

    Args:
        images: B x 3 x H x W or B x 1 x H x W (masks), uint8, or float from 0 to 1; on any device.
        columns: images a row.
        scale: whole-number enlargement, without smoothing, so that pixels can be told apart.
    """
    pixels = images.detach().cpu()
    if pixels.dtype != torch.uint8:
        pixels = (pixels.float().clamp(0, 1) * 255).round().to(torch.uint8)
    pixels = pixels.expand(-1, 3, -1, -1)
    count, _, height, width = pixels.shape
    rows = -(-count // columns)
    sheet = torch.zeros(rows * columns, 3, height, width, dtype=torch.uint8)
    sheet[:count] = pixels
    sheet = sheet.view(rows, columns, 3, height, width).permute(0, 3, 1, 4, 2)
    picture = Image.fromarray(sheet.reshape(rows * height, columns * width, 3).numpy())
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
