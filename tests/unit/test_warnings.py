"""What does not beat a baseline is said: in the figures of its stage, and from there everywhere."""

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bruna.evaluation.retrieval import retrieve
from bruna.evaluation.warnings import discarded_warnings, retrieval_warnings
from bruna.files import read_json
from bruna.metrics.baselines import attribute_warnings, beats, ranking_warnings
from bruna.metrics.retrieval import average_precisions, random_average_precisions
from bruna.params import Evaluate, Params, read_params
from bruna.pipeline import train_attributes, train_bruna, train_unet
from bruna.retrieval.gallery import Gallery
from bruna.tracking.execution import Execution
from bruna.tracking.mlflow_run import stage_run
from bruna.tracking.protocol import NullTracker
from bruna.training.attribute_data import Measured
from course_schema import TASK1_LOGITS, TASK_NAMES, TASKS
from person_table import mask_pairs, person_table
from tiny_records import PROJECT, SIZE, places, tiny


@pytest.fixture(scope="module")
def params() -> Params:
    return tiny(read_params(PROJECT / "params.yaml"))


def test_a_figure_has_to_be_above_its_baseline() -> None:
    assert beats(0.51, 0.5)
    assert not any(beats(value, 0.5) for value in (0.5, 0.5 + 1e-9, 0.4, float("nan")))


def test_attributes_are_judged_by_their_means_over_those_that_are_annotated() -> None:
    nan = float("nan")

    def attribute(accuracy: float, balanced: float) -> dict[str, float]:
        return {"accuracy": accuracy, "majority": 0.7, "balanced_accuracy": balanced, "chance": 0.5}

    nothing = dict.fromkeys(attribute(0, 0), nan)
    assert attribute_warnings([attribute(0.8, 0.4), attribute(0.7, 0.7), nothing], "here") == []
    assert attribute_warnings([nothing], "here") == attribute_warnings([], "here") == []
    both = attribute_warnings([attribute(0.7, 0.5), nothing], "here")
    assert ["here: accuracy 70.0% is not above 70.0%" in both[0], "here: balanced accuracy 50.0%" in both[1]] == [1, 1]
    only_accuracy = attribute_warnings([attribute(0.6, 0.9)], "here")
    assert len(only_accuracy) == 1 and "logit_adjustment" in only_accuracy[0]


def test_a_ranking_names_every_baseline_that_it_does_not_beat() -> None:
    assert ranking_warnings(0.5, {"colors": 0.3, "chance": 0.1}, "here") == []
    said = ranking_warnings(0.3, {"colors": 0.3, "chance": 0.1, "before": 0.4}, "here")
    assert said == ["here: mAP 30.0% is not above that of colors (30.0%), before (40.0%)."]


@hypothesis_settings(deadline=None)
@given(valid=st.integers(1, 6), found=st.integers(0, 6), lost=st.integers(0, 2))
def test_the_average_precision_of_a_random_ranking_is_the_mean_over_all_rankings(
    valid: int, found: int, lost: int
) -> None:
    found = min(found, valid)
    total = found + lost
    rankings = torch.tensor(list(itertools.combinations(range(1, valid + 1), found)), dtype=torch.int64)
    each = average_precisions(
        rankings.flatten(), torch.arange(len(rankings) + 1) * found, torch.full((len(rankings),), total)
    )
    expected = random_average_precisions(torch.tensor([found]), torch.tensor([total]), torch.tensor([valid]))
    torch.testing.assert_close(expected[0], each.mean(), equal_nan=True)


def _images(features: torch.Tensor, junk: list[float]) -> Any:
    """Six images of two identities, three cameras each, as `retrieve` takes them."""
    identities, cameras = torch.tensor([1, 1, 1, 2, 2, 2]), torch.tensor([1, 2, 3] * 2)
    gallery = Gallery(features, torch.full((6, 2), 0.5), identities, cameras)
    return SimpleNamespace(gallery=gallery, plain=gallery, found=SimpleNamespace(junk=np.array(junk, np.float32)))


GOOD, BAD = torch.tensor([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]]), torch.tensor([[0.0], [5], [9], [1], [6], [8]])


@pytest.fixture(scope="module")
def settings(params: Params) -> Evaluate:
    return params.evaluate.model_copy(update={"filter_junk": True, "rerank": False})


def test_a_ranking_is_compared_with_a_random_one_and_with_what_is_given(settings: Evaluate) -> None:
    good, bad = (retrieve(images, images, settings) for images in (_images(GOOD, [0] * 6), _images(BAD, [0] * 6)))
    assert good.results["market1501"].random_mean_average_precision == pytest.approx(
        float(random_average_precisions(*(torch.tensor([n]) for n in (2, 2, 5)))[0])
    )
    assert retrieval_warnings(good, "six", settings, {"colors": 0.9}) == []
    assert retrieval_warnings(good, "six", settings, {"colors": 1.0}) == [
        "six, Market-1501 protocol: mAP 100.0% is not above that of colors (100.0%)."
    ]
    said = retrieval_warnings(bad, "six", settings)
    assert len(said) == 1 and "is not above that of a ranking at random (" in said[0]


@pytest.mark.parametrize(
    ("junk", "says"),
    [
        (
            [0.9] * 6,
            ["left out 6 of 6 gallery images (100%)", "6 of 6 images of labelled people", "6 queries 6 have no"],
        ),
        ([0, 0, 0, 0.9, 0.9, 0.9], []),
        ([0, 0, 0.9, 0.9, 0.9, 0.9], ["left out 4 of 6 gallery images (67%)", "6 queries 3 have no right image left"]),
    ],
)
def test_a_junk_filter_that_discards_most_of_a_gallery_is_said(
    junk: list[float], says: list[str], settings: Evaluate
) -> None:
    images = _images(GOOD, junk)
    found = retrieve(images, images, settings)
    said = [text for text in retrieval_warnings(found, "six", settings) if "junk filter" in text]
    assert len(said) == bool(says) and all(part in said[0] for part in says)
    assert not says or "Without the filter mAP is 100.0%." in said[0]
    assert not says or "(evaluate.filter_junk, junk_threshold 0.5)" in said[0]


@pytest.mark.parametrize(("identities", "without"), [([1, 1, 3, 4, 5, 6], 4), ([1, 1, 1, 2, 2, 3], 1)])
def test_queries_without_a_match_are_counted(identities: list[int], without: int, settings: Evaluate) -> None:
    images = _images(GOOD, [0] * 6)
    images.gallery.identities[:] = torch.tensor(identities)
    said = retrieval_warnings(retrieve(images, images, settings), "six", settings)
    sentence = (
        f"six: {without} of 6 queries without a right image on another camera (Market-1501 protocol) are in no mean."
    )
    assert said[0] == sentence


def test_without_cameras_a_query_is_no_match_of_itself(settings: Evaluate) -> None:
    """Nor with one camera: what the course protocol then measures is not made better by it."""
    for camera in (0, 7):
        images = _images(BAD, [0] * 6)
        images.gallery.cameras[:] = camera
        images.gallery.identities[:] = torch.tensor([1, 1, 1, 2, 2, 3])
        found = retrieve(images, images, settings)
        course = found.results["course"]
        assert (course.left_out, course.valid.tolist()) == (1, [5] * 6)
        assert found.variants["features_only"]["course"].valid.tolist() == [5] * 6
        assert all(own not in row for own, row in enumerate(found.nearest.indices.tolist()))
        alone, unmatched, below = retrieval_warnings(found, "six", settings, {"colors": 1.0})
        assert alone.startswith("six: no query has a match on another camera, which the Market-1501 protocol asks for")
        assert "only the course protocol is measured, without the query itself" in alone
        assert unmatched == "six: 1 of 6 queries without a right image in the gallery (course protocol) are in no mean."
        assert below.startswith("six, course protocol: mAP ") and "colors (100.0%)" in below
        images.gallery.identities[:] = torch.arange(1, 7)
        assert (
            "no query has a right image in the gallery: nothing is measured"
            in (retrieval_warnings(retrieve(images, images, settings), "six", settings)[-1])
        )
    known = retrieve(_images(BAD, [0] * 6), _images(BAD, [0] * 6), settings)
    assert known.results["course"].valid.tolist() == [6] * 6


def test_with_cameras_the_course_protocol_is_as_it_was(settings: Evaluate) -> None:
    images = _images(BAD, [0] * 6)
    found = retrieve(images, images, settings)
    assert found.results["course"].valid.tolist() == [6] * 6 and found.results["course"].first_hits.tolist() == [1] * 6


def test_the_filter_on_unlabelled_images_too(settings: Evaluate) -> None:
    assert discarded_warnings(10, 5, "reid_test.txt", settings) == []
    assert "reid_test.txt: the junk filter left out 6 of 10" in discarded_warnings(10, 6, "reid_test.txt", settings)[0]


def test_a_unet_that_learned_nothing_is_in_its_figures(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = params.train_unet.model_copy(update={"epochs": 1})
    for constant, warned in ((-1.0, False), (1.0, True)):
        monkeypatch.setattr("bruna.training.unet.best_constant_iou", lambda *_, value=constant: value)
        figures = train_unet.train_and_save(mask_pairs(SIZE), group, **places(tmp_path, "unet", NullTracker()))
        assert ("warnings" in figures) == warned
    assert "is not above 100.0%, which one and the same mask for every image has" in figures["warnings"][0]


def _codes(rows: int) -> npt.NDArray[np.int64]:
    return np.stack([np.arange(rows) % 2] * len(TASK_NAMES), axis=1)


def test_a_task_1_that_learned_nothing_is_in_its_figures(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = _codes(8)
    model = torch.nn.Linear(1, 1)
    model.tasks = TASKS
    train, validation = person_table((1, 2), 4, SIZE), person_table((7, 8), 4, SIZE)
    for predicted, warned in ((true, False), (np.zeros_like(true), True)):
        seen = Measured(TASKS, true, predicted, np.zeros((8, TASK1_LOGITS), np.float32))
        result = SimpleNamespace(model=model, history=[{"epoch": 1.0}], train=seen, validation=seen)
        monkeypatch.setattr(train_attributes, "train_attributes", lambda *_, result=result, **__: result)
        monkeypatch.setattr(train_attributes, "_predictions", lambda table, _: table)
        to = places(tmp_path, "attributes", NullTracker())
        figures = train_attributes.train_and_save(train, validation, params.train_attributes, **to)
        assert [("Task 1, validation identities" in text) for text in figures.get("warnings", [])] == [
            True
        ] * 2 * warned


def test_a_bruna_that_gained_nothing_is_in_its_figures(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_bruna, "_hard_negatives", lambda _, table: table)
    people = person_table((1, 2), 4, SIZE)
    for value, warned in ((0.4, False), (0.3, True)):
        result = SimpleNamespace(
            bruna=torch.nn.Linear(1, 1),
            adversary=torch.nn.Linear(1, 1),
            untrained=torch.nn.Linear(1, 1),
            history=[{"epoch": 1.0, "validation/market1501/map": value}],
            untrained_metrics={"market1501/map": 0.3},
            hard_negatives=people,
            settings={},
        )
        monkeypatch.setattr(train_bruna, "train_bruna", lambda *_, result=result, **__: result)
        to = places(tmp_path, "bruna", NullTracker())
        figures = train_bruna.train_and_save((people, people), (people, people), params.train_bruna, **to)
        assert ("warnings" in figures) == warned
    assert "mAP 30.0% is not above that of Bruna before its training (30.0%)" in figures["warnings"][0]


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    before = list(sys.path)
    monkeypatch.syspath_prepend(str(PROJECT / "stages"))
    import harness

    yield harness
    sys.path[:] = before


def test_a_stage_prints_its_warnings_and_tags_its_run_and_its_execution(
    tmp_path: Path, harness: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    with stage_run(tmp_path, "train_unet", Execution("e", "e"), params={}, inputs={}, outputs={}, tags={}) as tracker:
        stage = harness.Stage("train_unet", None, None, tmp_path, tracker, {}, project=tmp_path)
        stage.finish({"iou": 0.1, "warnings": ["one thing.", "another."]})
        client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
        assert client.get_run(tracker.run_id).data.tags["bruna.warning"] == "one thing.\nanother."
        assert client.get_run(tracker.parent_id).data.tags["bruna.warning.train_unet"] == "one thing.\nanother."
        assert client.get_run(tracker.run_id).data.metrics == {"iou": 0.1}
    printed = capsys.readouterr()
    assert [line for line in printed.err.splitlines() if line.startswith("warning")] == [
        "warning: one thing.",
        "warning: another.",
    ]
    assert json.loads((tmp_path / "metrics" / "train_unet.json").read_text()) == {"unet_iou": 0.1}
    assert read_json(tmp_path / "metrics" / "train_unet.json") == {"unet_iou": 0.1}
