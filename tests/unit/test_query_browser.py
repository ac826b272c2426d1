"""The browser of queries, in a browser: filters against pandas, keyboard alone, phone and desk, hostile names."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from bruna.dataset.schema import Task
from bruna.report.blocks import Scripted
from bruna.report.browser import NO_SCRIPT, Asked, Match, Shown, browser
from bruna.report.browser_images import outline, small_image
from bruna.report.page import Page, Section, render, write_html
from person_table import encoded

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from playwright.sync_api import Page as Tab

HOSTILE = [
    "</script><script>window.hurt = 1</script>",
    '"><img src=x onerror="window.hurt = 1">',
    "<!--<script>",
    "'-alert(1)-'&lt;&amp;",
    "\u202egpj.evil\u2028line",
    "not utf-8: \udcff\udc80.jpg",
    "long" * 120,
    "__proto__",
]
SCHEMA = (Task("hat", ("no", "yes")), Task("constructor", tuple(HOSTILE[:3])), Task("__proto__", ("a", "b")))
"""Two of these are names of what every object of JavaScript has."""


def _page(path: Path, block: Scripted) -> Path:
    write_html(path, render(Page("Title", "Lead", [], [Section("Queries", ["Words.", block])])))
    return path


@pytest.fixture(scope="module")
def queries() -> pd.DataFrame:
    """45 queries: a row each, from the worst."""
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "path": pd.Series([f"{i:02d}-{HOSTILE[i % len(HOSTILE)]}" for i in range(45)], dtype=object),
            "ap": np.linspace(0.01, 0.99, 45),
            "camera": random.integers(0, 4, 45),  # 0 is unknown
            "hat": random.integers(-1, 2, 45),
            "hat_predicted": random.integers(0, 2, 45),
            "right": random.random(45) > 0.5,
        }
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, queries: pd.DataFrame) -> Path:
    image = small_image(encoded(np.full((128, 64, 3), 90, np.uint8)))
    mask = outline(np.pad(np.full((64, 32), 255, np.uint8), ((32, 32), (16, 16))))
    images = {
        row.path: Shown(
            row.path,
            str(row.camera) if row.camera else "",
            image,
            mask if i % 2 else None,
            [row.hat_predicted, i % 3, 0],
            [row.hat, -1, 1],
        )
        for i, row in enumerate(queries.itertuples())
    }
    paths = queries["path"].tolist()
    asked = [
        Asked(
            [row.path],
            [
                Match(
                    paths[(i + k + 1) % 45],
                    bool(row.right) if k == 0 else k % 2 == 0,
                    distance=10.0 + k,
                    probability=0.9 - k / 20,
                    upper=0.5,
                    lower=-0.5,
                )
                for k in range(0 if i == 7 else 10)  # a query for which nothing was found
            ],
            row.ap,
        )
        for i, row in enumerate(queries.itertuples())
    ]
    block = browser("Queries", images, asked, SCHEMA, filtered=True)
    return _page(tmp_path_factory.mktemp("browser") / "page.html", block)


@pytest.fixture(params=[390, 1400])
def tab(request: pytest.FixtureRequest, chrome: "Browser", page: Path) -> Iterator["Tab"]:
    """The page in a window of each width; whatever the browser complains of, or loads beside it, fails the test."""
    tab = chrome.new_page(viewport={"width": request.param, "height": 844})
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda asked: said.append(asked.url) if not asked.url.startswith("data:") else None)
    tab.goto(page.resolve().as_uri())
    yield tab
    assert said == [page.resolve().as_uri()]
    assert tab.evaluate("window.hurt") is None
    tab.close()


def _shown(tab: "Tab") -> list[str]:
    """The names of all queries that the filters leave, in their order."""
    while tab.locator(".browser-more").is_visible():
        tab.locator(".browser-more").click()
    return tab.locator(".browser-facts .why-name").all_text_contents()


def test_order_and_filters_leave_what_pandas_leaves(tab: "Tab", queries: pd.DataFrame) -> None:
    hat = queries["hat"].where(queries["hat"] >= 0, queries["hat_predicted"])
    right = queries["right"] & (queries.index != 7)
    chosen = {
        ("any", "any", "right or wrong"): pd.Series(True, queries.index),
        ("2", "any", "right or wrong"): queries["camera"] == 2,
        ("any", "hat = yes", "right or wrong"): hat == 1,
        ("any", "any", "wrong"): ~right,
        ("1", "hat = no", "right"): (queries["camera"] == 1) & (hat == 0) & right,
        ("3", "__proto__ = a", "right or wrong"): queries["camera"] == 9,  # all are annotated with b
    }
    for (camera, attribute, rank_1), expected in chosen.items():
        for order in ("worst AP first", "best AP first"):
            for label, value in (
                ("Order", order),
                ("Query’s camera", camera),
                ("Query’s attribute", attribute),
                ("Rank 1", rank_1),
            ):
                chooser = tab.locator(".browser-controls label", has_text=re.compile(f"^{label}"))
                chooser.locator("select").select_option(value)
            assert tab.get_by_role("status").inner_text().startswith(f"{expected.sum()} of 45 queries")
            left = queries[expected]["path"].tolist()[:: 1 if order == "worst AP first" else -1]
            assert [name[:2] for name in _shown(tab)] == [name[:2] for name in left]


def _focus(tab: "Tab") -> str:
    return str(tab.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.tagName"))


def _row(tab: "Tab") -> int:
    """The place of the row that has the focus."""
    rows = "[...document.querySelectorAll('.browser-row')]"
    return int(tab.evaluate(f"{rows}.findIndex(row => row.contains(document.activeElement))"))


def test_all_is_reached_and_done_by_keyboard_alone(tab: "Tab") -> None:
    for _ in range(12):
        tab.keyboard.press("Tab")
        if str(tab.evaluate("document.activeElement.parentElement?.innerText")).startswith("Order"):
            break
    tab.keyboard.press("ArrowDown")
    assert tab.locator(".browser-facts b").first.inner_text() == "AP 99.0%"
    for _ in range(4):
        tab.keyboard.press("Tab")
    assert _focus(tab).startswith("Rank 1,")
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("ArrowRight")
    assert _focus(tab).startswith("Rank 3, the same person, ") and "distance 12, probability" in _focus(tab)
    tab.keyboard.press("ArrowDown")
    assert _row(tab) == 1
    tab.keyboard.press("End")
    assert _focus(tab).startswith("Rank 10,")
    tab.keyboard.press("Home")
    tab.keyboard.press("Tab")  # a row is one stop
    assert _row(tab) == 2
    tab.keyboard.press("Enter")
    assert tab.locator("dialog[open] h3").inner_text().splitlines()[1].startswith("Rank 1 ")
    assert tab.evaluate("document.querySelector('dialog').contains(document.activeElement)")
    tab.keyboard.press("ArrowRight")
    assert tab.locator("dialog[open] h3").inner_text().splitlines()[1] == "Rank 2 ✗ another person"
    tab.keyboard.press("Escape")
    # The browser gives the focus back to rank 1, and tells the page of the closed dialog a moment later.
    tab.wait_for_function(
        "!document.querySelector('dialog[open]')"
        " && (document.activeElement.getAttribute('aria-label') || '').startsWith('Rank 2,')"
    )


def test_why_tells_halves_attributes_and_names(tab: "Tab", queries: pd.DataFrame) -> None:
    tab.locator(".browser-hit").first.click()
    why = tab.locator("dialog[open]")
    assert "Upper half\n0.50\nLower half\n-0.50" in why.inner_text()
    assert why.locator(".why-name").all_text_contents() == queries["path"].tolist()[:2]
    assert why.locator(".why-mask").count() == 1  # of the second image alone
    cells = [row.locator("th, td").all_text_contents() for row in why.locator("tbody tr").all()]
    differs = {row[1]: row[0].startswith("≠") for row in cells}
    predicted = queries["hat_predicted"].tolist()
    assert differs == {"hat": predicted[0] != predicted[1], "constructor": True, "__proto__": False}
    assert f"{2 - differs['hat']} of 3 attributes agree" in why.inner_text()
    assert cells[-1][2:] == ["aannotated: b"] * 2
    width = tab.viewport_size["width"] if tab.viewport_size else 0
    box = why.bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= width
    tab.get_by_label("Close (Escape)").click()
    assert not tab.locator("dialog[open]").count()


def test_neither_page_nor_dialog_scrolls_sideways(tab: "Tab") -> None:
    _shown(tab)
    for row in (0, 6):
        tab.locator(".browser-row").nth(row).locator(".browser-hit").first.click()
        for place in ("document.documentElement", "document.querySelector('dialog')"):
            assert tab.evaluate(f"{place}.scrollWidth - {place}.clientWidth") <= 0
        tab.keyboard.press("Escape")
    small = tab.evaluate("Math.min(...[...document.querySelectorAll('.browser-hit')].map(e => e.offsetWidth))")
    assert small >= 44  # a finger


def test_right_and_wrong_differ_by_sign_and_frame(tab: "Tab", queries: pd.DataFrame) -> None:
    row = tab.locator(".browser-row").first
    frames = row.locator(".browser-picture").evaluate_all("all => all.map(e => getComputedStyle(e).borderTopStyle)")
    signs = row.locator(".browser-sign").all_text_contents()
    right = [bool(queries["right"][0]), *(k % 2 == 0 for k in range(1, 10))]
    assert frames == ["solid" if is_right else "dashed" for is_right in right]
    assert signs == ["✓" if is_right else "✗" for is_right in right]


def test_without_scripts_a_sentence_stands_there(chrome: "Browser", page: Path) -> None:
    around = page.parent / "around.html"
    around.write_text(f'<iframe sandbox src="{page.name}" width=800 height=600></iframe>')
    tab = chrome.new_page()
    tab.goto(around.as_uri())
    inside = tab.frame_locator("iframe")
    assert inside.locator("noscript").inner_text().strip() == NO_SCRIPT
    assert inside.locator("noscript").is_visible() and not inside.locator(".browser-row").count()
    tab.close()


def test_the_browser_refuses_any_other_script(chrome: "Browser", page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "'unsafe-eval'" not in text and "script-src 'sha256-" in text
    added = '<script>window.hurt = 1</script><img src="data:," onerror="window.hurt = 1"></body>'
    (tmp_path / "page.html").write_text(text.replace("</body>", added), encoding="utf-8")
    tab = chrome.new_page()
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.goto((tmp_path / "page.html").as_uri())
    assert tab.locator(".browser-row").count() == 20 and tab.evaluate("window.hurt") is None
    assert len([text for text in said if "Content Security Policy" in text]) == 2
    tab.close()


def test_a_page_without_scripts_allows_none() -> None:
    text = render(Page("t", "l", [], [Section("s", ["words"])]))
    assert "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\"" in text and "<script" not in text
