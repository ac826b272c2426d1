"""Who the sample's people are: attribute codes, identity numbers, and which camera sees whom when."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bruna.dataset.course import ATTRIBUTES
from bruna.errors import BrunaError

CAMERAS = 6
BEARERS = 3
"""Fewest identities that bear a value, so that it can stand in training and in validation after the split."""

_SHARES: dict[str, tuple[float, ...]] = {
    # In the order of Market-1501's, but nearer to each other: among 60 people a value that few bear
    # cannot be learnt by any network, so it could not tell a good one from a bad one.
    "age": (0.12, 0.48, 0.27, 0.13),
    "backpack": (0.64, 0.36),
    "bag": (0.68, 0.32),
    "handbag": (0.72, 0.28),
    "clothes": (0.28, 0.72),
    "down": (0.45, 0.55),
    "up": (0.42, 0.58),
    "hair": (0.55, 0.45),
    "hat": (0.80, 0.20),
    "gender": (0.52, 0.48),
    "upcolor": (0.13, 0.16, 0.12, 0.09, 0.10, 0.11, 0.10, 0.09, 0.10),
    "downcolor": (0.18, 0.10, 0.09, 0.08, 0.08, 0.12, 0.13, 0.08, 0.08, 0.06),
}
_FEMALE_PULL = {"hair": 1.2, "clothes": -9.0, "handbag": 0.5}
"""How much likelier women are to bear the second value (below zero: the first) than men."""


def random_generator(seed: int, *key: int) -> np.random.Generator:
    """The random generator of one drawing, independent of every other key and of the order of drawing."""
    return np.random.default_rng([seed, *key])


def plan_attributes(count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draw the attributes of `count` people.

    Every value is borne by at least `BEARERS` people where `count` allows it (from 30 people on).

    Returns:
        `count` x 12 attribute codes, int64, columns in the order of `ATTRIBUTES`.
    """
    codes = np.zeros((count, len(ATTRIBUTES)), dtype=np.int64)
    gender = next(i for i, attribute in enumerate(ATTRIBUTES) if attribute.name == "gender")
    codes[:, gender] = rng.permutation(_spread(_quotas(count, _SHARES["gender"])))
    female = codes[:, gender] == 1
    for i, attribute in enumerate(ATTRIBUTES):
        if i == gender:
            continue
        values = _spread(_quotas(count, _SHARES[attribute.name]))
        pull = _FEMALE_PULL.get(attribute.name, 0.0)
        order = np.argsort(rng.random(count) + pull * female, kind="stable")
        codes[order, i] = values
    return codes


@dataclass(frozen=True)
class Shot:
    """One appearance of a person.

    Attributes:
        person: index of the person among those drawn for the same folder.
        camera: 1 to `CAMERAS`.
        sequence: 1 to 3, the stretch of recording (the `s` of an official file name).
        frame: frame number inside the sequence.
    """

    person: int
    camera: int
    sequence: int
    frame: int


def plan_shots(person: int, count: int, rng: np.random.Generator, *, every: int = 1) -> list[Shot]:
    """Spread `count` appearances of a person over at least three cameras (fewer where `count` is below three).

    Args:
        person: index of the person.
        count: how many appearances.
        rng: where the choice comes from.
        every: fewest appearances in a camera that sees the person at all, as far as `count` allows it.
    """
    most = min(CAMERAS, max(1, count // every))
    seen = rng.permutation(CAMERAS)[: int(rng.integers(min(3, most), most + 1))] + 1
    cameras = [int(seen[i % len(seen)]) for i in range(min(count, every * len(seen)))]
    cameras += [int(rng.choice(seen)) for _ in range(count - len(cameras))]
    frames = np.sort(rng.choice(90_000, size=count, replace=False)) + 51
    return [
        Shot(person, camera, int(rng.integers(1, 4)), int(frame))
        for camera, frame in zip(sorted(cameras), frames, strict=True)
    ]


def _quotas(count: int, shares: Sequence[float]) -> list[int]:
    """Split `count` by `shares`, each at least `BEARERS` (less if `count` is too small); the largest pays."""
    least = min(BEARERS, count // len(shares))
    quotas = [max(least, round(count * share)) for share in shares]
    largest = max(range(len(shares)), key=lambda i: shares[i])
    quotas[largest] += count - sum(quotas)
    while quotas[largest] < least:  # a small count: the other common values give as well
        giver = max(range(len(quotas)), key=lambda i: quotas[i])
        if quotas[giver] <= least:
            raise BrunaError(f"cannot give {len(shares)} values to {count} people; ask for more identities.")
        quotas[giver] -= 1
        quotas[largest] += 1
    return quotas


def _spread(quotas: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.repeat(np.arange(len(quotas)), quotas)
