"""The calibration beside the models: `calibration.json`, written by `evaluate` and read by a search."""

from pathlib import Path

from bruna.errors import BrunaError
from bruna.files import read_object, write_json
from bruna.retrieval.calibration import Calibration

CALIBRATION = "calibration.json"


def read_calibration(folder: Path) -> Calibration | None:
    """The calibration in a folder, `artifacts/evaluate`; None where there is none.

    Raises:
        BrunaError: the file is damaged.
    """
    file = folder / CALIBRATION
    if not file.exists():
        return None
    try:
        return Calibration.from_json(read_object(file))
    except ValueError as error:
        raise BrunaError(f"{file} is not usable: {error}. `dvc repro evaluate` writes it again.") from None


def write_calibration(calibration: Calibration, folder: Path) -> None:
    """Write it into a folder, whole; what is there is replaced."""
    write_json(calibration.to_json(), folder / CALIBRATION)
