"""Large data sets from import to segment: many images, and many identities; seconds and peak memory of each step.

    python benchmarks/large_data.py [--images 130000] [--identities 100000] [--only images]

Draws a few thousand images, writes them again and again under new names (each file with a comment of its own, so that
no two have the same bytes), and sends them through `bruna import` and the scripts of the stages `validate`, `split` and
`segment`, in a copy of the working tree. Each is a process of its own; what is told of it is what the system counted.
DVC, which hashes and stores what the stages read and write, is not measured. The U-Net is small and untrained:
`segment` is measured for its memory and for all that is not the network.
"""

import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from measure import ROOT, Cell, Report, parser
from PIL import Image

sys.path.insert(0, str(ROOT / "tests"))

from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.dataset_file import DatasetFile, dataset_text
from project_copy import Project

GOAL = 4096
"""MiB that no step may need."""
PEOPLE, TEST_SHARE, PAIRS, CAMERAS = 1500, 1 / 3, 500, 6
"""Of the many images: identities, the share of them in query/ and gallery/, mask pairs; cameras of both."""
DRAWN = 3000
HEIGHT, WIDTH = 128, 64
STAGES = ("validate", "split", "segment")
_UNTRAINED = """
import sys
from pathlib import Path
from bruna.inference.saving import save_models
from bruna.models.unet import UNet
settings = {"trained": True, "width": 2, "depth": 2, "image_size": [128, 64]}
save_models(Path(sys.argv[1]), {"model": UNet(2, 2)}, settings)
"""


@dataclass(frozen=True)
class Cost:
    """What a process took: `mib` is the largest resident memory, by the system's own count."""

    seconds: float
    mib: float


def draw(number: int) -> bytes:
    """A JPEG of soft blotches with some noise, as large as Market-1501's, 2 to 3 kB."""
    generator = np.random.default_rng(number)
    blotches = Image.fromarray(generator.integers(0, 256, (8, 4, 3), dtype=np.uint8))
    soft = np.asarray(blotches.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)).astype(np.int64)
    noisy = (soft + generator.integers(-12, 13, soft.shape)).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noisy).save(file, "JPEG", quality=75)
    return file.getvalue()


def with_comment(jpeg: bytes, text: str) -> bytes:
    """The same image in other bytes."""
    comment = text.encode()
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


def many_images(images: int) -> Iterator[tuple[str, int]]:
    """The folder of each image and its identity: the last third of `PEOPLE` is searched for, the others train."""
    trained_on = PEOPLE - round(TEST_SHARE * PEOPLE)
    for place in range(images):
        turn, person = divmod(place, PEOPLE)
        test = "gallery" if turn else "query"
        yield ("train" if person < trained_on else test), person + 1


def many_people(identities: int) -> Iterator[tuple[str, int]]:
    """The same of training identities with one image each, and every tenth with two."""
    for person in range(1, identities + 1):
        yield from [("train", person)] * (2 if person % 10 == 0 else 1)


def write_source(folder: Path, placed: Iterable[tuple[str, int]], pairs: int) -> int:
    """Write a data set in the project's own layout; the number of its images."""
    jpegs = [draw(number) for number in range(DRAWN)]
    for part in ("train", "query", "gallery", "masks/images", "masks/masks"):
        (folder / part).mkdir(parents=True)
    people: set[int] = set()
    numbers = count()
    for (part, identity), number in zip(placed, numbers, strict=False):
        people.add(identity)
        name = f"{part}/{identity:06d}_c{1 + (number // PEOPLE + identity) % CAMERAS}_{number:07d}.jpg"
        (folder / name).write_bytes(with_comment(jpegs[number % DRAWN], f"{number}"))
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[16:120, 16:48] = 255
    for pair in range(pairs):
        (folder / f"masks/images/{pair:04d}.jpg").write_bytes(with_comment(jpegs[pair], f"mask {pair}"))
        Image.fromarray(np.roll(mask, pair % 16, axis=1)).save(folder / f"masks/masks/{pair:04d}.png")
    _write_attributes(folder, sorted(people))
    return next(numbers)


def _write_attributes(folder: Path, people: list[int]) -> None:
    """Values of the course's attributes, each half as frequent as the one before."""
    generator = np.random.default_rng(0)
    columns = []
    for attribute in ATTRIBUTES:
        shares = 0.5 ** np.arange(len(attribute.values))
        columns.append(generator.choice(attribute.values, len(people), p=shares / shares.sum()))
    header = ["identity", *(attribute.name for attribute in ATTRIBUTES)]
    rows = [[str(person), *values] for person, *values in zip(people, *columns, strict=True)]
    (folder / "annotations.csv").write_text("\n".join(",".join(row) for row in [header, *rows]) + "\n")
    schema = {attribute.name: attribute.values for attribute in ATTRIBUTES}
    (folder / "dataset.yaml").write_text(dataset_text(DatasetFile(name="Large data", attributes=schema)))


def cost_of(folder: Path, environment: Mapping[str, str], *command: str) -> Cost:
    """Run a command to its end.

    Raises:
        SystemExit: it failed.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            sys.exit(f"error: {' '.join(command)} failed in {folder}:\n{log.read()}")
    return Cost(seconds, used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))


def measure(placed: Iterable[tuple[str, int]], pairs: int, threads: int) -> tuple[int, dict[str, Cost]]:
    """The number of images, and what the import and each stage cost."""
    with tempfile.TemporaryDirectory() as temporary:
        source, folder = Path(temporary) / "source", Path(temporary) / "project"
        images = write_source(source, placed, pairs)
        project = Project(folder, {"runtime": {"device": "cpu", "threads": threads}})
        environment = project.environment()
        project.run("python", "-c", _UNTRAINED, "artifacts/unet")
        steps = {"import": ("bruna", "import", str(source))}
        steps |= {stage: ("python", f"stages/{stage}.py") for stage in STAGES}
        found = {}
        for step, command in steps.items():
            found[step] = cost_of(folder, environment, *command)
            print(f"{step}: {found[step].seconds:.0f} s, {found[step].mib:,.0f} MiB", file=sys.stderr, flush=True)
    return images, found


def main() -> None:
    """Measure and report."""
    options = parser(__doc__, repeats=1, threads=2)
    options.add_argument("--images", type=int, default=130_000, help="of the many images (default 130000)")
    options.add_argument("--identities", type=int, default=100_000, help="of the many identities (default 100000)")
    options.add_argument("--only", choices=("images", "identities"), help="measure one of the two data sets")
    args = options.parse_args()
    report = Report(
        "Large data",
        f"Two data sets from `bruna import` to `segment`: many images, of {PEOPLE:,} identities with {PAIRS:,} mask "
        "pairs; and many identities with one or two images each. Images have 64 x 128 pixels and are drawn, a few "
        "thousand of them repeated under new names. The U-Net is small (width 2, depth 2) and untrained. Each step is "
        f"a process of its own, measured once from its start to its end. Goal: at most {GOAL:,} MiB each.",
    )
    sets = {
        "images": ("Many images", many_images(args.images), PAIRS, PEOPLE),
        "identities": ("Many identities", many_people(args.identities), 2, args.identities),
    }
    worst = 0.0
    for key, (title, placed, pairs, people) in sets.items():
        if args.only not in (None, key):
            continue
        images, found = measure(placed, pairs, args.threads)
        rows: list[list[Cell]] = [
            [step, cost.seconds, images / cost.seconds, round(cost.mib)] for step, cost in found.items()
        ]
        report.table(
            ["step", "seconds", "images/s", "peak memory (MiB)"],
            rows,
            f"{title}: {images:,} of {people:,} identities",
        )
        worst = max(worst, *(cost.mib for cost in found.values()))
    report.line(f"Goal: at most {GOAL:,} MiB; {'met' if worst <= GOAL else 'not met'}.")
    report.write(args.docs / "large_data.md", args.threads)


if __name__ == "__main__":
    main()
