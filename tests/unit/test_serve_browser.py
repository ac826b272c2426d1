"""The pages of `bruna serve` in a browser: at 390 and 1,400 pixels, by keyboard alone, with hostile names."""

import csv
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bruna.dataset.schema import Task
from bruna.index.asking import open_index
from bruna.index.opened import open_rows
from bruna.index.remove import remove_images
from bruna.index.store import writing
from bruna.inference.calibration import write_calibration
from bruna.inference.describer import load
from bruna.inference.explaining import explain, write_typical
from bruna.retrieval.calibration import Calibration, FittedOn
from served import Site, make_index, served, tiny_models
from tiny_dataset import write_image

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FileChooser, Page

HOSTILE = "<img src=x onerror=document.title='hacked'>'\"&amp;\u202egpj.\u2067\u05d0"
SCHEMA = (
    Task("upcolor", ("black", "</script><script>document.title='hacked'</script>", 'it\'s "red"')),
    Task("<b onclick=alert(1)>hat", ("no", "yes")),
)
NAMES = (f"{HOSTILE}_{'long' * 40}.jpg", *(f"{number:04d}_c{number % 3 + 1}_1.jpg" for number in range(1, 30)))


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models with a calibration, 30 photos and an index of them."""
    top = tmp_path_factory.mktemp("made")
    models = tiny_models(top / "artifacts", schema=SCHEMA)
    for number, name in enumerate(NAMES):
        write_image(top / "data" / name, number)
    (top / "data" / "manifest.csv").write_text(
        "path,camera,time\n"
        + "".join(
            f'"{name.replace(chr(34), chr(34) * 2)}",{n % 3 + 1},2024-05-{n + 1:02d}\n' for n, name in enumerate(NAMES)
        )
    )
    index = make_index(top / "people.index", models, top / "data" / "manifest.csv")
    people = open_index(index, models, "cpu")
    known = sorted(people.search(top / "data" / NAMES[1], top=30).results["distance"])
    shares = [i / len(known) for i in range(len(known))]
    fitted_on = FittedOn("tiny people", 30, 15, 30, 200, 60, cross_camera=True)
    falling = tuple(1 - share for share in shares)
    knots = tuple(zip(known, falling, strict=True))
    calibration = Calibration("isotonic", knots, tuple(known), tuple(shares), falling, fitted_on)
    write_calibration(calibration, models / "evaluate")
    files = [(top / "data" / name).read_bytes() for name in NAMES]
    write_typical(explain(load(models, "cpu"), files, NAMES).halves.mean(), models / "evaluate")
    return top


@pytest.fixture(scope="module")
def site(top: Path) -> Iterator[Site]:
    with served(top / "people.index", top / "artifacts") as found:
        yield found


@pytest.fixture(params=[390, 1400])
def page(request: pytest.FixtureRequest, chrome: "Browser", site: Site) -> Iterator["Page"]:
    """The page, opened; at its end nothing was complained of, nothing came from elsewhere, nobody was fooled."""
    found = chrome.new_page(viewport={"width": request.param, "height": 844})
    said: list[str] = []
    asked: list[str] = []
    found.on("console", lambda message: said.append(message.text))
    found.on("pageerror", lambda error: said.append(str(error)))
    found.on("dialog", lambda dialog: said.append(dialog.message) or dialog.dismiss())
    found.on("request", lambda each: asked.append(each.url))
    found.goto(site.url)
    found.wait_for_selector("#all:not([disabled])")
    yield found
    wide, needed = (found.evaluate(f"document.documentElement.{name}") for name in ("clientWidth", "scrollWidth"))
    title = found.title()
    found.close()
    # A status of 4xx is written down by Chromium itself.
    assert [text for text in said if not re.search("status of (422|500)", text)] == []
    assert [url for url in asked if not url.startswith((site.url, "blob:", "data:"))] == []
    assert needed <= wide and title == "Bruna: find a person"


def choose(page: "Page", top: Path, *names: str) -> None:
    page.set_input_files("#files", [top / "data" / name for name in names])
    settle(page)


def settle(page: "Page") -> None:
    """Wait until the question that was asked is answered."""
    page.wait_for_selector("main:not([aria-busy])")


opened = cache(open_index)


def keys(page: "Page") -> list[str]:
    return [str(each.get_attribute("title")) for each in page.query_selector_all(".card:not(.out)")]


def all_keys(page: "Page") -> list[str]:
    return [str(each.get_attribute("title")) for each in page.query_selector_all(".card")]


def expected(top: Path, **asked: Any) -> list[str]:
    photos = [top / "data" / name for name in asked.pop("photos", ())]
    return list(opened(top / "people.index", top / "artifacts", "cpu").search(photos, top=60, **asked).results["key"])


def test_photos_are_searched_narrowed_and_taken_away(page: "Page", top: Path) -> None:
    assert page.inner_text("#facts") == f"{top / 'people.index'} · 30 images · 3 cameras"
    assert "Who are you looking for?" in page.inner_text("#state")
    choose(page, top, *NAMES[1:3])
    assert keys(page) == expected(top, photos=NAMES[1:3])
    for panel in ("#describe", "#narrow"):
        page.evaluate(f"document.querySelector('{panel}').open = true")
    page.check("#cameras input[value='2']")
    page.fill("#from", "2024-05-05")
    settle(page)
    where = "camera = '2' and time >= '2024-05-05'"
    assert keys(page) == expected(top, photos=NAMES[1:3], where=where) and page.inner_text("#narrowed") == "2"
    page.select_option("#attributes select >> nth=0", 'it\'s "red"')
    settle(page)
    described = where + " and upcolor = 'it''s \"red\"'"
    assert keys(page) == expected(top, photos=NAMES[1:3], where=described) and page.inner_text("#described") == "1"
    page.fill("#where", "not key like '%0004%' or camera = 1")
    settle(page)
    both = described + " and (not key like '%0004%' or camera = 1)"
    assert keys(page) == expected(top, photos=NAMES[1:3], where=both)
    page.click(".remove >> nth=0")
    settle(page)
    assert keys(page) == expected(top, photos=NAMES[2:3], where=both)
    page.click("button[type=reset]")
    page.wait_for_selector(".steps")
    assert keys(page) == [] and page.query_selector_all("#photos li") == []


def test_states_that_are_no_result_are_told(page: "Page", top: Path, tmp_path: Path) -> None:
    choose(page, top, "manifest.csv")
    assert "manifest.csv cannot be read: it is not a JPEG" in page.inner_text("[role=alert]")
    page.click("button[type=reset]")
    page.wait_for_selector(".steps")
    page.evaluate("document.querySelector('#narrow').open = true")
    page.fill("#where", "nobody = 3")
    settle(page)
    assert "there is no attribute or column 'nobody'" in page.inner_text("[role=alert]")
    page.fill("#where", "key like 'nobody'")
    settle(page)
    assert "Not in the gallery" in page.inner_text("#messages")
    assert page.inner_text("#state").split("\n\n") == ["No image fits", "Take a condition away."]
    page.route("**/api/search", lambda route: route.fulfill(status=500, body="<html>"))
    page.fill("#where", "camera = 1")
    settle(page)
    assert "status 500" in page.inner_text("[role=alert]")


def test_the_threshold_shows_at_once_what_falls_away(page: "Page", top: Path) -> None:
    choose(page, top, NAMES[1])
    assert page.inner_text("#kept") == "The 30 best images" and "Off" in page.inner_text("#told")
    page.select_option("#measure", "fmr")
    rates = page.evaluate("asked.facts.calibration.rates")
    for level in (1, len(rates)):
        page.evaluate(f"at('level').value = {level}; at('level').dispatchEvent(new Event('input'))")
        rate = rates[level - 1]["rate"]
        kept = expected(top, photos=NAMES[1:2], max_fmr=rate)
        assert keys(page) == kept and page.inner_text("#kept").startswith(f"{len(kept)} of 30 images pass")
        assert page.inner_text("#told").startswith(f"At most {100 * rate:.2g}% of other people")
    page.select_option("#measure", "probability")
    page.evaluate("at('level').value = 60; at('level').dispatchEvent(new Event('input'))")
    results = opened(top / "people.index", top / "artifacts", "cpu").search(top / "data" / NAMES[1], top=60).results
    assert keys(page) == list(results["key"][results["probability"] >= 0.6])
    page.evaluate("at('level').value = 100; shown.answer.results.forEach((each) => each.probability -= 0.01)")
    page.evaluate("at('level').dispatchEvent(new Event('input'))")
    assert keys(page) == [] and page.inner_text("#kept") == "Not in the gallery: no image passes"
    page.select_option("#measure", "distance")
    page.evaluate("at('level').value = 30; at('level').dispatchEvent(new Event('input'))")
    assert keys(page) == list(results["key"])[:1]
    assert [option.inner_text() for option in page.query_selector_all("#measure option")] == [
        "probability of the same person",
        "false match rate",
        "distance",
    ]


def test_with_a_description_each_card_has_both_probabilities(page: "Page", top: Path) -> None:
    choose(page, top, NAMES[1])
    page.evaluate("document.querySelector('#describe').open = true")
    page.select_option("#attributes select >> nth=1", "yes")
    settle(page)
    first = open_index(top / "people.index", top / "artifacts", "cpu").search(
        top / "data" / NAMES[1], where='"<b onclick=alert(1)>hat" = yes'
    )
    same, described = first.results.iloc[0][["probability", "description"]]
    card = page.inner_text(".card >> nth=0")
    assert f"{100 * same:.1f}%" in card and f"description {100 * described:.1f}%" in card
    page.select_option("#measure", "description")  # the greatest is the last stop, however small it is
    page.evaluate("at('level').value = 100; at('level').dispatchEvent(new Event('input'))")
    assert page.inner_text("#kept") == "1 of 30 images passes"


def test_a_mistake_keeps_what_was_found_and_shows_what_was_typed(page: "Page", top: Path) -> None:
    choose(page, top, NAMES[1])
    page.evaluate("document.querySelector('#narrow').open = true")
    page.check("#cameras input[value='1']")
    settle(page)
    before = keys(page)
    page.fill("#where", "camera = = 2")
    settle(page)
    said = page.inner_text("#messages")
    assert "(camera = = 2) and" in said and "The images below are those of the question before." in said
    assert keys(page) == before and page.evaluate("at('gallery').inert") and page.is_hidden("#bar")
    page.fill("#where", "")
    settle(page)
    assert keys(page) == before and not page.evaluate("at('gallery').inert") and page.is_visible("#bar")


def test_while_it_searches_old_cards_lead_nowhere(page: "Page", top: Path) -> None:
    choose(page, top, NAMES[1])
    page.click(".card >> nth=0")
    page.wait_for_selector("#why .why")
    page.evaluate("ask()")  # as a photo that is dropped on the page does
    assert page.evaluate("at('gallery').inert && !at('why').open")
    settle(page)
    assert not page.evaluate("at('gallery').inert")


def test_more_images_are_shown_from_where_one_was(page: "Page", top: Path) -> None:
    choose(page, top, NAMES[1])
    page.evaluate("ask({ now: true, top: 10 })")
    settle(page)
    assert len(keys(page)) == 10
    page.evaluate("at('level').value = 1; at('level').dispatchEvent(new Event('input'))")
    assert page.inner_text("#kept") == "10 or more images pass: choose Show more"
    page.click("#more")
    settle(page)
    assert len(page.query_selector_all(".card")) == 20
    page.wait_for_function("title => document.activeElement.title === title", arg=all_keys(page)[10])


def test_the_list_is_saved_as_it_is_shown(page: "Page", top: Path, tmp_path: Path) -> None:
    choose(page, top, NAMES[0])
    page.select_option("#measure", "distance")
    page.evaluate("at('level').value = 21; at('level').dispatchEvent(new Event('input'))")
    shown = keys(page)
    assert len(shown) == 10 and shown[0] == NAMES[0]
    for kind in ("csv", "json"):
        with page.expect_download() as saved:
            page.click(f"#{kind}")
        saved.value.save_as(tmp_path / kind)
    with (tmp_path / "csv").open(newline="", encoding="utf-8") as file:
        assert [row["key"] for row in csv.DictReader(file)] == shown
    found = json.loads((tmp_path / "json").read_text(encoding="utf-8"))
    assert [row["key"] for row in found["results"]] == shown and found["results"][0]["time"] == "2024-05-01"


def test_all_is_reached_by_keyboard_alone(page: "Page", top: Path) -> None:
    def active() -> str:
        return str(page.evaluate("document.activeElement.id || document.activeElement.className"))

    def tab_to(name: str) -> None:
        for _ in range(60):
            if active() == name:
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"no Tab leads to {name}")

    choosers: list[FileChooser] = []

    def choosing(chooser: "FileChooser") -> None:
        choosers.append(chooser)

    page.on("filechooser", choosing)  # from now on: Chromium may open one before somebody who asks later listens
    tab_to("files")
    page.keyboard.press("Enter")
    for _ in range(100):
        if not choosers:
            page.wait_for_timeout(50)
    choosers[0].set_files(top / "data" / NAMES[1])
    settle(page)
    best = keys(page)
    tab_to("measure")
    page.keyboard.press("ArrowDown")  # from the probability to the false match rate
    tab_to("level")
    for _ in range(page.evaluate("asked.facts.calibration.rates.length")):
        page.keyboard.press("ArrowRight")
    assert 0 < len(keys(page)) < 30
    page.keyboard.press("Home")
    tab_to("card")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.title") == best[1]
    page.keyboard.press("Enter")
    page.wait_for_selector("#why .why")
    assert page.inner_text("#why-title") == "Why rank 2?"
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#why h2:text('Why rank 3?')")
    page.wait_for_selector("#why .why")
    page.keyboard.press("Escape")
    # `close` is told later than the dialog closes: until then the card that opened it has the focus.
    page.wait_for_function("title => !at('why').open && document.activeElement.title === title", arg=best[2])
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.title") == best[-1]


def test_why_compares_both_images_or_only_the_description(page: "Page", top: Path) -> None:
    choose(page, top, NAMES[0])
    page.click(".card >> nth=0")
    page.wait_for_selector("#why .why")
    text = page.inner_text("#why-body")
    assert NAMES[0] in text and "2 of 2 attributes agree" in text and "Upper half" in text
    page.wait_for_load_state("networkidle")
    pictures = "[...document.querySelectorAll('#why .why-frame img')].map((each) => each.naturalWidth > 0)"
    assert page.evaluate(pictures) in ([True] * 2, [True] * 3, [True] * 4)  # with outlines, if the U-Net sees anybody
    page.click("#close")
    page.click("button[type=reset]")
    page.wait_for_selector(".steps")
    page.evaluate("document.querySelector('#describe').open = true")
    page.select_option("#attributes select >> nth=1", "yes")
    settle(page)
    page.click(".card >> nth=0")
    page.wait_for_selector("#why .why")
    assert (
        "1 attribute " in page.inner_text("#why-body")
        and "query" not in page.inner_text("#why-body")
        and "Upper half" not in page.inner_text("#why-body")
    )


def test_an_index_without_pictures_and_an_empty_one(chrome: "Browser", top: Path, tmp_path: Path) -> None:
    index = make_index(tmp_path / "bare.index", top / "artifacts", top / "data", thumbnails=False)
    with served(index, top / "artifacts") as site:
        page = chrome.new_page(viewport={"width": 390, "height": 844})
        page.goto(site.url)
        page.wait_for_selector("#all:not([disabled])")
        choose(page, top, NAMES[1])
        assert page.inner_text(".card >> nth=0").count("no picture kept") == 1
        page.click(".card >> nth=0")
        page.wait_for_selector("#why .why")
        with writing(index):
            rows = open_rows(index, features=False)
            remove_images(index, rows, rows.keys != "")
        page.reload()
        page.wait_for_selector("#state h2")
        assert "The index is empty" in page.inner_text("#state") and page.query_selector("#all[disabled]")
        page.close()


def test_the_page_of_the_api(chrome: "Browser", site: Site) -> None:
    page = chrome.new_page(viewport={"width": 390, "height": 844})
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"{site.url}docs")
    page.wait_for_selector("section")
    text = page.inner_text("body")
    assert "/api/search" in text and "max_fmr" in text and "keep_junk" in text and said == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
