"""How evenly a split spreads the attribute values: the balance table and its summary."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from bruna.dataset.schema import UNKNOWN, Task
from bruna.dataset.splitting import one_hot, training_size

Mask = npt.NDArray[np.bool_]
_COLUMNS = [
    *("attribute", "value", "people", "train", "validation", "wanted", "deviation"),
    *("percent", "train_percent", "validation_percent", "images", "train_images", "validation_images"),
    *("image_percent", "train_image_percent", "validation_image_percent"),
]
"""Of the balance table."""


def most_frequent(
    codes: npt.NDArray[np.integer], identities: npt.NDArray[np.integer], attributes: Sequence[Task]
) -> npt.NDArray[np.int64]:
    """The code of each identity that most of its images have: all of them, where attributes belong to identities.

    Args:
        codes: N x A attribute codes of images, -1 where not annotated.
        identities: N, of the images.
        attributes: the A attributes.

    Returns:
        A row an identity, in ascending order; the first of codes that are equally frequent; -1 where none is known.
    """
    people, place = np.unique(identities, return_inverse=True)
    found = np.empty((len(people), len(attributes)), dtype=np.int64)
    for i, attribute in enumerate(attributes):
        counts = np.zeros((len(people), len(attribute.values)), dtype=np.int64)
        known = codes[:, i] != UNKNOWN
        np.add.at(counts, (place[known], codes[known, i]), 1)
        found[:, i] = np.where(counts.any(axis=1), counts.argmax(axis=1), UNKNOWN)
    return found


def balance_table(
    codes: npt.NDArray[np.integer],
    attributes: Sequence[Task],
    train: Mask,
    images: npt.NDArray[np.integer],
    *,
    train_share: float,
) -> pd.DataFrame:
    """How each attribute value is spread over the two sides.

    Args:
        codes: N x A attribute codes of the people.
        attributes: the A attributes.
        train: N, True for training.
        images: N, images of each person.
        train_share: the wanted share.

    Returns:
        One row a value that somebody bears: `attribute`, `value`, counts of `people`, `train`, `validation`;
        `wanted` = train_share * people; `deviation` = train - wanted, in people; the same people as percentages
        of all, of the training and of the validation people (`percent`, `train_percent`, `validation_percent`);
        `images`, `train_images`, `validation_images` and their percentages of all images of the respective side.
    """
    bearers = one_hot(codes, attributes)
    rows = []
    labels = [(attribute.name, value) for attribute in attributes for value in attribute.values]
    for (attribute, value), bears in zip(labels, bearers.T, strict=True):
        if not bears.any():
            continue
        row: dict[str, object] = {"attribute": attribute, "value": value}
        people, inside = int(bears.sum()), int((bears & train).sum())
        row |= {"people": people, "train": inside, "validation": people - inside}
        row |= {"wanted": round(train_share * people, 3), "deviation": round(inside - train_share * people, 3)}
        row |= _percents("", bears, train, np.ones(len(train)))
        row |= {"images": int(images[bears].sum()), "train_images": int(images[bears & train].sum())}
        row["validation_images"] = int(images[bears & ~train].sum())
        row |= _percents("image_", bears, train, images)
        rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else _COLUMNS)


def _percents(prefix: str, bears: Mask, train: Mask, weights: npt.NDArray[np.number]) -> dict[str, float]:
    sides = {"": np.ones_like(train), "train_": train, "validation_": ~train}
    return {
        f"{side}{prefix}percent": round(100 * float(weights[bears & of].sum() / weights[of].sum()), 3)
        for side, of in sides.items()
    }


def split_summary(
    table: pd.DataFrame, train: Mask, images: npt.NDArray[np.integer]
) -> dict[str, int | float | str | list[str]]:
    """The figures of a split, from its `balance_table`.

    Returns:
        Identities and images of each side, their shares, the worst deviation of a value in people and which value
        it is, how many values deviate by more than one person, the worst difference between a value's percentage
        of the validation images and of all images (percentage points), and the values that two or more people
        bear but only one side has (none, but for very small sets), and those with a single bearer.
    """
    sides = {
        "train_identities": int(train.sum()),
        "validation_identities": int((~train).sum()),
        "train_images": int(images[train].sum()),
        "validation_images": int(images[~train].sum()),
        "train_identity_share": round(float(train.mean()), 6),
        "train_image_share": round(float(images[train].sum() / images.sum()), 6),
    }
    if table.empty:  # no attributes
        return {**sides, "values": 0}
    worst = table.iloc[int(table["deviation"].abs().to_numpy().argmax())]
    one_side = table[(table["people"] >= 2) & ((table["train"] == 0) | (table["validation"] == 0))]
    gap = (table["validation_image_percent"] - table["image_percent"]).abs()
    return {
        **sides,
        "worst_deviation_people": abs(float(worst["deviation"])),
        "worst_deviation_value": f"{worst['attribute']}={worst['value']}",
        "values": len(table),
        "values_off_by_more_than_one": int((table["deviation"].abs() > 1).sum()),
        "worst_image_gap_points": round(float(gap.max()), 3),
        "values_on_one_side": _labels(one_side),
        "values_with_one_bearer": _labels(table[table["people"] == 1]),
    }


def size_warnings(table: pd.DataFrame, train: Mask, train_share: float, what: str) -> list[str]:
    """Say which rule of the split forces another size of its sides than is asked for, where it does.

    Args:
        table: of `balance_table`.
        train: N, True for training.
        train_share: the wanted share.
        what: the N are, `identities` or `images`.
    """
    people, found = len(train), int(train.sum())
    asked = training_size(people, train_share)
    if found == asked:
        return []
    side, size = ("validation", people - found) if found < asked else ("train", found)
    last = _labels(table[(table[side] == 1) & (table["people"] >= 2)])
    shown = ", ".join(last[:3]) + (", ..." if len(last) > 3 else "")
    return [
        f"split.train_share {train_share:g} asks for {asked} of {people} {what} to train on, and {found} do: every "
        f"value that two or more bear must be on both sides, and each of the {size} {what} in "
        f"{side.replace('train', 'training')} is the last there to bear some value ({shown})."
    ]


def _labels(table: pd.DataFrame) -> list[str]:
    return [f"{a}={v}" for a, v in zip(table["attribute"], table["value"], strict=True)]
