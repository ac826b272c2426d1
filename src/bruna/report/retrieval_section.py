"""The report page's section on retrieval: the figures beside what they have to beat, and the pictures of them."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bruna.report.blocks import Block, Note, Table
from bruna.report.drawing import Pictures, Place
from bruna.report.page import Section

PROTOCOLS = {"market1501": "Market-1501 protocol", "course": "course protocol"}
"""The protocols as the page and the charts call them."""

FIGURES = {"map": "mAP", "rank1": "rank-1", "rank5": "rank-5", "rank10": "rank-10", "minp": "mINP"}
_SETS: dict[Place, str] = {
    "validation": "Validation identities, every image both query and gallery",
    "test": "Test set, its own query and gallery folders",
}
_VARIANTS = {
    "features_only": "without the attribute factor",
    "no_flip": "without mirror images",
    "reranked": "re-ranked",
}
_BASELINES = {"untrained": "untrained network", "histogram": "colour histograms"}


def retrieval_section(metrics: Mapping[str, Any], pictures: Pictures, *, filters_junk: bool) -> Section:
    """Compose the section.

    Args:
        metrics: of the stage `evaluate`.
        pictures: of the page.
        filters_junk: whether the junk filter was on.
    """
    blocks: list[Block] = []
    for name, caption in _SETS.items():
        if name in metrics:
            found, own = metrics[name], name == "validation"
            blocks.append(retrieval_table(found, metrics["baselines"] if own else {}, caption, own_gallery=own))
            blocks += [_queries(found["market1501"]), _discarded(found, filters_junk)]
            blocks += pictures.get(name, [])
    blocks.append(
        Note(
            "The course protocol counts same-camera images too, and on the validation identities the query itself: its "
            "figures are no measure of finding a person again on another camera. The Market-1501 protocol is. "
            "A validation gallery is far smaller than the official test gallery: equal figures are not equal quality."
        )
    )
    return Section("Retrieval", blocks)


def retrieval_table(
    found: Mapping[str, Any], baselines: Mapping[str, Any], caption: str, *, own_gallery: bool
) -> Table:
    """One row a way to rank, one group of columns a protocol; what was not measured is a dash.

    Args:
        found: the figures of one set (`Retrieval.summary`).
        baselines: name -> figures by protocol, to stand below.
        caption: of the table.
        own_gallery: whether the queries are gallery images themselves.
    """
    rows = {"Bruna": found}
    if found["left_out_as_junk"]:
        rows["Bruna without the junk filter"] = found["unfiltered"]
    rows |= {f"Bruna {words}": found["variants"][key] for key, words in _VARIANTS.items() if key in found["variants"]}
    rows |= {words: baselines[key] for key, words in _BASELINES.items() if key in baselines}
    titles = dict(PROTOCOLS)
    if own_gallery:  # the query is at distance 0 from itself: no network can miss it
        titles["course"] += ": rank-1 tells nothing, the query finds itself"
    frame = pd.DataFrame(
        [
            {"what": name}
            | {
                f"{title}/{head}": float(figures.get(protocol, {}).get(key, float("nan")))
                for protocol, title in titles.items()
                for key, head in FIGURES.items()
            }
            for name, figures in rows.items()
        ]
    )
    return Table(frame, caption, dict.fromkeys(FIGURES.values(), "{:.1%}"), strong=["Bruna"])


def _queries(counts: Mapping[str, int]) -> str:
    if not counts["left_out"]:
        return f"{counts['queries']:,} queries, each with a right image in the gallery."
    return (
        f"{counts['queries']:,} queries with a right image in the gallery; {counts['left_out']:,} without any are in "
        "no mean (Market-1501 protocol)."
    )


def _discarded(found: Mapping[str, Any], filters_junk: bool) -> str:
    """What the junk filter did, and whether it was right where the data say so."""
    images = f"{found['gallery']:,} gallery images. "
    if not filters_junk:
        return images + "The junk filter is off."
    holds, lost = found["gallery_holds"], found["left_out_holds"]
    known = f" The gallery holds {holds['junk']:,} images marked as junk." if holds["junk"] else ""
    if not found["left_out_as_junk"]:
        return f"{images}The junk filter took none of them for junk, so it changes no figure.{known}"
    kinds = {"people": "of labelled people, which it should have kept", "distractors": "distractors", "junk": "junk"}
    parts = [f"{lost[kind]:,} {words}" for kind, words in kinds.items() if lost[kind]]
    return f"{images}The junk filter left out {found['left_out_as_junk']:,}: {'; '.join(parts) or 'unlabelled'}.{known}"
