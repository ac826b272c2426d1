"""Which files count as damaged: those that the trainings' decoder could not use."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bruna.batches.store import decode_image
from bruna.dataset.inspection import inspect_file


@pytest.mark.parametrize(
    ("pixels", "problem"),
    [
        (np.zeros((8, 4), np.float32), "floating-point numbers"),
        (np.full((8, 4), 70_000, np.int32), "more than 16 bits"),
        (np.full((8, 4), -1, np.int32), "more than 16 bits"),
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


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32])
def test_an_image_of_up_to_16_bits_is_not(tmp_path: Path, kind: type) -> None:
    file = tmp_path / "0002_c1_000000001.jpg"
    Image.fromarray(np.full((8, 4), 200, kind)).save(file, "TIFF")
    assert inspect_file(str(file)).problem is None
    assert decode_image(file.read_bytes(), (8, 4), "rgb").shape == (3, 8, 4)
