"""Heads: face, hair of every style, hats, glasses."""

import math

from bruna.sample.canvas import Canvas, Point, Rgb
from bruna.sample.person import Person
from bruna.sample.pose import Frame, Joint, Skeleton

Angles = tuple[float, float]
"""Direction from the middle of the head: azimuth (0 = nose) and elevation, radians."""


def draw_head(canvas: Canvas, person: Person, body: Frame, head: Frame, bones: Skeleton) -> None:
    """Draw skull, face, and short or front hair.

    Args:
        canvas: where to.
        person: whose head.
        body: frame of the body, which places the head.
        head: the same frame turned as the head is.
        bones: the posed body.
    """
    centre = body.point(bones.head)
    r = bones.head_radius * body.scale
    canvas.disc((centre[0], centre[1] - 0.04 * r), 0.84 * r, 1.02 * r, person.hair)
    _patch(canvas, head, centre, r, _face_outline(person), person.skin, 1.0)
    if head.cos < 0.75:  # an ear beside the face
        for side in (-1, 1):
            if head.depth((side, 0.0, 0.0)) > 0.3 and person.hair_style in ("crop", "fringe"):
                _patch(canvas, head, centre, r, _ring((side * 1.55, -0.1), 0.2, 0.22), _shade(person.skin, 0.82), None)
    _features(canvas, person, head, centre, r)
    if person.hair_style == "fringe" and not person.has("hat"):
        _patch(canvas, head, centre, r * 1.02, [(-1.2, 0.75), (1.2, 0.75), (1.1, 0.28), (0.2, 0.42), (-1.1, 0.2)],
               person.hair, None)  # fmt: skip


def draw_back_hair(canvas: Canvas, person: Person, head: Frame, bones: Skeleton) -> None:
    """Draw the hair that falls behind the head and, where it is long, over the shoulders."""
    x, y, z = bones.head
    r, s = bones.head_radius, head.scale
    if person.hair_style == "bob":
        rows = [((x, y + 0.3 * r, z - 0.15 * r), 0.86 * r), ((x, y - 0.35 * r, z - 0.25 * r), 0.93 * r)]
    elif person.hair_style in ("loose", "wavy"):
        long = 2.9 if person.hair_style == "loose" else 2.5
        full = 1.0 if person.hair_style == "loose" else 1.16
        rows = [((x, y + 0.45 * r, z - 0.2 * r), 0.8 * r), ((x, y - 0.8 * r, z - 0.4 * r), 1.0 * r * full),
                ((x, y - 1.8 * r, z - 0.75 * r), 1.05 * r * full),
                ((x, y - long * r, z - 1.0 * r), 0.75 * r)]  # fmt: skip
    elif person.hair_style == "tail":
        rows = [((x, y + 0.35 * r, z - 0.85 * r), 0.3 * r), ((x + 0.25 * r, y - 0.7 * r, z - 1.3 * r), 0.42 * r),
                ((x + 0.35 * r, y - 2.6 * r, z - 1.35 * r), 0.2 * r)]  # fmt: skip
    else:
        return
    canvas.tube(head.points([joint for joint, _ in rows]), [w * s for _, w in rows], person.hair, tone=0.95)
    if person.hair_style == "tail":
        tie = head.point((x + 0.1 * r, y + 0.1 * r, z - 1.1 * r))
        canvas.disc(tie, 0.3 * r * s, 0.22 * r * s, person.trim)


def front_locks(canvas: Canvas, person: Person, head: Frame, bones: Skeleton) -> None:
    """Draw the strands of long hair that hang before the shoulders."""
    if person.hair_style not in ("loose", "wavy", "tail"):
        return
    x, y, z = bones.head
    r, s = bones.head_radius, head.scale
    sides = (-1, 1) if person.hair_style != "tail" else (person.side,)
    for side in sides:
        if head.cos < -0.15 and head.depth((side, 0.0, 0.0)) < 0.2:
            continue
        joints: list[Joint] = [(x + side * 0.72 * r, y + 0.2 * r, z), (x + side * 0.92 * r, y - 1.0 * r, z + 0.1 * r),
                               (x + side * 0.98 * r, y - 2.5 * r, z + 0.45 * r)]  # fmt: skip
        canvas.tube(head.points(joints), [0.2 * r * s, 0.34 * r * s, 0.2 * r * s], person.hair)


def _face_outline(person: Person) -> list[Angles]:
    """The face as directions; long hair and bobs frame it more closely."""
    wide = 1.15 if person.hair_style in ("crop", "fringe") else 0.95
    low = [(wide, 0.35), (wide + 0.15, -0.1), (wide, -0.65), (0.6, -1.15), (0.0, -1.35)]
    return [(-a, e) for a, e in low] + [(a, e) for a, e in reversed(low)] + [(0.5, 0.62), (-0.5, 0.62)]


def _features(canvas: Canvas, person: Person, head: Frame, centre: Point, r: float) -> None:
    dark = _shade(person.skin, 0.32)
    for side in (-1, 1):
        eye = _ring((side * 0.42, 0.02), 0.15, 0.09)
        _patch(canvas, head, centre, r, eye, dark, None)
        brow = [(side * 0.2, 0.25), (side * 0.65, 0.24), (side * 0.65, 0.17), (side * 0.2, 0.18)]
        _patch(canvas, head, centre, r, brow, _shade(person.hair, 0.9), None)
        if person.glasses:
            lens = _ring((side * 0.42, 0.02), 0.24, 0.13)
            _patch(canvas, head, centre, r, lens, (52, 54, 62), None)
    _patch(canvas, head, centre, r, [(-0.1, -0.1), (0.1, -0.1), (0.14, -0.33), (-0.14, -0.33)],
           _shade(person.skin, 0.84), None)  # fmt: skip
    lip: Rgb = (176, 66, 72) if person.has("gender", "female") else _shade(person.skin, 0.62)
    _patch(canvas, head, centre, r, [(-0.3, -0.55), (0.3, -0.55), (0.22, -0.68), (-0.22, -0.68)], lip, None)
    if abs(head.sin) > 0.8:  # the nose stands out in profile
        nose = head.point((0.0, 0.0, 0.0)), head.point((0.0, 0.0, 1.0))
        way = 1 if nose[1][0] > nose[0][0] else -1
        tip = (centre[0] + way * 0.86 * r, centre[1] + 0.1 * r)
        canvas.disc(tip, 0.11 * r, 0.14 * r, person.skin)


def draw_hat(canvas: Canvas, person: Person, body: Frame, head: Frame, bones: Skeleton) -> None:
    """Draw a cap with a peak, or a sun hat with a brim all round; nothing for who wears none."""
    if not person.has("hat"):
        return
    cx, cy = body.point(bones.head)
    r = bones.head_radius * body.scale
    top = cy - 0.42 * r
    dome = [(cx - 0.92 * r, top), (cx - 0.86 * r, cy - 0.95 * r), (cx - 0.4 * r, cy - 1.28 * r),
            (cx + 0.4 * r, cy - 1.28 * r), (cx + 0.86 * r, cy - 0.95 * r), (cx + 0.92 * r, top)]  # fmt: skip
    canvas.flat(dome, person.hat)
    light = canvas.light
    canvas.flat([(cx + (x - cx) * 0.55 + light * 0.2 * r, y) for x, y in dome], person.hat, 1.12)
    if person.hat_style == "sun":
        band = [
            (cx - 0.9 * r, top),
            (cx + 0.9 * r, top),
            (cx + 0.9 * r, top - 0.26 * r),
            (cx - 0.9 * r, top - 0.26 * r),
        ]
        canvas.flat(band, person.trim)
        canvas.disc((cx, top + 0.05 * r), 1.75 * r, 0.30 * r, person.hat, tone=0.98)
        return
    ahead = head.sin
    reach = 0.9 * r * ahead
    if head.cos > -0.5:
        drop = 0.22 * r * max(0.0, head.cos)
        edge = [(cx - 0.85 * r + max(reach, 0) * 0.6, top - 0.12 * r),
                (cx + 0.85 * r + min(reach, 0) * 0.6, top - 0.12 * r),
                (cx + 0.8 * r * (1 - abs(ahead) * 0.6) + reach * 1.25, top + 0.1 * r + drop),
                (cx - 0.8 * r * (1 - abs(ahead) * 0.6) + reach * 1.25, top + 0.1 * r + drop)]  # fmt: skip
        canvas.flat(edge, _shade(person.hat, 0.78), 0.9)


def _patch(
    canvas: Canvas, head: Frame, centre: Point, r: float, outline: list[Angles], paint: Rgb, tone: float | None
) -> None:
    """Paint an area of the head's surface, as far as it faces the camera."""
    points: list[Point] = []
    facing = 0.0
    for azimuth, elevation in outline:
        level = math.cos(elevation)
        joint = (math.sin(azimuth) * level, math.sin(elevation), math.cos(azimuth) * level)
        x, near = joint[0] * head.cos + joint[2] * head.sin, head.depth(joint)
        facing += near / len(outline)
        if near < 0:  # behind the rim: pull it out to the rim, so that the area ends there
            rim = math.copysign(level, x)
            x = rim
        points.append((centre[0] + 0.80 * r * x, centre[1] - r * joint[1]))
    if facing > -0.12:
        canvas.flat(points, paint, tone)


def _ring(middle: Angles, wide: float, high: float) -> list[Angles]:
    steps = [i * math.pi / 4 for i in range(8)]
    return [(middle[0] + wide * math.cos(t), middle[1] + high * math.sin(t)) for t in steps]


def _shade(colour: Rgb, factor: float) -> Rgb:
    return int(colour[0] * factor), int(colour[1] * factor), int(colour[2] * factor)
