"""The report page: what stands beside the figures, and that what was not measured is a dash."""

import re

import numpy as np
import pandas as pd
import pytest

from bruna.headlines import HEADLINES, Interval
from bruna.report.blocks import Note, Table, blocks_html
from bruna.report.data_sections import check_section
from bruna.report.page import Section, render
from bruna.report.retrieval_section import retrieval_blocks, retrieval_section, retrieval_table
from bruna.report.sections import Findings, report_page
from bruna.report.tiles import shown, tile_groups
from bruna.retrieval.protocols import FIGURES

SETTINGS = {"filter_junk": True, "attribute_offset": 0.1}


def protocols(value, **counts):
    return {name: dict.fromkeys(FIGURES, value) | counts for name in ("course", "market1501")}


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
    frame = retrieval_table(found, BASELINES, "c").frame
    assert frame["what"].tolist() == [
        "Bruna",
        "Bruna without the junk filter",
        "Bruna without the attribute factor",
        "Bruna re-ranked",
        "untrained network",
        "color histograms",
    ]
    assert frame["Market-1501 protocol/mAP"].tolist() == [0.5, 0.4, 0.25, 0.25, 0.0625, 0.125]
    del found["variants"]["reranked"]["market1501"]["minp"]
    frame = retrieval_table(found, BASELINES, "c").frame
    assert np.isnan(frame["Market-1501 protocol/mINP"]).tolist() == [False] * 3 + [True] + [False] * 2
    apart = retrieval_table(figures(0, (0, 0, 0), (1, 0, 0)), {}, "c").frame
    assert apart["what"].tolist() == ["Bruna"]


def test_rows_with_unlabelled_images_are_named_for_what_they_are():
    added = {"queries": {"queries": 20}, "all": {"queries": 20, "test": 1800}}
    distracted = {
        name: {"market1501": dict.fromkeys(FIGURES, 0.375), "added": counts, "left_out_as_junk": len(name)}
        for name, counts in added.items()
    }
    measured = {"validation": figures(0, (0, 0, 0), (9, 0, 0)), "baselines": BASELINES, "distractors": distracted}
    blocks = retrieval_section(measured, {}, SETTINGS).blocks
    (frame,) = [block.frame for block in blocks if isinstance(block, Table)]
    rows = frame.set_index("what")
    names = ["Bruna, queries/ in the gallery too", "Bruna, queries/ and test/ in the gallery too"]
    assert rows.index.tolist() == ["Bruna", *names, "untrained network", "color histograms"]
    assert rows.loc[names, "Market-1501 protocol/rank-1"].tolist() == [0.375, 0.375]
    assert rows.loc[names, "course protocol/mAP"].isna().all()
    text = " ".join(block for block in blocks if isinstance(block, str))
    assert "queries/ and test/: 1,820 images, of which the junk filter left out 3." in text and "lower bound" in text


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
    text = " ".join(
        b for b in retrieval_section(metrics, {}, SETTINGS | {"filter_junk": on}).blocks if isinstance(b, str)
    )
    assert "10 queries, each with a match in the gallery." in text
    assert f"1,200 gallery images. The junk filter {words.removeprefix('The junk filter ')}" in text


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        (
            "features_only",
            "paper’s distance, d(features) · (offset + d(attributes)). With a larger evaluate.attribute_offset (now",
        ),
        ("no_flip", "evaluate.flip"),
        ("reranked", "looks at the other queries"),
        ("unfiltered", "evaluate.filter_junk"),
    ],
)
@pytest.mark.parametrize(("gain", "told"), [(0.005, False), (0.02, True)])
def test_a_variant_that_beats_the_main_row_is_explained(variant, words, gain, told):
    found = figures(0, (1, 0, 0), (9, 0, 0), ("features_only", "no_flip", "reranked"))
    better = protocols(0.5 + gain)
    if variant == "unfiltered":
        found["unfiltered"] = better
    else:
        found["variants"][variant] = better
    notes = [b.text for b in retrieval_blocks(found, {}, "c", SETTINGS, finds_itself=False) if isinstance(b, Note)]
    assert len(notes) == told
    assert all(words in note and "has 2.0 points more mAP" in note for note in notes)


ATTRIBUTES = {
    "hat": {"accuracy": 0.9, "precision": 0.7, "balanced_accuracy": 0.6, "majority": 0.8, "chance": 0.5},
    "age": {"accuracy": 0.8, "precision": 0.5, "balanced_accuracy": 0.4, "majority": 0.5, "chance": 0.25},
    "bag": dict.fromkeys(("accuracy", "precision", "balanced_accuracy", "majority", "chance"), float("nan")),
}
MEANS = {
    "attributes_predicted": {"accuracy": 0.85, "balanced_accuracy": 0.5},
    "attributes_both": {"accuracy": 1.0, "balanced_accuracy": 0.75},
}


def findings(measured: dict, *, untrained: tuple[str, ...] = (), gain: float = 0.0) -> Findings:
    shares = {f"{part}/{key}": [0.7, 0.8, 0.9] for part in ("train", "validation") for key in ("accuracy", "precision")}
    row = {"attribute": "hat", "value": "yes", "people": 8, "train": 7, "validation": 1, "wanted": 6.4}
    row |= {"deviation": 0.6, "percent": 12.121, "train_percent": 13.208, "validation_percent": 8.3}
    row |= {"images": 90, "train_images": 80, "validation_images": 10}
    row |= {"image_percent": 11.0, "train_image_percent": 12.0, "validation_image_percent": 7.0}
    points = {"task": "Mean of the 12 attributes", "shift": [-0.5, 0.0]}
    points |= {f"validation/{key}": [0.5 + gain, 0.5] for key in ("accuracy", "balanced_accuracy")}
    return Findings(
        metrics={"map": 0.5},
        checked={"checks": [{"check": "c", "passed": True, "findings": 0}], "quarantined": [], "subsets": {}}
        | {"same_content_twice": 0},
        measured=measured,
        table1=pd.DataFrame({"task": ["Hat", "Overall", "Mean of the 12 attributes"], **shares}),
        points=pd.DataFrame(points),
        balance=pd.DataFrame([row]),
        epochs=pd.DataFrame({"epoch": [1, 2], "train/margin": [20, 22.0]}),
        untrained=untrained,
        settings={"evaluate": SETTINGS, "train_bruna": {"mask": "none", "augment": {"pad": 6}, "epochs": 15}},
        inputs={"data": "0123.dir"},
    )


def page(found: Findings) -> str:
    """The text of a page without pictures."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", render(report_page(found, {}))))


def test_the_page_tells_what_a_figure_has_to_beat():
    found = figures(0, (0, 0, 0), (9, 0, 0))
    found |= {"attributes_predicted": ATTRIBUTES, "attribute_means": MEANS}
    text = page(findings({"validation": found, "baselines": BASELINES}))
    assert re.search(r"Hat +90.0% +80.0% +60.0% +50.0% +70.0% +Age +80.0% +50.0% +40.0% +25.0% +50.0%", text)
    assert re.search(r"Mean of the 2 attributes +85.0% +65.0% +50.0% +37.5% +60.0%", text)
    assert re.search(
        r"as set \(.*?\) +85.0% +50.0% +the mean of both networks’ probabilities, one image +100.0% +75", text
    )
    assert "Bruna’s attribute head" not in text  # which was not measured here
    assert "its margin P grew from 20 to 22" in text
    assert text.count("each query finds itself") == 1
    assert "no mask pairs" not in text
    assert "train_percent" not in text
    assert re.search(r"hat +yes +8 +7 +6\.4 +0\.6 +1 +12\.1% +13\.2%", text)
    assert re.search(r"train_bruna +mask +none +augment\.pad +6 +epochs +15", text)
    assert re.search(r"data +0123\.dir", text)


def test_as_predicted_stands_before_task_1_alone():
    found = figures(0, (0, 0, 0), (9, 0, 0)) | {"attributes_predicted": ATTRIBUTES, "attribute_means": MEANS}
    text = page(findings({"validation": found, "test": found, "baselines": BASELINES}))
    order = [
        "Attributes as they are predicted, validation",
        "Attributes as they are predicted, test",
        "Task 1’s network alone",
    ]
    assert [text.index(words) for words in order] == sorted(text.index(words) for words in order)


@pytest.mark.parametrize(("gain", "told"), [(0.005, False), (0.02, True)])
def test_an_operating_point_that_beats_the_chosen_one_is_explained(gain, told):
    measured = {"validation": figures(0, (0, 0, 0), (9, 0, 0)), "baselines": {}}
    words = "Leaning less to rare values (by 0.5) would gain 2.0 points of accuracy and 2.0 of balanced accuracy"
    assert (words in page(findings(measured, gain=gain))) == told


def test_a_test_set_gets_a_table_and_a_data_set_without_masks_a_note():
    found = figures(0, (0, 0, 0), (9, 0, 0))
    text = page(findings({"validation": found, "test": found, "baselines": BASELINES}, untrained=("unet",)))
    assert "Test set, its own query and gallery folders" in text
    assert text.count("each query finds itself") == 1  # in the test set it is no gallery image
    assert "The data set has no mask pairs" in text


def test_every_headline_metric_has_one_tile_in_its_group():
    metrics = dict.fromkeys(HEADLINES, 0.25)
    groups = tile_groups(metrics, {"map": "a remark"})
    titles = [
        "Validation identities",
        "Validation identities among unlabelled images",
        "Test set",
        "Data and trainings",
    ]
    assert [group.title for group in groups] == titles
    names = [tile.name for group in groups for tile in group.tiles]
    assert sorted(names) == sorted(HEADLINES)
    for group, start in ((groups[1], "distractors_"), (groups[2], "test_")):
        assert {tile.name for tile in group.tiles} == {name for name in HEADLINES if name.startswith(start)}
    assert groups[0].tiles[0].note == "a remark"
    assert [group.title for group in tile_groups({"map": 0.5})] == ["Validation identities"]


def test_an_interval_stands_below_the_number_of_its_tile():
    intervals = {"map": Interval(13, 0.4, 0.625), "rank1": Interval(5)}
    tiles = tile_groups({"map": 0.5, "rank1": 0.75, "minp": 0.3}, None, intervals)[0].tiles
    assert [tile.interval for tile in tiles] == ["40.0–62.5%", "too few people", ""]
    measured = {"validation": figures(0, (0, 0, 0), (9, 0, 0)), "baselines": BASELINES}
    measured["intervals"] = {"map": {"low": 0.4, "high": 0.625, "resampled": 13}}
    text = page(findings(measured))
    assert "mAP 50.0% 40.0–62.5% Market-1501 protocol" in text and "Below a number: its 95% interval" in text


def test_a_metric_is_shown_as_a_share_or_a_count():
    assert [shown("map", 0.7512), shown("images", 1234), shown("split_deviation", 0.84)] == ["75.1%", "1,234", "0.84"]


def check_page(passed: bool, quarantined: list) -> str:
    found = {
        "checks": [
            {"check": "hat is 1 or 2", "passed": True, "findings": 0},
            {"check": "every image decodes fully", "passed": passed, "findings": len(quarantined)},
            {"check": "hat is 1 or 2", "passed": True, "findings": 0},
        ],
        "quarantined": quarantined,
        "subsets": {
            "train": {"images": 30, "identities": 4, "cameras": {"1": 10, "2": 20}},
            "mask_pair": {"images": 2, "identities": 0, "cameras": {}},
        },
        "same_content_twice": 3,
    }
    return page_of(check_section(found))


def page_of(section: Section) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", blocks_html(section.blocks)))


def test_checks_that_passed_are_listed_once_each():
    text = check_page(True, [])
    assert "All 3 checks passed." in text
    assert "set aside" not in text
    assert re.search(r"hat is 1 or 2 +2 files +passed +0 +every image decodes fully +once +passed +0", text)
    assert re.search(r"train +30 +4 +10 +20 +mask pair +2 +– +– +–", text)
    assert "3 images have the very bytes of another one" in text


def test_a_check_that_failed_is_named_with_every_place():
    files = [{"path": f"train/{i}.jpg", "reason": "is truncated"} for i in range(120)]
    text = check_page(False, files)
    assert "1 of 3 checks failed" in text
    assert re.search(r"What failed .*? every image decodes fully +120", text)
    assert re.search(r"train/0.jpg +is truncated", text)
    assert "... and 20 more" in text
    assert re.search(r"every image decodes fully +once +failed +120", text)
