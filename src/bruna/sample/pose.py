"""From a body in three dimensions to the canvas: pose, joints and projection."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bruna.sample.canvas import Point
from bruna.sample.person import Body

Joint = tuple[float, float, float]
"""x to the person's right hand side as the camera sees it from the front, y up, z forward; body heights."""


@dataclass(frozen=True)
class Pose:
    """How a person stands in one image. Angles in radians.

    Attributes:
        yaw: 0 faces the camera, pi/2 walks to the right of the image, pi shows the back.
        head_yaw: turn of the head against the body.
        phase: where in the walking cycle, 0 to 2 pi.
        stride: largest angle of the thigh; 0 stands still.
        swing: largest angle of the arm.
        elbow: bend of each elbow.
        spread: how far the arms hang off the body.
    """

    yaw: float
    head_yaw: float
    phase: float
    stride: float
    swing: float
    elbow: tuple[float, float]
    spread: float


def draw_pose(rng: np.random.Generator, old: bool) -> Pose:
    """Draw a pose; the front, the back and both sides are equally frequent."""
    yaw = float(rng.choice([0.0, 0.5, 1.0, 1.5]) * math.pi + rng.normal(0, 0.35))
    walks = rng.random() < 0.8
    stride = float(rng.uniform(0.25, 0.52) if walks else rng.uniform(0.0, 0.08)) * (0.6 if old else 1.0)
    phone = rng.random() < 0.12
    return Pose(
        yaw=yaw,
        head_yaw=float(rng.normal(0, 0.3)),
        phase=float(rng.uniform(0, 2 * math.pi)),
        stride=stride,
        swing=stride * float(rng.uniform(0.6, 1.1)),
        elbow=(2.1 if phone else float(rng.uniform(0.1, 0.7)), float(rng.uniform(0.1, 0.7))),
        spread=float(rng.uniform(0.06, 0.2)),
    )


class Frame:
    """Projects body coordinates to the canvas, from a little above.

    Args:
        scale: canvas pixels a body height.
        foot: where the ground under the person lies, canvas pixels.
        yaw: turn of the body.
        pitch: how much nearer points sink in the image (a camera that looks down).
    """

    def __init__(self, scale: float, foot: Point, yaw: float, pitch: float) -> None:
        self.scale, self.foot, self.pitch = scale, foot, pitch
        self.cos, self.sin = math.cos(yaw), math.sin(yaw)

    def depth(self, joint: Joint) -> float:
        """How near the camera, body heights; above 0 is before the body's axis."""
        return joint[2] * self.cos - joint[0] * self.sin

    def point(self, joint: Joint) -> Point:
        """Canvas position of a point."""
        x = joint[0] * self.cos + joint[2] * self.sin
        y = joint[1] - self.pitch * self.depth(joint)
        return self.foot[0] + self.scale * x, self.foot[1] - self.scale * y

    def points(self, joints: Sequence[Joint]) -> list[Point]:
        """Canvas positions of several points."""
        return [self.point(joint) for joint in joints]

    def half_width(self, across: float, deep: float) -> float:
        """Half the seen width, canvas pixels, of an upright body with an elliptical cross-section."""
        return self.scale * math.hypot(across * self.cos, deep * self.sin)

    def turned(self, by: float) -> "Frame":
        """The same place with the body turned further (the head)."""
        turned = Frame(self.scale, self.foot, 0.0, self.pitch)
        turned.cos = self.cos * math.cos(by) - self.sin * math.sin(by)
        turned.sin = self.sin * math.cos(by) + self.cos * math.sin(by)
        return turned


@dataclass(frozen=True)
class Skeleton:
    """Joints of a posed body; `legs` and `arms` are ordered left (x < 0), right.

    Attributes:
        legs: hip, knee, ankle, toe of each leg.
        arms: shoulder, elbow, hand of each arm.
        trunk: slices of the trunk from crotch to neck: (centre, half width, half depth).
        head: centre of the head.
        head_radius: half the head's height.
    """

    legs: tuple[tuple[Joint, ...], ...]
    arms: tuple[tuple[Joint, ...], ...]
    trunk: tuple[tuple[Joint, float, float], ...]
    head: Joint
    head_radius: float

    def slice(self, y: float) -> tuple[Joint, float, float]:
        """Centre, half width and half depth of the trunk at a height."""
        rows = self.trunk
        for low, high in pairwise(rows):
            if y <= high[0][1]:
                t = max(0.0, (y - low[0][1]) / (high[0][1] - low[0][1]))
                z = low[0][2] + t * (high[0][2] - low[0][2])
                return (0.0, y, z), low[1] + t * (high[1] - low[1]), low[2] + t * (high[2] - low[2])
        return rows[-1]

    def surface(self, around: float, y: float) -> Joint:
        """A point on the trunk; `around` 0 is the middle of the chest, pi of the back, radians."""
        (_, _, z), across, deep = self.slice(y)
        return across * math.sin(around), y, z + deep * math.cos(around)


def pose_body(body: Body, pose: Pose) -> Skeleton:
    """Set the joints of a body in a pose, the lower foot on the ground (y = 0)."""
    thigh, calf = (body.hip_y - 0.045) * 0.53, (body.hip_y - 0.045) * 0.47
    legs = [_leg(body, pose, side, thigh, calf) for side in (-1, 1)]
    lift = 0.045 - min(leg[2][1] for leg in legs)
    legs = [tuple((x, y + lift, z) for x, y, z in leg) for leg in legs]
    hip_y = body.hip_y + lift
    neck = 1.0 - body.head * 1.0 - 0.028 - body.stoop * 0.22 + lift
    trunk = _trunk(body, hip_y, neck)
    shoulder_z = trunk[-3][0][2]
    arms = [_arm(body, pose, side, neck - 0.055, shoulder_z) for side in (-1, 1)]
    radius = body.head / 2
    head = (0.0, neck + 0.024 + radius, trunk[-1][0][2] + 0.012 + body.stoop * 0.3)
    return Skeleton(tuple(legs), tuple(arms), tuple(trunk), head, radius)


def _leg(body: Body, pose: Pose, side: int, thigh: float, calf: float) -> tuple[Joint, ...]:
    phase = pose.phase + (0.0 if side < 0 else math.pi)
    angle = pose.stride * math.sin(phase) + 0.25 * body.stoop
    bend = 0.06 + 1.5 * pose.stride * max(0.0, math.cos(phase)) + 0.8 * body.stoop
    x = side * body.hip * 0.5
    knee = (x, body.hip_y - thigh * math.cos(angle), thigh * math.sin(angle))
    below = angle - bend
    ankle = (x, knee[1] - calf * math.cos(below), knee[2] + calf * math.sin(below))
    tilt = 0.5 * below if below < 0 else -0.4 * below  # the heel lifts behind, the toes before
    toe = (x + side * 0.015, ankle[1] - 0.028 + 0.09 * tilt, ankle[2] + 0.068)
    return (x, body.hip_y, 0.0), knee, ankle, toe


def _arm(body: Body, pose: Pose, side: int, shoulder_y: float, shoulder_z: float) -> tuple[Joint, ...]:
    upper, lower = 0.165, 0.155
    angle = -pose.swing * math.sin(pose.phase + (0.0 if side < 0 else math.pi))
    bend = pose.elbow[0 if side < 0 else 1]
    out = pose.spread
    x = side * body.shoulder * 0.93
    elbow = (
        x + side * upper * math.sin(out),
        shoulder_y - upper * math.cos(angle),
        shoulder_z + upper * math.sin(angle),
    )
    inward = 0.3 * out if bend < 1.5 else -0.5
    hand = (
        elbow[0] + side * lower * math.sin(inward),
        elbow[1] - lower * math.cos(angle + bend),
        elbow[2] + lower * math.sin(angle + bend),
    )
    return (x, shoulder_y, shoulder_z), elbow, hand


def _trunk(body: Body, hip_y: float, neck: float) -> list[tuple[Joint, float, float]]:
    """Slices from the crotch up; a stoop carries the upper ones forward."""
    tall = neck - hip_y

    def row(share: float, across: float, deep: float, forward: float = 0.0) -> tuple[Joint, float, float]:
        lean = body.stoop * max(0.0, share) ** 2 * 0.75
        return (0.0, hip_y + share * tall, forward + lean), across, deep

    return [
        row(-0.14, body.hip * 0.85, body.depth * 0.9),
        row(0.0, body.hip, body.depth * 1.05),
        row(0.30, body.waist, body.depth * 0.9 + body.belly * 0.5, body.belly * 0.6),
        row(0.62, body.chest, body.depth + body.bust * 0.5, body.bust * 0.6),
        row(0.80, body.shoulder * 0.98, body.depth),
        row(0.90, body.shoulder * 0.78, body.depth * 0.85),
        row(1.0, body.head * 0.27, body.depth * 0.5),
    ]
