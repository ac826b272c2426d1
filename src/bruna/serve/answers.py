"""What the API answers, as its OpenAPI page describes it."""

import re
from math import isnan
from typing import Self
from urllib.parse import quote

import numpy as np
import pandas as pd
from pydantic import BaseModel

from bruna.index.asking import Found
from bruna.index.opened import Opened
from bruna.retrieval.calibration import Calibration
from bruna.serve.live_index import Snapshot

_RATES = tuple(step / 10**power for power in range(2, 8) for step in (50, 40, 30, 25, 20, 15, 12, 10, 8, 6))
_OPTION = re.compile(r" \((as with )?--[^)]*\)")
"""What a note says of the command line."""
_MOST_VALUES = 200
"""Cameras that are named; a page can show no more."""


class Value(BaseModel):
    """A value, and how many images have it."""

    value: str
    images: int


class Attribute(BaseModel):
    """An attribute that the networks predict, with the predicted values."""

    name: str
    title: str
    values: list[Value]


class Rate(BaseModel):
    """A false match rate, the distance below which it is kept, and the share of the person's images beyond that."""

    rate: float
    distance: float
    missed: float


class Calibrated(BaseModel):
    """How the probability of the same person was fitted, and the rates that so many people carry."""

    data_set: str
    identities: int
    rates: list[Rate]


class Limits(BaseModel):
    """Photos of one question, and bytes of all of them."""

    photos: int
    bytes: int


class IndexFacts(BaseModel):
    """What is in the index."""

    name: str
    images: int
    junk: int
    thumbnails: int
    columns: list[str]
    cameras: list[Value]
    first_time: str | None
    last_time: str | None
    attributes: list[Attribute]
    calibration: Calibrated | None
    limits: Limits

    @classmethod
    def of(cls, now: Snapshot, calibration: Calibration | None, limits: Limits) -> Self:
        """Count what a snapshot holds."""
        rows = now.rows
        attributes = []
        for task in rows.header.schema:
            counts = np.bincount(rows.facts.codes[task.name], minlength=len(task.values)).tolist()
            values = [Value(value=value, images=count) for value, count in zip(task.values, counts, strict=True)]
            attributes.append(Attribute(name=task.name, title=task.title, values=values))
        times = sorted(map(str, pd.Series(rows.texts("time")).dropna().unique()))
        return cls(
            name=rows.name,
            images=len(rows),
            junk=int(rows.junk.sum()),
            thumbnails=len(now.thumbnails),
            columns=list(rows.facts.columns),
            cameras=_cameras(rows),
            first_time=times[0] if times else None,
            last_time=times[-1] if times else None,
            attributes=attributes,
            calibration=None if calibration is None else _calibrated(calibration),
            limits=limits,
        )


class Result(BaseModel):
    """An image of the ranking; numbers are null where the question gives none."""

    query: str
    rank: int
    key: str
    camera: str | None
    time: str | None
    distance: float | None
    probability: float | None
    description: float | None
    agreeing: list[str]
    differing: list[str]
    thumbnail: str | None


class SearchAnswer(BaseModel):
    """The ranking, who is not in the gallery, how the question was understood, what the photos are taken for.

    `images`: how many the index has; `searched`: how many of them the conditions leave.
    """

    images: int
    searched: int
    results: list[Result]
    answers: list[str]
    notes: list[str]
    predicted: dict[str, dict[str, str]]

    @classmethod
    def of(cls, now: Snapshot, found: Found) -> Self:
        """An answer as it is sent."""
        times = dict(zip(now.rows.keys, now.rows.texts("time"), strict=True))
        rows = [
            {
                **{name: None if isinstance(cell, float) and isnan(cell) else cell for name, cell in row.items()},
                "time": times[row["key"]],
                "thumbnail": thumbnail_address(row["key"]) if row["key"] in now.thumbnails else None,
            }
            for row in found.results.to_dict("records")
        ]
        predicted = {name: dict(values) for name, values in found.predicted.items()}
        return cls.model_validate(
            {
                "images": len(now.index),
                "searched": found.searched,
                "results": rows,
                "answers": found.answers,
                "notes": [_OPTION.sub("", note) for note in found.notes],
                "predicted": predicted,
            }
        )


class Side(BaseModel):
    """One image of an explanation; pictures are data: addresses, or addresses on this server."""

    name: str
    image: str | None = None
    mask: str | None = None
    attributes: dict[str, str]


class Hit(Side):
    """An image of the index; beside a photo `upper` and `lower`: similarity of the halves."""

    camera: str | None
    distance: float | None = None
    probability: float | None = None
    upper: float | None = None
    lower: float | None = None


class Explanation(BaseModel):
    """Why an image was found; `query` is null where no photo was given."""

    query: Side | None
    hit: Hit


class Problem(BaseModel):
    """What is wrong, in plain words."""

    detail: str


def thumbnail_address(key: str) -> str:
    """Where the small picture of an image is."""
    return f"api/thumbnail?key={quote(key, safe='')}"


def _cameras(rows: Opened) -> list[Value]:
    counts = pd.Series(rows.texts("camera")).dropna().astype(str).value_counts()
    numbers = pd.to_numeric(pd.Series(counts.index, dtype=object), errors="coerce")
    order = np.lexsort((counts.index.to_numpy(dtype=str), numbers))
    return [Value(value=str(counts.index[at]), images=int(counts.iloc[at])) for at in order[:_MOST_VALUES]]


def _calibrated(calibration: Calibration) -> Calibrated:
    rates = []
    for rate in _RATES:
        distance = calibration.threshold(rate)
        if distance is not None:
            at = int(np.searchsorted(calibration.thresholds, distance))
            missed = calibration.false_non_match_rates[at] if distance else 1.0
            rates.append(Rate(rate=rate, distance=distance, missed=missed))
    return Calibrated(data_set=calibration.fitted_on.data_set, identities=calibration.fitted_on.identities, rates=rates)
