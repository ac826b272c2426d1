"""Indexes of any size for benchmarks: embeddings in clusters as spread as those of real indexes.

An identity is a draw from a normal distribution with the measured covariance, scaled to the variance between
identities; an image is that plus a draw with the covariance within. Features and attribute features are drawn together,
so that they stay correlated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch

from bruna.index.header import Header
from bruna.index.opened import Opened, open_rows
from bruna.index.rows import probabilities_of
from bruna.index.search import Query
from bruna.index.store import PART_ROWS, append
from bruna.retrieval.gallery import Gallery

PER_IDENTITY = 20
"""Images of an identity on average."""
_MOST = 2000
"""Images that a covariance rests on."""


@dataclass(frozen=True)
class Spread:
    """How embeddings are spread: D numbers each, the features and then the attribute features.

    Attributes:
        mean: D float32.
        between, within: K x D float32; sums of their rows with normal weights have the two covariances.
        norm: of the features.
        header: of the index that was measured.
        share: of the variance, that between identities.
    """

    mean: np.ndarray
    between: np.ndarray
    within: np.ndarray
    norm: float
    header: Header
    share: float

    @classmethod
    def of(cls, folders: Sequence[Path]) -> Self:
        """Measure indexes: the variance within on images whose identity is known, that of all on every image."""
        indexes = [open_rows(folder) for folder in folders]
        rows = [_embeddings(index.gallery) for index in indexes]
        inner = np.concatenate([_residuals(of, index) for of, index in zip(rows, indexes, strict=True)])
        every = np.concatenate(rows)
        mean, header = every.mean(axis=0), indexes[0].header
        norm = float(np.linalg.norm(every[:, : header.features], axis=1).mean())
        share = 1 - float(inner.var(axis=0).sum() / every.var(axis=0).sum())
        rng = np.random.default_rng(0)
        some, within = (of[rng.permutation(len(of))[:_MOST]] for of in (every - mean, inner))
        between = some * np.float32((share / len(some)) ** 0.5)
        return cls(mean, between, within / np.float32(len(within) ** 0.5), norm, header, share)

    def draw(self, identities: np.ndarray, seed: int) -> Gallery:
        """New images of N identities (numbers; the same number is the same identity always)."""
        known, at = np.unique(identities, return_inverse=True)
        who = np.stack([np.random.default_rng([1, k]).standard_normal(len(self.between), np.float32) for k in known])
        how = np.random.default_rng([2, seed]).standard_normal((len(at), len(self.within)), np.float32)
        found = (self.mean + who @ self.between)[at] + how @ self.within
        features, attributes = np.split(found, [self.header.features], axis=1)
        features *= self.norm / np.linalg.norm(features, axis=1, keepdims=True)
        start = 0
        for task in self.header.schema:
            part = attributes[:, start : start + task.width].clip(1e-3, 1 - 1e-3)
            attributes[:, start : start + task.width] = part if task.binary else part / part.sum(axis=1, keepdims=True)
            start += task.width
        return Gallery.unlabelled(torch.from_numpy(np.ascontiguousarray(features)), torch.from_numpy(attributes))

    def write(self, folder: Path, count: int) -> None:
        """Write an index of so many images, `PER_IDENTITY` of an identity, in random order."""
        folder.mkdir(parents=True)
        self.header.write(folder)
        identities = np.random.default_rng(0).integers(0, count // PER_IDENTITY, count)
        for start in range(0, count, PART_ROWS):
            append(folder, self._rows(identities[start : start + PART_ROWS], start))

    def queries(self, count: int, identities: int) -> list[Query]:
        """Images that no index holds, of identities below a number."""
        asked = self.draw(np.random.default_rng(3).integers(0, identities, count), 10**9)
        codes = {task.name: 0 for task in self.header.schema}
        return [Query(f"query {i}", asked.select(torch.tensor([i])), codes) for i in range(count)]

    def _rows(self, identities: np.ndarray, start: int) -> Any:
        drawn, rng = self.draw(identities, start), np.random.default_rng([4, start])
        assert drawn.attributes is not None
        count = len(identities)
        columns: dict[str, Any] = {
            "key": [f"photos/{start + i:08d}.jpg" for i in range(count)],
            "digest": [rng.bytes(32).hex() for _ in range(count)],
            "identity": [str(identity) for identity in identities],
            "camera": [str(camera) for camera in rng.integers(1, 7, count)],
            "time": pa.nulls(count, pa.string()),
            "junk": pa.array(rng.random(count).astype(np.float32) ** 20),  # 3 of 100 above 0.5
            "features": _matrix(drawn.features.numpy()),
            "attribute_features": _matrix(drawn.attributes.numpy()),
        }
        column = 0
        for task in self.header.schema:
            found = drawn.attributes.numpy()[:, column : column + task.width]
            column += task.width
            found = np.concatenate([1 - found, found], axis=1) if task.binary else found
            columns[task.name] = np.array(task.values, dtype=object)[found.argmax(axis=1)].tolist()
            columns[probabilities_of(task.name)] = _matrix(found)
        return pa.table(columns)


def _embeddings(gallery: Gallery) -> np.ndarray:
    assert gallery.attributes is not None
    return np.concatenate([gallery.features.numpy(), gallery.attributes.numpy()], axis=1)


def _residuals(rows: np.ndarray, index: Opened) -> np.ndarray:
    """What images differ by from the mean of their identity, at the scale of its whole variance."""
    identities = index.texts("identity")
    found = [rows[:0]]
    for identity in sorted({name for name in identities if name not in (None, "0", "-1")}):
        mine = rows[identities == identity]
        if len(mine) > 1:
            found.append((mine - mine.mean(axis=0)) * np.float32((len(mine) / (len(mine) - 1)) ** 0.5))
    return np.concatenate(found)


def _matrix(values: np.ndarray) -> Any:
    flat = pa.array(np.ascontiguousarray(values, np.float32).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
