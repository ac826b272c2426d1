"""The index that the application asks: opened once, and again whenever its folder changes."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from PIL import Image

from bruna.errors import BrunaError
from bruna.index.asking import Found, Index, open_index
from bruna.index.opened import Opened
from bruna.index.search import Query, one_query
from bruna.index.store import state_of, thumbnails_of
from bruna.inference.calibration import read_calibration
from bruna.inference.describer import Describer
from bruna.inference.engine import Engine, by_torch
from bruna.inference.explaining import Explained, Halves, explain, read_typical
from bruna.retrieval.calibration import Calibration

_TRIES = 5
"""Readings of a folder that another command is changing."""


@dataclass(frozen=True)
class Snapshot:
    """What the index held at one moment.

    Attributes:
        index: its rows, with the networks.
        thumbnails: small JPEGs by key.
        state: of its files.
    """

    index: Index
    thumbnails: Mapping[str, bytes]
    state: object

    @property
    def rows(self) -> Opened:
        """All that the index held, in memory."""
        assert isinstance(self.index.rows, Opened)  # `reopened` holds all
        return self.index.rows


class LiveIndex:
    """An index and the networks that made it; its methods may be called from several threads at once."""

    def __init__(self, folder: Path, models: Path, device: torch.device, engine: Engine = by_torch) -> None:
        """Read the index, then the networks.

        Args:
            folder: the index.
            models: where the networks lie.
            device: where to compute.
            engine: what runs the networks; what is explained is always found by torch.

        Raises:
            BrunaError: one cannot be read, or other networks made the index.
        """
        self._folder, self._models = folder, models
        self._opening, self._networks = Lock(), Lock()
        index = open_index(folder, models, device, engine=engine)
        self._torch: Describer = index.load()
        self._describer = index.describer(1)
        self._snapshot = self._read(index)

    @property
    def calibration(self) -> Calibration | None:
        """That beside the models, as it is now."""
        return read_calibration(self._models / "evaluate")

    @property
    def typical(self) -> Halves | None:
        """The halves of the mean image beside the models."""
        return read_typical(self._models / "evaluate")

    def now(self) -> Snapshot:
        """The index as its folder is now: who was erased is gone.

        Raises:
            BrunaError: it cannot be read any more.
        """
        if state_of(self._folder) != self._snapshot.state:
            with self._opening:
                if state_of(self._folder) != self._snapshot.state:
                    self._snapshot = self._read(self._snapshot.index)
        return self._snapshot

    def search(self, photos: Mapping[str, bytes], **wish: Any) -> tuple[Snapshot, Found]:
        """`Index.search`; one search at a time, since each uses all cores."""
        with self._networks:
            now = self.now()
            return now, now.index.search(photos, **wish)

    def described(self, name: str, photo: bytes) -> Query:
        """One photo as a query.

        Raises:
            BrunaError: it cannot be read.
        """
        with self._networks:
            return one_query(self._describer.describe([photo], names=[name], masks=False))

    def explained(self, images: Sequence[bytes]) -> Explained:
        """What the networks rest on in images that can be read; see `explain`."""
        with self._networks:
            return explain(self._torch, images, [str(number) for number in range(len(images))])

    def warm_up(self) -> None:
        """Run the networks once: the first time takes longer."""
        file = io.BytesIO()
        Image.new("RGB", (64, 128)).save(file, "PNG")
        self._describer.describe(file.getvalue())

    def _read(self, index: Index) -> Snapshot:
        for left in reversed(range(_TRIES)):
            before = state_of(self._folder)
            try:
                found = Snapshot(index.reopened(), thumbnails_of(self._folder), before)
            except BrunaError:
                if not left or state_of(self._folder) == before:
                    raise
                continue
            if state_of(self._folder) == before:
                return found
        raise BrunaError(f"{self._folder} is being changed by another command. Ask again when that has ended.")
