"""Settings written into params.yaml, of which nothing but the values changes: those of `presets/NAME.yaml` above all.

A preset lists only what makes it different. A key that it leaves out but `sample.yaml` has takes the sample's
value, so that params.yaml says the same after a preset whichever preset came before. Its group `expected` is no
setting: it holds the figures that a run should reach (`pipeline/expected.py`).
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml.nodes import CollectionNode, MappingNode, Node

from bruna.errors import BrunaError
from bruna.files import whole_file
from bruna.nested import flatten
from bruna.params import parse_params
from bruna.yaml_file import parse, parse_nodes, read_text

BASE = "sample"
"""The preset that the others are differences to."""
EXPECTED = "expected"
"""The group of a preset that is not written into params.yaml."""
_COMMENT = re.compile(r"[ \t]+(?=#)")


@dataclass(frozen=True)
class Change:
    """One setting that a preset changes, e.g. `train_unet.width` from 8 to 64."""

    key: str
    old: Any
    new: Any


def describe_presets(folder: Path) -> dict[str, str]:
    """The presets in a folder and the first comment line of each, by name."""
    return {path.stem: _description(path) for path in sorted(Path(folder).glob("*.yaml"))}


def preset_file(name: str, folder: Path) -> Path:
    """Where a preset stands.

    Raises:
        BrunaError: there is no such preset.
    """
    if name not in describe_presets(folder):
        known = ", ".join(describe_presets(folder)) or "none"
        raise BrunaError(f"there is no preset {name!r} in {folder}/ (found: {known}). `bruna preset` describes them.")
    return Path(folder) / f"{name}.yaml"


def apply_preset(name: str, folder: Path, params: Path, *, write: bool = True) -> list[Change]:
    """Write a preset's values into a params file, as the preset writes them; no other byte of the file changes.

    But for the spaces before the comment behind a changed value, which keeps its column.

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
    path = preset_file(name, folder)
    wanted: dict[str, Any] = {}
    written: dict[str, str] = {}
    for source in dict.fromkeys((folder / f"{BASE}.yaml", path)):
        if source.exists():
            text = read_text(source)
            values = _settings(text, source)
            wanted |= flatten({group: values[group] for group in values if group != EXPECTED}, ".")
            written |= {key: text[_span(node)] for key, node, _ in _leaves(parse_nodes(text, source))}
    return write_settings(params, wanted, written, f"preset {name} ({path})", write=write)


def write_settings(
    params: Path, wanted: Mapping[str, Any], written: Mapping[str, str], source: str, *, write: bool = True
) -> list[Change]:
    """Write values into a params file; see `apply_preset`.

    Args:
        params: the file to change.
        wanted: the values, by names such as `train_unet.width`.
        written: the same as they are to be written.
        source: where they come from, for messages.
        write: False only tells what would change.

    Returns:
        The settings that change.

    Raises:
        BrunaError: the result would hold an unknown key or a value that is not allowed; the file is then as it was.
    """
    text = read_text(params)
    values = _settings(text, params)
    changes = []
    for key, new in wanted.items():
        old = _set(values, key, new, params)
        if old != new or type(old) is not type(new):
            changes.append(Change(key, old, new))
    parse_params(values, f"{source} written into {params}")
    if changes and write:
        result = _rewritten(text, {change.key: written[change.key] for change in changes}, params)
        if _read_again(result, params) != values:
            raise BrunaError(
                f"{params} is laid out in a way that settings cannot be written into: put each of them on one line, as "
                "`name: value`."
            )
        with whole_file(params) as beside:
            beside.write_bytes(result.encode("utf-8"))
    return changes


def _settings(text: str, path: Path) -> Any:
    """The settings as plain Python values."""
    values = parse(text, path)
    if not isinstance(values, MutableMapping):
        raise BrunaError(f"{path} holds no settings. It should hold groups such as `train_unet:`.")
    return values


def _read_again(text: str, path: Path) -> Any:
    """The settings of a text that was rewritten; None where it is no YAML any more."""
    try:
        return _settings(text, path)
    except BrunaError:
        return None


def _set(settings: Any, key: str, value: Any, source: Path) -> Any:
    """Set a nested value and return the one before (None where there was none)."""
    *groups, last = key.split(".")
    group = settings
    for i, name in enumerate(groups):
        if not isinstance(group.setdefault(name, {}), MutableMapping):
            where = ".".join(groups[: i + 1])
            raise BrunaError(f"{source}: {where} holds {group[name]!r} where a group of settings should stand.")
        group = group[name]
    old = group.get(last)
    group[last] = value
    return old


def _leaves(node: Node | None, prefix: str = "") -> Iterator[tuple[str, Node, MappingNode]]:
    """Every setting below a node: its key with dots, the node of its value, and that of its group."""
    assert isinstance(node, MappingNode)  # as `_settings` has seen
    for name, value in node.value:
        key = f"{prefix}{name.value}"
        if isinstance(value, MappingNode) and value.value:
            yield from _leaves(value, f"{key}.")
        else:
            yield key, value, node


def _span(node: Node) -> slice:
    """Where a value stands in the text, without what follows a list of lines."""
    last = node
    while isinstance(last, CollectionNode) and last.value and not last.flow_style:
        last = last.value[-1][1] if isinstance(last, MappingNode) else last.value[-1]
    return slice(node.start_mark.index, last.end_mark.index)


def _rewritten(text: str, values: Mapping[str, str], source: Path) -> str:
    """A text of settings with other values, each as it is to be written."""
    known = {key for key, _, _ in _leaves(parse_nodes(text, source))}
    for key in reversed([key for key in values if key not in known]):
        text = _with_place(text, key, source)
    leaves = list(_leaves(parse_nodes(text, source)))
    columns: dict[int, Counter[int]] = {}  # where the comments of each group start
    for _, node, group in leaves:
        if comment := _COMMENT.match(text, _span(node).stop):
            column = node.start_mark.column + comment.end() - node.start_mark.index
            columns.setdefault(id(group), Counter())[column] += 1
    for key, node, group in sorted(leaves, key=lambda leaf: leaf[1].start_mark.index, reverse=True):
        if key in values:
            start, end = _span(node).start, _span(node).stop
            # The lines of a list may stand no further in than its name: a value that takes their place may not.
            if isinstance(node, CollectionNode) and not node.flow_style:
                start = len(text[:start].rstrip())
            value = values[key] if text[start - 1].isspace() else f" {values[key]}"
            if comment := _COMMENT.match(text, end):  # where most of its group start, if the value leaves room
                (column, _), *_ = columns[id(group)].most_common(1)
                value = value.ljust(max(column - node.start_mark.column, len(value) + 1))
                end = comment.end()
            text = text[:start] + value + text[end:]
    return text


def _with_place(text: str, key: str, source: Path) -> str:
    """The text with a setting that it lacks, 0 for now, at the head of the nearest group that there is."""
    group: Any = parse_nodes(text, source)
    names = key.split(".")
    while inner := next((value for name, value in group.value if name.value == names[0]), None):
        group, names = inner, names[1:]
    value = "0"
    for name in reversed(names[1:]):
        value = f"{{{name}: {value}}}"
    if not group.value:
        return text[: group.start_mark.index] + f"{{{names[0]}: {value}}}" + text[group.end_mark.index :]
    first = group.value[0][0].start_mark
    newline = re.search(r"\r\n?|\n|$", text)
    assert newline is not None
    between = ", " if group.flow_style else newline[0] + " " * first.column
    return f"{text[: first.index]}{names[0]}: {value}{between}{text[first.index :]}"


def _description(path: Path) -> str:
    first = read_text(path).partition("\n")[0]
    return first.lstrip("\ufeff# ").strip() if first.lstrip("\ufeff").startswith("#") else ""
