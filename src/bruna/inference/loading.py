"""Networks from disk, as `saving.py` writes them; whatever is wrong with a file is a message that names it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import load
from torch import nn

from bruna.dataset.schema import Task, Tasks
from bruna.errors import BrunaError
from bruna.files import read_object
from bruna.inference.saving import SETTINGS, VERSION
from bruna.models.state_dicts import misfit

Count = Annotated[int, Field(ge=1, lt=2**31)]
Width = Annotated[int, Field(ge=1, le=16_384)]
"""Numbers or channels of a layer, so that a damaged one does not ask for all memory."""
Dropout = Annotated[float, Field(ge=0, lt=1)]
Stride = Literal[1, 2]
_Side = Annotated[int, Field(ge=16, le=4096)]  # pixels that every network takes
ImageSize = Annotated[tuple[_Side, _Side], Field(strict=False)]
_CURE = "Restore its folder with `dvc checkout`, or train again with `dvc repro`."


class Strict(BaseModel):
    """What a settings.json must hold, of these very types; other keys are passed over."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


def _all_different(found: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(found)) < len(found):
        raise ValueError("one stands there twice")
    return found


class SavedTask(Strict):
    """A task as `bruna.dataset.schema.as_json` writes it."""

    name: Annotated[str, Field(min_length=1)]
    values: Annotated[tuple[str, ...], Field(strict=False, min_length=2, max_length=1000)]


CameraClasses = Annotated[tuple[Count, ...], Field(strict=False, max_length=1000), AfterValidator(_all_different)]
SavedTasks = Annotated[tuple[SavedTask, ...], Field(strict=False, max_length=1000)]


def saved_tasks(found: tuple[SavedTask, ...]) -> Tasks:
    """The attributes that a settings.json names.

    Raises:
        ValueError: a name or a value stands there twice, or one is that of a class that Task 1 adds.
    """
    tasks = tuple(Task(task.name, task.values) for task in found)
    for named in ([task.name for task in tasks], *(task.values for task in tasks)):
        if twice := next((one for one in named if named.count(one) > 1), None):
            raise ValueError(f"attributes: {twice!r} stands there twice")
    if added := next((task.name for task in tasks if task.added), None):
        raise ValueError(f"attributes: {added!r} is no attribute")
    return tasks


def one_of(names: Sequence[str]) -> AfterValidator:
    """Accept these names only."""

    def check(name: str) -> str:
        if name not in names:
            raise ValueError(f"expected one of {', '.join(names)}")
        return name

    return AfterValidator(check)


def problems(error: ValueError) -> str:
    """What is wrong, with the values that were found, in a line."""
    if not isinstance(error, ValidationError):
        return str(error).splitlines()[0]
    lines = []
    for each in error.errors(include_url=False):
        name = ".".join(map(str, each["loc"]))
        reason = each["msg"].removeprefix("Value error, ")
        if each["type"] == "missing":
            lines.append(f"{name} is missing")
        else:
            lines.append(f"{name} is {each['input']!r}: {reason}" if name else reason)
    return "; ".join(lines)


def load_settings(folder: Path) -> dict[str, Any]:
    """The settings.json of a folder of models.

    Raises:
        BrunaError: the file is missing or damaged, or another version of the project wrote it.
    """
    file = folder / SETTINGS
    if not file.exists() and folder.parent.resolve().name != "artifacts":  # which `dvc repro` makes, and no other
        raise BrunaError(
            f'{folder.parent} is no complete folder of models: {file} is missing. Give "artifacts", or copy its '
            "attributes/, bruna/ and unet/."
        )
    settings = read_object(file)
    found = settings.get("version", 1)
    if type(found) is not int:
        raise BrunaError(f"{file}: version is {found!r}, which is no whole number. {_CURE}")
    if found != VERSION:
        when, cure = ("a later", "A newer bruna reads them.") if found > VERSION else ("an earlier", _TRAIN_AGAIN)
        raise BrunaError(
            f"{file} was written by {when} version of bruna: its models are of version {found}, and this one reads "
            f"version {VERSION}. {cure}"
        )
    return settings


_TRAIN_AGAIN = "`dvc repro` trains them again."


@contextmanager
def rebuilding(folder: Path) -> Iterator[dict[str, Any]]:
    """The settings of a folder, for the block that checks them and builds a network.

    Raises:
        BrunaError: as `load_settings`; or a setting is missing or wrong.
    """
    settings = load_settings(folder)
    try:
        yield settings
    except (ValueError, RuntimeError, MemoryError, OverflowError) as error:  # the last three: sizes beyond all memory
        reason = problems(error) if isinstance(error, ValueError) else str(error).splitlines()[0]
        raise BrunaError(f"{folder / SETTINGS} does not rebuild its network: {reason}. {_CURE}") from None


def load_weights(model: nn.Module, file: Path, device: torch.device) -> None:
    """Load weights and put the model on the device, in evaluation mode.

    Raises:
        BrunaError: the file is missing, or does not hold this network.
    """
    if not file.exists():
        raise BrunaError(f"{file} is missing. `dvc repro` trains it.")
    try:
        if not file.is_file():
            raise IsADirectoryError("it is no file")
        found = load(file.read_bytes())  # `load_file` takes no path that is not UTF-8
        reason = misfit(model.state_dict(), found)
    except Exception as error:  # whatever the library's reader stumbles over
        reason = str(error).partition("\n")[0] or type(error).__name__
    if reason:
        raise BrunaError(
            f"{file} does not hold the network that {file.parent / SETTINGS} describes ({reason}). {_CURE}"
        )
    model.load_state_dict(found)
    model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
