"""The report page in a browser: it fits a phone, a tablet and a desk, loads nothing, and works by keyboard."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from bruna.report.blocks import Folded, Picture, Settings, Table
from bruna.report.figures import cmc_curves
from bruna.report.page import Page, Section, Tile, TileGroup, render, write_html
from bruna.report.style import new_figure, png_bytes

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_WIDE = pd.DataFrame(
    {"what": ["Bruna with a long name"], **{f"Market-1501 protocol/rank-{i}": [0.5] for i in range(30)}}
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with what is wider than a phone: tables, pictures, long words."""
    pictures = [png_bytes(figure) for figure in (cmc_curves({"a": np.ones(20)}), new_figure(width=14)[0])]
    shown = [Picture(png, "A caption " * 12, "alt") for png in pictures]
    path = tmp_path_factory.mktemp("page") / "page.html"
    tiles = [Tile(f"m{i}", "Attribute balanced accuracy", "100.0%", "any constant prediction: 41.3%") for i in range(9)]
    blocks = ["Words " * 40, "artifacts/" * 30, Table(_WIDE, "A table"), *shown, Folded("More", [Table(_WIDE)])]
    sections = [Section(f"Section {i}", blocks) for i in range(9)]
    settings = Section("Settings", [Settings({"train_bruna": {"pretrained": "a/long/path" * 12}})])
    text = render(
        Page("Title", "Lead", [TileGroup("Group", tiles), TileGroup("Small", tiles, True)], [*sections, settings])
    )
    write_html(path, text)
    return path


@pytest.mark.parametrize("width", [390, 800, 1400])
def test_the_page_itself_never_scrolls_sideways_and_loads_nothing(chrome: "Browser", page: Path, width: int) -> None:
    tab = chrome.new_page(viewport={"width": width, "height": 900})
    requests: list[str] = []
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(page.resolve().as_uri())
    tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    shown, needed = (tab.evaluate(f"document.documentElement.{name}") for name in ("clientWidth", "scrollWidth"))
    assert needed <= shown <= width
    texts = "[...document.querySelectorAll('h1, h2, h3, p, .label, .value, .note')]"
    assert tab.evaluate(f"{texts}.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent).join()") == ""
    assert [url for url in requests if not url.startswith("data:")] == [page.resolve().as_uri()]
    tab.close()


def test_whatever_scrolls_or_opens_is_reached_by_keyboard(chrome: "Browser", page: Path) -> None:
    tab = chrome.new_page(viewport={"width": 390, "height": 844})
    tab.goto(page.resolve().as_uri())
    reached = set()
    for _ in range(60):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate("document.activeElement.tagName + '.' + document.activeElement.className"))
    assert {"A.", "DIV.scroll", "SUMMARY."} <= reached
    tab.close()


def test_dark_mode_has_light_letters_on_dark(chrome: "Browser", page: Path) -> None:
    tab = chrome.new_page()

    def brightness(name: str) -> float:
        color = str(tab.evaluate(f"getComputedStyle(document.body).{name}"))
        return sum(map(int, color.strip("rgb()").split(",")))

    tab.emulate_media(color_scheme="dark")
    tab.goto(page.resolve().as_uri())
    assert brightness("backgroundColor") < brightness("color") - 400
    tab.emulate_media(color_scheme="light")
    assert brightness("color") < brightness("backgroundColor") - 400
    tab.close()
