"""One image: a person in a place, seen by a camera, with whatever stands in the way."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from bruna.sample.camera import CAMERAS, photograph
from bruna.sample.canvas import HEIGHT, OVERSAMPLE, WIDTH, Canvas, Point
from bruna.sample.figure import draw_figure
from bruna.sample.person import Person, draw_person
from bruna.sample.plan import plan_attributes, random_generator
from bruna.sample.pose import Frame, draw_pose
from bruna.sample.scenery import RISE, SPAN, paint_place

_SIZE = (WIDTH * OVERSAMPLE, HEIGHT * OVERSAMPLE)
_PASSERS_BY = 40


@dataclass(frozen=True)
class World:
    """The places of the six cameras and the people who walk through other people's images."""

    places: tuple[Image.Image, ...]
    passers_by: tuple[Person, ...]


@dataclass(frozen=True)
class Framing:
    """How a detector cut a person out, in image heights.

    Attributes:
        size: height of an adult.
        feet: where the ground under the feet lies, from the top.
        aside: shift of the body's axis from the middle.
    """

    size: float
    feet: float
    aside: float


def build_world(seed: int) -> World:
    """Paint the places and draw the passers-by of a seed."""
    codes = plan_attributes(_PASSERS_BY, random_generator(seed, 11))
    return World(
        places=tuple(paint_place(i + 1, random_generator(seed, 12, i)) for i in range(len(CAMERAS))),
        passers_by=tuple(draw_person(c, random_generator(seed, 13, i)) for i, c in enumerate(codes)),
    )


def take_shot(
    world: World,
    person: Person | None,
    camera: int,
    rng: np.random.Generator,
    *,
    junk: bool = False,
    alone: bool = False,
) -> tuple[Image.Image, Image.Image]:
    """Draw one image and the mask of the person in it.

    Args:
        world: the places and passers-by.
        person: whom to draw; None leaves the place empty.
        camera: 1 to 6.
        rng: everything about this one image.
        junk: cut the person badly: a part of a body, as a failed detection gives it.
        alone: nobody else and nothing in the way, as in the photographs that mask data sets are made of.

    Returns:
        The image (64 x 128, RGB) and the mask (the same size, mode L, 0 or 255).
    """
    lens = CAMERAS[camera - 1]
    light = max(-1.0, min(1.0, lens.light + float(rng.normal(0, 0.25))))
    framing = _junk_framing(rng) if junk else _framing(rng)
    canvas = Canvas(_window(world.places[camera - 1], lens.feet, framing, rng), light)
    if not alone:
        _behind(canvas, world, framing, lens.pitch, rng)
    if person is not None:
        pose = draw_pose(rng, person.has("age", "old"))
        canvas.subject = True
        draw_figure(canvas, person, pose, _frame(framing, pose.yaw, lens.pitch), _folds(rng))
        canvas.subject = False
    if not alone:
        _before(canvas, world, framing, lens.pitch, rng)
    return photograph(canvas.image(), lens, rng), canvas.mask()


def _framing(rng: np.random.Generator) -> Framing:
    """Mostly the whole person; every sixth box is too tight or too wide, as detections are."""
    size, feet = float(rng.uniform(0.88, 0.99)), float(rng.uniform(0.955, 0.995))
    if rng.random() < 0.17:
        if rng.random() < 0.5:
            size, feet = float(rng.uniform(1.0, 1.2)), float(rng.uniform(1.0, 1.18))
        else:
            size, feet = float(rng.uniform(0.72, 0.85)), float(rng.uniform(0.86, 0.97))
    return Framing(size, feet, float(rng.normal(0, 0.022)))


def _junk_framing(rng: np.random.Generator) -> Framing:
    size = float(rng.uniform(1.9, 3.0))
    return Framing(size, float(rng.uniform(0.5, 1.0)) + 0.6 * size, float(rng.choice([-1, 1]) * rng.uniform(0.1, 0.3)))


def _frame(framing: Framing, yaw: float, pitch: float) -> Frame:
    height = _SIZE[1]
    foot = (_SIZE[0] / 2 + framing.aside * height, framing.feet * height)
    return Frame(framing.size * height, foot, yaw, pitch)


def _folds(rng: np.random.Generator) -> tuple[float, ...]:
    return tuple(float(v) for v in rng.random(8))


def _window(place: Image.Image, feet: float, framing: Framing, rng: np.random.Generator) -> Image.Image:
    """The part of the place behind a person, at the canvas's size."""
    high = 256 / min(1.3, framing.size / 0.9) * float(rng.uniform(0.85, 1.15))
    wide = high * WIDTH / HEIGHT
    left = float(rng.uniform(0, SPAN - wide))
    foot = feet * RISE + float(rng.uniform(-22, 38))
    top = min(max(0.0, foot - min(1.05, framing.feet) * high), RISE - high)
    box = (left, top, left + wide, top + high)
    return place.resize(_SIZE, Image.Resampling.BILINEAR, box=box)


def _behind(canvas: Canvas, world: World, framing: Framing, pitch: float, rng: np.random.Generator) -> None:
    """People further away."""
    for _ in range(int(rng.choice([0, 1, 2], p=[0.6, 0.3, 0.1]))):
        size = framing.size * float(rng.uniform(0.45, 0.75))
        aside = float(rng.choice([-1, 1]) * rng.uniform(0.1, 0.26))
        far = Framing(size, min(1.0, framing.feet) - 0.28 * (framing.size - size), aside)
        _walker(canvas, world, far, pitch, rng)


def _before(canvas: Canvas, world: World, framing: Framing, pitch: float, rng: np.random.Generator) -> None:
    """What stands between the camera and the person, in every fourth image."""
    wide, high = _SIZE
    kind = rng.random()
    if kind < 0.07:  # someone walks past at the border
        aside = float(rng.choice([-1, 1]) * rng.uniform(0.21, 0.29))
        _walker(canvas, world, Framing(framing.size * 1.08, framing.feet + 0.05, aside), pitch, rng)
    elif kind < 0.13:  # a pole
        x = wide * float(rng.choice([rng.uniform(0.05, 0.32), rng.uniform(0.68, 0.95)]))
        gray = int(rng.integers(70, 170))
        canvas.tube([(x, -20), (x, high + 20)], [wide * 0.045] * 2, (gray, gray, gray + 8), caps=False)
    elif kind < 0.19:  # a box or a bin on the ground
        x, y = wide * float(rng.uniform(-0.1, 0.75)), high * float(rng.uniform(0.76, 0.88))
        paint = (int(rng.integers(50, 190)), int(rng.integers(50, 170)), int(rng.integers(50, 160)))
        side = wide * float(rng.uniform(0.3, 0.5))
        canvas.flat([(x, y), (x + side, y), (x + side, high + 9), (x, high + 9)], paint, 0.9)
        canvas.flat([(x, y), (x + side, y), (x + side * 0.88, y - 22), (x + side * 0.12, y - 22)], paint, 1.15)
    elif kind < 0.25:  # a bicycle wheel
        centre: Point = (wide * float(rng.uniform(-0.1, 1.1)), high * float(rng.uniform(0.88, 0.98)))
        r = high * float(rng.uniform(0.13, 0.18))
        canvas.ring(centre, r * 0.92, r, 0.026 * high, (34, 34, 36))
        canvas.ring(centre, r * 0.84, r * 0.92, 4, (150, 150, 152))
        for k in range(6):
            dx, dy = r * 0.85 * math.cos(k * math.pi / 6), r * 0.9 * math.sin(k * math.pi / 6)
            canvas.stroke([(centre[0] - dx, centre[1] - dy), (centre[0] + dx, centre[1] + dy)], 2, (140, 140, 142))


def _walker(canvas: Canvas, world: World, framing: Framing, pitch: float, rng: np.random.Generator) -> None:
    other = world.passers_by[int(rng.integers(len(world.passers_by)))]
    pose = draw_pose(rng, other.has("age", "old"))
    draw_figure(canvas, other, pose, _frame(framing, pose.yaw, pitch), _folds(rng))
