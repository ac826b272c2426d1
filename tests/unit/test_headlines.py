"""The headline metrics: few, named once, and what the metrics files hold."""

import json
from pathlib import Path
from typing import Any

import yaml

from bruna.headlines import HEADLINES, headline_intervals, headline_metrics
from bruna.nested import flatten

PROJECT = Path(__file__).resolve().parents[2]
STAGES = yaml.safe_load((PROJECT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
PARAMS = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))


def test_there_are_few_and_none_is_called_like_a_setting() -> None:
    """DVC would put the file's name before both, and `dvc exp show` with 26 metrics is as wide as it should be."""
    settings = {part for name in flatten(PARAMS, ".") for part in (name, *name.split("."))}
    assert len(HEADLINES) <= 26
    assert not HEADLINES.keys() & settings


def test_every_name_title_and_meaning_fits_a_table() -> None:
    assert len({headline.title for headline in HEADLINES.values()}) == len(HEADLINES)
    assert len({(headline.stage, headline.figure) for headline in HEADLINES.values()}) == len(HEADLINES)
    for name, headline in HEADLINES.items():
        assert name.isidentifier() and len(headline.title) <= 32 and len(headline.meaning) <= 44, name


def test_a_stage_declares_one_metrics_file_and_its_figures_are_an_output() -> None:
    for stage, declared in STAGES.items():
        files = [path for entry in declared.get("metrics", ()) for path in entry]
        measures = stage in {headline.stage for headline in HEADLINES.values()}
        assert files == ([f"metrics/{stage}.json"] if measures else [])
        holding = {f"artifacts/{stage}", f"artifacts/{stage}/figures.json"}
        assert len(holding & set(declared["outs"])) == 1, stage


def test_the_metrics_files_in_git_hold_these_names() -> None:
    """After a change to headlines.py, `dvc repro --force --single-item STAGE` writes the stage's file anew."""
    in_git = {path.stem: list(json.loads(path.read_text())) for path in (PROJECT / "metrics").glob("*.json")}
    declared: dict[str, list[str]] = {}
    for name, headline in HEADLINES.items():
        declared.setdefault(headline.stage, []).append(name)
    assert in_git == declared  # the sample has all that is measured: masks, a labelled test set


def test_what_a_data_set_does_not_have_is_left_out() -> None:
    figures: dict[str, Any] = {"validation": {"market1501": {"map": 0.5, "rank1": 1}}, "baselines": {}}
    assert headline_metrics("evaluate", figures) == {"map": 0.5, "rank1": 1}
    assert headline_metrics("evaluate", flatten(figures)) == {"map": 0.5, "rank1": 1}  # as MLflow has them
    assert headline_metrics("train_unet", {"pairs_train": 0}) == {}


def test_an_interval_stands_beside_its_metric_unless_it_is_of_an_earlier_run() -> None:
    figures = {"intervals": {"map": {"low": 0.4, "high": 0.6, "resampled": 20}, "rank1": {"resampled": 5}}}
    found = headline_intervals(figures, {"map": 0.5, "rank1": 0.9, "minp": 0.1})
    assert {name: str(interval) for name, interval in found.items()} == {
        "map": "0.400–0.600",
        "rank1": "too few people",
    }
    assert headline_intervals(figures, {"map": 0.7}) == {}
    assert headline_intervals({}, {"map": 0.5}) == {}
    assert headline_metrics("evaluate", {**figures, "validation": {"market1501": {"map": 0.5}}}) == {"map": 0.5}
