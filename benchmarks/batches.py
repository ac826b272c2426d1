"""Augmented images a second, on one core: Bruna's batches against a torchvision Dataset with the same changes.

    python benchmarks/batches.py [--images FOLDER] [--count 512] [--repeats 7]

Both sides start from encoded 64 x 128 images in memory and end with float32 batches of 64 x 3 x 128 x 64 in 0..1.
The Dataset decodes with Pillow and applies torchvision's transforms image by image, through a DataLoader without
workers. Bruna decodes once, before the training, and that rate is printed on a line of its own. One thread works,
and a second is one of its processor time; repeats of both sides alternate, so that a machine that is busy with
something else slows them alike. The medians are compared. Without --images the images are smooth noise.
"""

import argparse
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from bruna.batches.augment import Augmenter
from bruna.batches.seeds import step_generator
from bruna.batches.store import ImageStore
from bruna.params import Augment

BATCH = 64
SIZE = (128, 64)
SETTINGS = {
    "Task 1": Augment(
        pad=4, brightness=0.2, contrast=0.2, saturation=0.2, hue=0.01, rotation=4.0, equalize=0.01, flip=0.5, erase=0.0
    ),
    "Task 2": Augment(
        pad=6, brightness=0.03, contrast=0.02, saturation=0.02, hue=0.0, rotation=4.0, equalize=0.1, flip=0.5, erase=0.0
    ),
}  # fmt: skip
"""The paper's augmentation for attributes (section 3.1.2) and its authors' for re-identification."""


class TorchvisionDataset(Dataset[torch.Tensor]):
    """What most projects write: open, transform, return one image."""

    def __init__(self, encoded: list[bytes], params: Augment) -> None:
        self.encoded = encoded
        self.transform = v2.Compose(
            [
                v2.RandomCrop(SIZE, padding=params.pad, padding_mode="reflect"),
                v2.ColorJitter(params.brightness, params.contrast, params.saturation, params.hue),
                v2.RandomRotation(params.rotation, interpolation=v2.InterpolationMode.BILINEAR),
                v2.RandomEqualize(params.equalize),
                v2.RandomHorizontalFlip(params.flip),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
            ]
        )

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, index: int) -> torch.Tensor:
        transformed: torch.Tensor = self.transform(Image.open(io.BytesIO(self.encoded[index])).convert("RGB"))
        return transformed


def make_images(count: int) -> list[bytes]:
    """JPEG files of smooth noise, 64 x 128, quality 90."""
    random = np.random.default_rng(0)
    encoded = []
    for _ in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (16, 8, 3), dtype=np.uint8))
        file = io.BytesIO()
        coarse.resize((SIZE[1], SIZE[0]), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        encoded.append(file.getvalue())
    return encoded


def peer(encoded: list[bytes], params: Augment) -> Callable[[], None]:
    """One pass of the Dataset."""
    loader = DataLoader(TorchvisionDataset(encoded, params), batch_size=BATCH, shuffle=True)

    def one_pass() -> None:
        for _ in loader:
            pass

    return one_pass


def ours(store: ImageStore, params: Augment) -> Callable[[], None]:
    """One pass of Bruna's batches."""
    augmenter = Augmenter(params)

    def one_pass() -> None:
        order = torch.randperm(len(store))
        for step, start in enumerate(range(0, len(store), BATCH)):
            augmenter(store[order[start : start + BATCH]], None, step_generator(0, "benchmark", step))

    return one_pass


def rates(sides: dict[str, Callable[[], None]], count: int, repeats: int) -> dict[str, list[float]]:
    """Images a second of processor time of each side, its repeats taking turns with the others'."""
    for one_pass in sides.values():
        one_pass()
    measured: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, one_pass in sides.items():
            start = time.process_time()
            one_pass()
            measured[name].append(count / (time.process_time() - start))
    return measured


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="folder of images of 64 x 128 pixels")
    parser.add_argument("--count", type=int, default=512, help="images a pass")
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if arguments.images is None:
        encoded = make_images(arguments.count)
    else:
        files = sorted(arguments.images.glob("*.jpg"))
        encoded = [file.read_bytes() for file in files[:: max(1, len(files) // arguments.count)]]
        encoded = encoded[: arguments.count]

    start = time.process_time()
    store = ImageStore.decode(encoded, ["image"] * len(encoded), SIZE, workers=1)
    decoding = time.process_time() - start

    table = Table("augmentation", "side", "images/CPU s", "lowest", "highest", "times", title="one core, batches of 64")
    for setting, params in SETTINGS.items():
        sides = {"torchvision Dataset": peer(encoded, params), "Bruna": ours(store, params)}
        measured = rates(sides, len(encoded), arguments.repeats)
        base = statistics.median(measured["torchvision Dataset"])
        for side, values in measured.items():
            median = statistics.median(values)
            numbers = [f"{value:,.0f}" for value in (median, min(values), max(values))]
            table.add_row(setting, side, *numbers, f"{median / base:.1f}")
    console = Console()
    console.print(table)
    console.print(f"decoding once, before the training: {len(encoded) / decoding:,.0f} images/CPU s")


if __name__ == "__main__":
    main()
