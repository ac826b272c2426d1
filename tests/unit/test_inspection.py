"""What is said of a file: as much as the trainings' decoder can use, and what it holds."""

import os
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bruna.batches.store import decode_image
from bruna.dataset.facts import image_facts
from bruna.dataset.inspection import inspect_file, inspect_files
from tiny_dataset import write_image


@pytest.mark.parametrize(
    ("pixels", "problem"),
    [
        (np.zeros((8, 4), np.float32), "floating-point numbers"),
        (np.full((8, 4), 70_000, np.int32), "32 bits"),
        (np.full((8, 4), 200, np.uint16), "values of fewer bits"),
    ],
)
def test_an_image_of_unknown_range_is_damaged_in_the_decoder_s_words(
    tmp_path: Path, pixels: np.ndarray, problem: str
) -> None:
    file = tmp_path / "0002_c1_000000001.jpg"
    Image.fromarray(pixels).save(file, "TIFF")
    found = inspect_file(str(file)).problem
    assert found and problem in found
    with pytest.raises(ValueError) as error:
        decode_image(file.read_bytes(), (8, 4), "rgb")
    assert str(error.value) == found


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_brightness_is_that_of_what_is_trained_on(tmp_path: Path, mode: str) -> None:
    """Levels around 51 of 255; 16 bits are brought down to 8 before anything is measured."""
    file = tmp_path / "0002_c1_000000001.jpg"
    grey = np.random.default_rng(0).integers(1, 102, (8, 4), dtype=np.uint8)
    image = Image.fromarray(grey.astype(np.uint16) * 257 if mode == "I;16" else np.stack([grey] * 3, axis=-1))
    image.convert(mode).save(file, "TIFF")
    seen = decode_image(file.read_bytes(), (8, 4), "rgb").transpose(1, 2, 0)
    facts = inspect_file(str(file))
    assert facts.problem is None and (facts.width, facts.height) == (4, 8)
    assert facts.brightness == pytest.approx(np.asarray(Image.fromarray(seen).convert("L")).mean() / 255, abs=1e-6)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    """A pipe would be waited on for ever, and a device has no end."""
    write_image(tmp_path / "0.jpg", 0)
    os.mkfifo(tmp_path / "1.jpg")
    (tmp_path / "2.jpg").symlink_to("/dev/zero")
    (tmp_path / "3.jpg").symlink_to("nowhere")
    (tmp_path / "4.jpg").mkdir()
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "5.jpg"))
    with (tmp_path / "6.jpg").open("wb") as sparse:
        sparse.truncate(1 << 40)
    problems = [facts.problem for facts in inspect_files(sorted(tmp_path.iterdir()))]
    server.close()
    pipe = "it is a pipe, a device or a socket, not a file"
    assert problems[:6] == [None, pipe, pipe, "No such file or directory", "it is a folder, not a file", pipe]
    assert "1,099,511,627,776 bytes" in str(problems[6])


def test_content_of_several_people_names_another_s_image_at_each(tmp_path: Path) -> None:
    """The first in the order of paths that shows somebody else; images of one person may be equal."""
    for name in ("0001_c1_1", "0001_c2_2", "0002_c1_1", "0003_c1_1", "0003_c1_2"):
        write_image(tmp_path / "train" / f"{name}.jpg", 0)
    for name in ("0004_c1_1", "0004_c1_2"):
        write_image(tmp_path / "train" / f"{name}.jpg", 1)
    write_image(tmp_path / "train" / "0005_c1_1.jpg", 2)
    write_image(tmp_path / "gallery" / "0006_c1_1.jpg", 2)
    facts = image_facts(tmp_path).set_index("path")
    second = "the same content as train/0002_c1_1.jpg"
    first = "the same content as train/0001_c1_1.jpg"
    test = "the same content as gallery/0006_c1_1.jpg"
    train = facts[facts["subset"] == "train"]
    assert train["people_problem"].tolist() == [second, second, first, first, first, None, None, test]
    assert train["leak_problem"].tolist() == [None] * 7 + [test]
    assert facts.loc["gallery/0006_c1_1.jpg", "people_problem"] == "the same content as train/0005_c1_1.jpg"
