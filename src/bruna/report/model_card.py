"""The model card: what the models are, what was measured of them, where that ends, and what they are not for.

`model_card` composes it once, from what is on record; `card_section` shows it on the page, `model_card_markdown.py`
writes it as a file. What is not on record it does not tell, or it says that nobody knows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bruna.dataset.dataset_file import DatasetFile
from bruna.errors import counted
from bruna.report.blocks import Block, Heading, Settings, Table
from bruna.report.model_card_figures import attribute_rows, figure_parts, group_parts, threshold_parts
from bruna.report.model_card_words import LAW, NOT_FOR, Part, Points, limits, uses
from bruna.report.page import Section
from bruna.report.sections import UNTRAINED, Findings


@dataclass(frozen=True)
class Side:
    """Images of one kind, e.g. those to train on; `identities` and `cameras` are None where they mean nothing."""

    name: str
    images: int
    identities: int | None = None
    cameras: int | None = None


@dataclass(frozen=True)
class Network:
    """A trained network.

    Attributes:
        title: what it is called.
        purpose: what it does, in a few words.
        kind: its architecture.
        image_size: height and width that it sees, pixels.
        parameters: how many numbers were trained.
        begins: the weights that its training began with.
        epochs: of its training.
    """

    title: str
    purpose: str
    kind: str
    image_size: tuple[int, int]
    parameters: int
    begins: str
    epochs: int


@dataclass(frozen=True)
class CardFacts:
    """What the card tells beside what the page knows.

    Attributes:
        dataset: the data set's own file.
        sides: the images, in the order of the pipeline.
        networks: those that are trained.
        versions: name of a package -> version that was installed when the card was written.
    """

    dataset: DatasetFile
    sides: Sequence[Side]
    networks: Sequence[Network]
    versions: Mapping[str, str]


def card_title(facts: CardFacts) -> str:
    """The first line of the card."""
    return f"Model card: Bruna, trained on {facts.dataset.name}"


def model_card(findings: Findings, facts: CardFacts) -> list[Part]:
    """Compose the card.

    Args:
        findings: what the page tells.
        facts: the rest.
    """
    return [
        Part("Models", _models(findings, facts)),
        Part("Use", [uses(findings.untrained), "They are not for:", Points(NOT_FOR), LAW]),
        Part("Data", _data(findings, facts)),
        Part("Figures", [*figure_parts(findings, facts.dataset), *_warnings(findings.warnings)]),
        *group_parts(findings),
        *threshold_parts(findings),
        Part("Limits", [Points(limits(findings, facts.dataset))]),
        Part("Origin", _origin(facts)),
        Part("Settings and inputs", _settings(findings), on_page=False),
    ]


def card_section(parts: Sequence[Part]) -> Section:
    """The card as a section of the page, which has the settings and inputs in a section of their own."""
    blocks: list[Block] = []
    for part in parts:
        if part.on_page:
            blocks.append(Heading(part.title))
            for each in part.blocks:
                blocks += [f"• {text}" for text in each.texts] if isinstance(each, Points) else [each]
    return Section("Model card", blocks)


def _models(findings: Findings, facts: CardFacts) -> list[Any]:
    rows = [
        {
            "model": network.title,
            "what it does": network.purpose,
            "network": network.kind,
            "image": f"{network.image_size[0]} × {network.image_size[1]}",
            "parameters": f"{network.parameters:,}",
            "training began with": network.begins,
            "epochs": f"{network.epochs:,}",
        }
        for network in facts.networks
    ]
    blocks: list[Any] = [Table(pd.DataFrame(rows), "Height × width of the image in pixels")] if rows else []
    if "bruna" not in findings.untrained:
        blocks.append("Beside Bruna lies the adversary, its opponent in training. Nothing uses it afterwards.")
    return [*blocks, *(UNTRAINED[model] for model in findings.untrained)]


def _data(findings: Findings, facts: CardFacts) -> list[Any]:
    data = facts.dataset
    known = [
        f"Data set: {data.name}.",
        f"Source: {_ended(data.source)}" if data.source else "Its dataset.yaml names no source.",
        f"Terms: {_ended(data.terms)}" if data.terms else "Its dataset.yaml states no terms of use.",
        "The terms of data may bind the models that were trained on them, too.",
    ]
    rows = [
        {
            "part": side.name,
            "images": f"{side.images:,}",
            "identities": "–" if side.identities is None else f"{side.identities:,}",
            "cameras": "–" if side.cameras is None else f"{side.cameras:,}",
        }
        for side in facts.sides
    ]
    settings = findings.settings["split"]
    asked = f"split.train_share is {settings['train_share']:g}, split.seed {settings['seed']}."
    blocks: list[Any] = [" ".join(known), Table(pd.DataFrame(rows)), f"{_split(data)}. {asked}"]
    if aside := findings.checked["quarantined"]:
        blocks.append(f"{counted(len(aside), 'files')} did not pass the checks and were set aside.")
    if data.cameras:
        blocks.append(f"Cameras: {_ended(data.cameras)}")
    if data.attributes:
        of = "a person: all images of one have the same" if data.attributes_of == "identity" else "an image"
        blocks += [f"Attributes are annotated for {of}.", *attribute_rows(findings, data)]
    return blocks


def _split(data: DatasetFile) -> str:
    if data.identities:
        return "All images of a person are on one side of the split"
    if data.group:
        return f"Nobody knows who is who; all images of one “{data.group}” are on one side of the split"
    return "Nobody knows who is who: a person may be on both sides of the split, and the figures are then too good"


def _warnings(warnings: Sequence[str]) -> list[Any]:
    return ["This run warns of:", Points(list(warnings))] if warnings else []


def _origin(facts: CardFacts) -> list[Any]:
    versions = " and ".join(f"{name} {version}" for name, version in facts.versions.items())
    return [
        f"Written by the stage report with {versions}, from the records of the stages that the inputs name. Their MD5 "
        "tell which data and which networks these are. Equal records make an equal file: commit, experiment and run "
        "stand on the copy that is logged to MLflow, dates on the pages of its run, and a version that bruna register "
        "makes has the commit among its tags."
    ]


def _settings(findings: Findings) -> list[Any]:
    inputs = pd.DataFrame(findings.inputs.items(), columns=["made from", "MD5, as in dvc.lock"])
    return [Settings(findings.settings), *([] if inputs.empty else [Table(inputs)])]


def _ended(text: str) -> str:
    """A text with a full stop at its end."""
    return text if text.rstrip().endswith((".", "!", "?")) else f"{text.rstrip()}."
