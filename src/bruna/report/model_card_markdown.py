"""The model card as Markdown that a person can read as it stands; whatever a data set calls itself stays text."""

import re
from collections.abc import Mapping, Sequence

from bruna.nested import flatten
from bruna.report.blocks import Settings, Table
from bruna.report.model_card_words import Part, Points

_SIGNS = re.compile(r"[\\*\[\]|~$]|`|(?<![^\W_])_|_(?![^\W_])")
"""Signs that would be markup: an underscore between letters is none."""
_START = re.compile(r"[#+=-]|\d+(?=[.)](?:\s|$))")
"""What makes the beginning of a line a heading, a list or a rule; a number is one with what follows it."""


def markdown(title: str, parts: Sequence[Part]) -> str:
    """The card as a file: equal cards give equal texts.

    Args:
        title: its first line.
        parts: the rest.
    """
    blocks = [f"# {_text(title)}"]
    for part in parts:
        blocks.append(f"## {_text(part.title)}")
        blocks += map(_block, part.blocks)
    return "\n\n".join(blocks) + "\n"


def with_card_origin(text: str, origin: Mapping[str, str]) -> str:
    """A card with one more paragraph under its title: what it comes from, e.g. `{"Commit": "0a1b2c3"}`."""
    if not origin:
        return text
    first, rest = text.split("\n", 1)
    return f"{first}\n\n{_line('; '.join(f'{name}: {value}' for name, value in origin.items()))}\n{rest}"


def _block(block: str | Points | Table | Settings) -> str:
    match block:
        case str():
            return _line(block)
        case Points():
            return "\n".join(f"* {_line(text)}" for text in block.texts)
        case Table():
            return _table(block)
        case Settings():
            return "\n".join(f"* {_text(name)}: {_text(_pairs(values))}" for name, values in block.groups.items())


def _table(table: Table) -> str:
    """Under its caption; a column `group/name` is called `group: name`."""
    names = [str(name).replace("/", ": ") for name in table.frame.columns]
    lines = [names, ["---"] * len(names), *table.frame.itertuples(index=False, name=None)]
    rows = [f"| {' | '.join(cell if cell == '---' else _text(str(cell)) for cell in cells)} |" for cells in lines]
    return "\n".join([*([f"{_text(table.caption)}:", ""] if table.caption else []), *rows])


def _pairs(values: object) -> str:
    pairs = flatten(values, ".") if isinstance(values, Mapping) else {"": values}
    return ", ".join(f"{name} {_value(value)}".strip() for name, value in pairs.items())


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _text(text: str) -> str:
    """One line of text that no reader of Markdown takes for markup or HTML."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SIGNS.sub(lambda found: f"\\{found[0]}", line)


def _line(text: str) -> str:
    """The same where it begins a line."""
    line = _text(text)
    if start := _START.match(line):
        end = start.end() if start[0].isdigit() else 0
        line = f"{line[:end]}\\{line[end:]}"
    return line
