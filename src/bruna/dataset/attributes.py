"""The twelve pedestrian attributes: their values, their columns in the annotation file, their logits.

The order of `ATTRIBUTES` is the order of the annotation file's columns and of every N x 12 code matrix.
"""

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Attribute:
    """One attribute.

    Attributes:
        name: its column in the image tables, e.g. `upcolor`.
        values: its values in code order; code `i` means `values[i]`.
        columns: its columns in the annotation file (one, or one a colour).
        title: its row in Table 1 of the paper.
    """

    name: str
    values: tuple[str, ...]
    columns: tuple[str, ...]
    title: str

    @property
    def binary(self) -> bool:
        """True where one logit and the sigmoid loss serve, False where a softmax over the values does."""
        return len(self.values) == 2

    @cached_property
    def width(self) -> int:
        """Number of logits: 1 for a binary attribute, otherwise one a value."""
        return 1 if self.binary else len(self.values)


UP_COLORS = ("black", "white", "red", "purple", "yellow", "gray", "blue", "green", "multicolor")
DOWN_COLORS = ("black", "white", "pink", "purple", "yellow", "gray", "blue", "green", "brown", "multicolor")
MULTICOLOR = "multicolor"
"""The derived colour of a half for which the annotation file sets no colour (original.md)."""


def _binary(name: str, first: str, second: str) -> Attribute:
    return Attribute(name, (first, second), (name,), name.capitalize())


def _color(name: str, prefix: str, values: tuple[str, ...], title: str) -> Attribute:
    columns = tuple(prefix + value for value in values if value != MULTICOLOR)
    return Attribute(name, values, columns, title)


ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute("age", ("young", "teenager", "adult", "old"), ("age",), "Age"),
    _binary("backpack", "no", "yes"),
    _binary("bag", "no", "yes"),
    _binary("handbag", "no", "yes"),
    _binary("clothes", "dress", "pants"),
    _binary("down", "long", "short"),
    _binary("up", "long", "short"),
    _binary("hair", "short", "long"),
    _binary("hat", "no", "yes"),
    _binary("gender", "male", "female"),
    _color("upcolor", "up", UP_COLORS, "Up-color"),
    _color("downcolor", "down", DOWN_COLORS, "Down-color"),
)
NAMES: tuple[str, ...] = tuple(attribute.name for attribute in ATTRIBUTES)
UNKNOWN = -1
"""Code of an attribute that is not annotated (distractors, junk, unlabelled images)."""

ANNOTATION_COLUMNS: tuple[str, ...] = ("id", *(c for attribute in ATTRIBUTES for c in attribute.columns))
"""Header of `annotations_train.csv`, 28 columns."""

EXTRA_CLASSES: tuple[str, ...] = ("camera4", "camera6", "junk")
"""The three binary classes that Task 1 adds (paper, section 3.1.2)."""

LOGITS: int = sum(attribute.width for attribute in ATTRIBUTES)
"""Length of a prediction: 4 age + 9 binary + 9 upper + 10 lower colours = 32."""


def logit_slices() -> dict[str, slice]:
    """Where each attribute's logits lie in a prediction of 32 numbers, in the order of `ATTRIBUTES`."""
    slices, start = {}, 0
    for attribute in ATTRIBUTES:
        slices[attribute.name] = slice(start, start + attribute.width)
        start += attribute.width
    return slices
