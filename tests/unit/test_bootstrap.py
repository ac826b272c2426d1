"""Intervals by resampled identities: worked by hand, as properties, and how often they hold the truth."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bruna.metrics.attributes import task_metrics
from bruna.metrics.bootstrap import FEWEST, ROUNDS, Sums, difference, draws, interval, resampled

ONE_CELL = np.zeros(1, dtype=np.int64)


def _mean(sums: list[float], counts: list[float]) -> Sums:
    return Sums(ONE_CELL, np.array(sums)[:, None], np.array(counts)[:, None])


def test_two_people_by_hand() -> None:
    """One with two queries of AP 1, one with one of AP 0: drawn 2 and 0, 1 and 1, 0 and 2 times."""
    figure = _mean([2.0, 0.0], [2.0, 1.0])
    assert figure.value == 2 / 3
    assert figure.values(np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 2.0]])).tolist() == [1.0, 2 / 3, 0.0]
    varied = resampled([figure])[:, 0]
    assert len(varied) == ROUNDS and {round(value, 6) for value in varied} == {0.0, round(2 / 3, 6), 1.0}
    assert np.mean(varied == 1.0) == pytest.approx(1 / 4, abs=0.05)  # both draws hit the first of the two
    assert interval(figure.value, varied, 2) is None


def test_a_mean_of_means_leaves_out_what_is_not_there() -> None:
    """Two values of one attribute, one of another: a value that nobody drawn has is in no mean."""
    groups = np.array([0, 0, 1])
    figure = Sums(groups, np.array([[3.0, 0, 1], [0, 1, 1]]), np.array([[4.0, 0, 1], [0, 2, 2]]))
    assert figure.value == pytest.approx(((3 / 4 + 1 / 2) / 2 + 2 / 3) / 2)
    assert figure.values(np.array([[2.0, 0.0], [0.0, 2.0]])).tolist() == pytest.approx(
        [(3 / 4 + 1) / 2, (1 / 2 + 1 / 2) / 2]
    )
    nothing = Sums(groups, np.zeros((2, 3)), np.zeros((2, 3)))
    assert np.isnan(nothing.value) and interval(nothing.value, resampled([nothing])[:, 0], 20) is None


def test_the_draws_are_always_the_same_and_of_as_many_people() -> None:
    first, again = (np.concatenate(list(draws(7))) for _ in range(2))
    assert np.array_equal(first, again) and first.shape == (ROUNDS, 7) and (first.sum(axis=1) == 7).all()


def test_blocks_of_draws_are_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(draws(7)))
    monkeypatch.setattr("bruna.metrics.bootstrap._BLOCK_NUMBERS", 7 * 300)
    blocks = list(draws(7))
    assert [len(block) for block in blocks] == [300, 300, 300, 100] and np.array_equal(np.concatenate(blocks), whole)


def test_where_all_are_right_the_rule_of_three_holds() -> None:
    perfect = _mean([2.0] * 30, [2.0] * 30)
    assert interval(1.0, resampled([perfect])[:, 0], 30) == (0.9, 1.0)
    assert interval(0.0, np.zeros(ROUNDS), 30, trials=300) == (0.0, 0.01)
    assert interval(0.5, np.full(ROUNDS, 0.5), 30) == (0.5, 0.5)


_PEOPLE = st.integers(FEWEST, 25)


@st.composite
def _sums(draw: st.DrawFn, people: int) -> Sums:
    counts = np.array(draw(st.lists(st.integers(0, 5), min_size=2 * people, max_size=2 * people))).reshape(people, 2)
    counts[0] = 1  # something is counted
    share = draw(st.lists(st.floats(0, 1), min_size=2 * people, max_size=2 * people))
    return Sums(np.array([0, 1]), counts * np.array(share).reshape(people, 2), counts.astype(np.float64))


@settings(max_examples=40, deadline=None)
@given(st.data(), _PEOPLE)
def test_an_interval_holds_its_figure_and_shares_stay_shares(data: st.DataObject, people: int) -> None:
    figure = data.draw(_sums(people))
    found = interval(figure.value, resampled([figure])[:, 0], people)
    assert found is not None and -1e-12 <= found[0] <= figure.value <= found[1] <= 1 + 1e-12


@settings(max_examples=25, deadline=None)
@given(st.data(), _PEOPLE)
def test_a_figure_does_not_differ_from_itself_and_signs_turn_with_the_sides(data: st.DataObject, people: int) -> None:
    one, other = data.draw(_sums(people)), data.draw(_sums(people))
    assert difference(one.value, one.value, resampled([one, one]), people) == (0.0, 0.0, 0.0)
    there = difference(one.value, other.value, resampled([one, other]), people)
    back = difference(other.value, one.value, resampled([other, one]), people)
    assert there is not None and back is not None
    assert there == pytest.approx((-back[0], -back[2], -back[1]), abs=1e-9)


def _coverage(people: int, times: int = 400) -> float:
    """How often the interval of a mean average precision holds the true one: people differ, as do their queries."""
    random = np.random.default_rng(1)
    held = 0
    for _ in range(times):
        counts = random.integers(3, 13, people).astype(np.float64)
        figure = Sums(ONE_CELL, (counts * random.beta(4, 1.5, people))[:, None], counts[:, None])
        weights = random.multinomial(people, np.full(people, 1 / people), size=300).astype(np.float64)
        found = interval(figure.value, figure.values(weights), people)
        held += found is not None and found[0] <= 4 / 5.5 <= found[1]
    return held / times


def test_an_interval_holds_the_truth_about_as_often_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0.90 <= _coverage(FEWEST) <= 0.98
    assert 0.92 <= _coverage(50) <= 0.98
    monkeypatch.setattr("bruna.metrics.bootstrap.FEWEST", 2)
    assert _coverage(4) < 0.88  # why there is none of fewer people


def test_pairing_takes_away_what_is_hard_about_a_person() -> None:
    """A gain of 2 points of everybody is seen among people who differ by 30 points; without pairs it is not."""
    random = np.random.default_rng(2)
    hard = random.uniform(0.3, 0.9, 40)
    before, after = (_mean((hard + gain).tolist(), [1.0] * 40) for gain in (random.normal(0, 0.01, 40), 0.02))
    found = difference(after.value, before.value, resampled([after, before]), 40)
    assert found is not None and 0 < found[1] < found[2] < 0.04
    alone = interval(before.value, resampled([before])[:, 0], 40)
    assert alone is not None and alone[1] - alone[0] > 0.08


def test_balanced_accuracy_is_the_one_of_the_figures() -> None:
    from bruna.dataset.schema import Task
    from bruna.evaluation.intervals import predicted_measures

    random = np.random.default_rng(3)
    tasks = (Task("hat", ("no", "yes")), Task("top", ("red", "blue", "green")))
    codes, guess = (_codes(random, 60) for _ in range(2))
    codes[random.random(codes.shape) < 0.2] = -1
    people = np.repeat(np.arange(1, 13), 5)
    found = predicted_measures(people, codes, guess, tasks, np.arange(60, dtype=np.uint64))
    measured = task_metrics(codes, guess, tasks)
    for name in ("accuracy", "balanced_accuracy"):
        assert found[name].sums.value == pytest.approx(np.mean([getattr(task, name) for task in measured]))
        assert found[name].known == len(found[name].units) == 12


def _codes(random: np.random.Generator, count: int) -> npt.NDArray[np.int64]:
    return np.stack([random.integers(0, 2, count), random.integers(0, 3, count)], axis=1)
