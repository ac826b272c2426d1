"""The split of the identities: what it promises, against brute force on small sets."""

import itertools
import os
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bruna.dataset.annotations import read_annotations
from bruna.dataset.attributes import ATTRIBUTES, NAMES, UNKNOWN
from bruna.dataset.balance import balance_table, split_summary
from bruna.dataset.splitting import one_hot, split_identities
from bruna.errors import BrunaError

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
    train = split_identities(codes, train_share=share, seed=seed)
    assert train.any() and not train.all()
    if absent(codes, train):
        splits = itertools.product([False, True], repeat=len(codes))
        assert all(absent(codes, np.array(s)) for s in splits if any(s) and not all(s)), "a better split exists"


@settings(max_examples=60, deadline=None)
@given(people(20, 120, 4), SHARES, st.integers(0, 3))
def test_share_of_identities_is_exact_or_held_by_last_bearers(codes: Codes, share: float, seed: int) -> None:
    train = split_identities(codes, train_share=share, seed=seed)
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
    train = split_identities(codes, train_share=share, seed=seed)
    bearers = one_hot(codes).astype(float)
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
    first = split_identities(codes, train_share=0.8, seed=3)
    assert (first == split_identities(codes, train_share=0.8, seed=3)).all()
    assert (first != split_identities(codes, train_share=0.8, seed=4)).any()
    assert first.sum() == 160


def test_rare_values_keep_their_share_and_a_single_bearer_trains() -> None:
    codes = np.zeros((100, 12), dtype=np.int64)
    codes[:10, NAMES.index("hat")] = 1  # 10 people with a hat: 8 and 2
    codes[5:10, NAMES.index("age")] = 3  # five of them old: 4 and 1
    codes[50, NAMES.index("downcolor")] = 3
    for seed in range(5):
        train = split_identities(codes, train_share=0.8, seed=seed)
        assert (train.sum(), train[:10].sum(), train[5:10].sum(), train[50]) == (80, 8, 4, True)


def test_images_are_balanced_too() -> None:
    codes = np.zeros((50, 12), dtype=np.int64)
    images = np.random.default_rng(0).integers(2, 73, 50)
    train = split_identities(codes, train_share=0.8, seed=0, images=images)
    assert train.sum() == 40
    assert abs(images[train].sum() / images.sum() - 0.8) < 0.005


def test_one_person_cannot_be_split() -> None:
    with pytest.raises(BrunaError, match=r"at least 2 training identities, found 1.*bruna import"):
        split_identities(np.zeros((1, 12), dtype=np.int64), train_share=0.8, seed=0)


def test_balance_table_by_hand() -> None:
    codes = np.full((5, 12), UNKNOWN, dtype=np.int64)
    codes[:, NAMES.index("hat")] = [0, 0, 0, 1, 1]
    codes[0, NAMES.index("age")] = 2
    train = np.array([True, True, False, True, False])
    images = np.array([1, 2, 3, 4, 10])
    table = balance_table(codes, train, images, train_share=0.8).set_index(["attribute", "value"])
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
def test_course_data_is_split_within_one_person(tmp_path: Path) -> None:
    with zipfile.ZipFile(Path(os.environ["BRUNA_REAL_DATA"]) / "market1501-course.zip") as archive:
        archive.extract("annotations_train.csv", tmp_path)
        files = [PurePosixPath(n).name for n in archive.namelist() if n.endswith(".jpg")]
    annotations = read_annotations(tmp_path / "annotations_train.csv")
    count = Counter(int(name.split("_")[0]) for name in files)
    images = np.array([count[int(i)] for i in annotations.identities])
    train = split_identities(annotations.codes, train_share=0.8, seed=0, images=images)
    assert train.sum() == round(0.8 * len(train))
    assert absent(annotations.codes, train) == 0
    deviation = balance_table(annotations.codes, train, images, train_share=0.8)["deviation"].abs()
    assert deviation.max() <= 1
    assert abs(images[train].sum() / images.sum() - 0.8) < 0.002
