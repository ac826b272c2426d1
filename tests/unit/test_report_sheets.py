"""Sheets of images: which images are drawn, where, and with which verdict, read back from the pixels."""

import io
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from scipy import ndimage

from bruna.dataset.schema import JUNK_TASK, Task, logit_slices
from bruna.report.confidence import KINDS, confidence_sheet, confidences, most_and_least_confident
from bruna.report.overlays import EXTRA, MISSED, MaskPair, best_median_worst, mask_overlays, overlay
from bruna.report.rank_list import Hit, MinedTuple, RankRow, hard_negatives, rank_lists
from bruna.report.sheets import Sheet, TileSize
from bruna.report.style import BAD, GOOD, MUTED, png_bytes
from course_schema import TASKS

PERSON = np.full((128, 64, 3), (10, 20, 200), dtype=np.uint8)


def _pixels(figure: Figure) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png_bytes(figure))).convert("RGB"))


def _frames(figure: Figure, color: str) -> int:
    """Number of tile-high outlines of exactly this colour."""
    rgb = np.rint(np.array(to_rgb(color)) * 255)
    shapes, _ = ndimage.label((_pixels(figure) == rgb).all(axis=2))
    return sum(rows.stop - rows.start > 100 for rows, _ in ndimage.find_objects(shapes))


def _texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_one_unit_of_a_sheet_is_one_pixel() -> None:
    sheet = Sheet(333, 271)
    sheet.image(PERSON, 7, 9, TileSize(128, 256))
    pixels = _pixels(sheet.finish())
    assert pixels.shape == (271, 333, 3)
    blue = (pixels == PERSON[0, 0]).all(axis=2)
    assert blue[9:265, 7:135].all()
    assert blue.sum() == 256 * 128


def test_an_image_of_another_shape_keeps_its_aspect_ratio() -> None:
    sheet = Sheet(100, 100)
    sheet.image(np.zeros((10, 40, 3), dtype=np.uint8), 0, 0, TileSize(80, 80))
    dark = (_pixels(sheet.finish()) == 0).all(axis=2)
    assert dark.sum() == 80 * 20
    assert dark[30:50, :80].all()


def test_rank_list_frames_every_hit_by_its_verdict() -> None:
    hits = [Hit(PERSON, 1.5, True, 3), Hit(PERSON, 20.25, False, 0), Hit(PERSON, 333.3, True, 6)]
    figure = rank_lists([RankRow(PERSON, hits, 2, "AP 0.50"), RankRow(PERSON, hits[1:])], 3)
    assert (_frames(figure, GOOD), _frames(figure, BAD), _frames(figure, MUTED)) == (3, 2, 0)
    assert (_texts(figure).count("✓"), _texts(figure).count("✗")) == (3, 2)
    assert {"c2 AP 0.50", "c3 1.50", "20.2", "c6 333"} <= set(_texts(figure))


@pytest.mark.parametrize("queries", [1, 8])
def test_rank_lists_of_the_presets_fit_on_a_screen(queries: int) -> None:
    hits = [Hit(PERSON, 1.5, True, 3)] * 10
    height, width, _ = _pixels(rank_lists([RankRow(PERSON, hits, 1, "AP 100%")] * queries, 10)).shape
    assert width <= 1440
    assert height <= 700


def test_rank_list_of_unlabelled_queries_gives_no_verdict() -> None:
    figure = rank_lists([RankRow(PERSON, [Hit(PERSON, 1.0), Hit(PERSON, 2.0), Hit(PERSON, 3.0)])], 2)
    assert (_frames(figure, GOOD), _frames(figure, BAD), _frames(figure, MUTED)) == (0, 0, 2)
    assert not {"✓", "✗", "3"} & set(_texts(figure))
    with pytest.raises(ValueError, match="at least one"):
        rank_lists([], 5)


def test_hard_negatives_carry_brunas_distances() -> None:
    found = MinedTuple([PERSON] * 2, 5.0, [PERSON] * 2, [7.0, 8.0], [PERSON] * 2, [30.0, 40.0])
    figure = hard_negatives([found] * 3)
    assert _texts(figure).count("anchor") == 3
    for distance in ("5.00", "7.00", "8.00", "30.0", "40.0"):
        assert _texts(figure).count(f"distance {distance}") == 3
    assert (_pixels(figure) == PERSON[0, 0]).all(axis=2).sum() == 18 * 76 * 152


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(1, 4))
def test_best_median_worst_are_in_order_and_not_shown_twice(values: list[float], each: int) -> None:
    iou = np.array(values)
    chosen = best_median_worst(iou, each)
    shown = [i for indices in chosen.values() for i in indices]
    assert len(shown) == len(set(shown)) == min(len(iou), 3 * min(each, max(len(iou) // 3, 1)))
    assert iou[chosen["best"][0]] == iou.max()
    assert len(iou) == 1 or iou[chosen["worst"][-1]] == iou.min()
    assert all(iou[a] >= iou[b] for a, b in pairwise(shown))


def test_overlay_colours() -> None:
    truth = np.array([[True, True], [False, False]])
    predicted = np.array([[0.9, 0.1], [0.5, 0.4]])
    image = np.zeros((2, 2, 3), dtype=np.uint8)
    image[0, 0] = (1, 2, 3)
    shown = overlay(MaskPair(image, truth, predicted))
    assert shown[0, 0].tolist() == [1, 2, 3]
    assert np.allclose(shown[0, 1], 0.7 * 255 * np.array(to_rgb(MISSED)), atol=1)
    assert np.allclose(shown[1, 0], 0.7 * 255 * np.array(to_rgb(EXTRA)), atol=1)
    assert shown[1, 1].tolist() == [150, 150, 150]


def test_mask_overlays_decode_only_what_they_draw() -> None:
    asked: list[int] = []

    def pair_of(i: int) -> MaskPair:
        asked.append(i)
        return MaskPair(PERSON, np.ones((128, 64), dtype=bool), np.ones((128, 64)))

    iou = np.array([0.1, 0.9, 0.5, 0.6, 0.2, 0.8, 0.4])
    figure = mask_overlays(iou, pair_of)
    assert sorted(asked) == [0, 1, 2, 3, 4, 5]
    shown = ["0.900", "0.800", "0.600", "0.500", "0.200", "0.100"]
    assert [text for text in _texts(figure) if text.startswith("IoU")] == [f"IoU {value}" for value in shown]


def test_confidence_is_the_probability_of_the_predicted_value() -> None:
    where = logit_slices(TASKS)
    logits = np.zeros((2, where[TASKS[-1].name].stop), dtype=np.float32)
    logits[:, where["hat"]] = [[np.log(3)], [-800.0]]
    logits[0, where["age"]] = np.log([1, 2, 5, 2])
    found = {task.name: column for task, column in zip(TASKS, confidences(logits, TASKS).T, strict=True)}
    assert found["hat"] == pytest.approx([0.75, 1.0])
    assert found["age"] == pytest.approx([0.5, 0.25])
    assert found["junk"].tolist() == [0.5, 0.5]
    size = Task("size", ("a", "b", "c"))
    assert confidences(np.log([[1, 6, 1, 3]]), (size, JUNK_TASK)) == pytest.approx(np.array([[0.75, 0.75]]))


def test_most_and_least_confident_by_hand() -> None:
    truth = np.array([0, 0, 0, 0, 1, 1, -1])
    predicted = np.array([0, 0, 0, 1, 0, 0, 0])
    confidence = np.array([0.6, 0.9, 0.7, 0.99, 0.8, 0.55, 1.0])
    assert most_and_least_confident(truth, predicted, confidence, 1) == {
        "sure and wrong": [3],
        "unsure and wrong": [5],
        "unsure and right": [0],
        "sure and right": [1],
    }
    everything = most_and_least_confident(truth, predicted, confidence, 9)
    assert sorted(i for indices in everything.values() for i in indices) == [0, 1, 2, 3, 4, 5]
    assert tuple(everything) == KINDS


def test_confidence_sheet_names_prediction_and_truth() -> None:
    hair = next(task for task in TASKS if task.name == "hair")
    truth, predicted = np.array([0, 1, 1]), np.array([0, 0, 0])
    figure = confidence_sheet(hair, truth, predicted, np.array([0.5, 0.75, 0.9]), image_of=lambda _: PERSON)
    assert (_frames(figure, GOOD), _frames(figure, BAD)) == (1, 2)
    texts = _texts(figure)
    assert (texts.count("short"), texts.count("true: long")) == (3, 2)
    assert {"50%", "75%", "90%", "no such image"} <= set(texts)


def test_equal_input_gives_equal_bytes() -> None:
    rows = [RankRow(PERSON, [Hit(PERSON, 1.5, True, 3)])]
    assert png_bytes(rank_lists(rows, 3)) == png_bytes(rank_lists(rows, 3))
