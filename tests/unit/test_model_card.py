"""The model card: its figures are those on record, what lacks is said, and no name of a data set becomes markup."""

import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from markdown_it import MarkdownIt

from bruna.dataset.dataset_file import DatasetFile
from bruna.files import read_json, write_json
from bruna.inference.attributes import AttributePredictor
from bruna.inference.bruna import BrunaEmbedder
from bruna.inference.unet import UNetSegmenter
from bruna.params import read_params
from bruna.pipeline import report
from bruna.pipeline.model_card import card_facts, count_parameters
from bruna.pipeline.records import Records
from bruna.report.blocks import Table, blocks_html
from bruna.report.breakdown_section import Groups
from bruna.report.model_card import CardFacts, Network, Side, card_section, card_title, model_card
from bruna.report.model_card_markdown import markdown, with_card_origin
from bruna.report.model_card_words import Points
from bruna.report.sections import UNTRAINED, Findings
from tiny_records import PROJECT, tiny, write_records, write_test_set

DATA = DatasetFile(
    name="Town square",
    source="https://example.org/a_b",
    terms="research only",
    attributes={"hat": ("no", "yes"), "gender": ("male", "female")},
)
FACTS = CardFacts(
    DATA,
    [Side("training", 1200, 53, 6), Side("validation", 124, 13, 6), Side("mask pairs, training", 45)],
    [Network("Task 1", "predicts attributes and junk", "resnet18", (128, 64), 11194467, "random weights", 11)],
    {"bruna": "1.2.3", "torch": "9.8.7"},
)
HOSTILE = (
    "a | b <script>alert(1)</script> [x](javascript:y) ![p](http://q) `c` *d* __e__ ~~f~~ $g$ &lt; \\| # h\n\n# i\n- j"
)


def rate(**more: Any) -> dict[str, Any]:
    return {"fmr_cross_fitted": 0.012, "fnmr_cross_fitted": 0.21, "low": 0.1, "high": 0.3, "threshold": 7.5, **more}


def measured() -> dict[str, Any]:
    """Figures of `evaluate`, all different."""
    shares = {"accuracy": 0.91, "majority": 0.82, "balanced_accuracy": 0.63, "chance": 0.5}
    return {
        "validation": {
            "market1501": {"map": 0.806, "queries": 123},
            "course": {"map": 0.85, "queries": 124},
            "gallery": 1124,
            "attributes_predicted": {"hat": shares, "gender": shares | {"accuracy": 0.7}},
            "verification": {
                "eer": {"value": 0.09, "low": 0.05, "high": 0.13, "threshold": 6.5},
                "at_fmr": {"0.01": rate(fnmr=0.2), "0.001": {"people_needed": 78}},
                "identities": 13,
                "genuine_pairs": 445,
                "impostor_pairs": 5835,
            },
        },
        "intervals": {
            "map": {"low": 0.698, "high": 0.912, "resampled": 13},
            "rank1": {"resampled": 9},
        },
    }


METRICS = {"map": 0.806, "rank1": 0.903, "untrained_map": 0.155, "histogram_map": 0.32, "attribute_accuracy": 0.805}


def findings(**changes: Any) -> Findings:
    """What a page would tell; with changes to its fields."""
    found = Findings(
        metrics=METRICS,
        checked={"quarantined": []},
        measured=measured(),
        table1=None,
        points=None,
        balance=pd.DataFrame(),
        epochs=None,
        untrained=(),
        settings={
            "split": {"train_share": 0.8, "seed": 4},
            "evaluate": {
                "attribute_offset": 30.0,
                "filter_junk": True,
                "attributes_from": "both",
                "attribute_neighbors": 6,
            },
        },
        inputs={"data": "0123.dir"},
    )
    return replace(found, **changes)


def card(found: Findings, facts: CardFacts = FACTS) -> str:
    return markdown(card_title(facts), model_card(found, facts))


class _Html(HTMLParser):
    """The tags of a document, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def texts(block: Any) -> list[str]:
    """Every text of a block of the card."""
    if isinstance(block, Table):
        return [*map(str, block.frame.to_numpy().ravel()), *([block.caption] if block.caption else [])]
    return list(block.texts) if isinstance(block, Points) else [block]


def rendered(text: str) -> _Html:
    return _Html(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text))


def test_figures_are_those_on_record_and_nothing_else_stands_beside_them() -> None:
    text = card(findings())
    beside = "untrained network 15.5%; color histograms 32.0%"
    assert f"| mAP | mAP by the whole distance, validation | 80.6% | 69.8–91.2% | 13 | {beside} |" in text
    assert "| Rank-1 | nearest image is a match, validation | 90.3% | too few people | 9 | – |" in text
    constant = "always the commonest value: 82.0%"
    assert f"| Attribute accuracy | attributes as they are predicted, validation | 80.5% | – | – | {constant} |" in text
    assert "mAP, untrained" not in text  # it is what others are compared with
    assert "| Hat | no, yes | 91.0% | 82.0% | 63.0% | 50.0% |\n| Gender | male, female | 70.0% |" in text
    assert "| training | 1,200 | 53 | 6 |" in text and "| mask pairs, training | 45 | – | – |" in text
    assert "| resnet18 | 128 × 64 | 11,194,467 | random weights | 11 |" in text
    assert "123 validation queries have a match in a gallery of 1,124 images" in text
    assert "The distance is d(features) · (30 + d(attributes))" in text and "averaged over 6 images" in text
    assert "| 1.00% | 7.5 | 20.0% | 10.0–30.0% | 1.200% | 21.0% |" in text
    assert "| 0.10% | – | too few people: 78 are needed |" in text
    assert "445 pairs of images of one person and 5,835 of two" in text
    assert "bruna 1.2.3 and torch 9.8.7" in text and "| data | 0123.dir |" in text
    assert (
        "split.train_share is 0.8, split.seed 4." in text
        and "Source: https://example.org/a_b. Terms: research only." in text
    )
    assert "There is no labelled test set" in text and "“gender” is what somebody saw" in text


def test_an_interval_of_another_run_is_not_shown() -> None:
    text = card(findings(metrics={"map": 0.5}))
    assert "| 50.0% | – | – | – |" in text and "69.8" not in text


@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        (("worse", "noise", "better"), "mAP: clearly worse than all others: Hat yes (−20.0 points)"),
        (
            ("noise", "noise", "noise"),
            "mAP: of 3 groups none is clearly worse than all others. 0 of 3 groups stand",
        ),
        (("too few people",) * 3, "too few people to tell"),
        (
            ("noise", "noise", "too few people"),
            "mAP: of 3 groups 2 could be compared, and none is clearly worse than all others. 0 of 2 groups stand out, "
            "better or worse; 0.1 would by chance alone. 1 more is not compared: fewer than 10 people",
        ),
    ],
)
def test_who_is_found_less_well_is_named_or_nobody_can_tell(verdicts: tuple[str, ...], words: str) -> None:
    rows: list[dict[str, Any]] = [{"by": "all", "value": "", "map": 0.8, "map_verdict": ""}]
    for value, verdict in zip(("yes", "no", "other"), verdicts, strict=True):
        rows.append({"by": "hat", "value": value, "map": 0.6, "map_difference": -0.2, "map_verdict": verdict})
    compared = sum(verdict != "too few people" for verdict in verdicts)
    facts = {"map": {"compared": compared}, "rank1": {"compared": 0}, "fmr": {"compared": 0}}
    groups = Groups(pd.DataFrame(rows), facts, "validation identities")
    text = card(findings(groups={"validation": groups}))
    assert f"Validation identities: {words}" in text
    assert ("A group differs" in text) == (compared > 0)
    assert ("others: Hat no" in text, "Hat other" in text) == (False, False)


def test_the_page_and_the_file_say_the_same() -> None:
    found = findings(warnings=["Task 1 is <bad>."], checked={"quarantined": [{}, {}]})
    parts = model_card(found, FACTS)
    file, section = rendered(card(found)), _Html(blocks_html(card_section(parts).blocks))
    said = [text for part in parts if part.on_page for block in part.blocks for text in texts(block)]
    assert len(said) > 60
    assert all(text in file.text and text in section.text for text in said)
    assert "Task 1 is <bad>." in file.text and "Task 1 is <bad>." in section.text
    assert "2 files did not pass" in file.text and "2 files did not pass" in section.text
    titles = {part.title for part in parts if part.on_page}
    assert all(f"<h3>{title}</h3>" in blocks_html(card_section(parts).blocks) for title in titles)
    assert {part.title for part in parts} - titles == {"Settings and inputs"}


def test_hostile_names_stay_text() -> None:
    data = DATA.model_copy(
        update={
            "name": HOSTILE,
            "source": HOSTILE,
            "terms": HOSTILE,
            "cameras": HOSTILE,
            "attributes": {"hat": (HOSTILE, "yes")},
        }
    )
    warned = findings(warnings=[HOSTILE, "1. not a list", "# no head"], inputs={HOSTILE: "4567"})
    facts = replace(FACTS, dataset=data)
    text = with_card_origin(card(warned, facts), {"Experiment": HOSTILE})
    found = rendered(text)
    assert found.tags == {"h1", "h2", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}
    line = " ".join(HOSTILE.split())
    # In the title and the origin; name, source, terms, cameras; a value, a warning, an input; the limits.
    assert found.text.count(line) == 10
    assert "1. not a list" in found.text and "# no head" in found.text
    assert _Html(blocks_html(card_section(model_card(warned, facts)).blocks)).tags.isdisjoint({"script", "a", "img"})
    assert "\ud800" not in card(findings(), replace(FACTS, dataset=DATA.model_copy(update={"name": "x\ud800\u202ey"})))


def test_an_origin_stands_under_the_title_and_equal_cards_are_equal() -> None:
    text = card(findings())
    assert text == card(findings())
    assert with_card_origin(text, {}) == text
    title, _, rest = text.partition("\n")
    told = with_card_origin(text, {"MLflow run": "repro (0a1b)", "Commit": "2c3d"})
    assert told == f"{title}\n\nMLflow run: repro (0a1b); Commit: 2c3d\n{rest}"


def test_what_lacks_is_said_and_nothing_is_made_up() -> None:
    untrained = ["unet", "bruna"]
    data = DatasetFile(name="Crops", identities=False, attributes={"hat": ("no", "yes")}, attributes_of="image")
    alone = {"validation": {"attributes_predicted": measured()["validation"]["attributes_predicted"]}}
    text = card(
        findings(untrained=untrained, measured=alone, metrics={"attribute_accuracy": 0.7}), replace(FACTS, dataset=data)
    )
    assert all(UNTRAINED[model] in text for model in untrained) and UNTRAINED["attributes"] not in text
    assert "Its dataset.yaml names no source. Its dataset.yaml states no terms of use." in text
    assert "a person may be on both sides" in text and "All images of a person" not in text
    for absent in ("## Who is found", "## Threshold", "adversary", "A distance", "gender", "rank-1", "Retrieval"):
        assert absent not in text
    grouped = card(findings(), replace(FACTS, dataset=data.model_copy(update={"group": "walk"})))
    assert "all images of one “walk” are on one side" in grouped
    plain = card(findings(untrained=["attributes"]), replace(FACTS, dataset=DatasetFile(name="Pictures")))
    assert UNTRAINED["attributes"] in plain and "annotat" not in plain and "guess" not in plain
    few = measured()
    few["validation"]["verification"] = {"people_needed": 2}
    assert "There is no threshold: fewer than 2 people are seen twice." in card(findings(measured=few))


def test_long_lists_are_cut() -> None:
    values = tuple(f"v{i}" for i in range(30))
    data = DATA.model_copy(update={"attributes": {f"name{i}": values for i in range(60)}})
    text = card(findings(), replace(FACTS, dataset=data))
    assert "v11 and 18 more" in text and "v12" not in text
    assert "| Name39 |" in text and "Name40" not in text and "And 20 attributes more." in text


def test_the_pipeline_writes_it_from_its_records(tmp_path: Path) -> None:
    params = tiny(read_params(PROJECT / "params.yaml"))
    write_records(tmp_path, params)
    write_test_set(tmp_path)
    records = Records(tmp_path)
    facts = card_facts(records, DATA)
    assert [(side.name, side.images, side.identities, side.cameras) for side in facts.sides] == [
        ("training", 24, 6, 4),
        ("validation", 12, 3, 4),
        ("test, asked for (folder query)", 2, 2, 1),
        ("test, searched (folder gallery)", 6, 2, 3),
        ("mask pairs, training", 8, None, None),
        ("mask pairs, held out", 2, None, None),
    ]
    cpu = torch.device("cpu")
    loaded = [
        UNetSegmenter.load(tmp_path / "unet", cpu),
        AttributePredictor.load(tmp_path / "attributes", cpu),
        BrunaEmbedder.load(tmp_path / "bruna", cpu),
    ]
    counts = [sum(each.numel() for each in found.network.parameters()) for found in loaded if found is not None]
    assert [network.parameters for network in facts.networks] == counts and len(counts) == 3
    assert "+" not in facts.versions["torch"]
    text = card(report._findings(records, {"map": 0.5}, params, {}), facts)
    assert "The pipeline fits nothing to the test set" in text
    assert "* train_unet: seed 0, " in text and ", image_size 32 16, " in text
    assert str(tmp_path) not in text
    for model in ("unet", "attributes"):
        shutil.rmtree(tmp_path / model)
        write_json({"trained": False}, tmp_path / model / "settings.json")
    assert [network.title for network in card_facts(Records(tmp_path), DATA).networks] == ["Bruna"]


def test_own_weights_are_named_without_their_folder(tmp_path: Path) -> None:
    write_records(tmp_path, tiny(read_params(PROJECT / "params.yaml")))
    settings = read_json(tmp_path / "bruna" / "settings.json")
    settings["params"]["pretrained"] = "/home/somebody/secret/own.pt"
    write_json(settings, tmp_path / "bruna" / "settings.json")
    bruna = card_facts(Records(tmp_path), DATA).networks[-1]
    assert bruna.begins == "weights of the file own.pt"
    assert bruna.parameters == count_parameters(tmp_path / "bruna" / "bruna.safetensors")
