"""One training on all GPUs of the machine: the processes are started by torch.distributed.run.

python -m torch.distributed.run --standalone --nproc-per-node 2 benchmarks/gpu_parts/several.py FOLDER
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "src"), str(Path(__file__).resolve().parents[1])]

import torch

from bruna.dataset.tables import read_table, write_table
from bruna.launching import end_with_parent
from bruna.params import TrainBruna
from bruna.processes import Processes
from bruna.runtime import prepare_torch
from bruna.tracking.protocol import NullTracker
from bruna.training.bruna import train_bruna
from bruna.training.checkpoint import Checkpoints
from gpu_parts.bench import Bench, NotHereError, Result

_EPOCHS = 2
"""The first warms up; the second is measured."""
_SIDES = ("train", "validation")


def several_gpus(bench: Bench, seconds: float) -> Result:
    """Bruna with the preset `market1501`, without masks, by one process and by one a GPU."""
    count = 2 if bench.toy else torch.cuda.device_count()
    if count < 2:
        raise NotHereError(f"{count} GPU: there is nothing to train together.")
    result, folder = Result(), bench.work / "together"
    params = bench.params("market1501").train_bruna
    changes = {
        "epochs": _EPOCHS,
        "warmup_epochs": 0,
        "validate_every": 0,
        "mask": "none",
        "bottleneck": False,
        "pretrained": bench.weights(params.backbone, params.pretrained, result.notes),
        "adversary_pretrained": bench.weights("mobilenet_v3_small", params.adversary_pretrained, result.notes),
    }
    folder.mkdir(exist_ok=True)
    (folder / "params.json").write_text(params.model_copy(update=changes).model_dump_json())
    for side in _SIDES:
        write_table(getattr(bench.tables, side), folder / f"{side}.parquet")
    rows = [_started(folder, processes, seconds / 2) for processes in (1, count)]
    for row in rows:
        row["times one process"] = row["images a second"] / rows[0]["images a second"]
    result.tables["Bruna by several processes"] = rows
    result.notes.append("Batches are as large for all processes together as for one: each has its share of them.")
    return result


def _started(folder: Path, processes: int, seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    output, result = folder / "output.txt", folder / "result.json"
    result.unlink(missing_ok=True)
    with output.open("w") as printed:
        status = subprocess.run(
            [*command, __file__, str(folder)], stdout=printed, stderr=subprocess.STDOUT, timeout=seconds, check=False
        ).returncode
    if not result.exists():
        last = "\n".join(output.read_text(errors="replace").splitlines()[-20:])
        raise RuntimeError(f"{processes} processes ended with status {status}:\n{last}")
    return dict(json.loads(result.read_text()))


class _Clock(NullTracker):
    """Notes when each epoch ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        self.ends.append(time.perf_counter())


def main(folder: Path) -> None:
    """Be one of the processes: train; the first writes `result.json`."""
    end_with_parent()
    rank, count = (int(os.environ[name]) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    device = prepare_torch("auto", 0, local_rank=rank, local_count=count)
    processes = Processes.join(device)
    params = TrainBruna.model_validate_json((folder / "params.json").read_text())
    train, validation = (read_table(folder / f"{side}.parquet") for side in _SIDES)
    clock = _Clock()
    shared: dict[str, Any] = {"tracker": clock, "checkpoints": Checkpoints(None), "device": device}
    found = train_bruna(train, validation, None, params, processes=processes, **shared)
    if processes.first:
        last = clock.ends[-1] - clock.ends[-2]
        each = 4 if params.negatives == "in_batch" else 12
        images = each * params.tuples_per_identity * train["identity"].nunique()
        row = {
            "processes": processes.count,
            "on": device.type,
            "images a second": images / last,
            "seconds of the second epoch": last,
            "its loss": found.history[-1]["train/loss"],
        }
        (folder / "result.json").write_text(json.dumps(row))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
