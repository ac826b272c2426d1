"""Reads what the stages have written, for the report: tables, settings, and images by their paths."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bruna.batches.store import Kind, decode_image
from bruna.dataset.decoding import open_image
from bruna.dataset.tables import read_table
from bruna.errors import BrunaError
from bruna.files import read_json
from bruna.headlines import FIGURES_FILE

Pixels = npt.NDArray[np.uint8]


class Records:
    """The folder of all stages' outputs; every table is read once, when it is first asked for."""

    def __init__(self, artifacts: Path) -> None:
        self.artifacts = artifacts
        self.table = cache(self._table)

    def _table(self, name: str) -> pd.DataFrame:
        """The parquet file `<name>.parquet`, e.g. `split/train`."""
        return read_table(self.artifacts / f"{name}.parquet")

    def csv(self, name: str) -> pd.DataFrame:
        """The file `<name>.csv`, e.g. `train_unet/epochs`.

        Raises:
            BrunaError: it is missing.
        """
        path = self.artifacts / f"{name}.csv"
        try:
            return pd.read_csv(path)
        except FileNotFoundError:
            raise BrunaError(f"{path} is missing. `dvc repro` makes it.") from None

    def settings(self, model: str) -> dict[str, Any]:
        """The settings.json of a folder: `unet`, `attributes`, `bruna` or `evaluate`."""
        return dict(read_json(self.artifacts / model / "settings.json"))

    def trained(self, model: str) -> bool:
        """Whether the data set had what this model is trained on: `unet`, `attributes` or `bruna`."""
        return self.settings(model).get("trained") is not False

    def figures(self, stage: str) -> dict[str, Any]:
        """All figures of a stage that has some."""
        return dict(read_json(self.artifacts / stage / FIGURES_FILE))

    def images(self, *names: str, column: str = "image") -> "Images":
        """The images of some tables by path; `column` may be `mask`."""
        return Images({path: encoded for n in names for path, encoded in self.table(n)[["path", column]].to_numpy()})


class Images:
    """Encoded images by path, decoded when they are asked for."""

    def __init__(self, encoded: dict[str, bytes]) -> None:
        self._encoded = encoded

    def own_size(self, path: str) -> Pixels:
        """H x W x 3, as the image is."""
        return np.asarray(open_image(self._encoded[path]))

    def sized(self, path: str, size: tuple[int, int], kind: Kind = "rgb") -> Pixels:
        """H x W x C, as a network of this size (height, width) sees it; see `ImageStore.decode`."""
        return decode_image(self._encoded[path], size, kind).transpose(1, 2, 0)
