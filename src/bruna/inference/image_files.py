"""Attributes of people in images that nobody prepared: `bruna attributes IMAGE_OR_FOLDER...`."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from bruna.batches.store import ImageStore, decode_image
from bruna.dataset.attributes import ATTRIBUTES
from bruna.errors import BrunaError
from bruna.evaluation.attributes import Answer, probabilities
from bruna.inference.attributes import attribute_logits
from bruna.inference.describe import Models, bruna_says
from bruna.models.attribute_logits import attribute_probabilities, most_probable, task_predictions
from bruna.models.attributes import TASK1_LOGITS, AttributeNetwork
from bruna.progress import track

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
"""Endings, in any case, of what is taken for an image in a folder."""
PROBABILITY_COLUMNS: tuple[str, ...] = (
    "id",
    *(
        f"{attribute.name}_{value}"
        for attribute in ATTRIBUTES
        for value in (attribute.values[1:] if attribute.binary else attribute.values)
    ),
    "junk",
)
"""Header of the probability file: of a binary attribute the probability of its second value."""
_READ_AT_ONCE = 512
"""Files decoded at a time, so that memory does not grow with their number."""


@dataclass(frozen=True)
class Found:
    """An image file and the id it goes by in the results."""

    path: Path
    id: str


@dataclass(frozen=True)
class Rejected:
    """An image that got no prediction, and why."""

    path: Path
    id: str
    reason: str


@dataclass(frozen=True)
class Predictions:
    """What is said of many images.

    Attributes:
        ids: N ids of the images that are predicted.
        codes: N x 12 codes, int64.
        read_ids: M ids of all images that could be read, those taken for junk among them.
        probabilities: M x 33, float32: the 32 of the attributes and that of junk.
        rejected: the images that are not predicted.
    """

    ids: list[str]
    codes: npt.NDArray[np.int64]
    read_ids: list[str]
    probabilities: npt.NDArray[np.float32]
    rejected: list[Rejected]


def find_images(given: Sequence[Path]) -> list[Found]:
    """List the image files of what a user gave.

    A file that is named is taken whatever its ending; a folder is searched to any depth for `SUFFIXES`, in the order of
    the names. An image that is reached twice counts once. Its id is its file name; where two images share a name every
    id is the path relative to the folder that was given, and where these are shared too the path as it was given.

    Raises:
        BrunaError: a path does not exist, or there is no image at all.
    """
    missing = [str(path) for path in given if not path.exists()]
    if missing:
        raise BrunaError(
            f"{', '.join(missing)} {'does' if len(missing) == 1 else 'do'} not exist (looked in {Path.cwd()}). Give "
            "image files, or folders that hold some."
        )
    images: dict[Path, tuple[Path, Path]] = {}
    for path in given:
        for image in _inside(path) if path.is_dir() else [path]:
            images.setdefault(image.resolve(), (image, path))
    if not images:
        raise BrunaError(
            f"no image in {', '.join(map(str, given))}: folders are searched for {', '.join(SUFFIXES)}. Give an image "
            "file itself if it ends otherwise."
        )
    pairs = list(images.values())
    names: tuple[Callable[[Path, Path], str], ...] = (
        lambda image, _: image.name,
        lambda image, top: image.relative_to(top).as_posix() if top.is_dir() else image.name,
    )
    for name in names:
        ids = [name(*pair) for pair in pairs]
        if max(Counter(ids).values()) == 1:
            break
    else:
        ids = [image.as_posix() for image, _ in pairs]
    return [Found(image, id_) for (image, _), id_ in zip(pairs, ids, strict=True)]


def _inside(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def predict_attributes(
    images: Sequence[Found],
    model: tuple[AttributeNetwork, tuple[int, int]],
    device: torch.device,
    *,
    batch_size: int,
    junk_threshold: float | None,
    answer: Answer | None = None,
    models: Models | None = None,
    flip: bool = False,
) -> Predictions:
    """Predict the attributes of image files, with a progress bar.

    Args:
        images: of `find_images`.
        model: Task 1's network and the height and width it sees; images of another size are resized.
        device: where the network is.
        batch_size: images a pass.
        junk_threshold: probability of junk from which on an image is rejected; None rejects none as junk.
        answer: whose word counts, over how many of the images; None is Task 1's on each image alone.
        models: all networks, where the answer needs Bruna.
        flip: Bruna sees the mirror images too.

    Returns:
        The predictions, in the order of `images`. What cannot be read is rejected, never an error.

    Raises:
        ValueError: the answer needs Bruna, and there are no `models`.
    """
    answer = answer or Answer()
    if answer.needs_bruna and models is None:
        raise ValueError(f"{answer} needs Bruna")
    read: list[Found] = []
    rejected: list[Rejected] = []
    task1: list[Tensor] = []
    bruna: list[tuple[Tensor, Tensor]] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for block in track(_blocks(images), "attributes", total=len(images), count=len):
            table, pixels, unreadable = _read(block, model[1], pool)
            rejected += unreadable
            if table.empty:
                continue
            read += list(table["found"])
            task1.append(attribute_logits(model[0], ImageStore(pixels).to(device), batch_size))
            if answer.needs_bruna and models is not None:
                bruna.append(bruna_says(table, models, batch_size, flip=flip))
    return _predictions(read, task1, bruna, answer, junk_threshold, rejected)


def _predictions(
    read: Sequence[Found],
    task1: Sequence[Tensor],
    bruna: Sequence[tuple[Tensor, Tensor]],
    answer: Answer,
    junk_threshold: float | None,
    rejected: Sequence[Rejected],
) -> Predictions:
    """What the blocks found, put together: Task 1's logits, and Bruna's features and probabilities where it ran."""
    logits = torch.cat([torch.zeros(0, TASK1_LOGITS), *task1])
    said, codes = attribute_probabilities(logits), task_predictions(logits)[:, : len(ATTRIBUTES)]
    if bruna:
        features, heads = (torch.cat(parts) for parts in zip(*bruna, strict=True))
        said = probabilities(said, heads, features, answer)
        codes = most_probable(said)
    junk = logits[:, -1].sigmoid().numpy()
    kept = np.ones(len(junk), dtype=bool) if junk_threshold is None else junk < junk_threshold
    taken_for_junk = [
        Rejected(image.path, image.id, f"Task 1 takes it for junk (probability {probability:.2f})")
        for image, probability, fine in zip(read, junk, kept, strict=True)
        if not fine
    ]
    return Predictions(
        ids=[image.id for image, fine in zip(read, kept, strict=True) if fine],
        codes=codes.numpy()[kept],
        read_ids=[image.id for image in read],
        probabilities=np.column_stack([said.numpy(), junk]),
        rejected=[*rejected, *taken_for_junk],
    )


def _read(
    block: Sequence[Found], size: tuple[int, int], pool: ThreadPoolExecutor
) -> tuple[pd.DataFrame, Tensor, list[Rejected]]:
    """The images of a block that decode (columns found, path, image), their B x 3 x H x W pixels, and the others."""
    read: list[tuple[Found, str, bytes]] = []
    pixels = [np.zeros((0, 3, *size), np.uint8)]
    rejected: list[Rejected] = []
    for image, decoded in zip(block, pool.map(lambda found: _decode(found.path, size), block), strict=True):
        if isinstance(decoded, str):
            rejected.append(Rejected(image.path, image.id, decoded))
        else:
            read.append((image, image.id, decoded[0]))
            pixels.append(decoded[1][None])
    table = pd.DataFrame(read, columns=["found", "path", "image"])
    return table, torch.from_numpy(np.concatenate(pixels)), rejected


def _blocks(images: Sequence[Found]) -> Iterator[Sequence[Found]]:
    for start in range(0, len(images), _READ_AT_ONCE):
        yield images[start : start + _READ_AT_ONCE]


def _decode(path: Path, size: tuple[int, int]) -> tuple[bytes, npt.NDArray[np.uint8]] | str:
    """The file and its 3 x H x W pixels, or why there are none."""
    try:
        encoded = path.read_bytes()
        return encoded, decode_image(encoded, size, "rgb")
    except OSError as error:
        return f"cannot be read: {error.strerror or _first_line(error)}"
    except Exception as error:  # Pillow's decoders raise a dozen types, from SyntaxError to struct.error
        return f"cannot be read: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return str(error).split(" <_io")[0].splitlines()[0] if str(error) else type(error).__name__


def probability_rows(predictions: Predictions) -> list[list[str]]:
    """Rows of the probability file under `PROBABILITY_COLUMNS`, four decimals."""
    numbers = zip(predictions.read_ids, predictions.probabilities, strict=True)
    return [[id_, *(f"{value:.4f}" for value in row)] for id_, row in numbers]
