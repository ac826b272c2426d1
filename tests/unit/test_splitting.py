"""The split of the identities: what it promises, against brute force on small sets."""

import itertools
import os
import re
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bruna.dataset import splitting
from bruna.dataset.balance import balance_table, most_frequent, size_warnings, split_summary
from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.formats.course import course_annotations
from bruna.dataset.schema import UNKNOWN, Task
from bruna.dataset.splitting import one_hot, split_identities
from bruna.errors import BrunaError
from bruna.sample import plan_attributes, random_generator
from course_schema import NAMES

Codes = npt.NDArray[np.int64]
SIZES = [len(attribute.values) for attribute in ATTRIBUTES]
SHARES = st.sampled_from([0.2, 0.5, 0.8, 0.9])


@st.composite
def people(draw: st.DrawFn, smallest: int = 2, largest: int = 9, attributes: int = 3) -> Codes:
    """N people whose first few attributes are drawn (others unknown), so that rare values and ties abound."""
    count = draw(st.integers(smallest, largest))
    codes = np.full((count, 12), UNKNOWN, dtype=np.int64)
    for i in draw(st.permutations([0, 1, 10, 11]))[:attributes]:
        codes[:, i] = draw(arrays(np.int64, count, elements=st.integers(UNKNOWN, SIZES[i] - 1)))
    return codes


def absent(codes: Codes, train: npt.NDArray[np.bool_]) -> int:
    """How many values with two or more bearers one side lacks, counted the plain way."""
    missing = 0
    for i, size in enumerate(SIZES):
        for value in range(size):
            sides = {bool(side) for side in train[codes[:, i] == value]}
            missing += (codes[:, i] == value).sum() >= 2 and len(sides) == 1
    return missing


@settings(max_examples=150, deadline=None)
@given(people(), SHARES, st.integers(0, 3))
def test_small_sets_have_every_value_on_both_sides_wherever_some_split_has(
    codes: Codes, share: float, seed: int
) -> None:
    train = split_identities(codes, ATTRIBUTES, train_share=share, seed=seed)
    assert train.any() and not train.all()
    if absent(codes, train):
        splits = itertools.product([False, True], repeat=len(codes))
        assert all(absent(codes, np.array(s)) for s in splits if any(s) and not all(s)), "a better split exists"


@settings(max_examples=60, deadline=None)
@given(people(20, 120, 4), SHARES, st.integers(0, 3))
def test_share_of_identities_is_exact_or_held_by_last_bearers(codes: Codes, share: float, seed: int) -> None:
    train = split_identities(codes, ATTRIBUTES, train_share=share, seed=seed)
    target = min(max(round(share * len(codes)), 1), len(codes) - 1)
    if train.sum() != target and absent(codes, train) == 0:
        larger = train if train.sum() > target else ~train
        for person in np.flatnonzero(larger):
            moved = train.copy()
            moved[person] = ~moved[person]
            assert absent(codes, moved), f"person {person} could have been moved"


@settings(max_examples=40, deadline=None)
@given(people(20, 80, 4), SHARES, st.integers(0, 3), st.data())
def test_no_exchange_of_two_people_is_better(codes: Codes, share: float, seed: int, data: st.DataObject) -> None:
    train = split_identities(codes, ATTRIBUTES, train_share=share, seed=seed)
    bearers = one_hot(codes, ATTRIBUTES).astype(float)
    one = np.ones(len(codes))

    def cost(side: npt.NDArray[np.bool_]) -> float:
        values = ((bearers[side].sum(axis=0) - share * bearers.sum(axis=0)) ** 2).sum()
        return float(values + (one[side].sum() - share * one.sum()) ** 2)

    i = data.draw(st.sampled_from(np.flatnonzero(train).tolist()))
    j = data.draw(st.sampled_from(np.flatnonzero(~train).tolist()))
    other = train.copy()
    other[i], other[j] = False, True
    single = bearers.sum(axis=0) == 1
    unseen = (bearers[other][:, single].sum(), bearers[train][:, single].sum())
    assert cost(other) >= cost(train) - 1e-4 or absent(codes, other) > absent(codes, train) or unseen[0] < unseen[1]


def test_same_seed_same_split_other_seed_other_split() -> None:
    codes = np.stack([np.random.default_rng(1).integers(0, size, 200) for size in SIZES], axis=1)
    first = split_identities(codes, ATTRIBUTES, train_share=0.8, seed=3)
    assert (first == split_identities(codes, ATTRIBUTES, train_share=0.8, seed=3)).all()
    assert (first != split_identities(codes, ATTRIBUTES, train_share=0.8, seed=4)).any()
    assert first.sum() == 160


def test_rare_values_keep_their_share_and_a_single_bearer_trains() -> None:
    codes = np.zeros((100, 12), dtype=np.int64)
    codes[:10, NAMES.index("hat")] = 1  # 10 people with a hat: 8 and 2
    codes[5:10, NAMES.index("age")] = 3  # five of them old: 4 and 1
    codes[50, NAMES.index("downcolor")] = 3
    for seed in range(5):
        train = split_identities(codes, ATTRIBUTES, train_share=0.8, seed=seed)
        assert (train.sum(), train[:10].sum(), train[5:10].sum(), train[50]) == (80, 8, 4, True)


def test_images_are_balanced_too() -> None:
    codes = np.zeros((50, 12), dtype=np.int64)
    images = np.random.default_rng(0).integers(2, 73, 50)
    train = split_identities(codes, ATTRIBUTES, train_share=0.8, seed=0, images=images)
    assert train.sum() == 40
    assert abs(images[train].sum() / images.sum() - 0.8) < 0.005


def test_any_attributes_are_split_and_told_by_name() -> None:
    size, glasses = Task("size", ("small", "middle", "large")), Task("glasses", ("no", "yes"))
    random = np.random.default_rng(0)
    codes = np.stack([random.integers(0, 3, 60), random.random(60) < 0.1], axis=1).astype(np.int64)
    images = np.ones(60, dtype=np.int64)
    train = split_identities(codes, (size, glasses), train_share=0.5, seed=0)
    table = balance_table(codes, (size, glasses), train, images, train_share=0.5)
    named = [("size", value) for value in size.values] + [("glasses", value) for value in glasses.values]
    assert list(zip(table["attribute"], table["value"], strict=True)) == named
    assert table["deviation"].abs().max() <= 1
    assert table.groupby("attribute")["people"].sum().to_dict() == {"size": 60, "glasses": 60}


def test_people_without_attributes_are_split_by_their_share_and_their_images() -> None:
    nothing = np.empty((10, 0), dtype=np.int64)
    images = np.array([1, 9] * 5)
    train = split_identities(nothing, (), train_share=0.6, seed=0, images=images)
    assert (train.sum(), images[train].sum()) == (6, 30)
    assert one_hot(nothing, ()).shape == (10, 0)
    other = split_identities(nothing, (), train_share=0.6, seed=1)
    assert other.sum() == 6 and (other != split_identities(nothing, (), train_share=0.6, seed=2)).any()


def test_one_person_cannot_be_split() -> None:
    with pytest.raises(BrunaError, match=r"at least 2 identities in train/, found 1.*bruna import"):
        split_identities(np.zeros((1, 12), dtype=np.int64), ATTRIBUTES, train_share=0.8, seed=0)


def test_balance_table_by_hand() -> None:
    codes = np.full((5, 12), UNKNOWN, dtype=np.int64)
    codes[:, NAMES.index("hat")] = [0, 0, 0, 1, 1]
    codes[0, NAMES.index("age")] = 2
    train = np.array([True, True, False, True, False])
    images = np.array([1, 2, 3, 4, 10])
    table = balance_table(codes, ATTRIBUTES, train, images, train_share=0.8).set_index(["attribute", "value"])
    assert list(table.index) == [("age", "adult"), ("hat", "no"), ("hat", "yes")]
    hat = table.loc[("hat", "yes")]
    assert (hat["people"], hat["train"], hat["validation"], hat["wanted"], hat["deviation"]) == (2, 1, 1, 1.6, -0.6)
    assert (hat["percent"], hat["train_percent"], hat["validation_percent"]) == (40.0, 33.333, 50.0)
    assert (hat["images"], hat["train_images"], hat["validation_images"]) == (14, 4, 10)
    assert (hat["image_percent"], hat["train_image_percent"], hat["validation_image_percent"]) == (70, 57.143, 76.923)
    summary = split_summary(table.reset_index(), train, images)
    assert summary["worst_deviation_people"] == 0.6
    assert summary["values_with_one_bearer"] == ["age=adult"]
    assert summary["train_identity_share"] == 0.6


@pytest.mark.skipif("BRUNA_REAL_DATA" not in os.environ, reason="BRUNA_REAL_DATA is not set")
def test_course_data_is_split_within_one_person() -> None:
    with zipfile.ZipFile(Path(os.environ["BRUNA_REAL_DATA"]) / "market1501-course.zip") as archive:
        annotations = course_annotations(archive.read("annotations_train.csv"), "annotations_train.csv")
        files = [PurePosixPath(n).name for n in archive.namelist() if n.endswith(".jpg")]
    count = Counter(int(name.split("_")[0]) for name in files)
    images = np.array([count[int(i)] for i in annotations.keys])
    train = split_identities(annotations.codes, ATTRIBUTES, train_share=0.8, seed=0, images=images)
    assert train.sum() == round(0.8 * len(train))
    assert absent(annotations.codes, train) == 0
    deviation = balance_table(annotations.codes, ATTRIBUTES, train, images, train_share=0.8)["deviation"].abs()
    assert deviation.max() <= 1
    assert abs(images[train].sum() / images.sum() - 0.8) < 0.002


def test_the_most_frequent_code_of_each_identity_by_hand() -> None:
    attributes = (Task("helmet", ("no", "yes")), Task("vest", ("none", "orange", "yellow")))
    codes = np.array([[1, 2], [0, 1], [1, -1], [-1, 1], [-1, -1]])
    identities = np.array([7, 7, 7, 3, 9])
    # 3: helmet unknown; 7: helmet yes twice, vests once each (the first counts); 9: nothing is known.
    assert most_frequent(codes, identities, attributes).tolist() == [[-1, 1], [1, 1], [-1, -1]]


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(-1, 1), st.integers(-1, 2)), min_size=1, max_size=20))
def test_the_most_frequent_code_of_each_identity(rows: list[tuple[int, int, int]]) -> None:
    attributes = (Task("helmet", ("no", "yes")), Task("vest", ("none", "orange", "yellow")))
    table = np.array(rows)
    found = most_frequent(table[:, 1:], table[:, 0], attributes)
    wanted = []
    for identity in sorted({row[0] for row in rows}):
        counts = (Counter(row[i] for row in rows if row[0] == identity and row[i] >= 0) for i in (1, 2))
        wanted.append([min(of, key=lambda code: (-of[code], code), default=-1) for of in counts])
    assert found.tolist() == wanted


@pytest.mark.parametrize("seed", range(3))
def test_thirty_people_of_the_sample_are_split_20_to_10_and_that_is_said(seed: int) -> None:
    """Every value has three bearers, so that ten people at least are needed on the smaller side."""
    codes = plan_attributes(30, random_generator(seed, 1, 0))
    train = split_identities(codes, ATTRIBUTES, train_share=0.8, seed=0)
    table = balance_table(codes, ATTRIBUTES, train, np.full(30, 8), train_share=0.8)
    (said,) = size_warnings(table, train, 0.8, "identities")
    assert said.startswith("split.train_share 0.8 asks for 24 of 30 identities to train on, and 20 do")
    assert "each of the 10 identities in validation is the last there to bear some value (" in said
    assert re.search(r"\((\w+=\w+, ){3}\.\.\.\)\.$", said)
    for person in np.flatnonzero(~train):  # it is true
        moved = train.copy()
        moved[person] = True
        assert absent(codes, moved)


def test_a_training_side_that_cannot_be_smaller_is_said() -> None:
    codes = np.repeat(np.arange(3), 2)[:, None]
    attributes = [Task("group", ("a", "b", "c"))]
    train = split_identities(codes, attributes, train_share=0.2, seed=0)
    table = balance_table(codes, attributes, train, np.ones(6, dtype=int), train_share=0.2)
    (said,) = size_warnings(table, train, 0.2, "images")
    assert said.startswith("split.train_share 0.2 asks for 1 of 6 images to train on, and 3 do")
    assert "each of the 3 images in training is the last there" in said


def test_the_rule_that_forces_another_size_is_said() -> None:
    """Six people with a value each that one other bears: both sides need three."""
    codes = np.repeat(np.arange(3), 2)[:, None]
    attributes = [Task("group", ("a", "b", "c"))]
    train = split_identities(codes, attributes, train_share=0.8, seed=0)
    table = balance_table(codes, attributes, train, np.ones(6, dtype=int), train_share=0.8)
    assert train.sum() == 3
    (said,) = size_warnings(table, train, 0.8, "identities")
    assert said.startswith("split.train_share 0.8 asks for 5 of 6 identities to train on, and 3 do: every value")
    assert said.endswith("identities in validation is the last there to bear some value (group=a, group=b, group=c).")
    assert size_warnings(table, train, 0.5, "identities") == []


def test_without_attributes_the_shares_alone_count() -> None:
    nothing = np.zeros((10, 0), dtype=np.int64)
    train = split_identities(nothing, (), train_share=0.8, seed=0, images=np.arange(1, 11))
    table = balance_table(nothing, (), train, np.arange(1, 11), train_share=0.8)
    assert train.sum() == 8 and table.empty and "train_percent" in table
    summary = split_summary(table, train, np.arange(1, 11))
    assert (summary["train_identities"], summary["values"]) == (8, 0)
    assert abs(float(summary["train_image_share"]) - 0.8) < 0.05


def test_many_people_are_split_with_little_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exchanges do not become more with the people, and none is looked for among all pairs."""
    count = 20_000
    generator = np.random.default_rng(0)
    codes = np.stack([generator.geometric(0.5, count) % size for size in SIZES], axis=1)
    looks, steps = 0, splitting._steps

    def counted(*arguments: Any) -> Any:
        nonlocal looks
        looks += 1
        return steps(*arguments)

    monkeypatch.setattr(splitting, "_steps", counted)
    monkeypatch.setattr(splitting, "_CANDIDATES", 50)
    train = split_identities(codes, ATTRIBUTES, train_share=0.8, seed=0, images=1 + np.arange(count) % 2)
    assert looks < 500
    assert train.sum() == 16_000 and absent(codes, train) == 0
    deviation = balance_table(codes, ATTRIBUTES, train, np.ones(count, int), train_share=0.8)["deviation"].abs()
    assert deviation.max() <= 1


def test_what_no_split_can_have_is_given_up_among_many_people() -> None:
    """Three people, each pair with a value of its own: one of the three values stays on one side."""
    count = 5_000
    codes = np.zeros((count, 4), dtype=np.int64)
    codes[:, 0] = np.arange(count) % 2
    for value, pair in enumerate(([0, 1], [1, 2], [0, 2]), start=1):
        codes[pair, value] = 1
    attributes = [Task(name, ("no", "yes")) for name in ("hat", "x", "y", "z")]
    train = split_identities(codes, attributes, train_share=0.8, seed=0)
    alone = [bool(train[codes[:, value] == 1].all() or not train[codes[:, value] == 1].any()) for value in (1, 2, 3)]
    assert sum(alone) == 1 and train.sum() == 4_000
