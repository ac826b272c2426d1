import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bruna.nested import flatten, nested, numbers

NAMES = st.text("abc", min_size=1, max_size=3)
LEAVES = st.integers() | st.booleans() | st.none() | st.text(max_size=3)
NESTED = st.dictionaries(NAMES, st.recursive(LEAVES, lambda inner: st.dictionaries(NAMES, inner)))


def test_by_hand() -> None:
    values = {"market1501": {"map": 0.5, "rank": {"1": 1}}, "protocol": "paper", "none": {}}
    flat = {"market1501/map": 0.5, "market1501/rank/1": 1, "protocol": "paper", "none": {}}
    assert flatten(values) == flat and list(flatten(values)) == list(flat)
    assert nested(flat) == values
    assert flatten({"augment": {"flip": 0.5}}, ".") == {"augment.flip": 0.5}


@settings(max_examples=30, deadline=None)
@given(NESTED)
@pytest.mark.parametrize("separator", ["/", "."])
def test_there_and_back(separator: str, values: dict[str, object]) -> None:
    assert nested(flatten(values, separator), separator) == values


def test_numbers_are_counts_and_figures_and_nothing_else() -> None:
    values = {"trained": True, "name": "x", "images": 3, "market1501": {"map": 0.5, "none": None, "list": [1]}, "e": {}}
    assert numbers(values) == {"images": 3, "market1501/map": 0.5}
