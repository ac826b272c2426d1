"""The rows of an index as an Arrow table: what the networks make of images beside what is known of them."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image

from bruna.dataset.decoding import open_image
from bruna.dataset.schema import Tasks
from bruna.index.store import FIXED
from bruna.inference.described import Described

_THUMBNAIL, _QUALITY = (64, 128), 80
"""Width and height at most, pixels; of a JPEG."""
_CONTENT = ("digest", "features", "attribute_features", "junk", "thumbnail")
"""Columns that are the same for images of the same bytes; so are those of the attributes."""


def content_rows(found: Described, thumbnails: Sequence[bytes | None]) -> Any:
    """What the networks make of images, as an Arrow table; their names are the digests."""
    assert found.gallery is not None and found.gallery.attributes is not None  # the header asks for Bruna
    values, tables = found.attributes, found.probabilities
    columns: dict[str, Any] = {
        "digest": pa.array(found.names, pa.string()),
        "features": _matrix(found.features),
        "junk": pa.nulls(len(found), pa.float32()) if found.task1_logits is None else pa.array(found.junk),
        "thumbnail": pa.array(thumbnails, pa.binary()),
    }
    if found.gallery.attributes.shape[1]:  # of a data set without attributes there are none
        columns["attribute_features"] = _matrix(found.gallery.attributes.numpy())
    for task in found.schema:
        columns[task.name] = pa.array(values[task.name].tolist(), pa.string())
        columns[probabilities_of(task.name)] = _matrix(tables[task.name].to_numpy(np.float32))
    return pa.table(columns)


def with_names(rows: Any, keys: Sequence[str], known: Sequence[Mapping[str, str]], schema: Tasks) -> Any:
    """Put the key of each image and what is known of it beside what was described."""
    reserved = {"key", *_CONTENT, *(name for task in schema for name in (task.name, probabilities_of(task.name)))}
    cells = [{f"given_{name}" if name in reserved else name: cell for name, cell in of.items()} for of in known]
    names = dict.fromkeys(["identity", "camera", "time", *(name for of in cells for name in of)])
    columns: dict[str, Any] = {"key": pa.array(keys, pa.string())}
    columns |= {name: pa.array([of.get(name) for of in cells], pa.string()) for name in names}
    columns |= {name: rows[name] for name in rows.schema.names}
    return pa.table({name: columns[name] for name in dict.fromkeys([*FIXED, *columns])})


def probabilities_of(attribute: str) -> str:
    """The column of an attribute's probabilities."""
    return f"{attribute}_probabilities"


def _matrix(rows: npt.NDArray[np.float32]) -> Any:
    """N x K as an Arrow array of N lists of K float32."""
    flat = pa.array(np.ascontiguousarray(rows, dtype=np.float32).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])


def thumbnail_of(data: bytes) -> bytes:
    """A small JPEG of an image file that can be decoded."""
    image = open_image(data)
    image.thumbnail(_THUMBNAIL, Image.Resampling.BILINEAR)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
