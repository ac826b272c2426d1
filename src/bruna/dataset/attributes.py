"""The twelve pedestrian attributes: their values, their columns in the annotation file, their logits.

The order of `ATTRIBUTES` is the order of the annotation file's columns and of every N x 12 code matrix. An attribute
that is added here is trained, measured and drawn by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Task:
    """One thing that a network tells of an image: an attribute, or one of the classes that Task 1 adds.

    Attributes:
        name: e.g. `upcolor`; its column in the image tables.
        values: its values in code order; code `i` means `values[i]`.
        title: its row in Table 1 of the paper.
    """

    name: str
    values: tuple[str, ...]
    title: str

    @property
    def binary(self) -> bool:
        """True where one logit and the sigmoid loss serve, False where a softmax over the values does."""
        return len(self.values) == 2

    @cached_property
    def width(self) -> int:
        """Number of logits: 1 for a binary task, otherwise one a value."""
        return 1 if self.binary else len(self.values)


@dataclass(frozen=True)
class Attribute(Task):
    """An attribute of a person.

    Attributes:
        columns: its columns in the annotation file (one, or one a colour).
    """

    columns: tuple[str, ...]


UP_COLORS = ("black", "white", "red", "purple", "yellow", "gray", "blue", "green", "multicolor")
DOWN_COLORS = ("black", "white", "pink", "purple", "yellow", "gray", "blue", "green", "brown", "multicolor")
MULTICOLOR = "multicolor"
"""The derived colour of a half for which the annotation file sets no colour."""


def _binary(name: str, first: str, second: str) -> Attribute:
    return Attribute(name, (first, second), name.capitalize(), (name,))


def _color(name: str, prefix: str, values: tuple[str, ...], title: str) -> Attribute:
    columns = tuple(prefix + value for value in values if value != MULTICOLOR)
    return Attribute(name, values, title, columns)


ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute("age", ("young", "teenager", "adult", "old"), "Age", ("age",)),
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

CAMERA_CLASSES: tuple[int, ...] = (4, 6)
"""The cameras that Task 1 learns to tell from all others."""
EXTRA_CLASSES: tuple[str, ...] = (*(f"camera{camera}" for camera in CAMERA_CLASSES), "junk")
"""The three binary classes that Task 1 adds (paper, section 3.1.2), in the order of its targets."""

TASKS: tuple[Task, ...] = (*ATTRIBUTES, *(Task(name, ("no", "yes"), name.capitalize()) for name in EXTRA_CLASSES))
"""All that Task 1 tells, the attributes first: the columns of every N x 15 code matrix."""
TASK_NAMES: tuple[str, ...] = tuple(task.name for task in TASKS)

LOGITS: int = sum(attribute.width for attribute in ATTRIBUTES)
"""Length of a prediction: 4 age + 9 binary + 9 upper + 10 lower colours = 32."""

_TABLE1 = (
    *EXTRA_CLASSES,
    *("backpack", "bag", "handbag", "clothes", "down", "up", "hair", "hat", "gender", "upcolor", "downcolor", "age"),
)


def table1_place(task: Task) -> int:
    """Sorts tasks as Table 1 of the paper does; those that it does not have come last, in the order of the schema."""
    return _TABLE1.index(task.name) if task.name in _TABLE1 else len(_TABLE1)


def logit_slices(tasks: Sequence[Task] = ATTRIBUTES) -> dict[str, slice]:
    """Where each task's logits lie, in the order of `tasks`: of the 32 attribute logits, or of the 35 of `TASKS`."""
    slices, start = {}, 0
    for task in tasks:
        slices[task.name] = slice(start, start + task.width)
        start += task.width
    return slices
