"""The language of `--where`: what it accepts, what it says of mistakes, and what it means, against pandas."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bruna.dataset.schema import Task
from bruna.errors import BrunaError
from bruna.index.conditions import Condition, Known, Predicted
from bruna.index.facts import Facts
from bruna.index.query import parse

SCHEMA = (Task("upcolor", ("black", "red", "dark blue")), Task("hat", ("no", "yes")))
COLUMNS = ("key", "camera", "time", "junk")


def read(text: str) -> Condition:
    return parse(text, SCHEMA, COLUMNS)


def facts(count: int, seed: int) -> tuple[Facts, pd.DataFrame]:
    """Random images, and the same as a table for pandas (unknown: NaN)."""
    rng = np.random.default_rng(seed)
    probabilities = {task.name: rng.dirichlet(np.ones(len(task.values)), count).astype(np.float32) for task in SCHEMA}
    codes = {name: of.argmax(axis=1) for name, of in probabilities.items()}
    camera = np.array([None, "1", "2", "10", "hall"], dtype=object)[rng.integers(0, 5, count)]
    time = np.array([None, "2024-05-01", "2024-05-02 08:00", "2025"], dtype=object)[rng.integers(0, 4, count)]
    key = np.array([f"{'ab'[i % 2]}/{i}.jpg" for i in range(count)], dtype=object)
    junk = rng.random(count).astype(np.float32)
    junk[::5] = np.nan
    columns = {"key": key, "camera": camera, "time": time, "junk": junk}
    values = {task.name: np.array(task.values, dtype=object)[codes[task.name]] for task in SCHEMA}
    number = pd.to_numeric(pd.Series(camera, dtype=object), errors="coerce")
    return Facts(codes, probabilities, columns), pd.DataFrame({**columns, **values, "number": number})


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("upcolor = red", "upcolor == 'red'"),
        ("upcolor != 'dark blue'", "upcolor != 'dark blue'"),
        ('"upcolor" in (RED, "dark blue")', "upcolor in ['red', 'dark blue']"),
        ("upcolor not in (red)", "upcolor != 'red'"),
        ("not hat = yes and upcolor = red", "hat == 'no' and upcolor == 'red'"),
        ("not (hat = yes and upcolor = red)", "not (hat == 'yes' and upcolor == 'red')"),
        ("hat = yes or upcolor = red and camera = 1", "hat == 'yes' or (upcolor == 'red' and number == 1)"),
        ("Camera = 1", "number == 1"),
        ("camera = '1'", "camera == '1'"),
        ("camera = 01", "number == 1"),
        ("camera != 1", "number != 1"),
        ("not camera = hall", "camera != 'hall'"),
        ("camera > 1", "number > 1"),
        ("not camera > 1", "not number > 1"),
        ("camera in (1, hall)", "number == 1 or camera == 'hall'"),
        ("time >= 2024-05-01 and time < '2024-05-02'", "time == '2024-05-01'"),
        ("junk < 0.5", "junk < 0.5"),
        ("junk <= 0.5 or hat <> no", "junk <= 0.5 or hat == 'yes'"),
        ("key like 'a/%'", "key.str.startswith('a/')"),
        ("key not like '%.jpg'", "key == 'x'"),
        ("camera like '%'", "camera == camera"),
        ("key like '%a%.%g'", "key.str.fullmatch('.*a.*[.].*g')"),
        ("key like 'a%a/%'", "key.str.fullmatch('a.*a/.*')"),
    ],
)
def test_a_filter_is_that_of_pandas(text: str, same: str) -> None:
    known, table = facts(200, 3)
    expected = table.query(same, engine="python").index
    assert known.holds(read(text)).nonzero()[0].tolist() == expected.tolist()
    assert len(expected) < 200


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("", 0, "the name of an attribute or a column is expected here"),
        (
            "upcolr = red",
            0,
            "no attribute or column 'upcolr'. Did you mean upcolor? There are upcolor, hat, key, camera",
        ),
        ("upcolor = crimson", 10, "upcolor has no value 'crimson'. It has black, red, dark blue"),
        ("upcolor = dark blue", 10, "upcolor has no value 'dark'. Did you mean dark blue?"),
        ("upcolor = = red", 10, "a value is expected here"),
        ("upcolor red", 8, "one of =, !=, <, <=, >, >=, in, like is expected here"),
        ("hat < yes", 4, "the values of hat have no order"),
        ("hat like 'y%'", 4, "the values of hat have no order"),
        ("hat = yes hat = no", 10, "`and`, `or` or the end is expected here"),
        ("hat = yes and", 13, "the name of an attribute or a column is expected here"),
        ("(hat = yes", 10, ") is expected here"),
        ("camera in 1", 10, "( is expected here"),
        ("key = 'a", 6, "a quote opens here that nothing closes"),
        ("hat ! yes", 4, "this sign has no meaning here"),
        ("upcolor = red and upcolor = black", 18, "upcolor cannot have all these values at once"),
    ],
)
def test_a_mistake_is_shown_with_a_caret(text: str, at: int, says: str) -> None:
    with pytest.raises(BrunaError) as error:
        read(text)
    head, shown, caret, reason = str(error.value).split("\n")
    assert head == "--where cannot be read:" and shown == f"  {text}"
    assert caret == " " * (at + 2) + "^" and says in reason


def test_of_a_long_text_the_message_shows_what_is_around_the_mistake() -> None:
    with pytest.raises(BrunaError) as error:
        read("(" * 300 + "hat = yes" + ")" * 300)
    _, shown, caret, reason = str(error.value).split("\n")
    assert shown == f"  …{'(' * 120}…" and caret == " " * 63 + "^" and "more than 100 brackets in each other" in reason
    with pytest.raises(BrunaError) as error:
        read("key = \x1b[2J or " + "x" * 5000 + " = 1")
    assert len(str(error.value)) < 500 and "\x1b" not in str(error.value)


def test_numbers_are_compared_as_numbers_in_quotes_too_where_a_column_has_nothing_else() -> None:
    """Identities and cameras are kept without leading zeros, and people know them with."""
    columns = {"key": np.array(["a", "b", "c", "d"], object), "camera": np.array(["348", "12", None, "348"], object)}
    columns["time"] = np.array(["0348", "hall", "348", None], object)
    found = Facts({}, {}, columns)
    for text in ("0348", "'0348'", '"348"', "348.0", "'+348'"):
        assert found.holds(parse(f"camera = {text}", (), COLUMNS)).tolist() == [True, False, False, True]
        assert found.holds(parse(f"camera in (1, {text})", (), COLUMNS)).tolist() == [True, False, False, True]
    assert found.holds(parse("camera < '100'", (), COLUMNS)).tolist() == [False, True, False, False]
    assert found.holds(parse("camera != '0348'", (), COLUMNS)).tolist() == [False, True, True, False]
    assert found.holds(parse("time = '0348'", (), COLUMNS)).tolist() == [True, False, False, False]
    assert found.holds(parse("time = 348", (), COLUMNS)).tolist() == [True, False, True, False]
    assert found.holds(parse("camera = 'hall'", (), COLUMNS)).tolist() == [False] * 4


def test_only_a_name_that_is_near_is_suggested() -> None:
    with pytest.raises(BrunaError, match=r"no attribute or column 'hut'\. There are upcolor, shirt"):
        parse("hut = yes", (SCHEMA[0], Task("shirt", ("no", "yes")), Task("hat", ("no", "yes"))), COLUMNS)


def test_probabilities_multiply_and_add_up() -> None:
    known, _ = facts(50, 1)
    up, hat = known.probabilities["upcolor"].astype(float), known.probabilities["hat"].astype(float)
    first = np.array([camera == "1" for camera in known.columns["camera"]])
    for text, expected in {
        "upcolor = red": up[:, 1],
        "upcolor != red": 1 - up[:, 1],
        "upcolor = red or upcolor = black": up[:, 1] + up[:, 0],
        "upcolor in (red, black, 'dark blue')": np.ones(50),
        "upcolor = red and hat = yes": up[:, 1] * hat[:, 1],
        "upcolor = red or hat = yes": 1 - (1 - up[:, 1]) * (1 - hat[:, 1]),
        "not (upcolor = red or hat = yes)": (1 - up[:, 1]) * (1 - hat[:, 1]),
        "not (upcolor = red and hat = yes)": 1 - up[:, 1] * hat[:, 1],
        "upcolor = red and camera = 1": up[:, 1] * first,
        "upcolor = red or camera = 1": np.where(first, 1, up[:, 1]),
    }.items():
        np.testing.assert_allclose(known.probability(read(text)), expected, atol=1e-6, err_msg=text)


_LEAVES = st.sampled_from(["upcolor = red", "upcolor in (red, black)", "hat = yes", "camera = 1", "camera != hall",
                           "time > 2024-05-01", "junk < 0.3", "key like 'a%'"])  # fmt: skip
_TEXTS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        inner.map("not ({})".format),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}) or ({pair[1]})"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]}) and (hat = no or {pair[1]})"),
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=60)
@given(text=_TEXTS, seed=st.integers(0, 5))
def test_holding_possible_and_probable_fit_together(text: str, seed: int) -> None:
    """What holds may hold, and its probability is in bounds; a negation is the complement."""
    known, _ = facts(40, seed)
    try:
        condition, negation = read(text), read(f"not ({text})")
    except BrunaError as error:
        assert "cannot have all these values" in str(error)
        return
    holds, probable = known.holds(condition), known.probability(condition)
    assert (holds <= known.may_hold(condition)).all()
    assert ((probable >= 0) & (probable <= 1)).all()
    assert (probable[~known.may_hold(condition)] == 0).all()
    assert (known.holds(negation) == ~holds).all()
    certain = Facts(known.codes, {name: np.eye(of.shape[1], dtype=np.float32)[known.codes[name]]
                                  for name, of in known.probabilities.items()}, known.columns)  # fmt: skip
    assert (certain.probability(condition) == holds).all()


def test_values_of_an_attribute_become_one_part() -> None:
    assert read("upcolor = red or upcolor = black") == Predicted("upcolor", frozenset({0, 1}), 3)
    assert read("not not camera = 3") == Known("camera", "=", 3.0)


def test_a_pattern_that_a_regular_expression_would_never_end_with_is_answered() -> None:
    known = Facts({}, {}, {"key": np.array(["j" * 300, "j" * 300 + "x"], dtype=object)})
    assert known.holds(parse(f"key like '{'%j' * 60}x'", (), ["key"])).tolist() == [False, True]


def test_a_condition_that_is_too_long_is_refused() -> None:
    with pytest.raises(BrunaError, match="has 40,009 characters, and 10,000 are read at most"):
        parse("hat = yes" + " and hat = yes" * 2857 + "  ", (), ["key"])
