"""Augmented images a second, on one core: Bruna's batches against a torchvision Dataset with the same changes.

    python benchmarks/batches.py [--images FOLDER] [--count 512] [--repeats 7]

Both sides start from encoded 64 x 128 images in memory and end with float32 batches of 64 x 3 x 128 x 64 in 0..1.
The Dataset decodes with Pillow and applies torchvision's transforms image by image, through a DataLoader without
workers. Bruna decodes once, before the training, and that rate is printed on a line of its own. One thread works,
and a second is one of its processor time; repeats of both sides alternate, so that a machine that is busy with
something else slows them alike. The medians are compared. Without --images the images are smooth noise.
"""

import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measure import Cell, Report, alternate, median_and_spread, number, parser
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from bruna.batches.augment import Augmenter
from bruna.batches.seeds import step_generator
from bruna.batches.store import ImageStore
from bruna.params import Augment
from bruna.runtime import prepare_torch

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


def load(folder: Path | None, count: int) -> list[bytes]:
    """At most `count` encoded images, evenly from the folder; noise where there is none."""
    if folder is None:
        return make_images(count)
    files = sorted(folder.glob("*.jpg"))
    return [file.read_bytes() for file in files[:: max(1, len(files) // count)]][:count]


def main() -> None:
    """Measure and report."""
    options = parser(__doc__, repeats=7)
    options.add_argument("--images", type=Path, help="folder of images of 64 x 128 pixels")
    options.add_argument("--count", type=int, default=512, help="images a pass")
    arguments = options.parse_args()
    prepare_torch("cpu", 1)
    torch.manual_seed(0)
    encoded = load(arguments.images, arguments.count)

    start = time.process_time()
    store = ImageStore.decode(encoded, ["image"] * len(encoded), SIZE, workers=1)
    decoding = time.process_time() - start

    rows: list[list[Cell]] = []
    for setting, params in SETTINGS.items():
        sides = {"torchvision Dataset": peer(encoded, params), "Bruna": ours(store, params)}
        times = alternate(sides, arguments.repeats, clock=time.process_time)
        rates = {side: [len(encoded) / seconds for seconds in values] for side, values in times.items()}
        base = statistics.median(rates["torchvision Dataset"])
        for side, values in rates.items():
            rows.append([setting, side, *median_and_spread(values), statistics.median(values) / base])
    report = Report(
        "Augmented images a second",
        "Bruna's batches against a torchvision Dataset and DataLoader with the same random changes, from encoded "
        f"64 x 128 images in memory to float32 batches of {BATCH}. One core, {len(encoded)} images a pass, "
        f"{arguments.repeats} passes of each side in turn, processor time.",
    )
    report.table(["augmentation", "side", "images/CPU s (median)", "spread", "times"], rows)
    report.line(
        f"Bruna decodes once, before the training ({number(len(encoded) / decoding)} images/CPU s); the Dataset "
        "decodes in every pass."
    )
    report.write(arguments.docs / "batches.md", 1)


if __name__ == "__main__":
    main()
