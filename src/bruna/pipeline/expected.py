"""The figures that a preset is expected to reach, and whether the last run with it has reached them.

They stand in the group `expected` of presets/NAME.yaml: headline metrics, each with a range, and `measured`, a sentence
on the runs that the ranges come from.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bruna.errors import BrunaError, counted
from bruna.files import read_object
from bruna.headlines import HEADLINES
from bruna.nested import flatten
from bruna.params import read_params
from bruna.presets import EXPECTED, apply_preset, preset_file
from bruna.yaml_file import parse, read_text

_MEASURED = "measured"
_SHOWN = 3
"""Settings that a message names."""


@dataclass(frozen=True)
class Expected:
    """What a preset is expected to reach.

    Attributes:
        ranges: headline metric -> its lowest and highest value.
        measured: on which runs they rest.
    """

    ranges: Mapping[str, tuple[float, float]]
    measured: str


class Reached(NamedTuple):
    """A headline metric: `low` and `high` that are expected, what was `found`, None where it was not measured."""

    metric: str
    low: float
    high: float
    found: float | None

    @property
    def ok(self) -> bool:
        """Whether it is in its range."""
        return self.found is not None and self.low <= self.found <= self.high


def read_expected(name: str, presets: Path) -> Expected:
    """Read the figures that a preset is expected to reach.

    Raises:
        BrunaError: there is no such preset, it expects nothing, or says it in another way than it should.
    """
    path = preset_file(name, presets)
    raw = parse(read_text(path), path)
    found = raw.get(EXPECTED) if isinstance(raw, dict) else None
    if found is None:
        raise BrunaError(f"{path} has no group `{EXPECTED}`: nobody has written down what this preset should reach.")
    if not isinstance(found, dict) or not isinstance(found.get(_MEASURED), str):
        raise BrunaError(f"{path}: {EXPECTED} should hold `{_MEASURED}`, a sentence, and headline metrics with ranges.")
    ranges = {metric: ends for metric, ends in found.items() if metric != _MEASURED}
    for metric, ends in ranges.items():
        if metric not in HEADLINES:
            raise BrunaError(
                f"{path}: {EXPECTED}.{metric} is no headline metric. docs/reference/metrics.md lists them."
            )
        if not _is_range(ends):
            raise BrunaError(f"{path}: {EXPECTED}.{metric} is {ends!r}: give [lowest, highest], such as [0.75, 0.85].")
    return Expected({metric: (low, high) for metric, (low, high) in ranges.items()}, found[_MEASURED])


def _is_range(ends: Any) -> bool:
    if not isinstance(ends, list) or len(ends) != 2 or any(type(end) not in (int, float) for end in ends):
        return False
    return bool(ends[0] <= ends[1])


def reached(name: str, expected: Expected, presets: Path, params: Path, metrics: Path, lock: Path) -> list[Reached]:
    """Compare the last run with what a preset is expected to reach.

    Args:
        name: the preset.
        expected: of `read_expected`.
        presets: where presets lie.
        params: params.yaml.
        metrics: the folder of metrics/<stage>.json.
        lock: dvc.lock, which tells the settings that the figures were measured with; not looked at where it is missing.

    Raises:
        BrunaError: params.yaml is not the preset's, the figures are of other people or of other settings, or there are
            none.
    """
    if differ := [
        change.key for change in apply_preset(name, presets, params, write=False) if not _own_weights(change)
    ]:
        raise BrunaError(
            f"{params} is not preset {name}: {_listed(differ)} {'differs' if len(differ) == 1 else 'differ'}. `bruna "
            f"preset {name} --diff` shows it, `bruna preset {name}` writes the preset, `dvc repro` runs it."
        )
    if read_params(params).split.measured_on != "validation":
        raise BrunaError(
            f"{params}: split.measured_on is development, and what is expected was measured on validation people. Set "
            "it to validation and run `dvc repro`."
        )
    if stale := list(_measured_otherwise(params, lock)):
        raise BrunaError(
            f"{metrics}/ is of other settings than {params} has now: {_listed(stale)}. `dvc repro` measures these."
        )
    files = sorted(Path(metrics).glob("*.json"))
    found = {metric: value for file in files for metric, value in read_object(file).items()}
    if not set(found) & set(expected.ranges):
        raise BrunaError(f"{metrics}/ holds none of the figures that preset {name} expects. `dvc repro` measures them.")
    return [Reached(metric, low, high, found.get(metric)) for metric, (low, high) in expected.ranges.items()]


def _own_weights(change: Any) -> bool:
    """Whether a setting only says where published weights lie."""
    return change.key.endswith("pretrained") and "none" not in (change.old, change.new)


def _measured_otherwise(params: Path, lock: Path) -> Iterator[str]:
    """The settings that had another value when DVC last ran their stage."""
    if not lock.exists():
        return
    now = flatten(parse(read_text(params), params), ".")
    stages = (parse(read_text(lock), lock) or {}).get("stages", {})
    for stage in dict.fromkeys(headline.stage for headline in HEADLINES.values()):
        used = stages.get(stage, {}).get("params", {}).get(params.name, {})
        yield from (key for key, value in flatten(used, ".").items() if key in now and now[key] != value)


def _listed(settings: list[str]) -> str:
    more = len(settings) - _SHOWN
    return ", ".join(settings[:_SHOWN]) + (f" and {counted(more, 'settings')} more" if more > 0 else "")
