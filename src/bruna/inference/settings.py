"""How the networks are used, and how the stage `evaluate` has used them."""

from dataclasses import fields
from numbers import Integral
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from bruna.errors import BrunaError
from bruna.files import read_object
from bruna.inference.loading import Count, problems

AttributesFrom = Literal["task1", "bruna", "both"]
"""The network that predicts attributes; `both`: the mean of the two networks' probabilities."""


@dataclass(frozen=True, config=ConfigDict(strict=True, allow_inf_nan=False))
class Settings:
    """How the networks are used. The defaults are the paper's.

    Attributes:
        attribute_offset: the constant in distance = d(features) * (offset + d(attributes)).
        flip: features and attributes of Bruna are means over an image and its mirror image.
        attributes_from: the network that predicts attributes.
        attribute_neighbors: how many images a prediction is averaged over in a gallery that holds many images of
            everybody.
        junk_threshold: probability of junk from which on an image counts as junk.
        batch_size: images a pass.

    Raises:
        ValueError: a value has another type, or lies out of bounds.
    """

    attribute_offset: Annotated[float, Field(ge=0)] = 0.1
    flip: bool = False
    attributes_from: AttributesFrom = "task1"
    attribute_neighbors: Count = 1
    junk_threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    batch_size: Count = 128

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Settings":
        """Those of the group `evaluate` of params.yaml; its other settings are passed over."""
        return cls(**{each.name: values[each.name] for each in fields(cls) if each.name in values})


def recorded_settings(models: Path) -> Settings:
    """How the stage `evaluate` has used the networks of an artifacts folder; the paper's settings before it has run.

    Raises:
        BrunaError: `evaluate/settings.json` is damaged.
    """
    file = models / "evaluate" / "settings.json"
    if not file.exists():
        return Settings()
    try:
        return Settings.of(read_object(file))
    except ValueError as error:
        raise BrunaError(f"{file} is not usable: {problems(error)}. `dvc repro evaluate` writes it again.") from None


def checked_count(name: str, value: Any) -> int:
    """A whole number of at least 1.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 1:  # NumPy's are Integral too
        raise ValueError(f"{name} is {value!r}: give a whole number of at least 1")
    return int(value)
