"""Images decoded once and kept as one uint8 tensor, so that no training step opens or decodes a file."""

import io
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import psutil
import torch
from PIL import Image
from torch import Tensor

from bruna.dataset.decoding import open_image, open_mask
from bruna.errors import BrunaError

Kind = Literal["rgb", "gray", "binary"]
"""How to decode: three channels; one channel; a mask of two values, which become 0 and 255."""

_BLOCK = 64
"""Images a thread decodes before it takes the next block."""


class ImageStore:
    """N images of equal size, indexed by a tensor.

    Attributes:
        pixels: N x C x H x W, uint8; in memory, mapped from a file on disk, or on a GPU.
        device: where the batches go.
    """

    def __init__(self, pixels: Tensor, device: torch.device | None = None) -> None:
        self.pixels = pixels
        self.device = pixels.device if device is None else device

    @classmethod
    def decode(
        cls,
        encoded: Sequence[bytes],
        paths: Sequence[str],
        size: tuple[int, int],
        *,
        kind: Kind = "rgb",
        memory_limit: int | None = None,
        folder: Path | None = None,
        workers: int | None = None,
    ) -> "ImageStore":
        """Decode every image once.

        An image that has `size` already keeps Pillow's pixels exactly; another is resized with Pillow's
        antialiased bilinear filter. `bruna.dataset.decoding` says which files are images, and what becomes of others.

        Args:
            encoded: N encoded images.
            paths: their N names, for the message about a damaged one.
            size: height and width of every image of the store, pixels.
            kind: `rgb` for photographs, `gray` for masks of 8-bit probabilities, `binary` for masks of two
                values (0 and 255, or 0 and 1), which become 0 and 255 before any resizing.
            memory_limit: bytes beyond which the pixels lie in a file instead of in memory. Default: half of the
                memory that is free.
            folder: where that file lies; it has no name, so that it vanishes with the store. Default: the
                system's folder for temporary files.
            workers: decoding threads; default: one a core.

        Raises:
            BrunaError: an image cannot be decoded, or the disk has no room for the pixels.
        """
        if len(encoded) != len(paths):
            raise ValueError(f"{len(encoded)} images but {len(paths)} paths")
        height, width = size
        shape = (len(encoded), 3 if kind == "rgb" else 1, height, width)
        pixels = _room(shape, memory_limit, folder)

        def decode_block(start: int) -> None:
            for i in range(start, min(start + _BLOCK, len(encoded))):
                pixels[i] = _decode(encoded[i], paths[i], height, width, kind)

        with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
            blocks = [pool.submit(decode_block, start) for start in range(0, len(encoded), _BLOCK)]
            try:
                for block in blocks:
                    block.result()
            finally:  # after a damaged image the blocks still waiting are not worth their time
                pool.shutdown(cancel_futures=True)
        return cls(torch.from_numpy(pixels))

    def to(self, device: torch.device) -> "ImageStore":
        """The same store for work on another device; its pixels go there too if they leave half of it free."""
        if device.type == "cuda" and self.pixels.numel() > torch.cuda.mem_get_info(device)[0] / 2:
            return ImageStore(self.pixels, device)
        return ImageStore(self.pixels.to(device), device)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: Tensor | npt.NDArray[np.int64]) -> Tensor:
        """The images at `index` (B integers on any device): B x C x H x W, uint8, on `device`."""
        index = torch.as_tensor(index, dtype=torch.int64, device=self.pixels.device)
        return self.pixels.index_select(0, index).to(self.device)


def _room(shape: tuple[int, int, int, int], memory_limit: int | None, folder: Path | None) -> npt.NDArray[np.uint8]:
    bytes_needed = int(np.prod(shape, dtype=np.int64))
    memory_limit = psutil.virtual_memory().available // 2 if memory_limit is None else memory_limit
    if bytes_needed <= memory_limit:
        return np.empty(shape, dtype=np.uint8)
    folder = Path(tempfile.gettempdir()) if folder is None else folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):  # a write into a mapped hole on a full disk would kill the process
                os.posix_fallocate(file.fileno(), 0, bytes_needed)
            return np.memmap(file, dtype=np.uint8, mode="w+", shape=shape)
    except OSError as error:
        raise BrunaError(
            f"the decoded images need {bytes_needed / 1e9:.1f} GB, more than the memory limit of "
            f"{memory_limit / 1e9:.1f} GB, and {folder} cannot hold them: {error.strerror or error}. Free some "
            "space there or allow more memory."
        ) from error


def _decode(encoded: bytes, path: str, height: int, width: int, kind: Kind) -> npt.NDArray[np.uint8]:
    """Decode one image to C x H x W."""
    try:
        return decode_image(encoded, (height, width), kind)
    except ValueError as error:
        raise BrunaError(
            f"{path} cannot be decoded as an image ({error}). Replace or remove it; with "
            "validate.on_bad_image: quarantine the validation stage sets such images aside."
        ) from error


def decode_image(encoded: bytes, size: tuple[int, int], kind: Kind) -> npt.NDArray[np.uint8]:
    """Decode one image as `ImageStore.decode` does, which explains the arguments.

    Returns:
        C x H x W, uint8.

    Raises:
        ValueError: it cannot be decoded; the message says why.
    """
    image = open_mask(encoded) if kind == "binary" else open_image(encoded, "RGB" if kind == "rgb" else "L")
    pixels = resized(image, size)
    return pixels.transpose(2, 0, 1) if kind == "rgb" else pixels[None]


def resized(image: Image.Image, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The pixels of an RGB or L image at a height and width: H x W x 3 or H x W.

    Those of an image that has this size already are kept exactly; others are resized by Pillow's antialiased bilinear
    filter.
    """
    height, width = size
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image)


def encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """A PNG of H x W (grey) or H x W x 3 pixels, uint8."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
