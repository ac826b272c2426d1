"""Conditions on images, as `query.py` reads them: what is predicted and what is known, joined by `and` and `or`."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Predicted:
    """An attribute has one of some values.

    Attributes:
        attribute: its name.
        codes: of the values.
        count: of all its values.
    """

    attribute: str
    codes: frozenset[int]
    count: int


@dataclass(frozen=True)
class Known:
    """What is known of an image: a column compared with a value.

    Attributes:
        column: its name.
        sign: one of = != < <= > >= like.
        value: a number is compared with numbers; a text with texts, and as a number if it is one and all cells are.
        holds: False where the opposite is asked for.
    """

    column: str
    sign: str
    value: str | float
    holds: bool = True


@dataclass(frozen=True)
class Both:
    """All parts hold."""

    parts: "tuple[Condition, ...]"


@dataclass(frozen=True)
class Either:
    """One part holds, or more."""

    parts: "tuple[Condition, ...]"


Condition = Predicted | Known | Both | Either
"""No negation is left: `opposite` has moved it to the leaves."""


def opposite(condition: Condition) -> Condition:
    """Its negation (de Morgan)."""
    if isinstance(condition, Predicted):
        return replace(condition, codes=frozenset(range(condition.count)) - condition.codes)
    if isinstance(condition, Known):
        return replace(condition, holds=not condition.holds)
    parts = tuple(map(opposite, condition.parts))
    return either(parts) if isinstance(condition, Both) else both(parts)


def both(parts: Sequence[Condition]) -> Condition:
    """All of the parts; what they say of one attribute becomes one part: its values are no independent events."""
    return _joined(Both, parts, frozenset.__and__)


def either(parts: Sequence[Condition]) -> Condition:
    """Any of the parts; see `both`."""
    return _joined(Either, parts, frozenset.__or__)


def _joined(
    kind: type[Both] | type[Either],
    parts: Sequence[Condition],
    join: Callable[[frozenset[int], frozenset[int]], frozenset[int]],
) -> Condition:
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, kind) else (part,))]
    found: dict[object, Condition] = {}
    for part in flat:
        if isinstance(part, Predicted) and isinstance(before := found.get(part.attribute), Predicted):
            part = replace(part, codes=join(before.codes, part.codes))  # noqa: PLW2901
        found[part.attribute if isinstance(part, Predicted) else part] = part
    return next(iter(found.values())) if len(found) == 1 else kind(tuple(found.values()))


def named(condition: Condition) -> list[Predicted]:
    """What a condition says of attributes."""
    if isinstance(condition, Predicted):
        return [condition]
    return [] if isinstance(condition, Known) else [leaf for part in condition.parts for leaf in named(part)]


def known(condition: Condition) -> list[Known]:
    """What a condition says of what is known."""
    if isinstance(condition, Known):
        return [condition]
    return [] if isinstance(condition, Predicted) else [leaf for part in condition.parts for leaf in known(part)]


def number_in(text: str) -> float | None:
    """The number that a text is; None where it is none."""
    return float(text) if re.fullmatch(r"[+-]?\d+(\.\d+)?", text, re.ASCII) else None
