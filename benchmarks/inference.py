"""Images that a second of the processor describes: by torch, by ONNX Runtime, and by torchreid's feature extractor.

    python benchmarks/inference.py --images data/train --models artifacts

Of a folder of photos of people the first `--count` are described, from the file to the result. What ONNX
Runtime runs is made if it is not there (`--engine onnxruntime`). torchreid's extractor is measured where it can be
imported (`pip install torchreid gdown tensorboard opencv-python-headless`): its MobileNetV2 with random weights, at the
size of Bruna's images.
"""

import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from measure import Cell, Report, Work, alternate, median_and_spread, parser

from bruna.runtime import limit_instructions, prepare_torch

_BATCH = 32
"""Images that torchreid gets at a time."""


def torchreid_extractor(size: tuple[int, int], files: list[str]) -> Work | None:
    """Its MobileNetV2 over image files; None where it cannot be imported."""
    import torch  # noqa: PLC0415

    try:
        from torchreid.reid.models import build_model  # noqa: PLC0415
        from torchreid.reid.utils import FeatureExtractor  # noqa: PLC0415
    except ImportError as error:
        print(f"torchreid is left out: {error}", file=sys.stderr)
        return None
    name = "mobilenetv2_x1_0"
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.pth"  # without a file it would fetch some
        torch.save(build_model(name, num_classes=1, pretrained=False).state_dict(), weights)
        extract = FeatureExtractor(name, str(weights), size, device="cpu", verbose=False)
    return lambda: [extract(files[start : start + _BATCH]) for start in range(0, len(files), _BATCH)]


def rows(files: list[str], models: Path, threads: int, repeats: int) -> list[list[Cell]]:
    """Images a CPU second of each side, in turns."""
    from bruna.export.engine import Engine  # noqa: PLC0415
    from bruna.inference.describer import load  # noqa: PLC0415

    prepare_torch("cpu", threads)
    everything = load(models, "cpu")
    embedding = replace(everything, attribute_network=None, settings=replace(everything.settings, flip=False))
    works: dict[str, Work] = {}
    for what, people in (("everything", everything), ("embedding", embedding)):
        by_graphs = Engine(models, "onnxruntime")(people, len(files))
        for engine, by in (("torch", people), ("onnxruntime", by_graphs)):
            works[f"bruna, {what}, {engine}"] = lambda by=by: by.describe(files, masks=False)  # type: ignore[misc]
    assert everything.bruna is not None
    if peer := torchreid_extractor(everything.bruna.size, files):
        works["torchreid, embedding, torch"] = peer
    times = alternate(works, repeats, clock=time.process_time)
    return [
        [threads, *name.split(", "), *median_and_spread([len(files) / spent for spent in each])]
        for name, each in times.items()
    ]


def main() -> None:
    """Measure and report."""
    options = parser(__doc__, repeats=3)
    options.add_argument(
        "--images", type=Path, default=Path("data/train"), help="folder of photos (default data/train)"
    )
    options.add_argument("--models", type=Path, default=Path("artifacts"), help="trained networks (default artifacts)")
    options.add_argument("--count", type=int, default=512, help="photos that are described (default 512)")
    options.add_argument("--threads", default="1,2", help="numbers of CPU threads (default 1,2)")
    args = options.parse_args()
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")  # as the commands have it: torch's idle threads sleep soon
    limit_instructions("avx2")  # as params.yaml has it
    files = sorted(str(path) for path in args.images.rglob("*.jpg"))[: args.count]
    if not files:
        sys.exit(f"error: {args.images} has no .jpg file")
    counts = [int(count) for count in args.threads.split(",")]
    report = Report(
        "Describing images",
        f"{len(files):,} photos, from the file to the result; images a second of the processor, the median of "
        f"{args.repeats} with the sides in turns. *Everything*: the U-Net, Task 1's network and Bruna, with mirror "
        "images where the networks' settings say so. *Embedding*: for Bruna its U-Net and one pass of Bruna, for "
        "torchreid one pass of its MobileNetV2.",
    )
    report.table(
        ["threads", "package", "what", "engine", "images a CPU second", "spread"],
        [row for count in counts for row in rows(files, args.models, count, args.repeats)],
    )
    report.line("Torch without AVX-512, as `runtime.instructions` says; ONNX Runtime takes what the processor has.")
    report.line(
        f"The machine was shared with other work: its {os.cpu_count()} cores had work for {os.getloadavg()[0]:.0f}."
    )
    report.write(args.docs / "inference.md", max(counts))


if __name__ == "__main__":
    main()
