"""What a section of a page is made of: text, headings, remarks, tables, figures, settings; each as HTML."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from bruna.nested import flatten

_LARGE = 400_000
"""PNG bytes from which on a picture is embedded as WebP: sheets of photographs would make the page ten times
as large; charts stay lossless."""

_LONG = 40
"""Signs from which on a cell of text is broken into lines."""


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    text: str


@dataclass(frozen=True)
class Note:
    """A remark that a reader must not miss, set off from the text."""

    text: str


@dataclass(frozen=True)
class Table:
    """A data frame as a table (its index is not shown).

    Attributes:
        frame: columns named `group/name` get a two-line header.
        caption: above it.
        formats: column, or last part of a column's name -> format, e.g. `{"mAP": "{:.1%}"}`; otherwise floats
            have three decimals, integers thousands separators, missing values a dash.
        strong: values of the first column whose rows are set in bold.
    """

    frame: pd.DataFrame
    caption: str = ""
    formats: Mapping[str, str] = field(default_factory=dict)
    strong: Sequence[str] = ()


@dataclass(frozen=True)
class Picture:
    """The bytes of a PNG with its caption; `alt` tells in words what it shows."""

    png: bytes
    caption: str
    alt: str = ""


@dataclass(frozen=True)
class Settings:
    """Parameters: group -> (key -> value), values of any JSON kind; nested ones are written with dots."""

    groups: Mapping[str, Any]


@dataclass(frozen=True)
class Folded:
    """Blocks behind a heading that opens on a click."""

    title: str
    blocks: Sequence["Block"]


@dataclass(frozen=True)
class Scripted:
    """Markup with the scripts and style sheets that it needs; whoever makes it has escaped what is in it.

    Attributes:
        html: the markup.
        scripts, styles: their texts; what several blocks need is on the page once.
    """

    html: str
    scripts: Sequence[str]
    styles: Sequence[str]


Block = str | Heading | Note | Table | Picture | Settings | Folded | Scripted
"""What a section is made of; a plain string is a paragraph."""


def blocks_html(blocks: Sequence[Block]) -> str:
    """Blocks one after the other, every text in them escaped."""
    return "".join(map(_block, blocks))


def scripted(blocks: Sequence[Block]) -> list[Scripted]:
    """The blocks with scripts, folded ones too."""
    found: list[Scripted] = []
    for block in blocks:
        if isinstance(block, Folded):
            found += scripted(block.blocks)
        elif isinstance(block, Scripted):
            found.append(block)
    return found


def _block(block: Block) -> str:
    match block:
        case str() | Heading() | Note():
            return _text(block)
        case Table():
            return _table(block)
        case Picture():
            return _picture(block)
        case Settings():
            return _settings(block)
        case Scripted():
            return block.html
        case Folded():
            return (
                f"<details><summary>{escape(block.title)}</summary>"
                f'<div class="inside">{blocks_html(block.blocks)}</div></details>'
            )


def _text(block: str | Heading | Note) -> str:
    match block:
        case str():
            return f"<p>{escape(block)}</p>"
        case Heading():
            return f"<h3>{escape(block.text)}</h3>"
        case Note():
            return f'<p class="remark" role="note">{escape(block.text)}</p>'


def _picture(picture: Picture) -> str:
    with Image.open(io.BytesIO(picture.png), formats=["PNG"]) as image:
        width, height = image.size
        kind, data = "png", picture.png
        if len(data) > _LARGE:
            buffer = io.BytesIO()
            image.convert("RGB").save(buffer, format="WEBP", quality=85, method=2)
            kind, data = "webp", buffer.getvalue()
    # On a phone a wide figure scrolls sideways in its frame rather than shrink until nobody can read it.
    least = round(width * 0.6)
    return (
        f'<figure><div class="scroll"><img src="data:image/{kind};base64,{base64.b64encode(data).decode()}" '
        f'width="{width}" height="{height}" style="--least:{least}px" '
        f'alt="{escape(picture.alt or picture.caption)}"></div>'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )


def _table(table: Table) -> str:
    frame = table.frame
    names = [str(column) for column in frame.columns]
    # A column of numbers is set flush right, head and cells alike.
    sides = ["n" if pd.api.types.is_numeric_dtype(frame.dtypes.iloc[i]) else "" for i in range(len(names))]
    formats = [table.formats.get(name, table.formats.get(name.rsplit("/", 1)[-1], "")) for name in names]
    rows = []
    for values in frame.itertuples(index=False, name=None):
        cells = [_cell(value, form) for value, form in zip(values, formats, strict=True)]
        mark = ' class="strong"' if str(values[0]) in table.strong else ""
        first = f'<th scope="row">{cells[0]}</th>'
        rest = "".join(
            f'<td class="{side or ("long" if len(cell) > _LONG else "")}">{cell}</td>'
            for side, cell in zip(sides[1:], cells[1:], strict=True)
        )
        rows.append(f"<tr{mark}>{first}{rest}</tr>")
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    head = _head(names, sides)
    label = escape(table.caption or "table")
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table>{caption}<thead>{head}</thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _head(names: Sequence[str], sides: Sequence[str]) -> str:
    """One header line, or two where a column is named `group/name`; neighbors of a group share its cell."""
    last = [name.rsplit("/", 1)[-1] for name in names]
    lower = "".join(
        # A heading of several words may be broken into lines; at a hyphen it may not.
        f'<th scope="col" class="{side}{" words" * (" " in name)}">{escape(name)}</th>'
        for name, side in zip(last, sides, strict=True)
    )
    if not any("/" in name for name in names):
        return f"<tr>{lower}</tr>"
    spans: list[list[Any]] = []
    for name in names:
        group = name.rsplit("/", 1)[0] if "/" in name else ""
        if spans and group and spans[-1][0] == group:
            spans[-1][1] += 1
        else:
            spans.append([group, 1])
    upper = "".join(
        f'<th scope="colgroup" colspan="{span}" class="group">{escape(group)}</th>' if group else "<td></td>"
        for group, span in spans
    )
    return f"<tr>{upper}</tr><tr>{lower}</tr>"


def _cell(value: Any, form: str) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return escape((form or "{:,}").format(value))
    if isinstance(value, float | np.floating):
        return escape((form or "{:.3f}").format(value))
    return escape(str(value))


def _settings(settings: Settings) -> str:
    parts = []
    for group, values in settings.groups.items():
        pairs = flatten(values, ".").items() if isinstance(values, Mapping) else [("", values)]
        rows = "".join(f"<dt>{escape(key)}</dt><dd>{escape(_plain(value))}</dd>" for key, value in pairs)
        parts.append(f'<div class="settings"><h4>{escape(group)}</h4><dl>{rows}</dl></div>')
    return f'<div class="columns">{"".join(parts)}</div>'


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        numbers = all(isinstance(item, int | float) for item in value)
        return (" × " if numbers else ", ").join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
