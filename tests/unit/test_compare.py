"""`bruna compare`: paired intervals of two evaluations, what cannot be compared, folders and MLflow runs."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bruna.dataset.tables import write_table
from bruna.errors import BrunaError
from bruna.evaluation.comparing import Compared, compare, read_by_identity, sentences
from bruna.evaluation.intervals import Measured, by_identity_table, measure
from bruna.headlines import BY_IDENTITY, FIGURES_FILE
from bruna.metrics.bootstrap import difference, resampled
from bruna.tracking.execution import Execution
from bruna.tracking.mlflow_run import stage_run
from conftest import Run

PEOPLE, EACH = 15, 4


def rows(seed: int = 0, better: float = 0.0, people: int = PEOPLE, among: int = 7) -> dict[str, Measured]:
    """mAP and two attributes of people of whom some are hard."""
    random = np.random.default_rng(0)
    units = np.repeat(np.arange(1, people + 1), EACH)
    hard = np.repeat(random.uniform(0.2, 0.9, people), EACH)
    values = hard + np.random.default_rng(seed).normal(0, 0.01, len(units)) + better
    right = (np.random.default_rng(seed + 1).random((len(units), 2)) < 0.7).astype(np.float64)
    contents = np.arange(len(units), dtype=np.uint64)
    return {
        "map": measure(units, values[:, None], contents, [("map", "")], among),
        "attribute_accuracy": measure(units, right, contents, [("hat", ""), ("bag", "")]),
    }


def table(seed: int = 0, better: float = 0.0, people: int = PEOPLE, among: int = 7) -> pd.DataFrame:
    return by_identity_table(rows(seed, better, people, among))


def by_name(found: list[Compared]) -> dict[str, Compared]:
    return {each.name: each for each in found}


def test_a_thing_compared_with_itself_is_equal() -> None:
    for each in compare(table(), table()):
        assert each.word == "equal" and each.difference == (0.0, 0.0, 0.0) and not each.left_out
    assert sentences(compare(table(), table())) == []


def test_a_small_gain_of_everybody_is_seen_and_one_of_nobody_is_noise() -> None:
    found = by_name(compare(table(), table(seed=5, better=0.02)))
    assert found["map"].word == "better" and found["attribute_accuracy"].word == "noise"
    assert by_name(compare(table(seed=5, better=0.02), table()))["map"].word == "worse"
    assert found["map"].values == pytest.approx((rows()["map"].sums.value, rows(5, 0.02)["map"].sums.value))
    ours, other = rows()["map"].sums, rows(5, 0.02)["map"].sums
    expected = difference(other.value, ours.value, resampled([other, ours]), PEOPLE)
    assert found["map"].difference == pytest.approx(expected)
    assert any(
        "Of 2 such intervals 0.1 leave out zero by chance alone" in text for text in sentences([*found.values()])
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(10, 20))
def test_sides_turn_the_sign_and_nothing_else(one: int, other: int, people: int) -> None:
    there, back = (compare(table(a, people=people), table(b, people=people)) for a, b in ((one, other), (other, one)))
    turned = {"better": "worse", "worse": "better"}
    for first, second in zip(there, back, strict=True):
        assert second.word == turned.get(first.word, first.word)
        assert first.difference is not None and second.difference is not None
        value, low, high = first.difference
        assert second.difference == pytest.approx((-value, -high, -low), abs=1e-9) and low <= value <= high


def test_people_of_one_side_are_left_aside_and_that_is_said() -> None:
    more = table(seed=3, people=18)
    found = by_name(compare(table(), more))
    assert {name: (each.units, each.left_out) for name, each in found.items()} == {
        "map": (PEOPLE, 3),
        "attribute_accuracy": (PEOPLE, 3),
    }
    assert "3 of 18 people are left aside: map, attribute_accuracy." in sentences([*found.values()])
    other_images = more.assign(contents=more["contents"] + (more["unit"] == "2").astype(np.uint64))
    assert by_name(compare(table(), other_images))["map"].left_out == 4
    annotated_anew = more.assign(count=more["count"] + ((more["unit"] == "2") & (more["group"] == "hat")))
    found = by_name(compare(table(), annotated_anew))
    assert found["map"].left_out == 3 and found["attribute_accuracy"].left_out == 4


def test_another_gallery_is_not_compared_and_other_attributes_are_in_no_mean() -> None:
    other = table(seed=2, among=8)
    other.loc[other["group"] == "bag", "group"] = "coat"
    found = by_name(compare(table(), other))
    assert (found["map"].word, found["map"].values) == ("other gallery", None)
    assert found["attribute_accuracy"].groups_left_out == ["bag", "coat"]
    said = sentences([*found.values()])
    assert said[0] == "Not compared: map." and "in no mean: bag, coat." in said[2]


def test_too_few_people_are_shown_without_an_interval() -> None:
    found = by_name(compare(table(people=9), table(seed=1, people=9)))["map"]
    assert found.word == "too few people" and found.values is not None and found.difference is None


def test_other_people_are_refused() -> None:
    other = table()
    with pytest.raises(BrunaError, match="no people in common"):
        compare(table(), other.assign(contents=other["contents"] + np.uint64(1)))
    with pytest.raises(BrunaError, match="no people in common"):
        compare(table(), other[other["headline"] == "nothing"])


def _folders(root: Path) -> None:
    write_table(table(), root / "old" / "evaluate" / BY_IDENTITY)
    write_table(table(seed=5, better=0.02), root / "artifacts" / "evaluate" / BY_IDENTITY)


def test_the_command_compares_two_folders_and_changes_nothing(top_folder: Path, bruna: Run) -> None:
    _folders(top_folder)
    before = sorted(top_folder.rglob("*"))
    status, out, err = bruna("compare", "old", "artifacts")
    assert status == 0 and not err
    assert re.search(r"map +0\.\d{3} +0\.\d{3} +\+0\.0\d\d +\+0\.0\d\d to \+0\.0\d\d +better", out)
    assert re.search(r"attribute_accuracy .* noise", out) and "another training" in out
    assert bruna("compare", "old/evaluate", ".")[1].count("better") == 1  # the folder of the stage; a project
    assert max(map(len, out.splitlines())) <= 110 and sorted(top_folder.rglob("*")) == before


def test_mistakes_are_named(top_folder: Path, bruna: Run) -> None:
    _folders(top_folder)
    (top_folder / "empty").mkdir()
    status, _, err = bruna("compare", "empty", "artifacts")
    assert status == 1 and "empty has no evaluate/by_identity.parquet" in err and "no folder of artifacts" in err
    status, _, err = bruna("compare", "artifacts", "some run")
    assert status == 1 and "some run is neither a folder nor an MLflow run" in err
    assert not (top_folder / "mlflow.db").exists()
    (top_folder / "old" / "evaluate" / BY_IDENTITY).write_text("no table")
    with pytest.raises(BrunaError, match="cannot be read"):
        read_by_identity(Path("old"))
    write_table(table().drop(columns=["among", "unit"]), top_folder / "old" / "evaluate" / BY_IDENTITY)
    with pytest.raises(BrunaError, match="is damaged: it lacks unit, among"):
        read_by_identity(Path("old"))
    (top_folder / "old" / "evaluate" / BY_IDENTITY).unlink()
    (top_folder / "old" / "evaluate" / FIGURES_FILE).write_text("{}")
    status, _, err = bruna("compare", "old", "artifacts")
    assert status == 1 and "an older version of Bruna evaluated it. Run `dvc repro evaluate`" in err
    (top_folder / "empty" / "dvc.yaml").touch()
    assert "not evaluated yet. Run `dvc repro` there" in bruna("compare", "empty", "artifacts")[2]
    status, _, err = bruna("compare", "artifacts")
    assert status == 2 and "takes two: A and B" in err


def test_the_command_compares_mlflow_runs_by_id_and_name(top_folder: Path, bruna: Run) -> None:
    _folders(top_folder)
    runs = {}
    for name, folder in (("before", "old"), ("after it's done", "artifacts")):
        execution = Execution(name, name)
        with stage_run(top_folder, "evaluate", execution, params={}, inputs={}, outputs={}, tags={}) as tracker:
            tracker.file(Path(folder) / "evaluate", "evaluate")
        with stage_run(top_folder, "report", execution, params={}, inputs={}, outputs={}, tags={}) as report:
            runs[name] = tracker.run_id, tracker.parent_id, report.run_id
    expected = bruna("compare", "old", "artifacts")[1].splitlines()[2:]
    for a, b in (("before", "after it's done"), *zip(*runs.values(), strict=True), ("evaluate · before", "artifacts")):
        status, out, _ = bruna("compare", a, b)
        assert status == 0 and out.splitlines()[2:] == expected
    status, _, err = bruna("compare", "befor", "artifacts")
    assert status == 1 and "befor is neither a folder nor an MLflow run" in err
    for key in ("k1", "k2"):
        with stage_run(top_folder, "report", Execution(key, "twice"), params={}, inputs={}, outputs={}, tags={}):
            pass
    status, _, err = bruna("compare", "twice", "artifacts")
    assert status == 1 and re.search(r"2 MLflow runs are called twice\. Give the id of one: [0-9a-f]{32}, ", err)
    status, _, err = bruna("compare", err.split()[-1].rstrip("."), "artifacts")
    assert status == 1 and "has no stage evaluate" in err


def test_without_arguments_it_lists_what_can_be_compared(top_folder: Path, bruna: Run) -> None:
    status, _, err = bruna("compare")
    assert status == 1 and "no MLflow run here has been evaluated" in err and not (top_folder / "mlflow.db").exists()
    _folders(top_folder)
    ids = []
    for name, value in (("before", 0.25), ("never measured", None), ("after", 0.5)):
        execution = Execution(name, name)
        stage = "split" if value is None else "evaluate"
        with stage_run(top_folder, stage, execution, params={}, inputs={}, outputs={}, tags={}) as tracker:
            if value is not None:
                tracker.file(Path("old") / "evaluate", "evaluate")
                tracker.figures({"validation": {"market1501": {"map": value}}})
                ids.append(tracker.parent_id)
    status, out, err = bruna("compare")
    assert status == 0 and not err
    lines = [line.split() for line in out.splitlines()]
    assert [line[0] for line in lines if line and line[0] in ("before", "never", "after")] == ["after", "before"]
    assert [(line[0], line[1], line[-1]) for line in lines if line and line[0] in ("before", "after")] == [
        ("after", ids[1][:8], "0.500"),
        ("before", ids[0][:8], "0.250"),
    ]
    assert f"Next: `bruna compare {ids[0][:8]} artifacts`" in out
    status, out, _ = bruna("compare", ids[0][:8], "artifacts")  # what it says works
    assert status == 0 and "noise" in out
    assert bruna("compare", "abcd" if not ids[0].startswith("abcd") else "dcba", "artifacts")[0] == 1
    (top_folder / "artifacts" / "evaluate" / BY_IDENTITY).unlink()
    assert f"Next: `bruna compare {ids[0][:8]} {ids[1][:8]}`" in bruna("compare")[1]
