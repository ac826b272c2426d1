"""Draws one person in one pose, parts from far to near."""

import math
from collections.abc import Callable
from functools import partial

from bruna.sample.canvas import Canvas, Paint, Rgb
from bruna.sample.cloth import cloth_paint
from bruna.sample.head import draw_back_hair, draw_hat, draw_head, front_locks
from bruna.sample.luggage import backpack_straps, bag_strap, draw_backpack, draw_bag, draw_handbag
from bruna.sample.person import Person
from bruna.sample.pose import Frame, Joint, Pose, Skeleton, pose_body

Part = tuple[float, Callable[[], None]]
"""Place in the order of drawing (far first) and what draws it."""

_SHADOWED = 0.8
"""Shade of the far leg and arm."""


def draw_figure(canvas: Canvas, person: Person, pose: Pose, frame: Frame, folds: tuple[float, ...]) -> None:
    """Draw a person onto the canvas.

    Args:
        canvas: where to.
        person: whom.
        pose: how they stand.
        frame: where they stand.
        folds: eight numbers of 0 to 1 that place the creases of the clothes.
    """
    bones = pose_body(person.body, pose)
    upper = cloth_paint(person.upper, frame, canvas.size)
    lower = upper if person.lower is person.upper else cloth_paint(person.lower, frame, canvas.size)
    canvas.shadow((frame.foot[0], frame.foot[1]), 0.2 * frame.scale, 0.03 * frame.scale, 0.5)
    scene = (canvas, person, frame)
    near_leg = 0 if frame.depth(bones.legs[0][1]) > frame.depth(bones.legs[1][1]) else 1
    parts: list[Part] = [(0.0, partial(_trunk, *scene, bones, upper, lower, folds))]
    for i, leg in enumerate(bones.legs):
        parts.append((-5.0 if i == near_leg else -6.0, partial(_leg, *scene, leg, lower, i != near_leg)))
    if person.has("clothes", "dress"):
        parts.append((-4.0, partial(_skirt, *scene, bones, lower, folds)))
    for i, arm in enumerate(bones.arms):
        far = frame.depth(arm[0]) < -0.4 * person.body.shoulder
        place = -7.0 if far or frame.depth(arm[2]) < -0.1 else 3.0  # a hand before a turned back is hidden
        parts.append((place, partial(_arm, *scene, arm, upper, far)))
        holds = (i == 1) == (person.side > 0)
        if holds and person.has("handbag"):
            parts.append((place - 0.1, partial(draw_handbag, *scene, arm[2])))
        if holds and person.stick:
            parts.append((place + 0.1, partial(_stick, canvas, frame, arm[2])))
    parts += _luggage(*scene, bones)
    head = frame.turned(pose.head_yaw)
    parts.append((4.0, partial(draw_head, *scene, head, bones)))
    parts.append((4.2, partial(front_locks, canvas, person, head, bones)))
    parts.append((4.5 if head.cos < -0.15 else -7.5, partial(draw_back_hair, canvas, person, head, bones)))
    parts.append((5.0, partial(draw_hat, *scene, head, bones)))
    for _, paint in sorted(parts, key=lambda part: part[0]):
        paint()


def _luggage(canvas: Canvas, person: Person, frame: Frame, bones: Skeleton) -> list[Part]:
    """Backpack and shoulder bag, in their places among the parts for this view."""
    parts: list[Part] = []
    if person.has("backpack"):
        place = -8.0 if frame.cos > 0.25 else (-0.5 if frame.cos > -0.25 else 2.0)
        parts.append((place, partial(draw_backpack, canvas, person, frame, bones)))
        parts.append((1.0, partial(backpack_straps, canvas, person, frame, bones)))
    if person.has("bag"):
        near = frame.depth((-float(person.side), 0.0, 0.0)) > -0.35
        parts.append((3.5 if near else -6.5, partial(draw_bag, canvas, person, frame, bones)))
        parts.append((1.1, partial(bag_strap, canvas, person, frame, bones)))
    return parts


def _limb(
    canvas: Canvas,
    frame: Frame,
    joints: list[Joint],
    radii: list[float],
    paint: Paint,
    tone: float,
    cut: bool = False,
) -> None:
    canvas.tube(frame.points(joints), [r * frame.scale for r in radii], paint, tone=tone, cut=cut)


def _between(a: Joint, b: Joint, t: float) -> Joint:
    return a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1]), a[2] + t * (b[2] - a[2])


def _leg(canvas: Canvas, person: Person, frame: Frame, leg: tuple[Joint, ...], paint: Paint, far: bool) -> None:
    """A bare leg, the shoe, and over it long trousers or shorts."""
    hip, knee, ankle, toe = leg
    w, tone = person.body.limb, _SHADOWED if far else 1.0
    _shoe(canvas, person, frame, ankle, toe, tone)
    trousers = person.has("clothes", "pants")
    if not trousers or person.has("down", "short"):
        _limb(canvas, frame, [hip, knee, _between(knee, ankle, 0.4), ankle],
              [0.050 * w, 0.036 * w, 0.036 * w, 0.022 * w], person.skin, tone)  # fmt: skip
        if person.sock and trousers:
            up = _between(ankle, knee, person.sock * 4)
            _limb(canvas, frame, [up, ankle], [0.028 * w, 0.024 * w], (226, 226, 224), tone)
    if not trousers:
        return
    fit = person.fit
    if person.has("down", "long"):
        _limb(canvas, frame, [hip, knee, _between(knee, ankle, 0.94)],
              [0.056 * w * min(fit, 1.15), 0.043 * w * fit, 0.034 * w * fit], paint, tone, True)  # fmt: skip
    else:
        hem = 0.62 + 4 * person.hem
        _limb(
            canvas,
            frame,
            [hip, _between(hip, knee, hem)],
            [0.056 * w * min(fit, 1.15), 0.050 * w * fit],
            paint,
            tone,
            True,
        )


def _shoe(canvas: Canvas, person: Person, frame: Frame, ankle: Joint, toe: Joint, tone: float) -> None:
    heel = (ankle[0], toe[1] + 0.2 * (ankle[1] - toe[1] - 0.028), ankle[2] - 0.02)
    s = frame.scale
    low = frame.points([(heel[0], heel[1] - 0.008, heel[2]), (toe[0], toe[1] - 0.008, toe[2])])
    canvas.tube(low, [0.019 * s, 0.017 * s], person.sole, tone=tone)
    top = frame.points([(heel[0], heel[1] + 0.006, heel[2]), toe])
    canvas.tube(top, [0.023 * s, 0.017 * s], person.shoe, tone=tone)


def _arm(canvas: Canvas, person: Person, frame: Frame, arm: tuple[Joint, ...], paint: Paint, far: bool) -> None:
    """A bare arm and hand with a long, a short or no sleeve over it."""
    shoulder, elbow, hand = arm
    w, tone = person.body.limb, _SHADOWED if far else 1.0
    _limb(canvas, frame, [shoulder, elbow, hand], [0.034 * w, 0.027 * w, 0.019 * w], person.skin, tone)
    s = frame.scale
    canvas.disc(frame.point(hand), 0.021 * s, 0.024 * s, person.skin, tone=tone)
    loose = 0.5 + 0.5 * person.fit
    if person.has("up", "long"):
        cuff = _between(elbow, hand, 0.9)
        radii = [0.040 * w, 0.034 * w * loose, 0.027 * w * loose]
        _limb(canvas, frame, [shoulder, elbow, cuff], radii, paint, tone, True)
        bend = frame.point(elbow)
        canvas.crease([bend, frame.point(_between(elbow, hand, 0.2))], 0.012 * s, 0.78 * tone)
    elif not person.sleeveless:
        cuff = _between(shoulder, elbow, 0.72)
        _limb(canvas, frame, [shoulder, cuff], [0.041 * w, 0.039 * w * loose], paint, tone, True)


def _stick(canvas: Canvas, frame: Frame, hand: Joint) -> None:
    foot = (hand[0], 0.0, hand[2] + 0.06)
    canvas.stroke(frame.points([(hand[0], hand[1] + 0.03, hand[2]), foot]), 0.017 * frame.scale, (92, 60, 34), 0.9)
    top = frame.point((hand[0], hand[1] + 0.03, hand[2]))
    canvas.disc(top, 0.016 * frame.scale, 0.012 * frame.scale, (92, 60, 34))


def _skirt(
    canvas: Canvas, person: Person, frame: Frame, bones: Skeleton, paint: Paint, folds: tuple[float, ...]
) -> None:
    """A skirt, or the lower part of a dress: one cone round both legs."""
    hip = bones.trunk[1]
    hem_y = (0.29 if person.has("down", "short") else 0.115) + 0.5 * person.hem
    flare = 1.0 + 0.32 * person.fit
    knees = [leg[1] for leg in bones.legs]
    middle = sum(z for _, _, z in knees) / 2
    stretch = min(0.05, 0.4 * abs(knees[0][2] - knees[1][2]))
    rows = [(bones.slice(hip[0][1] + 0.08)), hip,
            ((0.0, hem_y, middle), person.body.hip * flare, person.body.depth * flare + stretch)]  # fmt: skip
    line = frame.points([centre for centre, _, _ in rows])
    radii = [frame.half_width(across * 1.04, deep * 1.08) for _, across, deep in rows]
    canvas.tube(line, radii, paint, caps=False)
    for fold in folds[:4]:
        x = (fold - 0.5) * 1.5
        top = (line[1][0] + x * radii[1], line[1][1] + 4)
        canvas.crease([top, (line[2][0] + x * radii[2], line[2][1] - 1)], 0.008 * frame.scale, 0.72)


def _trunk(
    canvas: Canvas,
    person: Person,
    frame: Frame,
    bones: Skeleton,
    upper: Paint,
    lower: Paint,
    folds: tuple[float, ...],
) -> None:
    """The seat of the trousers, the shirt over it, then what is printed or worn on the shirt."""
    rows = list(bones.trunk)
    s = frame.scale
    if person.has("clothes", "pants"):
        crotch = (0.0, rows[1][0][1] - 0.05, rows[1][0][2])
        seat = [(crotch, 0.7 * rows[1][1], 0.8 * rows[1][2]), rows[1], bones.slice(rows[1][0][1] + 0.07)]
        widths = [frame.half_width(a, d) for _, a, d in seat]
        canvas.tube(frame.points([c for c, _, _ in seat]), widths, lower, caps=False, tone=1.03)
    neck = [bones.trunk[-1][0], (0.0, bones.head[1] - bones.head_radius * 0.5, bones.head[2])]
    canvas.tube(frame.points(neck), [0.032 * s, 0.03 * s], person.skin, tone=0.86)
    hem = bones.slice(rows[1][0][1] + (0.045 if person.has("clothes", "dress") else 0.0) + person.hem)
    shirt = [hem, *[row for row in rows if row[0][1] > hem[0][1] + 0.02]]
    loose = 0.012 * person.fit
    radii = [frame.half_width(a + (0 if i > len(shirt) - 3 else loose), d + loose) for i, (_, a, d) in enumerate(shirt)]
    canvas.tube(frame.points([c for c, _, _ in shirt]), radii, upper, caps=False)
    _neckline(canvas, person, frame, bones)
    _print(canvas, person, frame, bones)
    for a, b in zip(folds[4:6], folds[6:8], strict=True):
        low, high = bones.surface(2 * a - 1, hem[0][1] + 0.03), bones.surface(a + b - 1, hem[0][1] + 0.10)
        if abs(frame.cos) > 0.5:
            canvas.crease(frame.points([low, high]), 0.007 * s, 0.9)
    left, right = frame.points([hem[0], hem[0]])
    left, right = (left[0] - radii[0], left[1]), (right[0] + radii[0], right[1])
    canvas.crease([left, right], 0.008 * s, 0.7)


def _patch(canvas: Canvas, frame: Frame, bones: Skeleton, corners: list[tuple[float, float]], paint: Rgb) -> None:
    """A print on the trunk, `corners` as (angle round the trunk, height); nothing where it faces away."""
    joints = [bones.surface(around, y) for around, y in corners]
    turned = sum(math.cos(a) * frame.cos - math.sin(a) * frame.sin for a, _ in corners) / len(corners)
    if turned > 0.15:
        canvas.flat(frame.points(joints), paint, None)


def _neckline(canvas: Canvas, person: Person, frame: Frame, bones: Skeleton) -> None:
    top = bones.trunk[-1][0][1]
    drop = 0.075 if person.has("gender", "female") else 0.03
    if person.logo == "buttons" and person.upper.pattern != "bands":
        drop = 0.04
        for side in (-1, 1):
            _patch(canvas, frame, bones, [(0, top - 0.05), (side * 0.9, top - 0.045), (side * 1.2, top)], person.trim)
    _patch(canvas, frame, bones, [(-1.2, top + 0.005), (1.2, top + 0.005), (0.35, top - drop), (-0.35, top - drop)],
           person.skin)  # fmt: skip


def _print(canvas: Canvas, person: Person, frame: Frame, bones: Skeleton) -> None:
    """Logo, sash or row of buttons: a detail that only this identity has in this place and colour."""
    y, ink = bones.slice(bones.trunk[3][0][1])[0][1] + 0.02, person.logo_colour
    shapes: dict[str, list[list[tuple[float, float]]]] = {
        "bar": [[(-0.7, y + 0.015), (0.7, y + 0.015), (0.7, y - 0.015), (-0.7, y - 0.015)]],
        "disc": [[(0.5 * math.cos(t * math.pi / 4), y + 0.035 * math.sin(t * math.pi / 4)) for t in range(8)]],
        "square": [[(0.1, y + 0.03), (0.7, y + 0.03), (0.7, y - 0.02), (0.1, y - 0.02)]],
        "two bars": [[(-0.6, y + d), (0.6, y + d), (0.6, y + d - 0.014), (-0.6, y + d - 0.014)] for d in (0.03, 0.0)],
        "chevron": [[(-0.8, y + 0.04), (0, y - 0.01), (0.8, y + 0.04),
                     (0.8, y + 0.015), (0, y - 0.035), (-0.8, y + 0.015)]],
        "buttons": [[(-0.06, y + 0.05), (0.06, y + 0.05), (0.06, y - 0.2), (-0.06, y - 0.2)]],
    }  # fmt: skip
    for corners in shapes.get(person.logo, []):
        _patch(canvas, frame, bones, corners, ink if person.logo != "buttons" else person.trim)
    if person.logo == "band":  # goes all the way round
        for back in (0.0, math.pi):
            ring = [(back + t, y + d) for t, d in ((-1.5, 0.012), (1.5, 0.012), (1.5, -0.012), (-1.5, -0.012))]
            _patch(canvas, frame, bones, ring, ink)
