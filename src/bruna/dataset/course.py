"""The twelve attributes of Market-1501, and how its course edition writes them: 28 columns of 1 and 2."""

from collections.abc import Mapping

from bruna.dataset.schema import Task, Tasks

UP_COLORS = ("black", "white", "red", "purple", "yellow", "gray", "blue", "green", "multicolor")
DOWN_COLORS = ("black", "white", "pink", "purple", "yellow", "gray", "blue", "green", "brown", "multicolor")
MULTICOLOR = "multicolor"
"""The derived color of a half for which the annotation file sets none."""
ATTRIBUTES: Tasks = (
    Task("age", ("young", "teenager", "adult", "old")),
    Task("backpack", ("no", "yes")),
    Task("bag", ("no", "yes")),
    Task("handbag", ("no", "yes")),
    Task("clothes", ("dress", "pants")),
    Task("down", ("long", "short")),
    Task("up", ("long", "short")),
    Task("hair", ("short", "long")),
    Task("hat", ("no", "yes")),
    Task("gender", ("male", "female")),
    Task("upcolor", UP_COLORS),
    Task("downcolor", DOWN_COLORS),
)


def _columns(attribute: Task) -> tuple[str, ...]:
    if MULTICOLOR not in attribute.values:
        return (attribute.name,)
    prefix = attribute.name.removesuffix("color")
    return tuple(prefix + value for value in attribute.values if value != MULTICOLOR)


COLUMNS: Mapping[str, tuple[str, ...]] = {attribute.name: _columns(attribute) for attribute in ATTRIBUTES}
"""The columns of each attribute in the annotation file: one, or one a color."""
ANNOTATION_COLUMNS: tuple[str, ...] = ("id", *(column for columns in COLUMNS.values() for column in columns))
"""Header of `annotations_train.csv`, 28 columns."""
