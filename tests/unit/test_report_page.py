"""The report page: complete, escaped, self-contained, deterministic."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from bruna.report.blocks import Folded, Heading, Note, Picture, Settings, Table
from bruna.report.figures import cmc_curves
from bruna.report.page import Page, Section, Tile, TileGroup, render, with_origin, write_html
from bruna.report.style import png_bytes
from person_table import encoded

VOID = {"meta", "img", "br", "link"}


class _Reader(HTMLParser):
    """Collects the text, the attributes that load something, and checks that tags nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.sources: list[str] = []
        self.targets: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        self.sources += [v or "" for k, v in attrs if k in {"src", "srcset", "data", "action", "poster"}]
        self.targets += [v or "" for k, v in attrs if k == "href"]
        self.ids += [values["id"] or ""] if "id" in values else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def _page() -> str:
    frame = pd.DataFrame({"task": ["Bag", "Overall"], "train/acc": [0.5, np.nan], "train/n": [12345, 2]})
    png = png_bytes(cmc_curves({"market": np.array([0.5, 1.0])}))
    return render(
        Page(
            "Bruna <1>",
            "Lead & more",
            [TileGroup("On <validation>", [Tile("map", "mAP", "61.2%", "a <note>")])],
            [
                Section(
                    "Re-identification",
                    [
                        "Text",
                        Heading("A <part>"),
                        Note("Tuned & measured"),
                        Table(frame, "Cap", {"acc": "{:.1%}"}, ["Overall"]),
                    ],
                ),
                Section("Re-identification", [Picture(png, 'A "curve"', "Rises <steeply>")]),
                Section(
                    "Settings", [Folded("All", [Settings({"a": {"x": {"lr": 1e-4}, "on": True}, "b": [128, 64]})])]
                ),
            ],
            footer="data 0123",
        )
    )


def test_page_says_what_it_was_given() -> None:
    text = " | ".join(_Reader(_page()).text)
    for part in ("Bruna <1>", "Lead & more", "61.2%", "a <note>", "Tuned & measured", "50.0%", "12,345", "–"):
        assert part in text
    for part in ("On <validation>", "A <part>", "Cap", "x.lr", "0.0001", "yes", "128 × 64", "data 0123"):
        assert part in text


def test_grouped_columns_get_one_cell_and_strong_rows_a_mark() -> None:
    page = _page()
    assert 'colspan="2" class="group">train</th>' in page
    assert re.search(r'<tr class="strong"><th scope="row">Overall</th>', page)
    assert page.count('class="strong"') == 1


def test_text_is_escaped_everywhere() -> None:
    bad = "<script>alert('x')</script>\"&"
    frame = pd.DataFrame({bad: [bad], f"{bad}/n": [1.0]})
    png = png_bytes(cmc_curves({"a": np.array([1.0])}))
    blocks = [bad, Heading(bad), Note(bad), Table(frame, bad), Picture(png, bad, bad), Folded(bad, [bad])]
    sections = [Section(bad, [*blocks, Settings({bad: {bad: bad}})])]
    page = Page(bad, bad, [TileGroup(bad, [Tile(bad, bad, bad, bad)])], sections, footer=bad)
    reader = _Reader(with_origin(render(page), {bad: bad}))
    assert "script" not in reader.tags


def test_nothing_is_loaded_from_outside() -> None:
    page = _page()
    reader = _Reader(page)
    assert reader.sources
    assert all(source.startswith("data:image/") for source in reader.sources)
    assert {target.removeprefix("#") for target in reader.targets} == set(reader.ids)
    assert len(set(reader.ids)) == 3  # equal headings still have anchors of their own
    assert not {"script", "link", "iframe", "object"} & set(reader.tags)
    assert not re.search(r"url\(|@import|https?:", re.sub(r"base64,[^\"]*", "", page))


def test_pictures_are_embedded_whole_and_large_ones_shrunk() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (500, 400, 3), dtype=np.uint8)
    png = encoded(noise, "PNG")
    small = png_bytes(cmc_curves({"a": np.array([1.0])}))
    page = Page("t", "l", [], [Section("s", [Picture(png, ""), Picture(small, "")])])
    large, kept = _Reader(render(page)).sources
    assert base64.b64decode(kept.split(",")[1]) == small
    image = Image.open(io.BytesIO(base64.b64decode(large.split(",")[1])))
    assert (image.format, image.size) == ("WEBP", (400, 500))
    assert len(large) < len(png)


def test_equal_input_gives_an_equal_file(tmp_path: Path) -> None:
    assert _page() == _page()
    write_html(tmp_path / "a" / "report.html", _page())
    assert (tmp_path / "a" / "report.html").read_text(encoding="utf-8") == _page()


def test_the_origin_stands_under_the_lead() -> None:
    assert with_origin(_page(), {}) == _page()
    page = with_origin(_page(), {"Commit": "0a1b2c3", "MLflow run": "<run>"})
    text = "".join(_Reader(page).text)
    assert "Lead & moreCommit 0a1b2c3MLflow run <run>On <validation>" in text
    assert re.sub('<p class="origin">.*?</p>', "", page) == _page()


def test_pictures_have_alternative_texts() -> None:
    assert re.search(r'alt="Rises &lt;steeply&gt;"', _page())
    assert "A &quot;curve&quot;</figcaption>" in _page()
