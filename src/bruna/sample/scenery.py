"""The places that the six cameras look at: one wide picture each, from which every image takes a window."""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from bruna.sample.canvas import Rgb

SPAN, RISE = 1100, 380
"""Size of a place, in pixels half as large as the image's."""

Draw = ImageDraw.ImageDraw

_MEAN: Rgb = (150, 146, 140)


def paint_place(camera: int, rng: np.random.Generator) -> Image.Image:
    """Paint what a camera looks at, `SPAN` x `RISE`, RGB.

    Args:
        camera: 1 to 6.
        rng: where trees, bicycles and windows come from.
    """
    image = Image.new("RGB", (SPAN, RISE), (150, 150, 150))
    _PLACES[camera - 1](ImageDraw.Draw(image), rng)
    return _muted(_weathered(image.filter(ImageFilter.GaussianBlur(0.8)), rng))


def _muted(image: Image.Image) -> Image.Image:
    """Duller than people's clothes and near a common mean, as automatic exposure and white balance make it."""
    image = Image.blend(image.convert("L").convert("RGB"), image, 0.5)
    image = Image.blend(Image.new("RGB", image.size, _MEAN), image, 0.75)
    pixels = np.asarray(image, dtype=np.int64)
    mean = pixels.reshape(-1, 3).sum(axis=0) // (SPAN * RISE)
    shift = (np.array(_MEAN) - mean) * 3 // 5
    return Image.fromarray(np.asarray(np.clip(pixels + shift, 0, 255), dtype=np.uint8))


def _weathered(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Stains and grain, so that no surface is even."""
    stains = rng.integers(216, 256, size=(RISE // 20, SPAN // 20), dtype=np.uint8)
    grain = rng.integers(226, 256, size=(RISE, SPAN), dtype=np.uint8)
    for layer in (stains, grain):
        texture = Image.fromarray(layer).resize((SPAN, RISE), Image.Resampling.BICUBIC)
        image = ImageChops.multiply(image, Image.merge("RGB", (texture, texture, texture)))
    return image


def _plaza(draw: Draw, rng: np.random.Generator) -> None:
    """Pale slabs, a hedge, a row of bicycles."""
    draw.rectangle((0, 0, SPAN, 70), fill=(196, 178, 150))
    for x in range(0, SPAN, 90):
        _window(draw, x + 14, 4, 56, 40, (92, 104, 116))
    _foliage(draw, rng, 0, 60, SPAN, 112, (62, 96, 50))
    _ground(draw, 112, (186, 182, 174), (150, 146, 140), 5, 62)
    for x in rng.integers(0, SPAN, size=17):
        _bicycle(draw, rng, int(x), 140 + int(rng.integers(0, 22)), 27)


def _brick_walk(draw: Draw, rng: np.random.Generator) -> None:
    """Red brick before a shop front."""
    draw.rectangle((0, 0, SPAN, 124), fill=(120, 116, 112))
    for x in range(0, SPAN, 150):
        _window(draw, x + 8, 22, 118, 96, (60, 72, 84))
        goods = _bright(rng)
        draw.rectangle((x + 24, 70, x + 50, 116), fill=goods)
        draw.rectangle((x + 70, 60, x + 112, 116), fill=_bright(rng))
        draw.rectangle((x + 4, 2, x + 130, 20), fill=_bright(rng))
    _ground(draw, 124, (158, 98, 80), (112, 66, 56), 4, 34)


def _park(draw: Draw, rng: np.random.Generator) -> None:
    """A lawn with trees and a path."""
    draw.rectangle((0, 0, SPAN, 90), fill=(150, 176, 190))
    _foliage(draw, rng, 0, 10, SPAN, 104, (50, 104, 52))
    draw.rectangle((0, 100, SPAN, RISE), fill=(92, 140, 62))
    for _ in range(1500):
        x, y = int(rng.integers(0, SPAN)), int(rng.integers(104, RISE))
        green = int(rng.integers(110, 170))
        draw.line((x, y, x + 2, y - 6), fill=(green - 50, green, 52), width=2)
    draw.polygon([(0, 250), (SPAN, 190), (SPAN, 330), (0, RISE)], fill=(190, 172, 138))
    for x in rng.integers(0, SPAN, size=9):
        width = int(rng.integers(10, 20))
        draw.rectangle((x, 0, x + width, 132 + width), fill=(86, 66, 50))
        draw.rectangle((x, 0, x + width // 3, 132 + width), fill=(116, 92, 70))


def _passage(draw: Draw, rng: np.random.Generator) -> None:
    """The dark hall of a building, glass doors, a polished floor."""
    draw.rectangle((0, 0, SPAN, RISE), fill=(44, 44, 52))
    for x in range(0, SPAN, 130):
        shade = int(rng.integers(24, 70))
        draw.rectangle((x + 10, 0, x + 104, 150), fill=(shade, shade + 4, shade + 14))
        draw.rectangle((x + 104, 0, x + 116, 152), fill=(132, 128, 124))
        if rng.random() < 0.4:
            draw.rectangle((x + 30, 0, x + 84, 130), fill=(176, 188, 204))
    _ground(draw, 150, (84, 80, 84), (60, 58, 64), 3, 96)
    for x in rng.integers(0, SPAN, size=14):
        draw.polygon([(x, 152), (x + 26, 152), (x + 60, RISE), (x - 14, RISE)], fill=(108, 106, 112))


def _stairs(draw: Draw, rng: np.random.Generator) -> None:
    """Concrete steps with a rail, bill-boards above."""
    draw.rectangle((0, 0, SPAN, RISE), fill=(170, 158, 134))
    for x in range(0, SPAN, 170):
        colours = [_bright(rng) for _ in range(3)]
        draw.rectangle((x + 10, 8, x + 140, 78), fill=colours[0])
        draw.rectangle((x + 20, 18, x + 70, 68), fill=colours[1])
        draw.ellipse((x + 84, 22, x + 124, 62), fill=colours[2])
    for i in range(6):
        y = 92 + i * 22
        draw.rectangle((0, y, SPAN, y + 14), fill=(198 - 4 * i, 186 - 4 * i, 160 - 4 * i))
        draw.rectangle((0, y + 14, SPAN, y + 22), fill=(124, 112, 92))
    _ground(draw, 224, (190, 178, 150), (150, 138, 112), 4, 120)
    for x in range(40, SPAN, 210):
        draw.line((x, 60, x, 232), fill=(70, 84, 90), width=7)
        draw.line((x, 66, x + 210, 66 + 40), fill=(82, 96, 104), width=6)


def _street(draw: Draw, rng: np.random.Generator) -> None:
    """Asphalt with white marks, parked cars, a fence."""
    draw.rectangle((0, 0, SPAN, 120), fill=(168, 174, 182))
    _foliage(draw, rng, 0, 0, SPAN, 50, (84, 116, 84))
    for x in range(0, SPAN, 14):
        draw.line((x, 34, x, 96), fill=(210, 214, 218), width=3)
    _ground(draw, 110, (98, 100, 106), (92, 94, 100), 6, 300)
    for i, x in enumerate(range(20, SPAN, 215)):
        _car(draw, x + int(rng.integers(0, 40)), 134 + 6 * (i % 2), _bright(rng))
    for x in range(0, SPAN, 120):
        draw.polygon([(x, 236), (x + 62, 236), (x + 74, 262), (x + 4, 262)], fill=(222, 222, 218))
    draw.rectangle((0, 330, SPAN, 340), fill=(214, 190, 76))


_PLACES: tuple[Callable[[Draw, np.random.Generator], None], ...] = (
    _plaza, _brick_walk, _park, _passage, _stairs, _street,
)  # fmt: skip


def _ground(draw: Draw, top: int, colour: Rgb, joint: Rgb, first: int, slab: int) -> None:
    """Paving that runs to the horizon at `top`: rows grow towards the camera, joints fan out."""
    draw.rectangle((0, top, SPAN, RISE), fill=colour)
    y, step = float(top), float(first)
    while y < RISE:
        draw.line((0, y, SPAN, y), fill=joint, width=2 if step > 12 else 1)
        y += step
        step *= 1.22
    for i in range(-SPAN // slab, 2 * SPAN // slab):
        x = i * slab
        draw.line((x, top, SPAN / 2 + (x - SPAN / 2) * 1.8, RISE), fill=joint, width=2)


def _window(draw: Draw, x: int, y: int, width: int, height: int, glass: Rgb) -> None:
    draw.rectangle((x, y, x + width, y + height), fill=(214, 210, 202))
    draw.rectangle((x + 4, y + 4, x + width - 4, y + height - 4), fill=glass)
    shine = (glass[0] + 40, glass[1] + 44, glass[2] + 48)
    top, low = y + 6, y + height - 6
    draw.polygon([(x + 8, low), (x + width * 0.5, top), (x + width * 0.7, top), (x + 24, low)], fill=shine)
    draw.line((x + width / 2, y, x + width / 2, y + height), fill=(200, 198, 192), width=3)


def _foliage(draw: Draw, rng: np.random.Generator, x0: int, y0: int, x1: int, y1: int, green: Rgb) -> None:
    """Leaves, the upper ones in the light."""
    count = (x1 - x0) * (y1 - y0) // 38
    for _ in range(count):
        x, y = int(rng.integers(x0, x1)), int(rng.integers(y0, y1))
        lit = 1.25 - 0.6 * (y - y0) / (y1 - y0) + float(rng.uniform(-0.22, 0.22))
        r = int(rng.integers(4, 10))
        fill = tuple(min(255, int(c * lit)) for c in green)
        draw.ellipse((x - r, y - r // 2, x + r, y + r // 2), fill=fill)


def _bicycle(draw: Draw, rng: np.random.Generator, x: int, y: int, r: int) -> None:
    frame = _bright(rng)
    for wheel in (x - r * 1.3, x + r * 1.3):
        draw.ellipse((wheel - r, y - r, wheel + r, y + r), outline=(40, 40, 42), width=3)
        for k in range(4):
            dx, dy = r * math.cos(k * math.pi / 4), r * math.sin(k * math.pi / 4)
            draw.line((wheel - dx, y - dy, wheel + dx, y + dy), fill=(120, 120, 120))
    top = y - 1.4 * r
    draw.line([(x - 1.3 * r, y), (x - 0.4 * r, top), (x + 0.9 * r, top), (x + 0.1 * r, y), (x - 0.4 * r, top)],
              fill=frame, width=4)  # fmt: skip
    draw.line([(x - 1.3 * r, y), (x + 0.1 * r, y)], fill=frame, width=4)
    draw.line([(x + 1.3 * r, y), (x + 0.8 * r, top - 10), (x + 1.1 * r, top - 14)], fill=(50, 50, 52), width=4)
    draw.line([(x - 0.7 * r, top - 6), (x - 0.1 * r, top - 6)], fill=(30, 28, 28), width=6)


def _car(draw: Draw, x: int, y: int, colour: Rgb) -> None:
    roof = [(x + 36, y - 40), (x + 54, y - 72), (x + 116, y - 72), (x + 142, y - 40)]
    draw.polygon(roof, fill=colour)
    draw.polygon([(x + 44, y - 42), (x + 58, y - 66), (x + 82, y - 66), (x + 82, y - 42)], fill=(52, 62, 72))
    draw.polygon([(x + 88, y - 42), (x + 88, y - 66), (x + 113, y - 66), (x + 132, y - 42)], fill=(52, 62, 72))
    draw.rounded_rectangle((x, y - 44, x + 174, y - 8), 12, fill=colour)
    for wheel in (x + 38, x + 136):
        draw.ellipse((wheel - 17, y - 26, wheel + 17, y + 8), fill=(28, 28, 30))
        draw.ellipse((wheel - 8, y - 17, wheel + 8, y - 1), fill=(170, 172, 176))


def _bright(rng: np.random.Generator) -> Rgb:
    """A colour of things that people paint: seldom gray."""
    r, g, b = (int(c) for c in rng.integers(40, 226, size=3))
    return r, g, b
