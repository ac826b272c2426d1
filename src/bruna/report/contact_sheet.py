"""A contact sheet of a data set: some images of each folder, before anything has been made of them."""

from collections.abc import Callable, Mapping, Sequence

from matplotlib.figure import Figure

from bruna.report.sheets import Pixels, Sheet, TileSize
from bruna.report.style import MUTED

COLUMNS = 10
"""Images in a line."""
_TILE = TileSize(96, 192)
_GAP, _TOP, _HEAD = 12, 46, 26
"""Pixels between tiles, above the first line, and above the tiles of each line."""


def contact_sheet(
    lines: Mapping[str, Sequence[tuple[str, str]]], image_of: Callable[[str], Pixels | None], title: str
) -> Figure:
    """Draw a line of images for each folder.

    Args:
        lines: title of a line -> path and caption of at most `COLUMNS` images.
        image_of: gives the pixels of a path; None where it does not decode.
        title: of the sheet.
    """
    line = _HEAD + _TILE.height + 38
    sheet = Sheet(COLUMNS * (_TILE.width + _GAP) + _GAP, _TOP + len(lines) * line)
    sheet.text(_GAP, 10, title, 13, fontweight="bold")
    for i, (name, images) in enumerate(lines.items()):
        y = _TOP + i * line
        sheet.text(_GAP, y, name, 10)
        for j, (path, caption) in enumerate(images):
            x = _GAP + j * (_TILE.width + _GAP)
            pixels = image_of(path)
            if pixels is None:
                sheet.text(x + _TILE.width / 2, y + _HEAD + _TILE.height / 2, "damaged", 9, MUTED, ha="center")
            else:
                sheet.image(pixels, x, y + _HEAD, _TILE)
            sheet.text(x + _TILE.width / 2, y + _HEAD + _TILE.height + 4, caption, 7, MUTED, ha="center")
    return sheet.finish()
