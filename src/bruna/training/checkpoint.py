"""Checkpoints of a training: written whole, the newest two kept, a damaged one passed over."""

import logging
from pathlib import Path
from typing import Any

import torch

from bruna.errors import BrunaError
from bruna.files import whole_file

KEEP = 2
_LOG = logging.getLogger("bruna")


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
                saved = torch.load(path, map_location="cpu", weights_only=True)
                return saved["state"], saved["epoch"], saved["step"]
            except Exception as error:
                _LOG.warning("checkpoint %s cannot be read (%s): the one before it is used", path, error)
        return None

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.pt")) if self.folder is not None and self.folder.exists() else []
