"""The report page: what stands beside the figures, and that what was not measured is a dash."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bruna.report.retrieval_section import retrieval_section, retrieval_table
from bruna.report.sections import Findings, write_page

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


BASELINES = {"histogram": protocols(0.125), "untrained": protocols(0.0625)}


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
    assert any("finds itself" in column for column in frame)
    del found["variants"]["reranked"]["market1501"]["minp"]
    frame = retrieval_table(found, BASELINES, "c", own_gallery=True).frame
    assert np.isnan(frame["Market-1501 protocol/mINP"]).tolist() == [False] * 3 + [True] + [False] * 2
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
def test_the_junk_filter_is_told_in_words(lost, holds, on, words):
    metrics = {"validation": figures(0, lost, holds), "baselines": {}}
    text = " ".join(b for b in retrieval_section(metrics, {}, filters_junk=on).blocks if isinstance(b, str))
    assert "10 queries, each with a right image in the gallery." in text
    assert f"1,200 gallery images. The junk filter {words.removeprefix('The junk filter ')}" in text


def page(tmp_path: Path, metrics: dict, *, masks: bool = True) -> str:
    """The text of a page without pictures."""
    shares = {f"{part}/{key}": [0.7, 0.8, 0.9] for part in ("train", "validation") for key in ("acc", "prec", "rec")}
    majority = {f"{part}/majority": [0.541] * 3 for part in ("train", "validation")}
    row = {"attribute": "hat", "value": "yes", "people": 8, "train": 7, "validation": 1, "wanted": 6.4}
    row |= {"deviation": 0.6, "percent": 12.121, "train_percent": 13.208, "validation_percent": 8.3}
    row |= {"images": 90, "train_images": 80, "validation_images": 10}
    row |= {"image_percent": 11.0, "train_image_percent": 12.0, "validation_image_percent": 7.0}
    findings = Findings(
        metrics=metrics,
        table1=pd.DataFrame({"task": ["Hat", "Overall", "Mean of the 12 attributes"], **shares, **majority}),
        balance=pd.DataFrame([row]),
        epochs=pd.DataFrame({"epoch": [1, 2], "train/margin": [20, 22.0]}),
        masks=masks,
        filters_junk=True,
        settings={"train_bruna": {"mask": "none", "augment": {"pad": 6}, "epochs": 15}},
    )
    write_page(tmp_path / "page.html", findings, {})
    text = re.sub(r"<[^>]+>", " ", (tmp_path / "page.html").read_text(encoding="utf-8"))
    return re.sub(r"\s+", " ", text)


def test_the_page_tells_what_a_figure_has_to_beat(tmp_path):
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
    text = page(tmp_path, {"validation": found, "baselines": BASELINES})
    assert "always the commonest value: 54.1%" in text
    assert "any constant prediction: 37.5%" in text
    assert re.search(r"Task 1’s network +85.0% +50.0%", text)
    assert re.search(r"both networks’ probabilities +100.0% +80.0%", text)
    assert "Bruna’s attribute head" not in text  # which was not measured here
    assert "its margin P grew from 20 to 22" in text
    assert "no mask pairs" not in text
    assert "train_percent" not in text
    assert re.search(r"hat +yes +8 +7 +6\.4 +0\.6 +1 +12\.1% +13\.2%", text)
    assert re.search(r"train_bruna +mask +none +augment\.pad +6 +epochs +15", text)


def test_a_test_set_gets_a_table_and_a_tile_and_a_data_set_without_masks_a_note(tmp_path):
    found = figures(0, (0, 0, 0), (9, 0, 0))
    test = found | {"market1501": found["market1501"] | {"map": 0.123}}
    text = page(tmp_path, {"validation": found, "test": test, "baselines": BASELINES}, masks=False)
    assert "12.3% Market-1501 protocol, test set" in text
    assert "Test set, its own query and gallery folders" in text
    assert "The data set has no mask pairs" in text
