"""The figures of the training set: right shares, readable files, equal bytes."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bruna.report.exploration import (
    attribute_shares,
    attributes_figure,
    best_sheet,
    colors_figure,
    images_figure,
    quality_figure,
    worst_sheet,
)
from bruna.report.style import new_figure, png_bytes
from person_table import person_table

PERSON = np.full((32, 16, 3), (10, 20, 200), dtype=np.uint8)


def image_of(path: str) -> np.ndarray:
    return PERSON


@pytest.fixture
def train() -> pd.DataFrame:
    """Four people with two images each, from cameras 1 and 2."""
    table = person_table((1, 2, 5, 8), 2)
    return table.assign(brightness=np.float32(0.4), sharpness=np.arange(8, dtype=np.float32))


def figures_of(train: pd.DataFrame) -> dict[str, Figure]:
    return {
        "attributes": attributes_figure(train),
        "colors": colors_figure(train),
        "images": images_figure(train),
        "quality": quality_figure(train),
        "best": best_sheet(train, image_of),
        "worst": worst_sheet(train, image_of),
    }


def test_shares_over_people_and_over_images(train: pd.DataFrame) -> None:
    hat = train.assign(hat=pd.Categorical(["yes"] * 2 + ["no"] * 4 + [None] * 2, categories=["no", "yes"])).iloc[1:]
    shares = attribute_shares(hat)  # one image of 1, two of 2 and of 5; nothing is known of 8
    found = shares[shares["attribute"] == "hat"].set_index("value")
    assert found.loc["yes", ["people", "images"]].tolist() == pytest.approx([1 / 3, 1 / 5])
    assert found.loc["no", ["people", "images"]].tolist() == pytest.approx([2 / 3, 4 / 5])


def test_figures_show_the_data_and_are_drawn_alike(train: pd.DataFrame) -> None:
    figures, again = figures_of(train), figures_of(train)
    for name, figure in figures.items():
        png = png_bytes(figure)
        assert png == png_bytes(again[name])
        with Image.open(io.BytesIO(png)) as image:
            assert min(image.size) > 300 and image.info.get("Software") is None
    # Codes follow the identity: ages 1, 2, 1 and 0 of four.
    age = figures["attributes"].axes[0]
    assert [bar.get_width() for bar in age.containers[0]] == [0.25, 0.5, 0.25, 0.0]
    assert [axes.get_title(loc="left") for axes in figures["colors"].axes] == ["Upcolor", "Downcolor"]
    cameras = figures["images"].axes[1]
    assert [bar.get_height() for bar in cameras.containers[0]] == [4, 4]
    # One image a person on a sheet, the other cells empty.
    assert sum(text.get_text().startswith("sharpness") for text in figures["best"].axes[0].texts) == 4


def test_sheets_are_ordered_by_quality_and_decode_only_what_they_draw(train: pd.DataFrame) -> None:
    train["sharpness"] = np.array([100, 90, 800, 700, 10, 20, 400, 300], dtype=np.float32)
    asked: list[str] = []

    def seen(path: str) -> np.ndarray:
        asked.append(path)
        return PERSON

    best, worst = (
        [text.get_text().split()[1] for text in draw(train, seen).axes[0].texts if "sharpness" in text.get_text()]
        for draw in (best_sheet, worst_sheet)
    )
    assert best == ["800", "400", "100", "20"]
    assert worst == ["10", "90", "300", "700"]
    assert asked == train["path"].iloc[[2, 6, 0, 5, 4, 1, 7, 3]].tolist()


def test_one_camera_and_equal_images_do_not_break_the_figures(train: pd.DataFrame) -> None:
    figures = figures_of(train.assign(camera=np.int8(3), sharpness=np.float32(0)))
    assert [label.get_text() for label in figures["quality"].axes[0].get_xticklabels()] == ["3"]


def test_style_axes_are_always_two_dimensional() -> None:
    _, axes = new_figure()
    assert axes.shape == (1, 1)
    _, axes = new_figure(2, 3)
    assert axes.shape == (2, 3)
