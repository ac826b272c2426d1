"""A data set folder of a few noisy 64 x 128 images, for tests of what reads such folders."""

from pathlib import Path

import numpy as np
from PIL import Image

from bruna.dataset.attributes import ANNOTATION_COLUMNS


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


def write_annotations(path: Path, people: dict[int, dict[str, int]]) -> None:
    """Rows in the course coding, every value 1 but those that are given."""
    rows = [[str({"id": i, **values}.get(c, 1)) for c in ANNOTATION_COLUMNS] for i, values in people.items()]
    path.write_text("\n".join(",".join(row) for row in [list(ANNOTATION_COLUMNS), *rows]) + "\n")


def write_dataset(folder: Path) -> Path:
    """Four training people with two images each, two mask pairs, and one of each test subset."""
    people = {2: {"age": 2, "upred": 2}, 5: {"age": 3, "hat": 2}, 7: {"downpink": 2}, 11: {"gender": 2}}
    for identity in people:
        for camera in (1, 2):
            name = f"train/{identity:04d}_c{camera}_{identity:05d}000{camera}.jpg"
            write_image(folder / name, 10 * identity + camera)
    write_annotations(folder / "annotations_train.csv", people)
    write_image(folder / "query" / "0020_c1s1_000451_03.jpg", 500)
    write_image(folder / "gallery" / "0020_c2s1_000451_03.jpg", 501)
    write_image(folder / "gallery" / "0000_c3s1_000451_00.jpg", 502)
    write_image(folder / "gallery" / "-1_c3s1_000451_00.jpg", 503)
    write_annotations(folder / "annotations_test.csv", {20: {"age": 4, "upblue": 2}})
    write_image(folder / "queries" / "000001.jpg", 600)
    write_image(folder / "test" / "000001.jpg", 600)  # as in the course edition: the query once more
    write_image(folder / "test" / "000002(1).jpg", 601)
    for number in (1, 2):
        write_image(folder / "masks" / "images" / f"{number:04d}.jpg", 700 + number, 96, 160)
        write_mask(folder / "masks" / "masks" / f"{number:04d}.png", 96, 160)
    return folder
