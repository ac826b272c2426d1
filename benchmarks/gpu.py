"""All that is to be known of Bruna on a GPU, in one command and about ten minutes.

    python benchmarks/gpu.py market1501-course.zip --masks person-masks.zip --out gpu-results

It needs this repository and torch, torchvision, safetensors, pandas, pyarrow, pydantic, numpy, pillow, psutil, rich and
ruamel.yaml; no DVC, no MLflow, no installation of Bruna. Each part runs for itself: one that fails is told, and the
others run. `gpu.json` and the page `gpu.md` are written after each of them. Trainings take as many whole epochs as fit
into their share of the minutes. The exit status is 1 where a part has failed.
"""

import argparse
import gc
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

import torch  # noqa: E402
from gpu_parts.bench import Bench, NotHereError, Result  # noqa: E402
from gpu_parts.gpu_tests import gpu_tests  # noqa: E402
from gpu_parts.page import about, write  # noqa: E402
from gpu_parts.searching import evaluating  # noqa: E402
from gpu_parts.several import several_gpus  # noqa: E402
from gpu_parts.trainings import of_preset, precisions, profiled  # noqa: E402

from bruna.errors import BrunaError  # noqa: E402
from bruna.runtime import prepare_torch  # noqa: E402

Part = Callable[[Bench, float], Result]
PARTS: Mapping[str, tuple[Part, float]] = {
    "data": (lambda bench, _: _data(bench), 1.0),
    "tests": (gpu_tests, 0.5),
    "market1501": (partial(of_preset, preset="market1501"), 3.0),
    "precision": (precisions, 2.0),
    "profile": (profiled, 0.2),
    "search": (evaluating, 0.8),
    "paper": (partial(of_preset, preset="paper"), 2.5),
    "several": (several_gpus, 1.0),
}
"""What is measured, in this order, and its weight: a part may take its share of the seconds that are left."""


def _data(bench: Bench) -> Result:
    tables = bench.tables
    rows = [
        {"table": "train", "rows": len(tables.train), "identities": tables.train["identity"].nunique()},
        {"table": "validation", "rows": len(tables.validation), "identities": tables.validation["identity"].nunique()},
        {"table": "mask pairs", "rows": len(tables.pairs), "identities": None},
    ]
    return Result({"Data": rows})


def run_parts(
    bench: Bench, parts: Mapping[str, tuple[Part, float]], seconds: float, done: Callable[[dict[str, Any]], None]
) -> dict[str, dict[str, Any]]:
    """Run parts one after another, whatever becomes of each.

    Args:
        bench: what all of them get.
        parts: by name, each with its weight.
        seconds: for all of them; one that comes after that is left out.
        done: gets what is known after each part.

    Returns:
        By name: `state` (done, failed, not here, left out), `seconds`, `reason`, `tables` and `notes`.
    """
    until, found = time.perf_counter() + seconds, dict[str, dict[str, Any]]()
    for name, (part, weight) in parts.items():
        start = time.perf_counter()
        weights = sum(other for later, (_, other) in parts.items() if later not in found)
        state, reason, result = "done", "", Result()
        print(f"== {name}", flush=True)
        if until <= start:
            state, reason = "left out", f"The {seconds / 60:g} minutes were over."
        else:
            try:
                result = part(bench, (until - start) * weight / weights)
            except NotHereError as error:
                state, reason = "not here", str(error)
            except BrunaError as error:
                state, reason = "failed", str(error)
            except Exception:  # whatever it is, the other parts run
                state, reason = "failed", traceback.format_exc()
        took = time.perf_counter() - start
        found[name] = {
            "state": state,
            "seconds": took,
            "reason": reason,
            "tables": result.tables,
            "notes": result.notes,
        }
        print(f"{name}: {state}, {took:.1f} s. {reason}".rstrip(), flush=True)
        done(found)
        gc.collect()
        if bench.device.type == "cuda":
            torch.cuda.empty_cache()
    return found


def main() -> None:
    """Measure and report."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("archive", type=Path, help="course data, as `bruna import` takes them")
    options.add_argument("--masks", type=Path, help="mask pairs; without them there is no U-Net")
    options.add_argument("--out", type=Path, default=Path("gpu-results"), help="folder of gpu.json and gpu.md")
    options.add_argument("--minutes", type=float, default=10.0, help="for all parts together (default 10)")
    options.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="only these")
    options.add_argument("--toy", action="store_true", help="tiny images and networks: does it run?")
    arguments = options.parse_args()
    device = prepare_torch("auto", 1 if arguments.toy else 0)
    facts = about(device, arguments.minutes, arguments.toy)
    chosen = {name: part for name, part in PARTS.items() if name in arguments.parts}
    with tempfile.TemporaryDirectory(prefix="bruna-gpu-") as work:
        bench = Bench(arguments.archive, arguments.masks, Path(work), device, arguments.toy)
        found = run_parts(bench, chosen, 60 * arguments.minutes, lambda parts: write(arguments.out, facts, parts))
    print(f"written to {arguments.out / 'gpu.md'} and gpu.json")
    sys.exit(any(part["state"] == "failed" for part in found.values()))


if __name__ == "__main__":
    main()
