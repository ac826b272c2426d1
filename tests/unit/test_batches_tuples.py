"""Tuples: who is in them, how often, and that epochs can be drawn in any order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bruna.batches.tuples import (
    ANCHORS,
    NEGATIVES,
    TupleSampler,
    draw_without_repetition,
    in_batch_negatives,
    own_negatives,
)
from bruna.errors import BrunaError


@given(
    counts=st.lists(st.integers(1, 9), min_size=2, max_size=14),
    per_identity=st.integers(1, 3),
    seed=st.integers(0, 99),
)
@settings(max_examples=80, deadline=None)
def test_a_tuple_is_four_of_one_identity_and_eight_of_others(counts: list[int], per_identity: int, seed: int) -> None:
    names = np.random.default_rng(seed).permutation(1000)[: len(counts)]
    identities = np.random.default_rng(seed + 1).permutation(np.repeat(names, counts))
    tuples = TupleSampler(identities, seed=seed, tuples_per_identity=per_identity).epoch(2)
    assert tuples.shape == (len(counts) * per_identity, 12)
    assert tuples.dtype == np.int64
    people = identities[tuples]
    anchors, times = np.unique(people[:, 0], return_counts=True)
    assert set(anchors) == set(names)
    assert (times == per_identity).all()
    assert (people[:, :ANCHORS] == people[:, :1]).all()
    assert (people[:, ANCHORS:] != people[:, :1]).all()
    for row, who in zip(tuples, people, strict=True):
        images = int((identities == who[0]).sum())
        assert len(set(row[:ANCHORS])) == min(ANCHORS, images)
        assert len(set(who[ANCHORS:])) == min(NEGATIVES, len(counts) - 1)


def test_images_and_negatives_are_drawn_uniformly() -> None:
    identities = np.repeat(np.arange(12), [5, 7] + [3] * 10)
    sampler = TupleSampler(identities, seed=0, tuples_per_identity=3000)
    tuples = sampler.epoch(0)
    anchor = identities[tuples[:, 0]]
    for column in range(ANCHORS):
        assert stats.chisquare(np.bincount(tuples[anchor == 1, column])[5:12]).pvalue > 1e-4
    negatives = identities[tuples[anchor == 4, ANCHORS:]]
    assert negatives.shape == (3000, NEGATIVES)
    assert stats.chisquare(np.delete(np.bincount(negatives.ravel(), minlength=12), 4)).pvalue > 1e-4
    of_the_second = tuples[anchor == 4, ANCHORS:][negatives == 1]
    assert stats.chisquare(np.bincount(of_the_second)[5:12]).pvalue > 1e-4
    # Every pair of images of the first identity is as likely as any other.
    pairs = np.sort(tuples[anchor == 0, :2], axis=1) @ [5, 1]
    counts = np.bincount(pairs)
    assert (counts > 0).sum() == 10
    assert stats.chisquare(counts[counts > 0]).pvalue > 1e-4


def test_numbers_without_repetition_worked_by_hand() -> None:
    class Ranks:
        """Draws the ranks 2, 1, 0 whatever is asked."""

        def __init__(self) -> None:
            self.columns = iter([2, 1, 0])

        def integers(self, low: int, high: np.ndarray) -> np.ndarray:
            return np.full(len(high), next(self.columns)) % high

    # Of 0..4: rank 2 is 2; of 0 1 3 4 rank 1 is 1; of 0 3 4 rank 0 is 0. Of 0..1: 2 % 2 = 0; left 1; all used: 0.
    drawn = draw_without_repetition(Ranks(), np.array([5, 2]), 3)  # type: ignore[arg-type]
    assert drawn.tolist() == [[2, 1, 0], [0, 1, 0]]


def test_an_epoch_depends_on_seed_and_number_alone() -> None:
    identities = np.repeat(np.arange(10), 6)
    straight, resumed = (TupleSampler(identities, seed=3, tuples_per_identity=2) for _ in range(2))
    first, second = straight.epoch(0), straight.epoch(1)
    assert np.array_equal(resumed.epoch(1), second)
    assert not np.array_equal(first, second)
    other = TupleSampler(identities, seed=4, tuples_per_identity=2)
    assert not np.array_equal(other.epoch(0), first)
    assert len(straight) == 20


def test_one_identity_is_refused() -> None:
    with pytest.raises(BrunaError, match="show 1 identity"):
        TupleSampler(np.array([7, 7, 7, 7]), seed=0, tuples_per_identity=1)
    with pytest.raises(BrunaError, match="show 0 identit"):
        TupleSampler(np.array([], dtype=np.int64), seed=0, tuples_per_identity=1)


@given(
    counts=st.lists(st.integers(1, 6), min_size=2, max_size=20), per_identity=st.integers(1, 3), seed=st.integers(0, 9)
)
@settings(max_examples=60, deadline=None)
def test_in_batch_negatives_are_other_anchors_of_the_batch(counts: list[int], per_identity: int, seed: int) -> None:
    identities = np.repeat(np.arange(len(counts)), counts)
    sampler = TupleSampler(identities, seed=seed, tuples_per_identity=per_identity, in_turn=True)
    tuples = sampler.epoch(1)
    for start in range(0, len(tuples), len(counts)):  # every identity once before any is again
        assert set(identities[tuples[start : start + len(counts), 0]]) == set(range(len(counts)))
    batch = in_batch_negatives(tuples[: len(counts)], identities, np.random.default_rng(seed))
    assert len(batch.rows) == 4 * len(counts)
    assert (batch.rows[batch.anchors] == tuples[: len(counts), :ANCHORS]).all()
    people = identities[batch.rows]
    assert (people[batch.negatives] != people[batch.anchors[:, :1]]).all()
    for who in people[batch.negatives]:
        assert len(set(who)) == min(NEGATIVES, len(counts) - 1)


def test_in_batch_negatives_are_drawn_uniformly() -> None:
    identities = np.repeat(np.arange(12), 4)
    tuples = TupleSampler(identities, seed=0, tuples_per_identity=1).epoch(0)
    random = np.random.default_rng(0)
    drawn = np.stack([in_batch_negatives(tuples, identities, random).negatives[0] for _ in range(2000)])
    counts = np.bincount(drawn.ravel(), minlength=48)
    assert (counts[:4] == 0).all()  # the first tuple's own images
    assert stats.chisquare(counts[4:]).pvalue > 1e-4


def test_a_batch_of_tuples_with_own_negatives_is_the_tuples_themselves() -> None:
    tuples = np.arange(24).reshape(2, 12) * 3
    batch = own_negatives(tuples)
    assert (np.concatenate([batch.rows[batch.anchors], batch.rows[batch.negatives]], axis=1) == tuples).all()


def test_one_identity_alone_has_no_negatives() -> None:
    with pytest.raises(BrunaError, match="shows one identity only"):
        in_batch_negatives(np.zeros((2, 12), dtype=np.int64), np.zeros(1, dtype=np.int64), np.random.default_rng(0))


@given(counts=st.lists(st.integers(1, 12), min_size=2, max_size=8), cameras=st.integers(1, 6), seed=st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_anchors_across_cameras_repeat_a_camera_only_when_all_are_there(
    counts: list[int], cameras: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    identities = random.permutation(np.repeat(np.arange(len(counts)), counts))
    camera = random.integers(1, cameras + 1, len(identities))
    tuples = TupleSampler(identities, seed=seed, tuples_per_identity=2, cameras=camera).epoch(0)
    for row in tuples[:, :ANCHORS]:
        own = np.flatnonzero(identities == identities[row[0]])
        assert set(row) <= set(own)
        assert len(set(row)) == min(ANCHORS, len(own))
        assert len(set(camera[row])) == min(ANCHORS, len(set(camera[own])))
        first = list(dict.fromkeys(row))  # each image once
        left = [int((camera[own] == c).sum()) for c in camera[first]]
        times = [int((camera[first] == c).sum()) for c in camera[first]]
        # No camera is used twice more often than another one that has images left.
        assert all(a <= b + 1 or b == free for a in times for b, free in zip(times, left, strict=True))


def test_cameras_and_their_images_are_drawn_uniformly() -> None:
    camera = np.array([1, 1, 1, 1, 1, 2, 2, 3, 4, 5, 1])  # of the first person; the last image is of the other one
    sampler = TupleSampler(np.repeat([0, 1], [10, 1]), seed=0, tuples_per_identity=6000, cameras=camera)
    tuples = sampler.epoch(0)
    anchors = tuples[tuples[:, 0] < 10, :ANCHORS]
    assert stats.chisquare(np.bincount(camera[anchors[:, 0]])[1:]).pvalue > 1e-4
    assert stats.chisquare(np.bincount(anchors[anchors < 5])).pvalue > 1e-4
