"""File names to identity and camera."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruna.dataset.filenames import name_facts


@pytest.mark.parametrize(
    ("name", "subset", "identity", "camera"),
    [
        ("0002_c1_016620005.jpg", "train", 2, 1),
        ("1501_c6_090840332.jpg", "train", 1501, 6),
        ("0002_c1s1_000451_03.jpg", "train", 2, 1),
        ("0000_c4s6_000810_00.jpg", "gallery", 0, 4),
        ("-1_c3s2_000401_03.jpg", "gallery", -1, 3),
        ("12345_c15_1.jpg", "query", 12345, 15),
        ("011061(1).jpg", "test", -2, 0),
        ("0002_c1_016620005.jpg", "queries", -2, 0),
    ],
)
def test_names_that_can_be_read(name: str, subset: str, identity: int, camera: int) -> None:
    assert name_facts(name, subset) == (identity, camera, None)


@pytest.mark.parametrize(
    ("name", "subset", "says"),
    [
        ("0002.jpg", "train", "not PPPP_cC_NNNNNNNNN.jpg or PPPP_cCsS_NNNNNN_NN.jpg"),
        ("0002_c1s1_000451_03.jpg.jpg", "train", "the name is not"),
        ("0002_c1_016620005.png", "gallery", "the name is not"),
        ("12_c1_016620005.jpg", "query", "the name is not"),
        ("0002_c0_016620005.jpg", "train", "cameras count from 1"),
        ("0000_c1_016620005.jpg", "train", "identity 0000 means a distractor"),
        ("-1_c1s1_000401_03.jpg", "query", "identity -1 means junk"),
        ("notes.txt", "test", "not a .jpg file"),
        ("0001.png", "mask_pair", "not a .jpg file"),
        ("٠٠٠٢_c1_016620005.jpg", "train", "the name is not"),
        ("0002_c１_016620005.jpg", "query", "the name is not"),
        ("0002_c1s1_00045१_03.jpg", "gallery", "the name is not"),
    ],
)
def test_names_that_cannot(name: str, subset: str, says: str) -> None:
    facts = name_facts(name, subset)
    assert facts[:2] == (-2, 0)
    assert facts.problem is not None and says in facts.problem


@given(st.integers(1, 9999), st.integers(1, 9), st.integers(0, 999_999_999), st.booleans())
def test_round_trip(identity: int, camera: int, frame: int, official: bool) -> None:
    tail = f"c{camera}s1_{frame:06d}_01" if official else f"c{camera}_{frame:09d}"
    assert name_facts(f"{identity:04d}_{tail}.jpg", "train") == (identity, camera, None)
