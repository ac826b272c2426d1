"""Nested dicts as flat ones whose names are joined, and back."""

from collections.abc import Mapping
from typing import Any


def flatten(values: Mapping[Any, Any], separator: str = "/") -> dict[str, Any]:
    """Join the names of nested mappings: `{"market1501": {"map": 0.5}}` gives `{"market1501/map": 0.5}`.

    An empty mapping is a value like any other, so that nothing is lost.
    """
    flat: dict[str, Any] = {}
    pending = [("", iter(values.items()))]
    while pending:  # no recursion: a damaged file may be nested more deeply than Python calls
        prefix, items = pending[-1]
        for name, value in items:
            if isinstance(value, Mapping) and value:
                pending.append((f"{prefix}{name}{separator}", iter(value.items())))
                break
            flat[f"{prefix}{name}"] = value
        else:
            pending.pop()
    return flat


def nested(flat: Mapping[str, Any], separator: str = "/") -> dict[str, Any]:
    """Split joined names into nested dicts: the form of figures.json; the opposite of `flatten`."""
    values: dict[str, Any] = {}
    for name, value in flat.items():
        *groups, last = name.split(separator)
        inner = values
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = value
    return values


def numbers(values: Mapping[str, Any]) -> dict[str, int | float]:
    """The numbers among nested values by their joined names; texts, truth values and the rest are left out."""
    flat = flatten(values)
    return {k: v for k, v in flat.items() if isinstance(v, int | float) and not isinstance(v, bool)}
