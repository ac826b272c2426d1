"""File names to identity and camera."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bruna.dataset.filenames import FREE, SUBSETS, SUFFIXES, has_sequence, is_image_name, name_facts


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
        ("7_c0_IMG 20.PNG", "train", 7, 0),
        ("123456789_c1024_a_b.webp", "train", 123456789, 1024),
        ("0002_c1_016620005.tiff", FREE, -2, 0),
        ("1_c104_x.bmp", "query", 1, 104),
        ("000000001_c9999_x.TIF", "gallery", 1, 9999),
        ("0_c0_x.jpeg", "gallery", 0, 0),
        ("-1_c0_x.jpeg", "gallery", -1, 0),
        ("crop 7 (2).JPG", FREE, -2, 0),
        ("-1_c1_x.jpg", FREE, -2, 0),
    ],
)
def test_names_that_can_be_read(name: str, subset: str, identity: int, camera: int) -> None:
    assert name_facts(name, subset) == (identity, camera, None)


@pytest.mark.parametrize(
    ("name", "subset", "says"),
    [
        ("0002.jpg", "train", "not IDENTITY_cCAMERA_ANYTHING"),
        ("0002_c1_016620005.gif", "gallery", "the name has none of the endings of images: .jpg, .jpeg, .png"),
        ("1234567890_c1_016620005.jpg", "query", "the name is not"),
        ("0002_c12345_1.jpg", "query", "the name is not"),
        ("0002_c1.jpg", "train", "the name is not"),
        ("0002_c_1.jpg", "train", "the name is not"),
        ("0002_C1_1.jpg", "train", "the name is not"),
        ("0002_c-1_1.jpg", "train", "the name is not"),
        ("-2_c1_1.jpg", "gallery", "the name is not"),
        ("0_c1_1.jpg", "query", "identity 0 means a distractor"),
        (".jpg", "train", "the name is not"),
        ("0000_c1_016620005.jpg", "train", "identity 0000 means a distractor"),
        ("-1_c1s1_000401_03.jpg", "query", "identity -1 means junk"),
        ("notes.txt", "test", "none of the endings of images"),
        ("0001.npy", "mask_pair", "none of the endings of images"),
        ("notes.txt", FREE, "none of the endings of images"),
        ("٠٠٠٢_c1_016620005.jpg", "train", "the name is not"),
        ("0002_c１_016620005.jpg", "query", "the name is not"),
    ],
)
def test_names_that_cannot(name: str, subset: str, says: str) -> None:
    facts = name_facts(name, subset)
    assert facts[:2] == (-2, 0)
    assert facts.problem is not None and says in facts.problem


ENDINGS = st.sampled_from([written for suffix in SUFFIXES for written in (suffix, suffix.upper(), suffix.title())])


@given(st.integers(1, 999_999_999), st.integers(1, 9), st.integers(0, 9999), st.text(min_size=1), ENDINGS)
@example(7, 1, 0, "s1_", ".jpg")
@example(7, 1, 104, "\n", ".JPEG")
def test_any_number_any_camera_and_any_rest(identity: int, digits: int, camera: int, rest: str, ending: str) -> None:
    name = f"{identity:0{digits}d}_c{camera}_{rest}{ending}"
    assert name_facts(name, "train") == name_facts(name, "gallery") == (identity, camera, None)
    assert not has_sequence(name) and is_image_name(name)
    sequence = f"{identity:0{digits}d}_c{camera}s3_{rest}{ending}"
    assert name_facts(sequence, "query") == (identity, camera, None) and has_sequence(sequence)
    for free in (rest, name):
        assert name_facts(free + ending, FREE) == name_facts(free + ending, "test") == (-2, 0, None)


@given(st.text())
def test_a_name_is_read_or_has_a_problem(name: str) -> None:
    for subset in (*SUBSETS, FREE):
        found = name_facts(name, subset)
        assert found.problem is None or (found.identity, found.camera) == (-2, 0)
        assert is_image_name(name) or found.problem is not None


@given(st.integers(1, 9999), st.integers(1, 9), st.integers(0, 999_999_999), st.booleans())
def test_round_trip(identity: int, camera: int, frame: int, official: bool) -> None:
    tail = f"c{camera}s1_{frame:06d}_01" if official else f"c{camera}_{frame:09d}"
    assert name_facts(f"{identity:04d}_{tail}.jpg", "train") == (identity, camera, None)
    assert has_sequence(f"{identity:04d}_{tail}.jpg") == official
