"""The report page's section on retrieval: the figures beside what they have to beat, and the pictures of them."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from bruna.report.blocks import Block, Heading, Note, Table
from bruna.report.drawing import Pictures, Set
from bruna.report.page import Section
from bruna.report.words import words
from bruna.retrieval.protocols import COURSE, FIGURES, MARKET1501, PROTOCOLS

_SETS: dict[Set, str] = {
    "validation": "Validation identities, every image both query and gallery",
    "test": "Test set, its own query and gallery folders",
}
_VARIANTS = {
    "features_only": "without the attribute factor",
    "no_flip": "without mirror images",
    "reranked": "re-ranked",
}
_BASELINES = {"untrained": "untrained network", "histogram": "color histograms"}
_WHY_NOT = {
    "unfiltered": "The main row leaves out what Task 1 takes for junk, as evaluate.filter_junk says: false keeps all.",
    "features_only": (
        "The main row keeps the paper’s distance, d(features) · (offset + d(attributes)). With a larger "
        "evaluate.attribute_offset (now {attribute_offset:g}) the attributes count less."
    ),
    "no_flip": "The main row embeds mirror images too, as evaluate.flip says: false leaves them out.",
    "reranked": (
        "The main row stays without it: re-ranking looks at the other queries and at the whole gallery, so its "
        "figures stand beside those of other re-ranked results only."
    ),
}
"""Why the main row is not this variant, which is better."""
_WORDS = (
    "query, gallery",
    "AP, mAP",
    "rank-1, rank-5, CMC",
    "mINP",
    "Market-1501 protocol",
    "course protocol",
    "Bruna, Task 1, U-Net",
    "attribute factor",
    "junk, distractor",
)
_CLEARLY = 0.01
"""mAP from which on a variant is better than the main row, and the page says why it is not the main row."""


def retrieval_section(figures: Mapping[str, Any], pictures: Pictures, settings: Mapping[str, Any]) -> Section:
    """Compose the section.

    Args:
        figures: of the stage `evaluate`.
        pictures: of the page.
        settings: the group `evaluate` that the figures were measured with.
    """
    blocks: list[Block] = [words(*_WORDS)]
    for name, caption in _SETS.items():
        if name in figures:
            own = name == "validation"
            blocks += [] if own else [Heading("Test set")]
            baselines = figures["baselines"] if own else {}
            distracted = figures.get("distractors", {}) if own else {}
            blocks += retrieval_blocks(figures[name], baselines, caption, settings, distracted, finds_itself=own)
            blocks += pictures.get(name, [])
    itself = ", and on the validation identities the query itself" if _on_cameras(figures["validation"]) else ""
    blocks.append(
        Note(
            f"The course protocol counts images of the query’s own camera too{itself}: only the Market-1501 protocol "
            "measures whether a person is found again on another camera. A validation gallery is far smaller than the "
            "official test gallery: do not compare the two."
        )
    )
    return Section("Retrieval", blocks)


def retrieval_blocks(
    found: Mapping[str, Any],
    baselines: Mapping[str, Any],
    caption: str,
    settings: Mapping[str, Any],
    distracted: Mapping[str, Any] | None = None,
    *,
    finds_itself: bool,
) -> list[Block]:
    """The table of one set and what has to be known beside it.

    Args:
        found: the figures of the set (`Retrieval.summary`).
        baselines: name -> figures by protocol, to stand below.
        caption: of the table.
        settings: the group `evaluate`.
        distracted: the same queries with unlabelled images in the gallery, by name (`Distracted.summary`).
        finds_itself: whether each query lies in the gallery too.
    """
    facts = [_queries(found), _discarded(found, filters_junk=settings["filter_junk"])]
    if finds_itself and _on_cameras(found):  # it is at distance 0 from itself: no network can miss it
        facts.append(
            "By the course protocol each query finds itself first: its rank-1 tells nothing here, and its mAP is "
            "higher for it."
        )
    elif finds_itself:
        facts.append("By the course protocol, which stands alone here, the query itself is left out.")
    table = retrieval_table(found, baselines, caption, distracted)
    return [table, *_better_variants(found, settings), " ".join(facts), *_distractor_notes(distracted or {})]


def _better_variants(found: Mapping[str, Any], settings: Mapping[str, Any]) -> list[Block]:
    """A sentence for each variant whose mAP is clearly above that of the main row: why it is not the main row."""
    main = found[MARKET1501.name].get("map", math.nan)  # nothing is above NaN
    notes: list[Block] = []
    for name, figures in {"unfiltered": found["unfiltered"], **found["variants"]}.items():
        gain = figures.get(MARKET1501.name, {}).get("map", 0.0) - main
        if gain > _CLEARLY:
            which = "without the junk filter" if name == "unfiltered" else _VARIANTS[name]
            why = _WHY_NOT[name].format(**settings)
            notes.append(Note(f"Bruna {which} has {100 * gain:.1f} points more mAP. {why}"))
    return notes


def retrieval_table(
    found: Mapping[str, Any],
    baselines: Mapping[str, Any],
    caption: str,
    distracted: Mapping[str, Any] | None = None,
) -> Table:
    """One row a way to rank, one group of columns a protocol; what was not measured is a dash.

    Args:
        found: the figures of one set (`Retrieval.summary`).
        baselines: name -> figures by protocol, to stand below.
        caption: of the table.
        distracted: see `retrieval_blocks`.
    """
    rows = {"Bruna": found}
    if found["left_out_as_junk"]:
        rows["Bruna without the junk filter"] = found["unfiltered"]
    rows |= {f"Bruna {title}": found["variants"][key] for key, title in _VARIANTS.items() if key in found["variants"]}
    rows |= {f"Bruna, {_added(each)} in the gallery too": each for each in (distracted or {}).values()}
    rows |= {title: baselines[key] for key, title in _BASELINES.items() if key in baselines}
    frame = pd.DataFrame(
        [
            {"what": name}
            | {
                f"{protocol.title}/{head}": float(figures.get(protocol.name, {}).get(key, float("nan")))
                for protocol in reversed(PROTOCOLS)  # the one to compare by first
                for key, head in FIGURES.items()
            }
            for name, figures in rows.items()
        ]
    )
    return Table(frame, caption, dict.fromkeys(FIGURES.values(), "{:.1%}"), strong=["Bruna"])


def _added(distracted: Mapping[str, Any]) -> str:
    return " and ".join(f"{folder}/" for folder in distracted["added"])


def _distractor_notes(distracted: Mapping[str, Any]) -> list[Block]:
    """What the rows with unlabelled images in the gallery hold, and why they are no more than a lower bound."""
    if not distracted:
        return []
    parts = [
        f"{_added(each)}: {sum(each['added'].values()):,} images, of which the junk filter left out "
        f"{each['left_out_as_junk']:,}"
        for each in distracted.values()
    ]
    return [
        f"Unlabelled images in the gallery too. {'; '.join(parts)}. Nobody knows who is on them, so each counts as "
        "another person. Where one shows a query’s own person, a right answer counts as wrong: these rows are a lower "
        "bound. They are measured by the Market-1501 protocol alone, and not re-ranked."
    ]


def _on_cameras(found: Mapping[str, Any]) -> bool:
    """Whether a query has a match on another camera."""
    return bool(found[MARKET1501.name]["queries"])


def _queries(found: Mapping[str, Any]) -> str:
    protocol = MARKET1501 if _on_cameras(found) else COURSE
    counts, before = found[protocol.name], ""
    if protocol is COURSE:
        before = f"No query has a match on another camera: the {MARKET1501.title} measures nothing here. "
    if not counts["left_out"]:
        return f"{before}{counts['queries']:,} queries, each with a match in the gallery."
    return (
        f"{before}{counts['queries']:,} queries with a match in the gallery; {counts['left_out']:,} without any are in "
        f"no mean ({protocol.title})."
    )


def _discarded(found: Mapping[str, Any], *, filters_junk: bool) -> str:
    """What the junk filter did, and whether it was right where the data tell."""
    images = f"{found['gallery']:,} gallery images. "
    if not filters_junk:
        return images + "The junk filter is off."
    holds, lost = found["gallery_holds"], found["left_out_holds"]
    known = f" The gallery holds {holds['junk']:,} images marked as junk." if holds["junk"] else ""
    if not found["left_out_as_junk"]:
        return f"{images}The junk filter took none of them for junk, so it changes no figure.{known}"
    kinds = {"people": "of labelled people, which it should have kept", "distractors": "distractors", "junk": "junk"}
    parts = [f"{lost[kind]:,} {which}" for kind, which in kinds.items() if lost[kind]]
    return f"{images}The junk filter left out {found['left_out_as_junk']:,}: {'; '.join(parts) or 'unlabelled'}.{known}"
