"""Patterned cloth: an image of the canvas's size that moves and turns with the body."""

import math

from PIL import Image, ImageDraw

from bruna.sample.canvas import Paint
from bruna.sample.person import Cloth
from bruna.sample.pose import Frame


def cloth_paint(cloth: Cloth, frame: Frame, size: tuple[int, int]) -> Paint:
    """The paint of a garment: its colour where it is plain, else its pattern laid over the canvas."""
    if cloth.pattern == "plain":
        return cloth.colours[0]
    image = Image.new("RGB", size, cloth.colours[0])
    draw = ImageDraw.Draw(image)
    pitch = max(4.0, cloth.pitch * frame.scale)
    x0, y0 = frame.point((0.0, 0.5, 0.0))
    x0 += 0.4 * pitch * math.atan2(frame.sin, frame.cos)  # a turned body shows other columns
    _PAINTERS[cloth.pattern](draw, cloth, x0 % (2 * pitch), y0, pitch, size)
    return image


def _bands(draw: ImageDraw.ImageDraw, cloth: Cloth, x0: float, y0: float, pitch: float, size: tuple[int, int]) -> None:
    for i, y in enumerate(_steps(y0 % (len(cloth.colours) * pitch), len(cloth.colours) * pitch, size[1])):
        for j, colour in enumerate(cloth.colours[1:], start=1):
            top = y + j * pitch
            draw.rectangle((0, top, size[0], top + pitch * (1.0 if i % 2 else 0.9)), fill=colour)


def _checks(draw: ImageDraw.ImageDraw, cloth: Cloth, x0: float, y0: float, pitch: float, size: tuple[int, int]) -> None:
    for y in _steps(y0 % (2 * pitch), 2 * pitch, size[1]):
        draw.rectangle((0, y, size[0], y + pitch * 0.7), fill=cloth.colours[1])
    for x in _steps(x0, 2 * pitch, size[0]):
        draw.rectangle((x, 0, x + pitch * 0.6, size[1]), fill=cloth.colours[-1])


def _dots(draw: ImageDraw.ImageDraw, cloth: Cloth, x0: float, y0: float, pitch: float, size: tuple[int, int]) -> None:
    for i, y in enumerate(_steps(y0 % (2 * pitch), pitch, size[1])):
        for k, x in enumerate(_steps(x0 + (i % 2) * pitch * 0.6, 1.2 * pitch, size[0])):
            colour = cloth.colours[1 + (i + k) % (len(cloth.colours) - 1)]
            radius = pitch * 0.44
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _blocks(draw: ImageDraw.ImageDraw, cloth: Cloth, x0: float, y0: float, pitch: float, size: tuple[int, int]) -> None:
    top = y0 - 3.4 * pitch
    draw.rectangle((0, top, size[0], y0), fill=cloth.colours[1])
    draw.rectangle((0, y0, size[0], y0 + 3.0 * pitch), fill=cloth.colours[-1])
    draw.rectangle((0, top - 0.45 * pitch, size[0], top), fill=cloth.colours[-1])


def _pinstripes(
    draw: ImageDraw.ImageDraw, cloth: Cloth, x0: float, y0: float, pitch: float, size: tuple[int, int]
) -> None:
    for x in _steps(x0, pitch, size[0]):
        draw.rectangle((x, 0, x + pitch * 0.25, size[1]), fill=cloth.colours[1])


_PAINTERS = {"bands": _bands, "checks": _checks, "dots": _dots, "blocks": _blocks, "pinstripes": _pinstripes}


def _steps(start: float, step: float, end: int) -> list[float]:
    """Positions `step` apart, of which one is `start`, from before 0 to `end`."""
    first = start - math.ceil(start / step + 1) * step
    return [first + i * step for i in range(int((end - first) / step) + 1)]
