"""The schema of a data set: which attributes its people have, with which values, and how a network tells them.

A schema is a sequence of tasks. Their order is that of every matrix of codes (a column a task) and of the logits.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

UNKNOWN = -1
"""Code of an attribute that is not annotated (distractors, junk, unlabelled images)."""
_NO_YES = ("no", "yes")
_ADDED = re.compile(r"camera\d+|junk", re.ASCII)


@dataclass(frozen=True)
class Task:
    """One thing that a network tells of an image: an attribute, or one of the classes that Task 1 adds.

    Attributes:
        name: e.g. `upcolor`; its column in the image tables.
        values: its values in code order, two or more; code `i` means `values[i]`.
    """

    name: str
    values: tuple[str, ...]

    @property
    def title(self) -> str:
        """The name as tables and pictures show it."""
        return title(self.name)

    @property
    def binary(self) -> bool:
        """True where one logit and the sigmoid loss serve, False where a softmax over the values does."""
        return len(self.values) == 2

    @cached_property
    def width(self) -> int:
        """Number of logits: 1 for a binary task, otherwise one a value."""
        return 1 if self.binary else len(self.values)

    @property
    def added(self) -> bool:
        """True for a class that Task 1 adds to the attributes: a camera, or junk."""
        return _ADDED.fullmatch(self.name) is not None


def title(name: str) -> str:
    """The name of a task as tables and pictures show it."""
    return name.replace("_", " ").capitalize()


def mean_title(count: int) -> str:
    """The title of the row that is the mean of so many attributes."""
    return f"Mean of the {count} attributes"


Tasks = tuple[Task, ...]
JUNK_TASK = Task("junk", _NO_YES)
"""Told of an image that shows no person; the last of Task 1's tasks."""


def task1_tasks(attributes: Sequence[Task], camera_classes: Sequence[int]) -> Tasks:
    """All that Task 1 tells: the attributes, whether the camera is one of some, and junk (paper, section 3.1.2)."""
    return (*attributes, *(Task(f"camera{camera}", _NO_YES) for camera in camera_classes), JUNK_TASK)


def attributes_among(tasks: Sequence[Task]) -> Tasks:
    """The attributes among the tasks of Task 1, which come first there."""
    return tuple(task for task in tasks if not task.added)


def differences(one: Sequence[Task], other: Sequence[Task]) -> str:
    """Which attributes two schemas do not share, in words; empty where both are the same, in the same order."""
    if tuple(one) == tuple(other):
        return ""
    first, second = ({task.name: task.values for task in tasks} for tasks in (one, other))
    differing = [name for name in (*first, *(set(second) - set(first))) if first.get(name) != second.get(name)]
    if not differing:
        return "the order of the attributes"

    def shown(tasks: dict[str, tuple[str, ...]], name: str) -> str:
        return "/".join(tasks[name]) if name in tasks else "none"

    return ", ".join(f"{name} ({shown(first, name)}; {shown(second, name)})" for name in sorted(differing))


def as_json(tasks: Sequence[Task]) -> list[dict[str, object]]:
    """The tasks as settings.json of a model keeps them."""
    return [{"name": task.name, "values": list(task.values)} for task in tasks]


def logit_count(tasks: Sequence[Task]) -> int:
    """How many logits tell so many tasks."""
    return sum(task.width for task in tasks)


def logit_slices(tasks: Sequence[Task]) -> dict[str, slice]:
    """Where each task's logits lie, in the order of `tasks`."""
    slices, start = {}, 0
    for task in tasks:
        slices[task.name] = slice(start, start + task.width)
        start += task.width
    return slices
