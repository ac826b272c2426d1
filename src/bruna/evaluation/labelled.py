"""Image tables as the networks see them, beside what is known of their images."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from bruna.dataset.predictions import predicted_columns
from bruna.dataset.schema import differences
from bruna.dataset.tables import attribute_codes, attributes_of
from bruna.errors import BrunaError
from bruna.inference.described import Described
from bruna.inference.describer import Describer
from bruna.inference.settings import AttributesFrom
from bruna.retrieval.gallery import Gallery


@dataclass(frozen=True)
class LabelledImages:
    """The N images of a table.

    Attributes:
        found: what the networks make of them.
        gallery: their embeddings with identities and cameras.
        plain: the same without the mirror images; the same object where none were embedded.
        codes: N x A true attribute codes, -1 where not annotated.
        contents: N numbers that tell images apart, see `image_contents`.
    """

    found: Described
    gallery: Gallery
    plain: Gallery
    codes: npt.NDArray[np.int64]
    contents: npt.NDArray[np.uint64]


def describe_table(people: Describer, table: pd.DataFrame, segments: pd.DataFrame | None, name: str) -> LabelledImages:
    """Run the networks over an image table.

    Args:
        people: the networks, Bruna among them.
        table: an image table (`bruna.dataset.tables`).
        segments: its masks and bottlenecks of the stage `segment`; made by the U-Net if None and needed.
        name: of the table, for the progress bar.
    """
    paths = list(table["path"])
    found = people.describe(
        list(table["image"]), names=paths, _segments=segments, masks=False, progress=f"describe {name}"
    )
    return labelled(found, table)


def labelled(found: Described, table: pd.DataFrame) -> LabelledImages:
    """Put the labels of a table beside what was found of its images.

    Raises:
        BrunaError: Bruna was not loaded, or the networks tell other attributes than the table has.
    """
    if found.gallery is None or found.plain is None:
        raise BrunaError("this needs Bruna's network, which was not loaded")
    codes = true_codes(found, table)
    identities, cameras = (torch.tensor(table[column].to_numpy(np.int64)) for column in ("identity", "camera"))
    gallery = replace(found.gallery, identities=identities, cameras=cameras)
    same = found.plain is found.gallery
    plain = gallery if same else replace(found.plain, identities=identities, cameras=cameras)
    return LabelledImages(found, gallery, plain, codes, image_contents(table))


def image_contents(table: pd.DataFrame) -> npt.NDArray[np.uint64]:
    """A number for each of N rows: 64 bits of the SHA-256 of its encoded image, identity and camera.

    Sums of them (modulo 2^64) tell whether two sets hold the same images of the same people, in whatever order.
    """
    known = zip(table["image"], table["identity"], table["camera"], strict=True)
    digests = [hashlib.sha256(image + b"%d %d" % (identity, camera)).digest()[:8] for image, identity, camera in known]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def true_codes(found: Described, table: pd.DataFrame) -> npt.NDArray[np.int64]:
    """The N x A attribute codes of a table, -1 where not annotated.

    Raises:
        BrunaError: the networks tell other attributes than the table has.
    """
    if differ := differences(attributes_of(table), found.schema):
        raise BrunaError(
            f"the models were trained on other attributes than the data set has: {differ} (data set, then models). "
            "Train them on it with `dvc repro`."
        )
    return attribute_codes(table)


def predicted_table(images: LabelledImages, attributes_from: AttributesFrom, neighbors: int) -> pd.DataFrame:
    """What is known and what was predicted of each image.

    Args:
        images: of the same networks.
        attributes_from, neighbors: how the attributes are predicted (`Described.attribute_codes`).

    Returns:
        Columns path, identity, camera, junk (probability, NaN without Task 1's network), then `true/<attribute>` (null
        where not annotated) and `predicted/<attribute>`, categories in the order of their codes.
    """
    found, gallery = images.found, images.gallery
    predicted = found.attribute_codes(attributes_from, neighbors) if found.schema else images.codes
    return pd.DataFrame(
        {
            "path": found.names,
            "identity": gallery.identities.numpy().astype(np.int32),
            "camera": gallery.cameras.numpy().astype(np.int16),
            "junk": np.float32(np.nan) if found.task1_logits is None else found.junk,
            **predicted_columns(images.codes, predicted, found.schema),
        }
    ).astype({"junk": np.float32})
