"""A sheet of images: tiles, captions, frames and marks placed to the pixel on one white page.

One axes and one composed picture for the whole sheet: a hundred tiles as a hundred axes would take ten
times as long to draw, and could not be aligned.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from PIL import Image

from bruna.report.style import BAD, DPI, GOOD, INK, MUTED, new_figure

Pixels = npt.NDArray[Any]
"""An image: H x W x 3 or H x W, uint8 0..255 or floats 0..1."""

_INKS = {True: GOOD, False: BAD, None: MUTED}
_MARKS = {True: "✓", False: "✗"}


@dataclass(frozen=True)
class TileSize:
    """Width and height of the tiles of a sheet, pixels."""

    width: int
    height: int

    @classmethod
    def like(cls, image: Pixels, height: int) -> "TileSize":
        """Tiles of a given height with an image's aspect ratio, at most square-and-a-half."""
        rows, columns = image.shape[:2]
        return cls(min(round(height * columns / rows), round(height * 1.5)), height)


def as_rgb(image: Pixels) -> npt.NDArray[np.uint8]:
    """Any image as H x W x 3 uint8; floats and booleans are taken as 0..1."""
    if image.dtype != np.uint8:
        image = np.rint(np.clip(image.astype(np.float32), 0, 1) * 255).astype(np.uint8)
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image[..., :3]


class _Backdrop(Artist):
    """Pixels painted as they are over the whole figure; `imshow` would resample every one of them to itself."""

    def __init__(self, pixels: npt.NDArray[np.uint8]) -> None:
        super().__init__()
        self._pixels = np.dstack([pixels, np.full(pixels.shape[:2], 255, dtype=np.uint8)])
        self.set_zorder(0)

    def draw(self, renderer: RendererBase) -> None:
        renderer.draw_image(renderer.new_gc(), 0, 0, self._pixels[::-1])


class Sheet:
    """A white page in pixel coordinates, x to the right and y down; one unit is one pixel of the file."""

    def __init__(self, width: int, height: int) -> None:
        self._canvas = np.full((height, width, 3), 255, dtype=np.uint8)
        self._figure, axes = new_figure(width=width / DPI, height=height / DPI)
        self._figure.set_layout_engine("none")
        self._axes = axes[0, 0]
        self._axes.set_position((0, 0, 1, 1))
        self._axes.set_axis_off()
        self._axes.set(xlim=(0, width), ylim=(height, 0))

    def image(self, image: Pixels, x: int, y: int, size: TileSize, *, smooth: bool = True) -> None:
        """Place an image in a tile, as large as its aspect ratio allows, centred.

        Args:
            image: see `Pixels`.
            x: left edge of the tile.
            y: upper edge of the tile.
            size: of the tile.
            smooth: Lanczos for photographs; False keeps the hard edges of a mask.
        """
        pixels = as_rgb(image)
        rows, columns = pixels.shape[:2]
        scale = min(size.width / columns, size.height / rows)
        width, height = max(1, round(columns * scale)), max(1, round(rows * scale))
        resample = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
        tile = np.asarray(Image.fromarray(pixels).resize((width, height), resample))
        left, top = x + (size.width - width) // 2, y + (size.height - height) // 2
        self._canvas[top : top + height, left : left + width] = tile

    def text(self, x: float, y: float, text: str, size: float = 9, color: str = INK, **style: Any) -> None:
        """Write lines of text downward from y; `size` in points, `style` what `Axes.text` takes.

        Without `va` every line sits on a baseline of its own, so that neighbors with and without descenders
        stand level; with `va="center"` y is the middle.
        """
        style = {"fontsize": size, "color": color, "ha": "left", **style}
        if "va" in style:
            self._axes.text(x, y, text, **style)
            return
        em = size * DPI / 72
        for i, line in enumerate(text.split("\n")):
            self._axes.text(x, y + em * (0.95 + 1.25 * i), line, va="baseline", **style)

    def verdict(self, x: int, y: int, size: TileSize, correct: bool | None) -> None:
        """Frame a tile and mark it: green with a tick, red with a cross, plain grey where nobody knows."""
        frame = max(2, size.height // 45)  # pixels
        half, radius = frame / 2, max(7.5, size.height / 20)
        ink = _INKS[correct]
        edge: dict[str, Any] = {"fill": False, "edgecolor": ink, "linewidth": frame * 72 / DPI}
        self._axes.add_patch(Rectangle((x + half, y + half), size.width - frame, size.height - frame, **edge))
        if correct is not None:
            centre = (x + radius + half, y + radius + half)
            self._axes.add_patch(Circle(centre, radius, facecolor=ink, edgecolor="white", linewidth=0.8))
            place = {"ha": "center", "va": "center", "fontweight": "bold"}
            self.text(centre[0], centre[1], _MARKS[correct], radius * 0.78, "white", **place)

    def label(self, x: int, y: int, size: TileSize, text: str) -> None:
        """Write a short text on the lower right corner of a tile, white on dark."""
        box = {"boxstyle": "square,pad=0.25", "facecolor": "#000000b0", "edgecolor": "none"}
        place = {"ha": "right", "va": "bottom", "bbox": box}
        self.text(x + size.width - 6, y + size.height - 6, text, 8, "white", **place)

    def swatch(self, x: float, y: float, color: str, text: str) -> None:
        """One entry of a key: a coloured square and its meaning."""
        self._axes.add_patch(Rectangle((x, y), 14, 14, facecolor=color))
        self.text(x + 20, y + 7, text, 9, va="center")

    def line(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Draw a thin grey separator."""
        self._axes.plot([x0, x1], [y0, y1], color="#c9d1d8", linewidth=1)

    def finish(self) -> Figure:
        """The finished sheet."""
        self._axes.add_artist(_Backdrop(self._canvas))
        return self._figure
