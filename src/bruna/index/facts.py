"""Conditions put to the images of an index: where they hold, where they may hold, and how probably."""

import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import reduce
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from bruna.index.conditions import Both, Condition, Known, Predicted, number_in

Booleans = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
_T = TypeVar("_T", Booleans, Floats)
_Cells = npt.NDArray[np.object_] | npt.NDArray[np.float32]
_ORDER: Mapping[str, Callable[[Any, Any], Booleans]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Facts:
    """What a condition is put to: N images.

    Attributes:
        codes: N codes of the most probable value, by attribute.
        probabilities: N x V, by attribute.
        columns: N texts (None where unknown) or N floats, by column.
        words: columns that have cells that are no numbers among rows that are not here.
    """

    def __init__(
        self,
        codes: Mapping[str, npt.NDArray[np.int64]],
        probabilities: Mapping[str, npt.NDArray[np.float32]],
        columns: Mapping[str, _Cells],
        words: Collection[str] = (),
    ) -> None:
        self.codes, self.probabilities, self.columns, self._words = codes, probabilities, columns, words
        self._numbers: dict[str, Floats] = {}

    def holds(self, condition: Condition) -> Booleans:
        """N booleans: the predicted values and what is known are so."""
        return _folded(condition, self._is_predicted, self._is_known, operator.and_, operator.or_)

    def may_hold(self, condition: Condition) -> Booleans:
        """N booleans: what is known allows it, whatever the attributes are."""

        def anything(_: Predicted) -> Booleans:
            return np.ones(self._count, np.bool_)

        return _folded(condition, anything, self._is_known, operator.and_, operator.or_)

    def probability(self, condition: Condition) -> Floats:
        """N probabilities, the attributes taken for independent of each other.

        `and` multiplies, `or` is 1 - (1 - p)(1 - q), the values of one attribute add up. What is known is 0 or 1.
        """

        def of(part: Predicted) -> Floats:
            found = self.probabilities[part.attribute][:, sorted(part.codes)]
            total: Floats = np.minimum(found.sum(axis=1, dtype=np.float64), 1.0)  # a sum of rounded numbers
            return total

        def known(part: Known) -> Floats:
            return self._is_known(part).astype(np.float64)

        return _folded(condition, of, known, operator.mul, lambda p, q: 1 - (1 - p) * (1 - q))

    @property
    def _count(self) -> int:
        return len(next(iter(self.columns.values())))

    def _is_predicted(self, part: Predicted) -> Booleans:
        return np.isin(self.codes[part.attribute], sorted(part.codes))

    def _is_known(self, part: Known) -> Booleans:
        value = part.value
        if isinstance(value, str) and part.sign != "like" and (number := number_in(value)) is not None:
            # '0348' and 0348 are one identity, quoted or not.
            value = number if part.column not in self._words and self.has_numbers_only(part.column) else value
        if isinstance(value, float):
            found = _ORDER[part.sign](self._as_numbers(part.column), value)
        else:
            found = _compare(self.columns[part.column], part.sign, value)
        return found if part.holds else ~found

    def has_numbers_only(self, column: str) -> bool:
        """Whether all cells of a column that are not empty are numbers."""
        return bool((pd.isna(self.columns[column]) | ~np.isnan(self._as_numbers(column))).all())

    def _as_numbers(self, column: str) -> Floats:
        """The cells of a column, NaN where they are none; kept, since it takes longer than all else of a search."""
        if column not in self._numbers:
            cells = pd.Series(self.columns[column])
            self._numbers[column] = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64)
        return self._numbers[column]


def _folded(
    condition: Condition,
    predicted: Callable[[Predicted], _T],
    known: Callable[[Known], _T],
    both: Callable[[_T, _T], _T],
    either: Callable[[_T, _T], _T],
) -> _T:
    if isinstance(condition, Predicted):
        return predicted(condition)
    if isinstance(condition, Known):
        return known(condition)
    parts = [_folded(part, predicted, known, both, either) for part in condition.parts]
    return reduce(both if isinstance(condition, Both) else either, parts)


def _compare(cells: _Cells, sign: str, value: str) -> Booleans:
    """N booleans: cells compared as texts; False where one is empty."""
    there = ~pd.isna(cells)
    texts = cells[there].astype(str).astype(np.object_)
    if sign == "like":
        parts = value.split("%")
        found = np.array([_is_like(text, parts) for text in texts], dtype=np.bool_)
    else:
        found = np.asarray(_ORDER[sign](texts, value), dtype=np.bool_)
    result = np.zeros(len(cells), np.bool_)
    result[there] = found
    return result


def _is_like(text: str, parts: Sequence[str]) -> bool:
    """Whether a text is the parts with anything between them; a regular expression could take ages to say no."""
    if len(parts) == 1:
        return text == parts[0]
    first, *middle, last = parts
    at, end = len(first), len(text) - len(last)
    if at > end or not text.startswith(first) or not text.endswith(last):
        return False
    for part in middle:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True
