"""The sections of the report page but retrieval: what stands beside the pictures of each stage."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bruna.dataset.attributes import ATTRIBUTES
from bruna.report.blocks import Block, Folded, Note, Settings, Table
from bruna.report.drawing import Pictures
from bruna.report.page import Section, Tile, write_report
from bruna.report.retrieval_section import retrieval_section

_PERCENT = dict.fromkeys(("acc", "prec", "rec", "majority"), "{:.1%}")
_SOURCES = {
    "attributes": "Task 1’s network",
    "attributes_bruna": "Bruna’s attribute head",
    "attributes_both": "the mean of both networks’ probabilities",
    "attributes_answered": "as set (evaluate.attributes_from, attribute_neighbors)",
}
"""Figures of the stage evaluate -> where the predictions come from."""
_BALANCE = {
    "attribute": "attribute",
    "value": "value",
    "people": "people/all",
    "train": "people/train",
    "wanted": "people/train, wanted",
    "deviation": "people/train, off by",
    "validation": "people/validation",
    "percent": "share of the people/all",
    "train_percent": "share of the people/train",
    "validation_percent": "share of the people/validation",
    "images": "images/all",
    "train_images": "images/train",
    "validation_images": "images/validation",
    "image_percent": "share of the images/all",
    "train_image_percent": "share of the images/train",
    "validation_image_percent": "share of the images/validation",
}
"""Columns of balance.csv and their headings."""


@dataclass(frozen=True)
class Findings:
    """What the page tells beside its pictures.

    Attributes:
        metrics: of the stage `evaluate`.
        table1: Table 1 of the paper; its last row is the mean of the attributes.
        balance: how evenly the split shares the attribute values.
        epochs: of the training of Bruna.
        masks: whether the data set has mask pairs, so that there is a U-Net.
        filters_junk: whether the junk filter was on.
        settings: the groups of params.yaml.
    """

    metrics: Mapping[str, Any]
    table1: pd.DataFrame
    balance: pd.DataFrame
    epochs: pd.DataFrame
    masks: bool
    filters_junk: bool
    settings: Mapping[str, Any]


def write_page(path: Path, findings: Findings, pictures: Pictures) -> None:
    """Write the page: every picture that was drawn, and what has to be known beside it."""
    found = findings.metrics["validation"]
    write_report(
        path,
        "Bruna: person re-identification and attributes",
        "Every figure is measured on people that no network of this run was trained on, unless it is marked “train”.",
        _tiles(findings),
        [
            retrieval_section(findings.metrics, pictures, filters_junk=findings.filters_junk),
            Section("Attributes", [*_attribute_tables(findings.table1, found), *pictures.get("attributes", [])]),
            Section("Training", [*_training_notes(findings), *pictures.get("training", [])]),
            Section("Data", [_balance(findings.balance), *pictures.get("data", [])]),
            Section("Settings", [Settings(findings.settings)]),
        ],
        footer="Made by the stage report. The same figures are in metrics/ and in MLflow (make ui).",
    )


def _tiles(findings: Findings) -> list[Tile]:
    metrics, mean, count = findings.metrics, findings.table1.iloc[-1], len(ATTRIBUTES)
    found = metrics["validation"]
    tiles = [
        Tile("mAP", f"{found['market1501']['map']:.1%}", "Market-1501 protocol, validation"),
        Tile("rank-1", f"{found['market1501']['rank1']:.1%}", "Market-1501 protocol, validation"),
        Tile("mAP", f"{found['course']['map']:.1%}", "course protocol, validation"),
        Tile(
            "Attributes",
            f"{mean['validation/acc']:.1%}",
            f"mean accuracy of the {count}, validation; always the commonest value: {mean['validation/majority']:.1%}",
        ),
        Tile(
            "Attributes",
            f"{mean['validation/rec']:.1%}",
            f"mean balanced accuracy of the {count}, validation{_constant_prediction(found)}",
        ),
    ]
    if "test" in metrics:
        tiles.insert(2, Tile("mAP", f"{metrics['test']['market1501']['map']:.1%}", "Market-1501 protocol, test set"))
    return tiles


def _constant_prediction(found: Mapping[str, Any]) -> str:
    """What balanced accuracy a constant prediction would have: one over the number of values that occur."""
    chances = [figures["chance"] for figures in found.get("attributes", {}).values()]
    known = [chance for chance in chances if not math.isnan(chance)]  # of an attribute that is not annotated
    return f"; any constant prediction: {sum(known) / len(known):.1%}" if known else ""


def _attribute_tables(table1: pd.DataFrame, found: Mapping[str, Any]) -> list[Block]:
    """Table 1, and the means over the attributes by the source of the predictions, where they are annotated."""
    blocks: list[Block] = [
        Table(
            table1,
            "Table 1: accuracy, macro precision, macro recall (balanced accuracy), share of the commonest value",
            _PERCENT,
            strong=list(table1["task"].iloc[-2:]),
        )
    ]
    means = found.get("attribute_means", {})
    rows = [
        {"predictions": words, "acc": means[key]["accuracy"], "rec": means[key]["recall"]}
        for key, words in _SOURCES.items()
        if key in means
    ]
    if rows:
        caption = f"Attribute predictions by source: mean of the {len(ATTRIBUTES)} attributes, validation identities"
        blocks.append(Table(pd.DataFrame(rows), caption, _PERCENT))
    return blocks


def _training_notes(findings: Findings) -> list[Block]:
    notes: list[Block] = []
    if not findings.masks:
        notes.append(Note("The data set has no mask pairs: there is no U-Net, and Bruna works without masks."))
    margin = findings.epochs["train/margin"]
    if margin.iloc[-1] > margin.iloc[0]:
        notes.append(
            Note(
                f"Bruna’s loss is no measure of progress: its margin P grew from {margin.iloc[0]:.3g} to "
                f"{margin.iloc[-1]:.3g} during the training, and with it the triplet loss of every negative that is "
                "not yet that far away. So the loss usually rises. Whether Bruna learns shows in the mAP on unseen "
                "people, the last of its curves."
            )
        )
    return notes


def _balance(table: pd.DataFrame) -> Folded:
    shares = {head: "{:.1f}%" for head in _BALANCE.values() if head.startswith("share")}
    people = {head: "{:.1f}" for head in _BALANCE.values() if head.endswith(("wanted", "off by"))}
    shown = table[list(_BALANCE)].rename(columns=_BALANCE)
    caption = "A person's images are all on one side of the split"
    return Folded("How evenly the split shares the attribute values", [Table(shown, caption, shares | people)])
