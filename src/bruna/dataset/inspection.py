"""Read and decode image files on all cores, and say what each one is."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bruna.dataset.decoding import open_image, open_mask, read_file, reason
from bruna.progress import track

_BLOCK = 128
"""Files a thread takes at a time."""


class Facts(NamedTuple):
    """What one image file holds.

    Attributes:
        width: pixels; 0 where the file does not decode, as for every number below.
        height: pixels.
        md5: of the file's bytes, 32 hex digits; empty where it cannot be read.
        brightness: mean luma, 0..1.
        sharpness: variance of the Laplacian (4 neighbors, inner pixels) of luma in 0..255 units.
        problem: why the file does not decode, or is no mask where it has to be one; None if nothing is wrong.
    """

    width: int
    height: int
    md5: str
    brightness: float
    sharpness: float
    problem: str | None


def inspect_file(path: str, *, mask: bool = False) -> Facts:
    """Decode one file to its last pixel, as the trainings do; never raises for what the file holds."""
    digest = ""
    try:
        encoded = read_file(Path(path))
        digest = hashlib.md5(encoded, usedforsecurity=False).hexdigest()
        image = open_mask(encoded) if mask else open_image(encoded).convert("L")
    except (OSError, ValueError) as error:
        return Facts(0, 0, digest, 0.0, 0.0, reason(error))
    luma = np.asarray(image, dtype=np.float32)
    return Facts(image.width, image.height, digest, float(luma.mean()) / 255, _sharpness(luma), None)


def _sharpness(luma: npt.NDArray[np.float32]) -> float:
    if min(luma.shape) < 3:
        return 0.0
    inner = luma[1:-1, 1:-1]
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * inner
    return float(laplacian.var())


def _inspect_block(paths: Sequence[str], *, masks: bool) -> list[Facts]:
    return [inspect_file(path, mask=masks) for path in paths]


def inspect_files(paths: Sequence[Path], *, masks: bool = False) -> list[Facts]:
    """Inspect many images, or many masks, in order, with a progress bar.

    Threads, not processes: reading, decoding and hashing let go of the interpreter lock, and a process would
    import what the calling process imports, which for Great Expectations takes longer than the decoding.
    """
    names = [str(path) for path in paths]
    blocks = [names[i : i + _BLOCK] for i in range(0, len(names), _BLOCK)]
    facts: list[Facts] = []
    inspect, description = partial(_inspect_block, masks=masks), "decode masks" if masks else "decode"
    with ThreadPoolExecutor(_cores()) as pool:
        for block in track(pool.map(inspect, blocks), description, total=len(names), count=len):
            facts.extend(block)
    return facts


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
