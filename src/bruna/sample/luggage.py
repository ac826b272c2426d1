"""What people carry: backpacks, shoulder bags, handbags."""

import math

from bruna.sample.canvas import Canvas, Rgb
from bruna.sample.person import Person
from bruna.sample.pose import Frame, Joint, Skeleton


def _column(
    canvas: Canvas, frame: Frame, rows: list[tuple[Joint, float, float]], paint: Rgb, tone: float = 1.0
) -> None:
    """An upright soft box from slices (centre, half width, half depth)."""
    radii = [frame.half_width(across, deep) for _, across, deep in rows]
    canvas.tube(frame.points([joint for joint, _, _ in rows]), radii, paint, caps=False, tone=tone)


def draw_backpack(canvas: Canvas, person: Person, frame: Frame, bones: Skeleton) -> None:
    """The pack on the back, with its pocket where the back is seen."""
    size = person.pack_size
    (_, top, z), _, deep = bones.slice(bones.trunk[-2][0][1])
    low = top - 0.25 * size
    behind, thick = z - deep - 0.055 * size, 0.062 * size
    wide = 0.098 * size
    rows = [((0.0, top + 0.02, behind), wide * 0.55, thick * 0.6), ((0.0, top, behind), wide * 0.88, thick * 0.9),
            ((0.0, (top + low) / 2, behind), wide, thick), ((0.0, low + 0.02, behind), wide * 0.98, thick * 1.05),
            ((0.0, low, behind), wide * 0.85, thick * 0.8)]  # fmt: skip
    _column(canvas, frame, rows, person.pack[0])
    y = low + 0.02
    pocket = [((0.0, y + 0.1 * size, behind - thick * 0.5), wide * 0.66, thick * 0.7),
              ((0.0, y, behind - thick * 0.5), wide * 0.7, thick * 0.75)]  # fmt: skip
    if frame.cos < 0.35:
        _column(canvas, frame, pocket, person.pack[1])
        canvas.crease(frame.points([(-wide * 0.7, top - 0.04, behind), (wide * 0.7, top - 0.04, behind)]),
                      0.01 * frame.scale, 0.6)  # fmt: skip


def backpack_straps(canvas: Canvas, person: Person, frame: Frame, bones: Skeleton) -> None:
    """Two straps over the shoulders and down the chest to the armpits."""
    top, low = bones.trunk[-2][0][1] + 0.02, bones.trunk[3][0][1] - 0.03
    for side in (-1, 1):
        run = [
            (2.2, top - 0.01),
            (1.4, top + 0.005),
            (0.85, top - 0.03),
            (0.8, (top + low) / 2),
            (1.15, low),
            (1.5, low - 0.02),
        ]
        _strap(canvas, frame, bones, [(side * a, y) for a, y in run], 0.026 * frame.scale, person.pack[0])


def draw_bag(canvas: Canvas, person: Person, frame: Frame, bones: Skeleton) -> None:
    """The shoulder bag at the hip, on the side away from the shoulder that carries it."""
    (_, y, z), across, _ = bones.slice(bones.trunk[1][0][1] + 0.02)
    x = -person.side * (across + 0.03)
    rows = [((x, y + 0.035, z), 0.03, 0.072), ((x, y - 0.02, z), 0.036, 0.08), ((x, y - 0.085, z), 0.036, 0.078)]
    _column(canvas, frame, rows, person.bag)
    flap = frame.points([(x, y + 0.0, z)])[0]
    half = frame.half_width(0.036, 0.08)
    canvas.crease([(flap[0] - half, flap[1]), (flap[0] + half, flap[1])], 0.012 * frame.scale, 0.58)
    canvas.disc((flap[0], flap[1] + 0.006 * frame.scale), 0.01 * frame.scale, 0.01 * frame.scale, (214, 190, 120))


def bag_strap(canvas: Canvas, person: Person, frame: Frame, bones: Skeleton) -> None:
    """The strap across the chest and across the back."""
    top, low = bones.trunk[-2][0][1] + 0.01, bones.trunk[1][0][1] + 0.05
    for middle in (0.0, math.pi):
        run = []
        for i in range(9):
            t = i / 8
            swing = (0.9 - 2.4 * t) * person.side
            run.append((swing if middle == 0.0 else math.pi - swing, top + t * (low - top)))
        _strap(canvas, frame, bones, run, 0.024 * frame.scale, person.strap)


def draw_handbag(canvas: Canvas, person: Person, frame: Frame, hand: Joint) -> None:
    """A bag hanging from the hand by two handles."""
    x, y, z = hand
    s = frame.scale
    for side in (-1, 1):
        loop = [(x, y + 0.005, z + side * 0.012), (x, y - 0.05, z + side * 0.04), (x, y - 0.075, z + side * 0.05)]
        canvas.stroke(frame.points(loop), 0.012 * s, _darker(person.handbag), 0.9)
    rows = [((x, y - 0.065, z), 0.036, 0.066), ((x, y - 0.11, z), 0.043, 0.078), ((x, y - 0.165, z), 0.044, 0.082)]
    _column(canvas, frame, rows, person.handbag)
    middle = frame.point((x, y - 0.095, z))
    half = frame.half_width(0.04, 0.07)
    canvas.crease([(middle[0] - half, middle[1]), (middle[0] + half, middle[1])], 0.008 * s, 0.62)


def _strap(
    canvas: Canvas, frame: Frame, bones: Skeleton, run: list[tuple[float, float]], width: float, paint: Rgb
) -> None:
    """A strap along points (angle round the trunk, height), drawn where the trunk faces the camera."""
    piece = []
    for around, y in [*run, (0.0, math.nan)]:
        turned = math.cos(around) * frame.cos - math.sin(around) * frame.sin
        if not math.isnan(y) and turned > -0.05:
            piece.append(frame.point(bones.surface(around, y)))
            continue
        canvas.stroke(piece, width, paint)
        piece = []


def _darker(colour: Rgb) -> Rgb:
    return colour[0] * 2 // 3, colour[1] * 2 // 3, colour[2] * 2 // 3
