"""The figures of the model card: headline metrics with intervals, attributes, who is found less well, thresholds."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.dataset_file import DatasetFile
from bruna.dataset.schema import title
from bruna.errors import counted
from bruna.headlines import HEADLINES, headline_intervals
from bruna.metrics.bootstrap import FEWEST
from bruna.report.blocks import Table
from bruna.report.breakdown_section import Groups, stand_outs
from bruna.report.calibration_section import on_others, rate_table
from bruna.report.model_card_words import Part
from bruna.report.sections import Findings, chance_notes
from bruna.report.tiles import interval_text, shown
from bruna.retrieval.protocols import COURSE, MARKET1501

_BASELINES = {"untrained_map": "untrained network", "histogram_map": "color histograms"}
_RANKED = ("map", "features_map")
"""Headline metrics that the baselines stand beside."""
_MEASURING = ("train_unet", "train_attributes", "train_bruna", "evaluate")
_SETS = {"validation": "validation", "test": "test set"}
_ATTRIBUTES, _VALUES = 40, 12
"""Attributes, and values of each, that the card names."""
_SHARES = {
    "accuracy": "accuracy",
    "majority": "always the commonest value",
    "balanced_accuracy": "balanced accuracy",
    "chance": "any constant prediction",
}
_MARKET1501 = {task.name: task.values for task in ATTRIBUTES}
_MEANT = ("up", "down", "clothes", "upcolor", "downcolor")
"""Attributes of Market-1501 that their names do not explain."""
_SOURCES = {"task1": "Task 1’s network", "bruna": "Bruna’s attribute head", "both": "the mean of both networks"}


def figure_parts(findings: Findings, data: DatasetFile) -> list[Any]:
    """The headline table and how it was measured."""
    metrics = findings.metrics
    intervals = headline_intervals(findings.measured, metrics)
    notes = chance_notes(findings.measured)
    ranked = "; ".join(f"{words} {shown(name, metrics[name])}" for name, words in _BASELINES.items() if name in metrics)
    rows = []
    for name, headline in HEADLINES.items():
        if name in metrics and headline.stage in _MEASURING and name not in _BASELINES:
            found = intervals.get(name)
            rows.append(
                {
                    "figure": headline.title,
                    "meaning": headline.meaning,
                    "value": shown(name, metrics[name]),
                    "95% interval": interval_text(found) if found else "–",
                    "resampled": f"{found.resampled:,}" if found else "–",
                    "to compare with": (ranked if name in _RANKED else notes.get(name, "")) or "–",
                }
            )
    caption = "“Resampled”: the people (for the U-Net, the images with a mask) that the interval comes from"
    table = Table(pd.DataFrame(rows), caption)
    return [*([table] if rows else ["Nothing was measured."]), *_how(findings), *_chosen(findings, data)]


def _how(findings: Findings) -> list[str]:
    """By which protocol and distance, and where the attributes come from."""
    settings, texts = findings.settings["evaluate"], []
    found = findings.measured.get("validation", {})
    if queries := found.get(MARKET1501.name, {}).get("queries"):
        texts.append(
            f"Retrieval is measured by the {MARKET1501.title}: images of the query’s person from the query’s own "
            f"camera are left out. {queries:,} validation queries have a match in a gallery of {found['gallery']:,} "
            f"images. The {COURSE.title} counts the whole gallery, the query too."
        )
    elif queries := found.get(COURSE.name, {}).get("queries"):
        texts.append(
            f"No query has a match on another camera, which the {MARKET1501.title} asks for: only the {COURSE.title} "
            f"is measured, without the query itself. {queries:,} validation queries have a match in a gallery of "
            f"{found['gallery']:,} images."
        )
    if queries and "attributes" not in findings.untrained:
        texts.append(
            f"The distance is d(features) · ({settings['attribute_offset']:g} + d(attributes)). Gallery images that "
            f"Task 1 takes for junk (no person, or too little of one) are "
            f"{'left out' if settings['filter_junk'] else 'kept'}."
        )
    if "attributes_predicted" in found:
        neighbors = settings["attribute_neighbors"]
        over = f", averaged over {neighbors} images that Bruna finds alike" if neighbors > 1 else ", from one image"
        texts.append(f"Attributes are predicted by {_SOURCES[settings['attributes_from']]}{over}.")
    return [" ".join(texts)] if texts else []


def _chosen(findings: Findings, data: DatasetFile) -> list[str]:
    """On whom it was measured, and what was chosen by them."""
    kind = "people" if data.identities else "images"
    texts = [
        f"The validation {kind} trained no network of this run. Whether settings were chosen by their figures is not "
        "on record: who tries many settings and keeps the best has chosen luck too. Those of the presets sample and "
        "market1501 were chosen by the validation people of the data that they are named after."
    ]
    if "test" in findings.measured:
        texts.append(
            "The pipeline fits nothing to the test set, neither weights nor a threshold nor a probability. Whether "
            "somebody chose settings by its figures is not on record."
        )
    else:
        texts.append("There is no labelled test set: nothing is measured on others than these.")
    return [" ".join(texts)]


def attribute_rows(findings: Findings, data: DatasetFile) -> list[Any]:
    """A row an attribute: its values, and how well it is predicted where that was measured."""
    measured = findings.measured.get("validation", {}).get("attributes_predicted", {})
    rows = [
        {"attribute": title(name), "values": _values(values)}
        | {words: _share(measured[name], figure) for figure, words in _SHARES.items() if name in measured}
        for name, values in list(data.attributes.items())[:_ATTRIBUTES]
    ]
    more = len(data.attributes) - len(rows)
    caption = "As predicted for the validation images; “always” and “any” take no network" if measured else ""
    meant = (
        "As in Market-1501, up is the length of the sleeves; down is the length and clothes the kind of what is worn "
        "below; upcolor and downcolor are the colors above and below."
    )
    return [
        Table(pd.DataFrame(rows).fillna("–"), caption),
        *([f"And {counted(more, 'attributes')} more."] if more else []),
        *([meant] if all(data.attributes.get(name) == _MARKET1501[name] for name in _MEANT) else []),
    ]


def _values(values: tuple[str, ...]) -> str:
    more = len(values) - _VALUES
    return ", ".join(values[:_VALUES]) + (f" and {more} more" if more > 0 else "")


def _share(figures: Mapping[str, float], figure: str) -> str:
    value = figures.get(figure, math.nan)
    return "–" if math.isnan(value) else f"{value:.1%}"


def group_parts(findings: Findings) -> list[Part]:
    """Who is found less well; none where nothing is ranked."""
    if "bruna" in findings.untrained:
        return []
    texts = [text for groups in findings.groups.values() for text in _groups(groups)]
    if not texts:
        texts = ["Not known: no camera and no attribute tells two groups of queries apart, or no query has a match."]
    if any(map(stand_outs, findings.groups.values())):
        texts.append("A group differs for all that goes with it; the page has every group, and its intervals.")
    return [Part("Who is found less well", texts)]


def _groups(groups: Groups) -> list[str]:
    said = stand_outs(groups)
    few = f"too few people to tell. That takes a group of {FEWEST} people, and as many outside it."
    return [f"{groups.words.capitalize()}: {text}" for text in said or [few]]


def threshold_parts(findings: Findings) -> list[Part]:
    """How often two people are taken for one, and one for two; none where nothing is ranked."""
    found = findings.measured.get("validation", {}).get("verification")
    if found is None:
        return []
    if "eer" not in found:
        text = f"There is no threshold: fewer than {found['people_needed']} people are seen twice."
        return [Part("Threshold", [text])]
    text = (
        f"Fitted to the {found['identities']:,} validation people, by {found['genuine_pairs']:,} pairs of images of "
        f"one person and {found['impostor_pairs']:,} of two. A false match takes two people for one, a false non-match "
        "one person for two; at the equal error rate both are as frequent. A rate is of one comparison: a search makes "
        f"as many as the gallery has images.{on_others(found)}"
    )
    return [Part("Threshold", [rate_table(found), text])]
