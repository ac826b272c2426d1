"""The browser of queries: each with what was found for it as small pictures, and why; drawn by `assets/browser.js`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from bruna.dataset.schema import Task
from bruna.report.blocks import Scripted
from bruna.report.scripts import asset, json_block

SCRIPTS = ("why.js", "browser.js")
STYLES = ("why.css", "browser.css")
_NUMBERS = ("distance", "probability", "upper", "lower", "description")
NO_SCRIPT = "The pictures in this place need JavaScript. All else on this page does without."


@dataclass(frozen=True)
class Shown:
    """An image as the browser shows it.

    Attributes:
        name: of its file.
        camera: empty where unknown.
        image: URL of the picture (`small_image`); None where there is none.
        mask: URL of the outline of the person; None where there is none.
        predicted: the code of each attribute, -1 where not known; None without attributes.
        annotated: the same as annotated.
    """

    name: str
    camera: str = ""
    image: str | None = None
    mask: str | None = None
    predicted: Sequence[int] | None = None
    annotated: Sequence[int] | None = None


@dataclass(frozen=True)
class Match:
    """What was found, one rank.

    Attributes:
        image: the key of an image.
        match: whether it shows the query's person; None where nobody knows.
        distance, probability, upper, lower, description: NaN where not known; the similarities of the halves, and the
            probabilities of the same person and of the description.
        agreeing, differing: names of attributes, where they cannot be told from the predicted values; None where they
            can.
    """

    image: str
    match: bool | None = None
    distance: float = math.nan
    probability: float = math.nan
    upper: float = math.nan
    lower: float = math.nan
    description: float = math.nan
    agreeing: Sequence[str] | None = None
    differing: Sequence[str] | None = None


@dataclass(frozen=True)
class Asked:
    """A query and what was found for it, the best first.

    Attributes:
        images: keys of its images; none for a description.
        hits: what was found.
        precision: its average precision, NaN where nobody knows it.
        name: None takes that of its image.
        attributes: values by attribute, where they are not those of its image.
    """

    images: Sequence[str]
    hits: Sequence[Match]
    precision: float = math.nan
    name: str | None = None
    attributes: Mapping[str, str] | None = None


def browser(
    name: str,
    images: Mapping[str, Shown],
    queries: Sequence[Asked],
    attributes: Sequence[Task],
    *,
    filtered: bool,
    wide: bool = False,
) -> Scripted:
    """Compose a browser.

    Args:
        name: of this browser on its page, for readers who do not see it.
        images: by key; each is on the page once.
        queries: in the order in which they stand first: from the worst.
        attributes: what `predicted` and `annotated` tell.
        filtered: whether it can be sorted and filtered: every query has an image and a precision.
        wide: larger pictures on a phone.
    """
    places = {key: place for place, key in enumerate(images)}
    data = {
        "id": "browser-" + "-".join("".join(sign if sign.isalnum() else " " for sign in name.lower()).split()),
        "filtered": filtered,
        "wide": wide,
        "attributes": [{"name": task.name, "values": list(task.values)} for task in attributes],
        "images": [_filled(image.__dict__) for image in images.values()],
        "queries": [
            _filled({"ap": _short(asked.precision), "name": asked.name, "attributes": asked.attributes})
            | {
                "images": [places[key] for key in asked.images],
                "hits": [_hit(hit, places) for hit in asked.hits],
            }
            for asked in queries
        ],
    }
    html = (
        f'<div class="browser" role="group" aria-label="{escape(name)}">{json_block(data)}'
        f'<noscript><p class="remark">{NO_SCRIPT}</p></noscript></div>'
    )
    return Scripted(html, [asset(script) for script in SCRIPTS], [asset(style) for style in STYLES])


def _hit(hit: Match, places: Mapping[str, int]) -> dict[str, Any]:
    told: dict[str, Any] = {name: _short(getattr(hit, name)) for name in _NUMBERS}
    told |= {"agreeing": hit.agreeing, "differing": hit.differing}
    return {"image": places[hit.image], "match": hit.match} | _filled(told)


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is not known; what is a sequence as JSON has it."""
    there = {key: value for key, value in values.items() if value is not None and value != ""}
    return {key: list(value) if isinstance(value, list | tuple) else value for key, value in there.items()}


def _short(number: float) -> float | None:
    """Four digits, which is more than anybody reads; None where it is not known."""
    return None if math.isnan(number) else float(f"{number:.4g}")
