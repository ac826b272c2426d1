"""Named settings: `presets/NAME.yaml`, written into params.yaml with its comments, order and layout kept.

A preset lists only what makes it different. A key that it leaves out but `sample.yaml` has takes the sample's
value, so that params.yaml says the same after a preset whichever preset came before.
"""

import io
from collections import Counter
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from bruna.errors import BrunaError
from bruna.files import whole_file
from bruna.nested import flatten
from bruna.params import parse_params

BASE = "sample"
"""The preset that the others are differences to."""


@dataclass(frozen=True)
class Change:
    """One setting that a preset changes, e.g. `train_unet.width` from 8 to 64."""

    key: str
    old: Any
    new: Any


def describe_presets(folder: Path) -> dict[str, str]:
    """The presets in a folder and the first comment line of each, by name."""
    return {path.stem: _description(path) for path in sorted(Path(folder).glob("*.yaml"))}


def apply_preset(name: str, folder: Path, params: Path, *, write: bool = True) -> list[Change]:
    """Write a preset's values into a params file; nothing else in the file changes, not even a space.

    Args:
        name: the preset, `folder/name.yaml`.
        folder: where the presets lie.
        params: the file to change.
        write: False only tells what would change.

    Returns:
        The settings that change, in the order of the preset; empty where the file already says the same.

    Raises:
        BrunaError: there is no such preset, or the result would hold an unknown key or a value that is not
            allowed; the file is then as it was.
    """
    folder, params = Path(folder), Path(params)
    path = folder / f"{name}.yaml"
    if name not in describe_presets(folder):
        known = ", ".join(describe_presets(folder)) or "none"
        raise BrunaError(f"there is no preset {name!r} in {folder}/ (found: {known}). `bruna preset` describes them.")
    wanted: dict[str, tuple[Any, Any]] = {}
    for source in dict.fromkeys((folder / f"{BASE}.yaml", path)):
        if source.exists():
            text = _text(source)
            plain = flatten(_plain(text, source), ".")
            wanted |= {key: (value, plain[key]) for key, value in flatten(_layout(text, source), ".").items()}

    text = _text(params)
    document, values = _layout(text, params), _plain(text, params)
    changes = []
    for key, (value, new) in wanted.items():
        old = _set(values, key, new, params)
        if old != new or type(old) is not type(new):
            _set(document, key, value, params)
            changes.append(Change(key, old, new))
    parse_params(values, f"preset {name} ({path}) written into {params}")
    if changes and write:
        with whole_file(params) as beside:
            beside.write_text(_dump(document), encoding="utf-8")
    return changes


def _yaml() -> YAML:
    """A round-trip reader and writer that breaks no line; the same library writes what `dvc -S` changes."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 10_000
    return yaml


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BrunaError(f"{path} is missing. Run this from the top folder of the project.") from None
    except UnicodeDecodeError as error:
        raise BrunaError(f"{path} is not UTF-8 text ({error}). Save it as UTF-8.") from None


def _layout(text: str, path: Path) -> Any:
    """The settings with comments and the way each value is written."""
    return _parsed(_yaml(), text, path)


def _plain(text: str, path: Path) -> Any:
    """The settings as plain Python values, for the comparison and the check."""
    return _parsed(YAML(typ="safe", pure=True), text, path)


def _parsed(yaml: YAML, text: str, path: Path) -> Any:
    try:
        value = yaml.load(text)
    except YAMLError as error:
        raise BrunaError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(value, MutableMapping):
        raise BrunaError(f"{path} holds no settings. It should hold groups such as `train_unet:`.")
    return value


def _dump(document: Any) -> str:
    text = io.StringIO()
    _yaml().dump(document, text)
    return text.getvalue()


def _set(document: Any, key: str, value: Any, source: Path) -> Any:
    """Set a nested value and return the one before (None where there was none)."""
    *groups, last = key.split(".")
    group = document
    for i, name in enumerate(groups):
        if not isinstance(group.setdefault(name, {}), MutableMapping):
            where = ".".join(groups[: i + 1])
            raise BrunaError(f"{source}: {where} holds {group[name]!r} where a group of settings should stand.")
        group = group[name]
    old = group.get(last)
    group[last] = value
    if isinstance(group, CommentedMap):
        _align(group, last)
    return old


def _align(group: CommentedMap, name: str) -> None:
    """Put a setting's comment where most comments of its group start: a long value before may have moved it."""
    comments = {key: tokens[2] for key, tokens in group.ca.items.items() if tokens[2] is not None}
    if name in comments:
        columns = Counter(token.start_mark.column for token in comments.values())
        comments[name].start_mark.column = columns.most_common(1)[0][0]


def _description(path: Path) -> str:
    first = _text(path).partition("\n")[0]
    return first.lstrip("# ").strip() if first.startswith("#") else ""
