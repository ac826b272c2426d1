"""The contact sheet of what a training really sees: images, and random draws of their augmentation."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from bruna.report.sheets import Pixels, Sheet, TileSize
from bruna.report.style import MUTED

_HEIGHT, _GAP, _MARGIN, _TOP = 160, 6, 12, 66


def augmentation_sheet(
    images: Sequence[Pixels], draws: Sequence[Sequence[Pixels]], title: str = "What the training sees"
) -> Figure:
    """Draw one row an image: the image itself, then its draws.

    Args:
        images: N images.
        draws: N equally long rows of what augmentation made of them; a mask is drawn like an image.
    """
    tile = TileSize.like(images[0], _HEIGHT)
    columns = 1 + len(draws[0])
    width = 2 * _MARGIN + columns * tile.width + columns * _GAP + _MARGIN
    sheet = Sheet(max(width, 520), _TOP + len(images) * (tile.height + _GAP) + _MARGIN)
    sheet.text(_MARGIN, 10, title, 13, fontweight="bold")
    sheet.text(_MARGIN, _TOP - 22, "image", 9, MUTED)
    left = 2 * _MARGIN + tile.width + _GAP
    sheet.text(left, _TOP - 22, "random draws of its augmentation", 9, MUTED)
    for row, (image, changed) in enumerate(zip(images, draws, strict=True)):
        y = _TOP + row * (tile.height + _GAP)
        sheet.image(image, _MARGIN, y, tile)
        for column, drawn in enumerate(changed):
            sheet.image(drawn, left + column * (tile.width + _GAP), y, tile)
    return sheet.finish()
