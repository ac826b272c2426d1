"""benchmarks/gpu.py at toy size on the CPU, where neither DVC, MLflow nor Great Expectations can be imported."""

import json
import os
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from bruna.errors import BrunaError
from lacking import masks
from tiny_dataset import write_annotations, write_image

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "gpu.py"
ABSENT = (
    "dvc", "mlflow", "great_expectations", "sklearn", "scipy", "matplotlib", "onnx", "onnxruntime", "yaml", "filelock",
    "typer",
)  # fmt: skip
START = f"import runpy, sys; sys.modules.update(dict.fromkeys({ABSENT})); sys.argv = sys.argv[1:]; "
PEOPLE = range(1, 9)


def course_zips(folder: Path) -> tuple[Path, Path]:
    """Eight people with three images each, and three mask pairs."""
    data = folder / "data"
    for identity in PEOPLE:
        for camera in (1, 2, 3):
            write_image(data / "train" / f"{identity:04d}_c{camera}_0000{camera}.jpg", 10 * identity + camera)
    write_annotations(data, {identity: {"gender": ("male", "female")[identity % 2]} for identity in PEOPLE})
    masks(folder)
    zips = folder / "course.zip", folder / "masks.zip"
    for file, source in zip(zips, (data, folder / "masks"), strict=True):
        with zipfile.ZipFile(file, "w") as archive:
            for path in sorted(path for path in source.rglob("*") if path.is_file()):
                archive.write(path, path.relative_to(source))
    return zips


def test_all_that_one_gpu_needs_runs_on_little_more_than_torch(tmp_path: Path) -> None:
    course, pairs = course_zips(tmp_path)
    parts = ["data", "market1501", "profile", "search"]
    arguments = [course, "--masks", pairs, "--out", tmp_path / "out", "--toy", "--minutes", "5", "--parts", *parts]
    code = f"{START}sys.path.insert(0, {str(SCRIPT.parent)!r}); runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", code, str(SCRIPT), *map(str, arguments)],
        cwd=tmp_path,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert {"device", "driver and memory", "torch", "date"} <= found["about"].keys()
    assert [(name, part["state"]) for name, part in found["parts"].items()] == [(name, "done") for name in parts]
    trainings = found["parts"]["market1501"]["tables"]["Trainings"]
    assert [row["training"] for row in trainings] == ["U-Net", "Task 1", "Bruna"]
    for row in trainings:
        assert row["epochs"] == "1 of 1" and row["all losses finite"]
        assert row["images a second"] > 0 and row["peak memory, MiB"] > 0
        assert 0 < row["share of a step making its batch"] < 1
    assert sum(row["share"] for row in found["parts"]["profile"]["tables"]["Operators of the step"]) <= 1
    page = (tmp_path / "out" / "gpu.md").read_text()
    assert page.count("\n## ") == len(parts) and "| Bruna | 1 of 1 |" in page


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(sys, "path", [str(SCRIPT.parent), *sys.path])
    return runpy.run_path(str(SCRIPT))


def test_a_part_that_fails_stops_no_other(script: dict[str, Any], tmp_path: Path) -> None:
    def breaks(*_: object) -> None:
        raise BrunaError("the lamp is off")

    def absent(*_: object) -> None:
        raise script["NotHereError"]("one GPU")

    def works(*_: object) -> Any:
        return script["Result"]({"Numbers": [{"one": 1.0, "all": True}]}, ["a note"])

    bench = script["Bench"](tmp_path / "no.zip", None, tmp_path, torch.device("cpu"), True)
    parts = {"lamp": (breaks, 1.0), "data": script["PARTS"]["data"], "many": (absent, 1.0), "last": (works, 1.0)}
    seen: list[list[str]] = []
    found = script["run_parts"](bench, parts, 60.0, lambda known: seen.append(list(known)))
    assert {name: part["state"] for name, part in found.items()} == {
        "lamp": "failed", "data": "failed", "many": "not here", "last": "done",
    }  # fmt: skip
    assert found["lamp"]["reason"] == "the lamp is off" and "no.zip" in found["data"]["reason"]
    assert seen == [list(parts)[: i + 1] for i in range(4)]
    script["write"](tmp_path / "out", {"device": "CPU"}, found)
    page = (tmp_path / "out" / "gpu.md").read_text()
    assert "the lamp is off" in page and "| one | all |" in page and "| 1.00 | yes |" in page and "- a note" in page

    late = script["run_parts"](bench, {"last": (works, 1.0)}, 0.0, lambda _: None)
    assert late["last"]["state"] == "left out"
