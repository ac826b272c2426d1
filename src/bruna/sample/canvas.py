"""Drawing with light: shapes whose colour and shading are painted on two layers and multiplied at the end."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 64, 128
"""Size of every image of the sample, pixels."""
OVERSAMPLE = 4
"""The canvas is this much finer than the image; averaging it down smooths every edge."""

Point = tuple[float, float]
Box = tuple[float, float, float, float]
Rgb = tuple[int, int, int]
Paint = Rgb | Image.Image
"""A colour, or a pattern the size of the canvas."""

_NEUTRAL = 190
"""Shade that leaves a colour as it is; 255 makes it a third brighter."""
_ROUND = ((1.0, 144), (0.84, 164), (0.66, 182), (0.44, 195), (0.22, 203))
"""Shade of a round body from its edge to its middle: (share of the radius, shade)."""


class Canvas:
    """Colour, shade and cover of one image, `OVERSAMPLE` times its size.

    Attributes:
        light: where the light comes from, -1 (left) to 1 (right).
        subject: True while the person the image is about is drawn: only that person is in the mask.
    """

    def __init__(self, background: Image.Image, light: float) -> None:
        self.size = background.size
        self.light = light
        self.subject = False
        self._colour = background
        self._shade = Image.new("L", self.size, _NEUTRAL)
        self._cover = Image.new("L", self.size, 0)
        self._on_colour = ImageDraw.Draw(self._colour)
        self._on_shade = ImageDraw.Draw(self._shade)
        self._on_cover = ImageDraw.Draw(self._cover)

    def tube(
        self,
        line: Sequence[Point],
        radii: Sequence[float],
        paint: Paint,
        *,
        caps: bool = True,
        cut: bool = False,
        tone: float = 1.0,
    ) -> None:
        """A round body along a line: a limb, a torso. `radii` are half widths, one a point of the line.

        Args:
            line: its middle, two points or more, canvas pixels.
            radii: half its width at each point, canvas pixels.
            paint: its colour.
            caps: round the ends and joints off.
            cut: leave the last end straight (a cuff, a hem).
            tone: brightness of its shading, 1 = as lit.
        """
        across = _normals(line)
        for share, shade in _ROUND:
            outline, discs = _outline(line, across, radii, share, self.light)
            discs = (discs[:-1] if cut else discs) if caps else []
            if share == 1.0:
                self._fill(self._on_cover, outline, discs, 255 if self.subject else 0)
                self._paint(outline, discs, paint)
            self._fill(self._on_shade, outline, discs, min(255, round(shade * tone)))

    def disc(self, centre: Point, rx: float, ry: float, paint: Rgb, *, tone: float = 1.0) -> None:
        """An ellipsoid: a head, a wheel of fruit, a leaf cluster."""
        self._on_colour.ellipse(_box(centre, rx, ry), fill=paint)
        self._on_cover.ellipse(_box(centre, rx, ry), fill=255 if self.subject else 0)
        for share, shade in _ROUND:
            x = centre[0] + self.light * (1 - share) * rx * 0.5
            y = centre[1] - (1 - share) * ry * 0.25
            fill = min(255, round(shade * tone))
            self._on_shade.ellipse(_box((x, y), rx * share, ry * share), fill=fill)

    def flat(self, outline: Sequence[Point], paint: Rgb, tone: float | None = 1.0) -> None:
        """A polygon of even shade; `tone=None` paints on whatever shading is there (a print on a shirt)."""
        if len(outline) < 3:
            return
        self._on_colour.polygon(outline, fill=paint)
        if tone is not None:
            self._on_shade.polygon(outline, fill=min(255, round(_NEUTRAL * tone)))
            self._on_cover.polygon(outline, fill=255 if self.subject else 0)

    def stroke(self, line: Sequence[Point], width: float, paint: Rgb, tone: float | None = None) -> None:
        """A line of a width in canvas pixels; with a `tone` it is a thing of its own (a stick), else a print."""
        if len(line) < 2:
            return
        pixels = max(1, round(width))
        self._on_colour.line(line, fill=paint, width=pixels, joint="curve")
        if tone is not None:
            self._on_shade.line(line, fill=min(255, round(_NEUTRAL * tone)), width=pixels, joint="curve")
            self._on_cover.line(line, fill=255 if self.subject else 0, width=pixels)

    def ring(self, centre: Point, rx: float, ry: float, width: float, paint: Rgb) -> None:
        """The outline of an ellipse: a wheel."""
        for draw, fill in ((self._on_colour, paint), (self._on_cover, 255 if self.subject else 0)):
            draw.ellipse(_box(centre, rx, ry), outline=fill, width=max(1, round(width)))

    def crease(self, line: Sequence[Point], width: float, tone: float) -> None:
        """A fold of cloth: changes the shade alone."""
        fill = min(255, round(_NEUTRAL * tone))
        self._on_shade.line(line, fill=fill, width=max(1, round(width)), joint="curve")

    def shadow(self, centre: Point, rx: float, ry: float, depth: float) -> None:
        """A soft shadow on the ground; `depth` 0 (none) to 1 (black)."""
        for i in range(6):
            share = 1 - i / 6
            fill = round(_NEUTRAL * (1 - depth * (i + 1) / 6))
            self._on_shade.ellipse(_box(centre, rx * share, ry * share), fill=fill)

    def image(self) -> Image.Image:
        """The lit picture at its final size, RGB."""
        colour = np.asarray(self._colour, dtype=np.uint16)
        shade = np.asarray(self._shade, dtype=np.uint16)[:, :, None]
        lit = np.minimum(colour * shade // _NEUTRAL, 255).astype(np.uint8)
        return Image.fromarray(lit).reduce(OVERSAMPLE)

    def mask(self) -> Image.Image:
        """Where the subject is seen, at the final size, mode L, 0 or 255."""
        return self._cover.reduce(OVERSAMPLE).point([0] * 128 + [255] * 128)

    def _paint(self, outline: Sequence[Point], discs: Sequence[Box], paint: Paint) -> None:
        if isinstance(paint, Image.Image):
            mask = Image.new("L", self.size, 0)
            self._fill(ImageDraw.Draw(mask), outline, discs, 255)
            self._colour.paste(paint, mask=mask)
        else:
            self._fill(self._on_colour, outline, discs, paint)

    @staticmethod
    def _fill(
        draw: ImageDraw.ImageDraw,
        outline: Sequence[Point],
        discs: Sequence[Box],
        fill: Rgb | int,
    ) -> None:
        draw.polygon(outline, fill=fill)
        for box in discs:
            draw.ellipse(box, fill=fill)


def _outline(
    line: Sequence[Point], across: Sequence[Point], radii: Sequence[float], share: float, light: float
) -> tuple[list[Point], list[Box]]:
    """Polygon and end discs of a tube narrowed to a share of its width and shifted towards the light."""
    left, right, discs = [], [], []
    for (x, y), (nx, ny), radius in zip(line, across, radii, strict=True):
        slide = light * (1 - share) * radius * 0.5 * (1 if nx >= 0 else -1)
        cx, cy, r = x + nx * slide, y + ny * slide, radius * share
        left.append((cx - nx * r, cy - ny * r))
        right.append((cx + nx * r, cy + ny * r))
        discs.append(_box((cx, cy), r, r))
    return left + right[::-1], discs


def _normals(line: Sequence[Point]) -> list[Point]:
    """Unit vector across the line at each of its points, the mean of the neighboring pieces'."""
    pieces = []
    for (x0, y0), (x1, y1) in pairwise(line):
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        pieces.append(((y1 - y0) / length, -(x1 - x0) / length))
    normals = []
    for before, after in zip([pieces[0], *pieces], [*pieces, pieces[-1]], strict=True):
        nx, ny = before[0] + after[0], before[1] + after[1]
        length = math.hypot(nx, ny)
        normals.append((nx / length, ny / length) if length > 1e-6 else after)
    return normals


def _box(centre: Point, rx: float, ry: float) -> Box:
    return centre[0] - rx, centre[1] - ry, centre[0] + rx, centre[1] + ry
