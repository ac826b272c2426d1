"""The figures of the training set: right shares, readable files, equal bytes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bruna.dataset.annotations import Annotations, read_annotations
from bruna.dataset.attributes import NAMES
from bruna.dataset.facts import image_facts, manifest_of
from bruna.report.exploration import attribute_shares, exploration_figures
from bruna.report.style import new_figure, save
from tiny_dataset import write_dataset


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data")


def test_shares_over_people_and_over_images() -> None:
    train = pd.DataFrame({"identity": [2, 2, 2, 5]})
    codes = np.zeros((3, 12), dtype=np.int64)
    codes[0, NAMES.index("hat")] = 1
    shares = attribute_shares(train, Annotations(np.array([2, 5, 9]), codes))  # nobody has images of 9
    hat = shares[shares["attribute"] == "hat"].set_index("value")
    assert hat.loc["yes", ["people", "images"]].tolist() == [0.5, 0.75]
    assert hat.loc["no", ["people", "images"]].tolist() == [0.5, 0.25]


def test_figures_show_the_data_and_are_written_alike(data: Path, tmp_path: Path) -> None:
    manifest = manifest_of(image_facts(data))
    annotations = read_annotations(data / "annotations_train.csv")
    for run in ("a", "b"):
        figures = exploration_figures(manifest, annotations, data)
        for name, figure in figures.items():
            save(figure, tmp_path / run / f"{name}.png")
    assert set(figures) == {"attributes", "colors", "images", "quality", "best_images", "worst_images"}
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
        with Image.open(path) as image:
            assert min(image.size) > 300 and image.info.get("Software") is None
    # Four people, three age values: heights of the bars are the shares, adults and teenagers 1 of 4 each.
    age = figures["attributes"].axes[0]
    assert [bar.get_width() for bar in age.containers[0]] == [0.5, 0.25, 0.25, 0.0]
    cameras = figures["images"].axes[1]
    assert [bar.get_height() for bar in cameras.containers[0]] == [4, 4]
    # One image a person on a sheet, the other cells empty.
    assert sum(text.get_text().startswith("sharpness") for text in figures["best_images"].axes[0].texts) == 4


def test_sheets_are_ordered_by_quality(data: Path) -> None:
    manifest = manifest_of(image_facts(data))
    train = manifest["subset"] == "train"
    manifest.loc[train, "brightness"] = np.float32(0.4)
    manifest.loc[train, "sharpness"] = np.array([100, 90, 800, 700, 10, 20, 400, 300], dtype=np.float32)
    figures = exploration_figures(manifest, read_annotations(data / "annotations_train.csv"), data)
    best, worst = (
        [text.get_text().split()[1] for text in figures[name].axes[0].texts if "sharpness" in text.get_text()]
        for name in ("best_images", "worst_images")
    )
    assert best == ["800", "400", "100", "20"]
    assert worst == ["10", "90", "300", "700"]


def test_one_camera_and_equal_images_do_not_break_the_figures(data: Path) -> None:
    manifest = manifest_of(image_facts(data))
    manifest["camera"] = np.int8(3)
    manifest["sharpness"] = np.float32(0)
    exploration_figures(manifest, read_annotations(data / "annotations_train.csv"), data)


def test_style_axes_are_always_two_dimensional() -> None:
    _, axes = new_figure()
    assert axes.shape == (1, 1)
    _, axes = new_figure(2, 3)
    assert axes.shape == (2, 3)
