"""One self-contained HTML page: tiles, sections of blocks, links between them; nothing is loaded from elsewhere.

No script runs but those that its blocks bring along, each named by its hash.

`render` turns its arguments into text that depends on nothing else (no time, no machine).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from bruna.files import whole_file
from bruna.report.blocks import Block, Note, blocks_html, scripted
from bruna.report.page_style import CSS
from bruna.report.scripts import script_source


@dataclass(frozen=True)
class Tile:
    """A headline number, e.g. `Tile("map", "mAP", "61.2%", "Market-1501 protocol", "58.0–64.4%")`; `name` as in
    metrics/*.json, `interval` of 95%."""

    name: str
    label: str
    value: str
    note: str = ""
    interval: str = ""


@dataclass(frozen=True)
class TileGroup:
    """Tiles under one heading; `small` where they stand back behind the others."""

    title: str
    tiles: list[Tile]
    small: bool = False


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """All that is on a page.

    Attributes:
        title: of the page.
        lead: one or two sentences under it: what was measured, on what.
        groups: the headline numbers.
        sections: the body; each is linked to from the top.
        warnings: what stands above the headline numbers, for they must not be read without it.
        footer: last line, e.g. which data set and parameters the page belongs to.
    """

    title: str
    lead: str
    groups: Sequence[TileGroup]
    sections: Sequence[Section]
    warnings: Sequence[str] = ()
    footer: str = ""


def write_html(path: Path, text: str) -> None:
    """Write the text of a page to a file, whole.

    Raises:
        BrunaError: the file cannot be written.
    """
    with whole_file(path) as beside:
        beside.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def render(page: Page) -> str:
    """Compose a complete HTML document; equal pages give equal texts."""
    names = _anchors([section.title for section in page.sections])
    sections = list(zip(names, page.sections, strict=True))
    with_scripts = scripted([block for section in page.sections for block in section.blocks])
    scripts = list(dict.fromkeys(text for block in with_scripts for text in block.scripts))
    styles = list(dict.fromkeys(text for block in with_scripts for text in block.styles))
    policy = ["default-src 'none'", "img-src data:", "style-src 'unsafe-inline'", script_source(scripts)]
    links = "".join(f'<a href="#{name}">{escape(section.title)}</a>' for name, section in sections)
    body = "".join(
        f'<section id="{name}"><h2>{escape(section.title)}</h2>{blocks_html(section.blocks)}</section>'
        for name, section in sections
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        # The browser itself refuses whatever is not in the file.
        f'<meta http-equiv="Content-Security-Policy" content="{"; ".join(filter(None, policy))}">'
        f"<title>{escape(page.title)}</title>\n<style>{''.join([CSS, *styles])}</style></head>\n<body>"
        f'<header><h1>{escape(page.title)}</h1><p class="lead">{escape(page.lead)}</p>'
        + blocks_html([Note(f"Warning: {warning}") for warning in page.warnings])
        + "".join(map(_tile_group, page.groups))
        + "</header>"
        + (f'<nav aria-label="Sections">{links}</nav>' if links else "")
        + f"\n<main>{body}</main>\n<footer>{escape(page.footer)}</footer>"
        + "".join(f"<script>{text}</script>" for text in scripts)
        + "</body></html>\n"
    )


def with_origin(text: str, origin: Mapping[str, str]) -> str:
    """A rendered page with one more line under its lead: what it comes from, e.g. `{"commit": "0a1b2c3"}`."""
    parts = "".join(f"<span>{escape(what)} <code>{escape(value)}</code></span>" for what, value in origin.items())
    return text.replace("</p>", f'</p><p class="origin">{parts}</p>', 1) if parts else text


def _anchors(titles: Sequence[str]) -> list[str]:
    names: list[str] = []
    for title in titles:
        stem = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section"
        name, number = stem, 2
        while name in names:
            name, number = f"{stem}-{number}", number + 1
        names.append(name)
    return names


def _tile_group(group: TileGroup) -> str:
    kind = "tiles small" if group.small else "tiles"
    return f'<h2 class="group">{escape(group.title)}</h2><div class="{kind}">{"".join(map(_tile, group.tiles))}</div>'


def _tile(tile: Tile) -> str:
    note = f'<span class="note">{escape(tile.note)}</span>' if tile.note else ""
    interval = f'<span class="interval">{escape(tile.interval)}</span>' if tile.interval else ""
    return (
        f'<div class="tile" data-metric="{escape(tile.name)}"><span class="label">{escape(tile.label)}</span>'
        f'<span class="value">{escape(tile.value)}{interval}</span>{note}</div>'
    )
