"""What one identity looks like in every image of it: body, clothes, exact shades, what it carries."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bruna.dataset.course import ATTRIBUTES, MULTICOLOR
from bruna.sample.canvas import Rgb

_SHADES: dict[str, tuple[Rgb, ...]] = {
    "black": ((30, 30, 32), (22, 23, 27), (40, 37, 35)),
    "white": ((238, 238, 236), (228, 234, 242), (240, 234, 220)),
    "red": ((196, 30, 38), (224, 62, 34), (150, 22, 40)),
    "purple": ((112, 48, 150), (150, 92, 188), (96, 36, 96)),
    "yellow": ((240, 208, 44), (226, 178, 30), (244, 228, 116)),
    "gray": ((136, 138, 140), (112, 114, 120), (162, 160, 156)),
    "blue": ((44, 84, 184), (88, 148, 222), (30, 50, 124)),
    "green": ((48, 146, 66), (126, 196, 72), (36, 96, 70)),
    "pink": ((240, 150, 178), (230, 104, 152), (244, 182, 190)),
    "brown": ((124, 82, 50), (168, 130, 88), (94, 60, 42)),
}
_SKINS: tuple[Rgb, ...] = ((238, 200, 170), (224, 178, 142), (204, 152, 112), (160, 110, 76), (112, 74, 52))
_HAIRS: tuple[Rgb, ...] = ((28, 24, 24), (46, 32, 26), (84, 54, 34), (150, 108, 60), (112, 44, 26))
_GRAY_HAIRS: tuple[Rgb, ...] = ((198, 196, 194), (222, 222, 224), (160, 158, 158))
_LEATHERS: tuple[Rgb, ...] = (
    (40, 34, 32), (120, 66, 36), (170, 120, 70), (150, 28, 36), (30, 44, 92), (52, 94, 62), (214, 196, 160),
    (226, 110, 40), (120, 120, 126), (178, 60, 120),
)  # fmt: skip
_SHOES: tuple[Rgb, ...] = (
    (34, 32, 34), (232, 232, 232), (110, 66, 40), (186, 40, 44), (46, 84, 170), (120, 122, 126), (60, 140, 80),
)  # fmt: skip
_PATTERNS = ("bands", "checks", "dots", "blocks", "pinstripes")
_LOGOS = ("none", "bar", "disc", "square", "two bars", "chevron", "band")


@dataclass(frozen=True)
class Cloth:
    """The cloth of a garment: `colours[0]` is the ground; a pattern other than `plain` uses all colours.

    Attributes:
        pattern: plain, bands, checks, dots, blocks or pinstripes.
        colours: two or three colours.
        pitch: size of the pattern's repeat, body heights.
    """

    pattern: str
    colours: tuple[Rgb, ...]
    pitch: float


@dataclass(frozen=True)
class Body:
    """Lengths in body heights (1 = from sole to crown); the widths are half widths."""

    head: float
    hip_y: float
    shoulder: float
    chest: float
    waist: float
    hip: float
    depth: float
    limb: float
    stoop: float
    bust: float
    belly: float


@dataclass(frozen=True)
class Person:
    """Attribute values by name, and the persistent details that tell people of equal attributes apart."""

    values: dict[str, str]
    body: Body
    skin: Rgb
    hair: Rgb
    hair_style: str
    upper: Cloth
    lower: Cloth
    trim: Rgb
    logo: str
    logo_colour: Rgb
    hem: float
    fit: float
    sleeveless: bool
    shoe: Rgb
    sole: Rgb
    sock: float
    side: int
    pack: tuple[Rgb, Rgb]
    pack_size: float
    bag: Rgb
    strap: Rgb
    handbag: Rgb
    hat: Rgb
    hat_style: str
    stick: bool
    glasses: bool

    def has(self, attribute: str, value: str = "yes") -> bool:
        """True where the person bears the value."""
        return self.values[attribute] == value


def draw_person(codes: npt.NDArray[np.int64], rng: np.random.Generator) -> Person:
    """Draw the persistent details of a person with these twelve attribute codes."""
    values = {a.name: a.values[int(code)] for a, code in zip(ATTRIBUTES, codes, strict=True)}
    female, age = values["gender"] == "female", values["age"]
    upper = _cloth(values["upcolor"], rng, upper=True)
    lower = _cloth(values["downcolor"], rng, upper=False)
    if values["clothes"] == "dress" and values["upcolor"] == values["downcolor"]:
        lower = upper  # a dress in one piece
    complexion = int(rng.choice(5, p=[0.3, 0.32, 0.22, 0.1, 0.06]))
    hairs = _GRAY_HAIRS if age == "old" else _HAIRS[: 5 if complexion < 2 else 2]  # hair stands out on skin
    if values["hair"] == "long":
        style = str(rng.choice(["loose", "loose", "wavy", "tail"]))
    else:
        style = str(rng.choice(["bob", "bob", "bob", "crop"] if female else ["crop", "crop", "fringe"]))
    shirt = age in ("adult", "old") and upper.pattern in ("plain", "pinstripes", "checks")
    trim = _away(upper.colours[0], (*_SHADES["white"][:1], *_SHADES["black"][:1], *_LEATHERS[3:6]), rng)
    return Person(
        values=values,
        body=_body(age, female, rng),
        skin=_near(_SKINS[complexion], rng, 8),
        hair=_near(hairs[int(rng.integers(len(hairs)))], rng, 8),
        hair_style=style,
        upper=upper,
        lower=lower,
        trim=trim,
        logo="buttons" if shirt else ("none" if upper.pattern != "plain" else str(rng.choice(_LOGOS))),
        logo_colour=_away(upper.colours[0], tuple(c[0] for c in _SHADES.values()), rng),
        hem=float(rng.uniform(-0.03, 0.025)),
        fit=float(rng.uniform(0.95, 1.2) if female else rng.uniform(1.0, 1.4)),
        sleeveless=bool(values["up"] == "short" and rng.random() < (0.35 if female else 0.12)),
        shoe=_near(_SHOES[int(rng.integers(len(_SHOES) if age in ("young", "teenager") else 3))], rng, 10),
        sole=(235, 235, 232) if age in ("young", "teenager") and rng.random() < 0.7 else (52, 46, 42),
        sock=float(rng.choice([0.0, 0.02, 0.05])) if values["clothes"] == "pants" else 0.0,
        side=int(rng.choice([-1, 1])),
        pack=(
            _away(upper.colours[0], _LEATHERS, rng),
            _near(_LEATHERS[int(rng.integers(len(_LEATHERS)))], rng, 10),
        ),
        pack_size=float(rng.uniform(0.9, 1.2)),
        bag=_away(upper.colours[0], _LEATHERS, rng),
        strap=_away(upper.colours[0], ((36, 32, 32), (150, 104, 62), (228, 222, 206)), rng),
        handbag=_away(lower.colours[0], _LEATHERS, rng),
        hat=_away(hairs[0], (*_LEATHERS[1:], (236, 236, 234)), rng),
        hat_style=str(rng.choice(["sun", "sun", "cap"] if female else ["cap", "cap", "sun"])),
        stick=age == "old" and values["handbag"] != "yes",
        glasses=bool(rng.random() < 0.15),
    )


def _body(age: str, female: bool, rng: np.random.Generator) -> Body:
    """Proportions by age and gender, each identity a little off the mean."""
    wide = {"young": 0.98, "teenager": 0.93, "adult": 1.08, "old": 1.04}[age] * rng.uniform(0.92, 1.1)
    head = {"young": 0.192, "teenager": 0.142, "adult": 0.136, "old": 0.142}[age] * rng.uniform(0.97, 1.04)
    grown = age in ("adult", "old")
    if age == "young":
        shoulder, chest, waist, hip = 0.094, 0.086, 0.082, 0.084
    elif female:
        shoulder, chest, waist, hip = 0.094, 0.086, 0.064, 0.101
    else:
        shoulder, chest, waist, hip = 0.122, 0.104, 0.092, 0.088
    return Body(
        head=head,
        hip_y={"young": 0.44, "teenager": 0.505, "adult": 0.5, "old": 0.49}[age] + rng.uniform(-0.012, 0.012),
        shoulder=shoulder * wide,
        chest=chest * wide,
        waist=waist * wide * (1.1 if grown else 1.0),
        hip=hip * wide,
        depth=(0.056 if female else 0.062) * wide,
        limb=(0.88 if female else 1.0) * wide * (1.12 if age == "young" else 1.0),
        stoop=0.16 if age == "old" else 0.0,
        bust=0.022 if female and age != "young" else 0.0,
        belly=float(rng.uniform(0.008, 0.035)) if grown else 0.0,
    )


def _cloth(colour: str, rng: np.random.Generator, *, upper: bool) -> Cloth:
    if colour != MULTICOLOR:
        ground = _near(_SHADES[colour][int(rng.integers(3))], rng, 10)
        lift = 40 if sum(ground) < 200 else 0  # dark cloth has a lighter pattern
        r, g, b = (int(c * 0.72) + lift for c in ground)
        pattern = str(rng.choice(["plain", "plain", "plain", "pinstripes", "checks"])) if upper else "plain"
        return Cloth(pattern, (ground, (r, g, b)), float(rng.uniform(0.03, 0.05)))
    names = [str(n) for n in rng.permutation(["red", "yellow", "blue", "green", "purple", "pink"])[:2]]
    colours = [_SHADES[n][int(rng.integers(2))] for n in names]
    colours.insert(int(rng.integers(2)), _SHADES[str(rng.choice(["white", "black"]))][0])
    return Cloth(
        str(rng.choice(_PATTERNS[:4])), tuple(_near(c, rng, 8) for c in colours), float(rng.uniform(0.05, 0.075))
    )


def _near(colour: Rgb, rng: np.random.Generator, spread: int) -> Rgb:
    """A shade close to `colour`: brightness and tint move a little."""
    common = int(rng.integers(-spread, spread + 1))
    shifts = rng.integers(-spread // 2, spread // 2 + 1, size=3)
    r, g, b = (min(250, max(8, c + common + int(s))) for c, s in zip(colour, shifts, strict=True))
    return r, g, b


def _away(colour: Rgb, choices: tuple[Rgb, ...], rng: np.random.Generator) -> Rgb:
    """One of the choices that stands out against `colour`."""
    far = [c for c in choices if sum(abs(a - b) for a, b in zip(c, colour, strict=True)) > 150] or list(choices)
    return _near(far[int(rng.integers(len(far)))], rng, 8)
