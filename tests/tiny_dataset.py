"""A data set folder of a few noisy 64 x 128 images, for tests of what reads such folders."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.dataset_file import DatasetFile, dataset_text
from bruna.dataset.schema import Task


def write_image(path: Path, seed: int, width: int = 64, height: int = 128) -> None:
    """A JPEG whose content depends on the seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels // 2 + np.uint8(seed % 100)).save(path, quality=60)


def write_mask(path: Path, width: int = 64, height: int = 128, values: tuple[int, ...] = (0, 255)) -> None:
    """A single-channel PNG whose rows go through `values`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.resize(np.array(values, dtype=np.uint8), height)
    Image.fromarray(np.repeat(rows[:, None], width, axis=1)).save(path)


def write_annotations(
    folder: Path, people: Mapping[int | str, Mapping[str, str]], attributes: Sequence[Task] = ATTRIBUTES, **more: Any
) -> None:
    """`dataset.yaml` and `annotations.csv`: the first value of every attribute but for those that are given.

    Args:
        folder: the data set.
        people: values by attribute, by identity or by path.
        attributes: the schema.
        more: other fields of dataset.yaml.
    """
    key = "identity" if all(isinstance(of, int) for of in people) else "path"
    names = [attribute.name for attribute in attributes]
    first = {attribute.name: attribute.values[0] for attribute in attributes}
    rows = [[str(of), *({**first, **values}[name] for name in names)] for of, values in people.items()]
    if attributes:
        text = "\n".join(",".join(row) for row in [[key, *names], *rows]) + "\n"
        (folder / "annotations.csv").write_text(text)
    schema = {attribute.name: attribute.values for attribute in attributes}
    (folder / "dataset.yaml").write_text(dataset_text(DatasetFile(name="Tiny people", attributes=schema, **more)))


def write_dataset(folder: Path) -> Path:
    """Four training people with two images each, two mask pairs, and one of each test subset."""
    people: dict[int | str, dict[str, str]] = {
        2: {"age": "teenager", "upcolor": "red"},
        5: {"age": "adult", "hat": "yes"},
        7: {"downcolor": "pink"},
        11: {"gender": "female"},
    }
    for identity in people:
        for camera in (1, 2):
            name = f"train/{identity:04d}_c{camera}_{identity:05d}000{camera}.jpg"
            write_image(folder / name, 10 * identity + camera)
    write_image(folder / "query" / "0020_c1s1_000451_03.jpg", 500)
    write_image(folder / "gallery" / "0020_c2s1_000451_03.jpg", 501)
    write_image(folder / "gallery" / "0000_c3s1_000451_00.jpg", 502)
    write_image(folder / "gallery" / "-1_c3s1_000451_00.jpg", 503)
    write_annotations(folder, people | {20: {"age": "old", "upcolor": "blue"}})
    write_image(folder / "queries" / "000001.jpg", 600)
    write_image(folder / "test" / "000001.jpg", 600)  # as in the course edition: the query once more
    write_image(folder / "test" / "000002(1).jpg", 601)
    for number in (1, 2):
        write_image(folder / "masks" / "images" / f"{number:04d}.jpg", 700 + number, 96, 160)
        write_mask(folder / "masks" / "masks" / f"{number:04d}.png", 96, 160)
    return folder
