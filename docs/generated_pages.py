"""Reference pages that are written from the code each time the docs are built: nobody has to keep them in step.

They land in docs/_build/generated, which Git ignores; the pages of docs/reference include them.
"""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import typer
import yaml

from bruna.cli.main import app
from bruna.files import whole_file
from bruna.headlines import HEADLINES
from bruna.nested import flatten
from bruna.presets import BASE, describe_presets

PROJECT = Path(__file__).resolve().parents[1]
_SETTING = re.compile(r"^(?P<indent> *)(?P<key>\w+):(?P<value>[^#]*)(?:#\s*(?P<meaning>.*))?$")


def write_pages(folder: Path) -> None:
    """Write every generated page into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("settings.md", settings_page(PROJECT / "params.yaml", PROJECT / "presets")),
        ("command-line.md", command_line_page()),
        ("metrics.md", metrics_page()),
        ("damage.md", damage_page(PROJECT / "tests")),
    ):
        with whole_file(folder / name) as beside:
            beside.write_text(text, encoding="utf-8")


def explained(params: Path) -> Iterator[tuple[str, str]]:
    """Every key of params.yaml, groups too, joined by dots, with its comment; in the order of the file."""
    path: list[tuple[int, str]] = []
    for line in params.read_text(encoding="utf-8").splitlines():
        if match := _SETTING.match(line):
            indent = len(match["indent"])
            path = [(depth, key) for depth, key in path if depth < indent] + [(indent, match["key"])]
            yield ".".join(key for _, key in path), match["meaning"] or ""


def settings_page(params: Path, presets: Path) -> str:
    """A table a group: every setting, its value in each preset, and its comment in params.yaml."""
    delivered = _values(params)  # has `runtime`, which no preset touches
    base = delivered | _values(presets / f"{BASE}.yaml")
    others = sorted(set(describe_presets(presets)) - {BASE})
    changes = [_values(presets / f"{name}.yaml") for name in others]
    lines: list[str] = []
    for key, meaning in explained(params):
        group, _, setting = key.partition(".")
        if not setting:
            lines += ["", f"## `{group}`", "", _sentence(meaning), ""]
            lines += _row("setting", BASE, *others, "meaning") + _row(*["---"] * (len(others) + 3))
        elif key in base:
            changed = [change[key] if change.get(key, base[key]) != base[key] else "" for change in changes]
            lines += _row(f"`{setting}`", base[key], *changed, meaning)
        else:  # a group inside a group
            lines += _row(f"`{setting}`", *[""] * (len(others) + 1), meaning)
    return "\n".join(lines) + "\n"


def _values(file: Path) -> dict[str, str]:
    """The values of a file of settings as YAML writes them, by key, e.g. `train_unet.augment.pad`."""
    values = flatten(yaml.safe_load(file.read_text(encoding="utf-8")), separator=".")
    return {key: f"`{yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}`" for key, value in values.items()}


def metrics_page() -> str:
    """The table of the headline metrics."""
    lines = _row("metric", "stage", "on the page", "meaning") + _row(*["---"] * 4)
    for name, headline in HEADLINES.items():
        lines += _row(f"`{name}`", f"`{headline.stage}`", headline.title, headline.meaning)
    return "\n".join(lines) + "\n"


def damage_page(tests: Path) -> str:
    """A table a module of tests/damage: the damage, the command that meets it, a part of what the command says."""
    if str(tests) not in sys.path:
        sys.path.append(str(tests))
    lines: list[str] = []
    for topic, rows in importlib.import_module("damage").topics().items():
        lines += ["", f"## {topic}", "", *_row("damage", "command", "the message has"), *_row(*["---"] * 3)]
        lines += [line for row in rows for line in _row(row.kind, f"`{row.command}`", f"`` {row.says} ``")]
    return "\n".join(lines) + "\n"


def command_line_page() -> str:
    """Every command with its help, as the terminal shows it, and its arguments and options."""
    group = typer.main.get_command(app)
    context = click.Context(group, info_name="bruna")
    lines = [*_help_text(group.help), "", *_parameters(group, context)]
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = click.Context(command, info_name=name, parent=context)
        usage = " ".join(command.collect_usage_pieces(inner))
        lines += ["", f"## `bruna {name}`", "", f"`bruna {name} {usage}`", *_help_text(command.help), ""]
        lines += _parameters(command, inner)
    return "\n".join(lines) + "\n"


def _help_text(text: str | None) -> list[str]:
    """Paragraphs as they are; the blocks that Click keeps unwrapped, marked by \b, as code."""
    lines: list[str] = []
    for block in (text or "").strip().split("\n\n"):
        if block.startswith("\b"):
            lines += ["", "```text", *(line.removeprefix("  ") for line in block.splitlines()[1:]), "```"]
        else:
            lines += ["", *block.splitlines()]
    return lines


def _parameters(command: click.Command, context: click.Context) -> list[str]:
    lines: list[str] = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and parameter.name != "help":
            lines += _row(f"`{record[0].strip()}`", record[1])
    return [*_row("option", "meaning"), *_row("---", "---"), *lines] if lines else []


def _row(*cells: str) -> list[str]:
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if not text or text.endswith(".") else ".")
