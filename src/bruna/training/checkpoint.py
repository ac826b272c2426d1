"""Checkpoints of a training: written whole, the newest two kept, a damaged one passed over."""

import logging
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from bruna.errors import BrunaError
from bruna.files import whole_file

KEEP = 2
_LOG = logging.getLogger("bruna")


def is_whole(path: Path) -> bool:
    """Whether the parts of a file of torch.save agree with their checksums, which torch itself does not compare."""
    with zipfile.ZipFile(path) as file:
        return file.testzip() is None


class Checkpoints:
    """A folder of checkpoints of one training, that is of one set of parameters and inputs.

    Args:
        folder: made when the first checkpoint is written; None keeps no checkpoints.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def save(self, state: dict[str, Any], epoch: int, step: int) -> None:
        """Write the state reached before step `step` of epoch `epoch`; drop all but the newest two."""
        if self.folder is None:
            return
        with whole_file(self.folder / f"{epoch:05d}-{step:07d}.pt") as beside:
            try:
                torch.save({"epoch": epoch, "step": step, "state": state}, beside)
            except RuntimeError as error:  # torch's own writer reports a full disk so
                raise BrunaError(
                    f"could not write a checkpoint into {self.folder}: {error}. Free some space."
                ) from error
        for old in self._files()[:-KEEP]:
            old.unlink(missing_ok=True)

    def newest(self) -> tuple[dict[str, Any], int, int] | None:
        """The newest checkpoint that can be read, as (state, epoch, step), or None."""
        for path in reversed(self._files()):
            try:
                if not is_whole(path):
                    raise ValueError("it is damaged")
                saved = torch.load(path, map_location="cpu", weights_only=True)
                return saved["state"], int(saved["epoch"]), int(saved["step"])
            except Exception as error:
                reason = str(error).partition("\n")[0]
                _LOG.warning("checkpoint %s cannot be read (%s): the one before it is used", path, reason)
        return None

    @contextmanager
    def taken_back(self) -> Iterator[None]:
        """Where a training takes back the state of a checkpoint.

        Raises:
            BrunaError: it is another training's; what has been taken back by then is no state to begin with.
        """
        try:
            yield
        except Exception as error:
            reason = str(error).partition("\n")[0]
            raise BrunaError(
                f"the newest checkpoint in {self.folder} does not fit this training ({reason}). Delete that folder: "
                "the training then begins anew."
            ) from error

    @property
    def last(self) -> Path | None:
        """The file that was written last, or None."""
        return next(reversed(self._files()), None)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.pt")) if self.folder is not None and self.folder.exists() else []
