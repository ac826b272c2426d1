"""One self-contained HTML page: tiles, sections of blocks, links between them; nothing is loaded from elsewhere.

`render` turns its arguments into text that depends on nothing else (no time, no machine).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from bruna.files import whole_file
from bruna.report.blocks import Block, blocks_html
from bruna.report.page_style import CSS


@dataclass(frozen=True)
class Tile:
    """A headline number, e.g. `Tile("mAP", "61.2%", "Market-1501 protocol")`."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block]


def write_report(
    path: Path, title: str, lead: str, tiles: Sequence[Tile], sections: Sequence[Section], *, footer: str = ""
) -> None:
    """Write the page of `render` to a file, whole.

    Raises:
        BrunaError: the file cannot be written.
    """
    text = render(title, lead, tiles, sections, footer=footer)
    with whole_file(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")


def render(title: str, lead: str, tiles: Sequence[Tile], sections: Sequence[Section], *, footer: str = "") -> str:
    """Compose the page.

    Args:
        title: of the page.
        lead: one or two sentences under it: what was measured, on what.
        tiles: the headline numbers.
        sections: the body; each is linked to from the top.
        footer: last line, e.g. which data set and parameters the page belongs to.

    Returns:
        A complete HTML document; equal arguments give an equal text.
    """
    names = _anchors([section.title for section in sections])
    links = "".join(
        f'<a href="#{name}">{escape(section.title)}</a>' for name, section in zip(names, sections, strict=True)
    )
    body = "".join(
        f'<section id="{name}"><h2>{escape(section.title)}</h2>{blocks_html(section.blocks)}</section>'
        for name, section in zip(names, sections, strict=True)
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        # The browser itself refuses whatever is not in the file.
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title>\n<style>{CSS}</style></head>\n<body>"
        f'<header><h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p>'
        + (f'<div class="tiles">{"".join(map(_tile, tiles))}</div>' if tiles else "")
        + (f"<nav>{links}</nav>" if links else "")
        + f"</header>\n<main>{body}</main>\n<footer>{escape(footer)}</footer></body></html>\n"
    )


def _anchors(titles: Sequence[str]) -> list[str]:
    names: list[str] = []
    for title in titles:
        stem = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section"
        name, number = stem, 2
        while name in names:
            name, number = f"{stem}-{number}", number + 1
        names.append(name)
    return names


def _tile(tile: Tile) -> str:
    note = f'<span class="note">{escape(tile.note)}</span>' if tile.note else ""
    return (
        f'<div class="tile"><span class="label">{escape(tile.label)}</span>'
        f'<span class="value">{escape(tile.value)}</span>{note}</div>'
    )
