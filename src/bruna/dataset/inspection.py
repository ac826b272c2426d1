"""Read and decode image files on all cores, and say what each one is."""

import hashlib
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from bruna.progress import track

_BLOCK = 128
"""Files a thread takes at a time."""
SINGLE_CHANNEL = ("1", "L", "P", "I", "I;16")
"""Pillow's modes of an image with one channel."""


class Facts(NamedTuple):
    """What one image file holds.

    Attributes:
        width: pixels; 0 where the file does not decode, as for every number below.
        height: pixels.
        mode: Pillow's mode, e.g. `RGB`.
        md5: of the file's bytes, 32 hex digits; empty where it cannot be read.
        brightness: mean luma, 0..1.
        sharpness: variance of the Laplacian (4 neighbors, inner pixels) of luma in 0..255 units.
        values: the distinct values of a single-channel image, ascending, at most 9 of them; else empty.
        problem: why the file does not decode, None if it does.
    """

    width: int
    height: int
    mode: str
    md5: str
    brightness: float
    sharpness: float
    values: tuple[int, ...]
    problem: str | None


def inspect_file(path: str) -> Facts:
    """Decode one file to its last pixel; never raises for what the file holds."""
    digest = ""
    try:
        encoded = Path(path).read_bytes()
        digest = hashlib.md5(encoded, usedforsecurity=False).hexdigest()
        if not encoded:
            return Facts(0, 0, "", digest, 0.0, 0.0, (), "the file is empty")
        with Image.open(io.BytesIO(encoded)) as image:
            image.load()
            if problem := _range_problem(image):
                return Facts(0, 0, "", digest, 0.0, 0.0, (), problem)
            luma = np.asarray(image.convert("L"), dtype=np.float32)
            values: tuple[int, ...] = ()
            if image.mode in SINGLE_CHANNEL:
                values = tuple(int(v) for v in np.unique(np.asarray(image))[:9])
            width, height, mode = image.width, image.height, image.mode
    # Pillow's readers raise whatever they stumble over; each of it means the same: this file is damaged.
    except Exception as error:
        reason = str(error).split(" <_io")[0].removesuffix(" file") or type(error).__name__
        return Facts(0, 0, "", digest, 0.0, 0.0, (), reason)
    return Facts(width, height, mode, digest, float(luma.mean()) / 255, _sharpness(luma), values, None)


def _range_problem(image: Image.Image) -> str | None:
    """Why nobody can tell which value is white, as the trainings' decoder says it; None where it is known."""
    if image.mode == "F":
        return "its pixels are floating-point numbers, whose range is unknown; save it with 8 or 16 bits"
    if image.mode == "I":
        pixels = np.asarray(image)
        if pixels.min() < 0 or pixels.max() >= 1 << 16:
            return "its pixels have more than 16 bits; save it with 8 or 16"
    return None


def _sharpness(luma: npt.NDArray[np.float32]) -> float:
    if min(luma.shape) < 3:
        return 0.0
    inner = luma[1:-1, 1:-1]
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * inner
    return float(laplacian.var())


def _inspect_block(paths: Sequence[str]) -> list[Facts]:
    return [inspect_file(path) for path in paths]


def inspect_files(paths: Sequence[Path]) -> list[Facts]:
    """Inspect many files, in order, with a progress bar.

    Threads, not processes: reading, decoding and hashing let go of the interpreter lock, and a process would
    import what the calling process imports, which for Great Expectations takes longer than the decoding.
    """
    names = [str(path) for path in paths]
    blocks = [names[i : i + _BLOCK] for i in range(0, len(names), _BLOCK)]
    facts: list[Facts] = []
    with ThreadPoolExecutor(_cores()) as pool:
        for block in track(pool.map(_inspect_block, blocks), "decode", total=len(names), count=len):
            facts.extend(block)
    return facts


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
