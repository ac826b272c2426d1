"""The page of `bruna search --html PAGE`: the question, the answer, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from bruna.dataset.decoding import read_file
from bruna.dataset.filenames import printable
from bruna.errors import counted
from bruna.index.asking import Found, Index
from bruna.index.conditions import named
from bruna.index.pictures import pictures_of
from bruna.inference.explaining import Halves, explain, read_typical, similarity
from bruna.report.blocks import Block, Folded, Note, Settings, Table
from bruna.report.browser import Asked, Match, Shown, browser
from bruna.report.browser_images import outline, small_image
from bruna.report.page import Page, Section, render, write_html

_SIZE = (128, 256)
_MEANING = (
    "A probability and a false match rate hold for images like those that they were fitted to, and for one comparison: "
    "a search makes as many as the gallery has images. What speaks for a match is no proof of it."
)
_UNDER = (
    "Under an image: rank, camera, and the probability of the same person or of the description (or both); without a "
    "calibration the distance. Choose an image to see why it was found; arrow keys lead from one to the next."
)
_SMALL = "Halves and outlines are told from the small pictures of the index, not from the images themselves."


@dataclass(frozen=True)
class Question:
    """What was asked.

    Attributes:
        photos: image files by the names that they have in the results.
        where: the description; empty without one.
        each: whether each photo is a query of its own.
        conditions: what else was asked, in words -> how.
        gallery: what was searched where it is no index.
    """

    photos: Mapping[str, Path]
    where: str = ""
    each: bool = False
    conditions: Mapping[str, str] = field(default_factory=dict)
    gallery: Path | None = None


def write_search_page(path: Path, people: Index, question: Question, found: Found, models: Path) -> None:
    """Write one self-contained page of a search.

    Args:
        path: of the page; what is there is replaced.
        people: what was searched.
        question: what was asked.
        found: what was answered.
        models: where the trained models lie: with what `evaluate` has measured.

    Raises:
        BrunaError: the page cannot be written, or a photo cannot be read any more.
    """
    pictures = _Pictures(people, question, found.results, models)
    where = printable(people.rows.name)
    answers: list[Block] = [Note(sentence) for sentence in (*found.answers, *found.notes)]
    queries = [_asked(people, question, found, name, pictures) for name in found.predicted or [""]]
    images = pictures.shown(people, queries)
    results = browser("Results", images, queries, people.rows.header.schema, filtered=False, wide=True)
    blocks: list[Block] = [_question(question), *answers, *([_UNDER] if len(found.results) else []), results]
    if len(found.results):
        blocks += [_SMALL] if pictures.small and question.photos else []
        blocks += [_MEANING, Folded("The same as a table", [_table(found.results)])]
    title = f"Found in {where}"
    lead = f"{counted(len(found.results), 'results')} among {counted(len(people), 'images')}."
    write_html(path, render(Page(title, lead, [], [Section("Results", blocks)], footer="Made by bruna search.")))


def _question(question: Question) -> Settings:
    told = {"photos": ", ".join(question.photos), "description": question.where, **question.conditions}
    return Settings({"Asked for": {name: value for name, value in told.items() if value}})


class _Pictures:
    """The photos and what was found: as pictures, with outlines and halves.

    Attributes:
        small: whether what was found is told from small pictures.
    """

    def __init__(self, people: Index, question: Question, results: pd.DataFrame, models: Path) -> None:
        keys = list(dict.fromkeys(results["key"]))
        self._files = {_photo(name): read_file(file) for name, file in question.photos.items()}
        found = pictures_of(people, keys, question.gallery)
        self._files |= {key: found[key] for key in keys if key in found}
        self.small = bool(found) and question.gallery is None
        self._places = {key: place for place, key in enumerate(self._files)}
        self._halves: Halves | None = None
        self._masks: dict[str, str | None] = {}
        self._typical = read_typical(models / "evaluate")
        if question.photos:  # a description alone needs no network, and none of its halves is compared
            told = explain(people.load(), list(self._files.values()), list(self._files), progress="explain")
            self._halves = told.halves
            if told.masks is not None:
                self._masks = dict(zip(self._files, map(outline, told.masks), strict=True))

    def similarities(self, photos: Sequence[str], key: str) -> tuple[float, float]:
        """Of the halves of some photos of a person and an image; NaN where one of them has no picture."""
        if self._halves is None or self._typical is None or not photos or key not in self._places:
            return np.nan, np.nan
        mine, other = (self._rows([_photo(name) for name in photos]).mean(), self._rows([key]))
        alike = similarity(mine, other, self._typical)
        return float(alike.upper[0]), float(alike.lower[0])

    def shown(self, people: Index, queries: Sequence[Asked]) -> dict[str, Shown]:
        """All images of the page."""
        keys = dict.fromkeys(hit.image for query in queries for hit in query.hits)
        rows = people.rows.take(people.rows.find("key", keys))
        at = {key: row for row, key in enumerate(rows.keys)}
        photos = {
            key: Shown(key.removeprefix(_PHOTO), "", *self._seen(key)) for query in queries for key in query.images
        }
        hits = {}
        for key in keys:
            codes = [int(rows.facts.codes[task.name][at[key]]) for task in rows.header.schema]
            hits[key] = Shown(key, rows.texts("camera")[at[key]] or "", *self._seen(key), codes or None)
        return photos | hits

    def _seen(self, key: str) -> tuple[str | None, str | None]:
        """The picture and the outline."""
        data = self._files.get(key)
        return (None, None) if data is None else (small_image(data, _SIZE), self._masks.get(key))

    def _rows(self, keys: Sequence[str]) -> Halves:
        assert self._halves is not None
        places = [self._places[key] for key in keys]
        return Halves(*(part[places] for part in self._halves))


_PHOTO = "photo\0"
"""Before the name of a photo, so that it is no key of the index."""


def _photo(name: str) -> str:
    return _PHOTO + name


def _asked(people: Index, question: Question, found: Found, name: str, pictures: _Pictures) -> Asked:
    """One query with its results."""
    photos = [] if not name else [name] if question.each else list(question.photos)
    results = found.results[found.results["query"] == name]
    described = not photos
    hits = []
    for row in results.to_dict("records"):
        upper, lower = pictures.similarities(photos, row["key"])
        hits.append(
            Match(
                row["key"],
                distance=row["distance"],
                probability=row["probability"],
                description=row["description"],
                upper=upper,
                lower=lower,
                agreeing=row["agreeing"] if described else None,
                differing=row["differing"] if described else None,
            )
        )
    values = _described(people, question.where) if described else found.predicted[name]
    return Asked([_photo(each) for each in photos], hits, name=name or question.where, attributes=values)


def _described(people: Index, where: str) -> dict[str, str]:
    """What a description asks of each attribute in it."""
    values = {task.name: task.values for task in people.rows.header.schema}
    if not where:
        return {}
    return {
        part.attribute: " or ".join(values[part.attribute][code] for code in sorted(part.codes))
        for part in named(people.rows.condition(where))
    }


def _table(results: pd.DataFrame) -> Table:
    """What holds something, as the files of a search have it."""
    joined = results.assign(**{name: results[name].map(", ".join) for name in ("agreeing", "differing")})
    empty = [name for name in joined if joined[name].isna().all() or (joined[name] == "").all()]
    return Table(joined.drop(columns=[*empty, *(["query"] if joined["query"].nunique() == 1 else [])]).infer_objects())
