"""Tables of noise, as the stage `split` writes them: for tests of what is trained and measured on them."""

import io
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.schema import Tasks
from bruna.dataset.tables import attribute_columns


def encoded(pixels: npt.NDArray[np.uint8], kind: str = "JPEG") -> bytes:
    """An H x W (x 3) array as an image file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def person_table(
    identities: Iterable[int],
    each: int,
    size: tuple[int, int] = (32, 16),
    seed: int = 0,
    attributes: Tasks = ATTRIBUTES,
) -> pd.DataFrame:
    """`each` images of every identity, from cameras 1 to 6 in turn; attribute codes follow the identity.

    Args:
        identities: numbers of the identities.
        each: images of each.
        size: height and width, pixels.
        seed: of the pixels.
        attributes: of the people.
    """
    random = np.random.default_rng(seed)
    rows = [
        (f"train/{i:04d}_c{1 + k % 6}_{k:09d}.jpg", encoded(random.integers(0, 255, (*size, 3), np.uint8)), i)
        for i in identities
        for k in range(each)
    ]
    table = pd.DataFrame(rows, columns=["path", "image", "identity"])
    table["camera"] = table["path"].str[12].astype(np.int16)
    codes = np.array([[i % len(attribute.values) for attribute in attributes] for i in table["identity"]])
    return table.assign(**attribute_columns(codes, attributes))


def mask_pairs(size: tuple[int, int] = (32, 16)) -> pd.DataFrame:
    """Ten pairs of image and mask, the last two held out; height and width in pixels."""
    random = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "path": [f"{i}.jpg" for i in range(10)],
            "image": [encoded(random.integers(0, 255, (*size, 3), np.uint8)) for _ in range(10)],
            "mask": [encoded((random.random(size) > 0.5).astype(np.uint8) * 255, "PNG") for _ in range(10)],
            "part": ["train"] * 8 + ["held_out"] * 2,
        }
    )
