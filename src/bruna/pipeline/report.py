"""The report page: every stage's figures on one self-contained page."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bruna.files import read_json
from bruna.pipeline.retrieval_section import pictures, retrieval_section
from bruna.report.blocks import Block, Folded, Note, Settings, Table
from bruna.report.page import Section, Tile, write_report

_PERCENT = dict.fromkeys(("acc", "prec", "rec", "majority"), "{:.1%}")
_MODELS = {"train_unet": "unet", "train_attributes": "attributes", "train_bruna": "bruna"}
"""Stage -> folder of what it trained."""
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


def write_page(
    path: Path, metrics: Mapping[str, Any], *, artifacts: Path, plots: Path, settings: Mapping[str, Any]
) -> None:
    """Write the page.

    Args:
        path: of the page.
        metrics: of the stage `evaluate`.
        artifacts: the folder of all stages' outputs: curves, tables and pictures of the stages before.
        plots: the pictures of the stage `evaluate`.
        settings: the group `evaluate`.
    """
    table1 = pd.read_csv(artifacts / "plots" / "train_attributes" / "table1.csv")
    sections = [
        retrieval_section(metrics, plots, filters_junk=bool(settings["filter_junk"])),
        _attributes(table1, metrics["validation"], artifacts / "plots" / "train_attributes"),
        _training(artifacts / "plots"),
        _data(artifacts / "plots"),
        _settings(artifacts, settings),
    ]
    write_report(
        path,
        "Bruna: person re-identification and attributes",
        "Every figure is measured on people that no network of this run was trained on, unless it says “train”.",
        _tiles(metrics, table1),
        sections,
        footer="Made by the stage evaluate. The same figures are in metrics/ and in MLflow (make ui).",
    )


def _tiles(metrics: Mapping[str, Any], table1: pd.DataFrame) -> list[Tile]:
    found = metrics["validation"]
    twelve = table1.iloc[-1]
    tiles = [
        Tile("mAP", f"{found['market1501']['map']:.1%}", "Market-1501 protocol, validation"),
        Tile("rank-1", f"{found['market1501']['rank1']:.1%}", "Market-1501 protocol, validation"),
        Tile("mAP", f"{found['course']['map']:.1%}", "course protocol, validation"),
        Tile(
            "Attributes",
            f"{twelve['validation/acc']:.1%}",
            f"mean accuracy of the 12, validation; always the commonest value: {twelve['validation/majority']:.1%}",
        ),
        Tile(
            "Attributes",
            f"{twelve['validation/rec']:.1%}",
            f"mean balanced accuracy of the 12, validation{_constant_answer(found)}",
        ),
    ]
    if "test" in metrics:
        tiles.insert(2, Tile("mAP", f"{metrics['test']['market1501']['map']:.1%}", "Market-1501 protocol, test set"))
    return tiles


def _constant_answer(found: Mapping[str, Any]) -> str:
    """What balanced accuracy a constant answer would have: one over the number of values that occur."""
    chances = [figures["chance"] for figures in found.get("attributes", {}).values()]
    known = [chance for chance in chances if not math.isnan(chance)]  # of an attribute that is not annotated
    return f"; any constant answer: {sum(known) / len(known):.1%}" if known else ""


_BY = {
    "attributes": "Task 1’s network",
    "attributes_bruna": "Bruna’s attribute head",
    "attributes_both": "the mean of both networks’ probabilities",
    "attributes_answered": "what is answered (evaluate.attributes_by, attributes_sightings)",
}
"""Figures of the stage evaluate -> who answers."""


def _who_answers(found: Mapping[str, Any]) -> list[Block]:
    """Four rows: Task 1, Bruna's own head, both, and what is answered."""
    rows = []
    for key, words in _BY.items():
        if mean := found.get("attribute_means", {}).get(key):
            rows.append({"who answers": words, "acc": mean["accuracy"], "rec": mean["recall"]})
    if not rows:
        return []
    return [Table(pd.DataFrame(rows), "Who answers: mean of the 12 attributes, validation identities", _PERCENT)]


def _attributes(table1: pd.DataFrame, found: Mapping[str, Any], plots: Path) -> Section:
    blocks: list[Block] = [
        Table(
            table1,
            "Table 1: accuracy, macro precision, macro recall (balanced accuracy), share of the commonest value",
            _PERCENT,
            strong=list(table1["task"].iloc[-2:]),
        ),
        *_who_answers(found),
        *pictures(
            plots,
            {
                "attributes": "A head that only names the commonest value reaches its mark, no more.",
                "operating_points": "What each head would score if it leaned more to rare values: all figures on this "
                "page are those of the orange points.",
            },
        ),
        Folded(
            "Confusion matrices and curves",
            pictures(
                plots,
                {
                    "confusion_validation": "Validation identities.",
                    "confusion_train": "Training identities.",
                    "curves": "Losses and accuracies of every epoch.",
                },
            ),
        ),
    ]
    return Section("Attributes", blocks)


def _training(plots: Path) -> Section:
    captions = {
        "train_bruna/curves": "Losses, distances and mAP of every epoch (Figure 8 of the paper).",
        "train_bruna/hard_examples": "What the adversary picks, beside a random draw (Figure 6).",
        "train_unet/overlays": "The U-Net on held-out pairs: best, median and worst.",
        "train_unet/curves": "U-Net: loss and overlap of every epoch.",
    }
    return Section("Training", [*_growing_margin(plots / "train_bruna" / "epochs.csv"), *pictures(plots, captions)])


def _growing_margin(epochs: Path) -> list[Block]:
    """Why the curve of Bruna's loss goes up, where it had to."""
    margin = pd.read_csv(epochs).get("train/margin") if epochs.exists() else None
    if margin is None or margin.iloc[-1] <= margin.iloc[0]:
        return []
    return [
        Note(
            f"Bruna’s loss is no measure of progress: its margin P grew from {margin.iloc[0]:.3g} to "
            f"{margin.iloc[-1]:.3g} during the training, and with it the triplet loss of every stranger who is not yet "
            "that far away. So the loss usually rises. Whether Bruna learns shows in the mAP on unseen people, in the "
            "last row of its curves."
        )
    ]


def _data(plots: Path) -> Section:
    blocks: list[Block] = []
    balance = plots / "split" / "balance.csv"
    if balance.exists():
        blocks.append(Folded("How evenly the split shares the attribute values", [_balance(pd.read_csv(balance))]))
    names = sorted(path.stem for path in (plots / "validate").glob("*.png"))
    blocks.append(
        Folded(
            "The images", pictures(plots / "validate", {name: name.replace("_", " ").capitalize() for name in names})
        )
    )
    return Section("Data", blocks)


def _balance(table: pd.DataFrame) -> Table:
    shares = {head: "{:.1f}%" for head in _BALANCE.values() if head.startswith("share")}
    people = {head: "{:.1f}" for head in _BALANCE.values() if head.endswith(("wanted", "off by"))}
    known = table[[column for column in _BALANCE if column in table]]
    return Table(known.rename(columns=_BALANCE), "A person's images are all on one side of the split", shares | people)


def _settings(artifacts: Path, settings: Mapping[str, Any]) -> Section:
    """Every stage's settings: of a trained one those its models were saved with, its whole group where it is there."""
    groups: dict[str, Any] = {}
    for stage, folder in _MODELS.items():
        saved = read_json(artifacts / folder / "settings.json")
        built = {key: value for key, value in saved.items() if key != "params"}
        groups[stage] = built | saved.get("params", {})
    return Section("Settings", [Settings({**groups, "evaluate": dict(settings)})])
