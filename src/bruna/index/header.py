"""`index.json`: which networks have described the images of an index, and how they were used."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from bruna.dataset.schema import Tasks, as_json, differences
from bruna.errors import BrunaError
from bruna.files import fingerprint, read_regular, restore, write_json
from bruna.inference.describer import Describer
from bruna.inference.loading import SavedTasks, Strict, Width, problems, saved_tasks
from bruna.inference.settings import Settings

HEADER = "index.json"
VERSION = 1
"""Of the columns and their meaning; raise it when they change."""
_LARGEST = 1 << 24
_NETWORKS = ("unet", "attributes", "bruna")


class _Saved(Strict):
    version: Literal[1]
    models: str
    features: Width
    attributes: SavedTasks
    settings: dict[str, Any]


@dataclass(frozen=True)
class Header:
    """What all images of an index have in common.

    Attributes:
        models: the fingerprint of the networks (`fingerprint_of`).
        features: numbers in an embedding, F.
        schema: the A attributes that are predicted.
        settings: how the networks were used.
    """

    models: str
    features: int
    schema: Tasks
    settings: Settings

    @classmethod
    def of(cls, describer: Describer, models: Path) -> "Header":
        """That of an index that these networks make.

        Raises:
            BrunaError: Bruna's network is not among them.
        """
        if describer.bruna is None:
            raise BrunaError(
                f"{models} has no network that tells people apart: it was trained on a data set without identities. "
                "Train on one with identities, or give other --models."
            )
        settings = describer.settings
        return cls(fingerprint_of(models, settings), describer.bruna.features, describer.schema, settings)

    def write(self, folder: Path) -> None:
        """Write `index.json`."""
        write_json(
            {
                "version": VERSION,
                "models": self.models,
                "features": self.features,
                "attributes": as_json(self.schema),
                "settings": asdict(self.settings),
            },
            folder / HEADER,
            sort_keys=False,
        )

    def refuse_others(self, other: "Header", folder: Path, models: Path) -> None:
        """Refuse networks that did not describe the images of the index.

        Args:
            other: that of the networks.
            folder: the index.
            models: where the networks lie.

        Raises:
            BrunaError: they are others, or are used differently.
        """
        if self.models == other.models:
            return
        differ = differences(self.schema, other.schema)
        told = f" They tell other attributes: {differ} (index, then models)." if differ else ""
        raise BrunaError(
            f"{folder} was made by other models (fingerprint {self.models[:12]}) than those in {models} "
            f"({other.models[:12]}), or by a different use of them: their features cannot be compared.{told} Give the "
            "models that made it with --models, or describe the images again: `bruna index SOURCE --to NEW.index`."
        )


def fingerprint_of(models: Path, settings: Settings) -> str:
    """SHA-256 of the saved networks, and of what in their use changes features or predictions; 64 hex digits."""
    files = [fingerprint(models / name) for name in _NETWORKS if (models / name).is_dir()]
    used = [settings.flip, settings.attributes_from]
    return hashlib.sha256(json.dumps([files, used]).encode()).hexdigest()


def read_header(folder: Path) -> Header:
    """Read the `index.json` of an index.

    Raises:
        BrunaError: there is no index, or its header is damaged or of another version.
    """
    file = folder / HEADER
    try:
        found = json.loads(read_regular(file, _LARGEST))
        if isinstance(found, dict) and type(version := found.get("version")) is int and version > VERSION:
            raise BrunaError(f"{file} was written by a later version of bruna, which reads it.")
        saved = _Saved.model_validate(found)
        return Header(saved.models, saved.features, saved_tasks(saved.attributes), Settings.of(saved.settings))
    except (FileNotFoundError, NotADirectoryError):
        what = "is no index: it has no index.json" if folder.exists() else "does not exist"
        raise BrunaError(f"{folder} {what}. `bruna index SOURCE --to {folder}` makes one of images.") from None
    except (ValueError, RecursionError) as error:
        reason = problems(error) if isinstance(error, ValueError) else str(error)
        raise BrunaError(f"{file} is damaged: {reason}. Describe the images again into a new index.") from None
    except OSError as error:
        raise BrunaError(f"{file} cannot be read: {error.strerror or error}.") from None


def ready_for(folder: Path) -> None:
    """Refuse a place that an index cannot be in, before any work is done.

    Raises:
        BrunaError: it is a file, or a folder that holds something else.
    """
    if not os.path.lexists(folder):
        return
    restore(folder / HEADER)
    if not folder.is_dir():
        raise BrunaError(f"--to: {folder} is no folder. Give another place.")
    if not (folder / HEADER).exists() and (other := sorted(path.name for path in folder.iterdir())):
        raise BrunaError(f"--to: {folder} is no index: it holds {other[0]}. Give another place.")


def begin(folder: Path, describer: Describer, models: Path) -> Header:
    """Make an index, or see that one was made by these networks.

    Raises:
        BrunaError: other networks made it, it is damaged, or the place cannot be written.
    """
    mine = Header.of(describer, models)
    if (folder / HEADER).exists():
        there = read_header(folder)
        there.refuse_others(mine, folder, models)
        if there == mine:
            return mine
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BrunaError(
            f"could not write {folder}: {error.strerror or error}. Give another place with --to."
        ) from None
    mine.write(folder)
    return mine


def discard(folder: Path) -> None:
    """Remove an index that was begun and got no image."""
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
