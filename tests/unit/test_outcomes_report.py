"""The report page: what stands beside the figures, and that what was not measured is a dash."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bruna.files import write_json
from bruna.pipeline.report import write_page
from bruna.pipeline.retrieval_section import retrieval_section, retrieval_table

KEYS = ("map", "rank1", "rank5", "rank10", "minp")


def protocols(value, **counts):
    return {name: dict.fromkeys(KEYS, value) | counts for name in ("course", "market1501")}


def figures(left_out, lost, holds, variants=()):
    return {
        **protocols(0.5, queries=10, left_out=left_out),
        "unfiltered": protocols(0.4),
        "variants": {name: protocols(0.25) for name in variants},
        "gallery": 1200,
        "gallery_holds": dict(zip(("people", "distractors", "junk"), holds, strict=True)),
        "left_out_as_junk": sum(lost),
        "left_out_holds": dict(zip(("people", "distractors", "junk"), lost, strict=True)),
    }


BASELINES = {"histogram": protocols(0.125), "untrained": {name: {"map": 0.0625} for name in ("course", "market1501")}}


def test_a_row_for_each_way_to_rank_and_dashes_where_nothing_was_measured():
    found = figures(0, (1, 0, 0), (1200, 0, 0), ("features_only", "reranked"))
    frame = retrieval_table(found, BASELINES, "c", own_gallery=True).frame
    assert frame["what"].tolist() == [
        "Bruna",
        "Bruna without the junk filter",
        "Bruna without the attribute factor",
        "Bruna re-ranked",
        "untrained network",
        "colour histograms",
    ]
    assert frame["Market-1501 protocol/mAP"].tolist() == [0.5, 0.4, 0.25, 0.25, 0.0625, 0.125]
    assert np.isnan(frame["Market-1501 protocol/mINP"]).tolist() == [False] * 4 + [True, False]
    assert any("finds itself" in column for column in frame)
    apart = retrieval_table(figures(0, (0, 0, 0), (1, 0, 0)), {}, "c", own_gallery=False).frame
    assert apart["what"].tolist() == ["Bruna"]
    assert not any("finds itself" in column for column in apart)


@pytest.mark.parametrize(
    ("lost", "holds", "on", "words"),
    [
        ((0, 0, 0), (1200, 0, 0), True, "took none of them for junk"),
        ((0, 0, 0), (1200, 0, 0), False, "The junk filter is off."),
        (
            (2, 0, 30),
            (1000, 160, 40),
            True,
            "left out 32: 2 of labelled people, which it should have kept; 30 junk. The gallery holds 40 images marked",
        ),
    ],
)
def test_the_junk_filter_is_told_in_words(tmp_path, lost, holds, on, words):
    metrics = {"validation": figures(0, lost, holds), "baselines": {}}
    text = " ".join(b for b in retrieval_section(metrics, tmp_path, filters_junk=on).blocks if isinstance(b, str))
    assert "10 queries, each with a right image in the gallery." in text
    assert f"1,200 gallery images. The junk filter {words.removeprefix('The junk filter ')}" in text


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    plots = tmp_path / "plots"
    for folder in ("train_attributes", "train_bruna", "split", "validate", "evaluate"):
        (plots / folder).mkdir(parents=True)
    shares = {f"{part}/{key}": [0.7, 0.8, 0.9] for part in ("train", "validation") for key in ("acc", "prec", "rec")}
    majority = {f"{part}/majority": [0.541] * 3 for part in ("train", "validation")}
    pd.DataFrame({"task": ["Hat", "Overall", "Mean of the 12 attributes"], **shares, **majority}).to_csv(
        plots / "train_attributes" / "table1.csv", index=False
    )
    pd.DataFrame({"epoch": [1, 2], "train/margin": [20, 22.0]}).to_csv(plots / "train_bruna" / "epochs.csv")
    row = {
        "attribute": "hat",
        "value": "yes",
        "people": 8,
        "train": 7,
        "validation": 1,
        "wanted": 6.4,
        "deviation": 0.6,
    }
    pd.DataFrame([row | {"percent": 12.121, "train_percent": 13.208}]).to_csv(plots / "split" / "balance.csv")
    write_json({"width": 8}, tmp_path / "unet" / "settings.json")
    write_json({"network": "resnet18"}, tmp_path / "attributes" / "settings.json")
    write_json({"mask": "none", "params": {"epochs": 15, "augment": {"pad": 6}}}, tmp_path / "bruna" / "settings.json")
    return tmp_path


def test_the_page_says_what_a_figure_has_to_beat(artifacts):
    found = figures(0, (0, 0, 0), (9, 0, 0))
    found["attributes"] = {
        "hat": {"accuracy": 0.9, "recall": 0.6, "chance": 0.5},
        "age": {"accuracy": 0.8, "recall": 0.4, "chance": 0.25},
        "bag": {"accuracy": float("nan"), "recall": float("nan"), "chance": float("nan")},  # nobody is annotated
    }
    found["attribute_means"] = {
        "attributes": {"accuracy": 0.85, "recall": 0.5},
        "attributes_both": {"accuracy": 1.0, "recall": 0.8},
    }
    path = artifacts / "page.html"
    write_page(
        path,
        {"validation": found, "baselines": BASELINES},
        artifacts=artifacts,
        plots=artifacts / "plots" / "evaluate",
        settings={"filter_junk": True},
    )
    text = re.sub(r"<[^>]+>", " ", path.read_text(encoding="utf-8"))
    assert "always the commonest value: 54.1%" in text
    assert "any constant answer: 37.5%" in text
    assert re.search(r"Task 1’s network +85.0% +50.0%", re.sub(r"\s+", " ", text))
    assert re.search(r"both networks’ probabilities +100.0% +80.0%", re.sub(r"\s+", " ", text))
    assert "Bruna’s attribute head" not in text  # which was not measured here
    assert "its margin P grew from 20 to 22" in text
    assert "train_percent" not in text
    assert re.search(r"hat +yes +8 +7 +6\.4 +0\.6 +1 +12\.1% +13\.2%", re.sub(r"\s+", " ", text))
    assert re.search(r"train_bruna\s+mask\s+none\s+augment\.pad\s+6\s+epochs\s+15", text)
