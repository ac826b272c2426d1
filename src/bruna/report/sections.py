"""The report page as a whole, and its sections on the trainings and the settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bruna.headlines import headline_intervals
from bruna.report.attribute_section import attribute_section, attribute_table
from bruna.report.blocks import Block, Heading, Note, Settings, Table
from bruna.report.breakdown_section import Groups, breakdown_sections
from bruna.report.calibration_section import calibration_sections
from bruna.report.data_sections import check_section, data_section
from bruna.report.drawing import Pictures, Set
from bruna.report.page import Page, Section
from bruna.report.retrieval_section import retrieval_section
from bruna.report.tiles import tile_groups
from bruna.report.words import words

BELOW_A_NUMBER = "Below a number: its 95% interval, where it may lie with other people of the same kind."
"""What the lead of a page says of the tiles."""
_WORDS = ("loss", "triplet loss", "margin", "adversary", "IoU, Dice", "Bruna, Task 1, U-Net")
UNTRAINED = {
    "unet": "The data set has no mask pairs: there is no U-Net, and Bruna works without masks.",
    "attributes": "The data set has no attributes: there is no Task 1, no attribute factor and no junk filter.",
    "bruna": "Nobody knows who is who in this data set: Bruna is not trained, and nothing is ranked.",
}
"""What there is to say of a model that is not trained."""


@dataclass(frozen=True)
class Findings:
    """What the page tells beside its pictures.

    Attributes:
        metrics: the headline metrics by name.
        checked: figures of the stage `validate`.
        measured: figures of the stage `evaluate`.
        table1: Table 1 of the paper; its last row is the mean of the attributes. None without Task 1, like `points`.
        points: the operating points of Task 1.
        balance: how evenly the split shares the attribute values.
        epochs: of the training of Bruna; None without.
        untrained: the models that the data set has nothing to train on, of `unet`, `attributes`, `bruna`.
        settings: the groups of params.yaml.
        inputs: path -> MD5 of the data set and of every file that the page is made from.
        warnings: of all stages, a sentence each.
        groups: by set, who is found less well.
    """

    metrics: Mapping[str, float]
    checked: Mapping[str, Any]
    measured: Mapping[str, Any]
    table1: pd.DataFrame | None
    points: pd.DataFrame | None
    balance: pd.DataFrame
    epochs: pd.DataFrame | None
    untrained: Sequence[str]
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    warnings: Sequence[str] = ()
    groups: Mapping[Set, Groups] = field(default_factory=dict)


def report_page(
    findings: Findings, pictures: Pictures, browser: Sequence[Section] = (), card: Sequence[Section] = ()
) -> Page:
    """Compose the page: every picture that was drawn, and what has to be known beside it.

    Args:
        findings: what it tells.
        pictures: of the page.
        browser: of the queries, after the section on retrieval.
        card: the model card, before the settings.
    """
    return Page(
        "Bruna: person re-identification and attributes",
        "Every figure is measured on identities that no network of this run was trained on, unless it says “train”. "
        + BELOW_A_NUMBER
        + " Words are explained at the head of their sections.",
        tile_groups(
            findings.metrics,
            chance_notes(findings.measured),
            headline_intervals(findings.measured, findings.metrics),
        ),
        [
            *(
                []
                if findings.epochs is None
                else [retrieval_section(findings.measured, pictures, findings.settings["evaluate"])]
            ),
            *browser,
            *breakdown_sections(findings.groups, pictures),
            *calibration_sections(findings.measured.get("validation", {}).get("verification"), pictures),
            *(
                []
                if findings.table1 is None or findings.points is None
                else [attribute_section(findings.measured, findings.table1, findings.points, pictures)]
            ),
            Section("Training", [words(*_WORDS), *_training_notes(findings), *pictures.get("training", [])]),
            check_section(findings.checked),
            data_section(findings.balance, pictures),
            *card,
            _origin(findings),
        ],
        findings.warnings,
        footer="Made by the stage report. The same figures: dvc exp show, bruna summary, MLflow (make ui).",
    )


def chance_notes(measured: Mapping[str, Any]) -> dict[str, str]:
    """What the tiles of attributes say beside their numbers: what a constant prediction would have.

    Args:
        measured: figures by set, `validation` and perhaps `test`.
    """
    notes = {}
    for name, prefix in (("validation", ""), ("test", "test_")):
        if "attributes_predicted" in measured.get(name, {}):
            mean = attribute_table(measured[name]["attributes_predicted"])[["majority", "chance"]].mean()
            notes[f"{prefix}attribute_accuracy"] = f"always the commonest value: {mean['majority']:.1%}"
            notes[f"{prefix}attribute_balanced_accuracy"] = f"any constant prediction: {mean['chance']:.1%}"
    return notes


def _training_notes(findings: Findings) -> list[Block]:
    notes: list[Block] = []
    notes += [Note(UNTRAINED[model]) for model in findings.untrained]
    if findings.epochs is None:
        return notes
    margin = findings.epochs["train/margin"]
    if margin.iloc[-1] > margin.iloc[0]:
        notes.append(
            Note(
                f"Bruna’s loss does not show progress: its margin P grew from {margin.iloc[0]:.3g} to "
                f"{margin.iloc[-1]:.3g}, and with it the triplet loss of every negative that is not yet that far away. "
                "Progress shows in mAP and rank-1 on the validation identities, the first of its curves."
            )
        )
    return notes


def _origin(findings: Findings) -> Section:
    """What the page was made from; commit and run are not known to an output that DVC may restore elsewhere."""
    inputs = pd.DataFrame(findings.inputs.items(), columns=["made from", "MD5, as in dvc.lock"])
    return Section(
        "Settings and inputs",
        [
            Settings(findings.settings),
            Heading("Inputs"),
            Table(inputs),
            "Commit, experiment and run stand on the copy of this page that is logged to MLflow.",
        ],
    )
