"""The report page: complete, escaped, self-contained, deterministic."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from bruna.report.blocks import Folded, Note, Picture, Settings, Table
from bruna.report.figures import cmc_curves
from bruna.report.page import Section, Tile, render, write_report
from bruna.report.style import png_bytes

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
        "Bruna <1>",
        "Lead & more",
        [Tile("mAP", "61.2%", "on <validation>")],
        [
            Section(
                "Re-identification",
                ["Text", Note("Tuned & measured"), Table(frame, "Cap", {"acc": "{:.1%}"}, ["Overall"])],
            ),
            Section("Re-identification", [Picture(png, 'A "curve"')]),
            Section("Settings", [Folded("All", [Settings({"a": {"x": {"lr": 1e-4}, "on": True}, "b": [128, 64]})])]),
        ],
        footer="data 0123",
    )


def test_page_says_what_it_was_given() -> None:
    text = " | ".join(_Reader(_page()).text)
    for part in ("Bruna <1>", "Lead & more", "61.2%", "on <validation>", "Tuned & measured", "50.0%", "12,345", "–"):
        assert part in text
    for part in ("Cap", "x.lr", "0.0001", "yes", "128 × 64", "data 0123"):
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
    blocks = [bad, Note(bad), Table(frame, bad), Picture(png, bad), Folded(bad, [bad]), Settings({bad: {bad: bad}})]
    reader = _Reader(render(bad, bad, [Tile(bad, bad, bad)], [Section(bad, blocks)], footer=bad))
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
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, format="PNG")
    small = png_bytes(cmc_curves({"a": np.array([1.0])}))
    large, kept = _Reader(
        render("t", "l", [], [Section("s", [Picture(buffer.getvalue(), ""), Picture(small, "")])])
    ).sources
    assert base64.b64decode(kept.split(",")[1]) == small
    image = Image.open(io.BytesIO(base64.b64decode(large.split(",")[1])))
    assert (image.format, image.size) == ("WEBP", (400, 500))
    assert len(large) < len(buffer.getvalue())


def test_equal_input_gives_an_equal_file(tmp_path: Path) -> None:
    assert _page() == _page()
    write_report(tmp_path / "a" / "report.html", "t", "l", [], [])
    assert (tmp_path / "a" / "report.html").read_text(encoding="utf-8") == render("t", "l", [], [])
