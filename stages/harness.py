"""What every stage script shares: its parameters, its paths, its MLflow run, and how it ends.

A stage script defines `run(stage)` and hands it to `main`. What a stage reads and writes stands in dvc.yaml
only; it is looked up there.

No stage depends on this file (tests/stage_dependencies.py says why): what can change a result stands in
`bruna.runtime` and in the stage's own script.
"""

import argparse
import hashlib
import io
import json
import logging
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

PROJECT = Path(__file__).resolve().parent.parent
# A queued experiment runs in a copy of the project: its own library comes first, not the installed one. And
# stages/ is no place to import from: its names (`evaluate`, `validate`) are those of other packages.
sys.path[:] = [str(PROJECT / "src"), *(path for path in sys.path if Path(path).resolve() != PROJECT / "stages")]

from bruna.errors import UNSUPPORTED, BrunaError, machine_trouble  # noqa: E402

if sys.platform == "win32":
    sys.exit(UNSUPPORTED)

import resource  # noqa: E402 - Unix alone has it

from bruna.runtime import instruction_set, prepare_process, prepare_torch  # noqa: E402

prepare_process(PROJECT / "params.yaml")  # before anything that may bring NumPy

import psutil  # noqa: E402
import yaml  # noqa: E402
from filelock import FileLock, Timeout  # noqa: E402

from bruna.files import fingerprint, remove_unfinished, whole_file, write_json  # noqa: E402
from bruna.headlines import FIGURES_FILE, HEADLINES, headline_metrics  # noqa: E402
from bruna.progress import table  # noqa: E402
from bruna.tracking.execution import Execution, Terminated  # noqa: E402
from bruna.tracking.mlflow_run import stage_run  # noqa: E402
from bruna.tracking.protocol import NullTracker, Tracker  # noqa: E402

if TYPE_CHECKING:
    import torch

    from bruna.params import Params, Runtime
    from bruna.processes import Processes


_RUN_FILE = "mlflow_run"
"""Beside the checkpoints: the id of the MLflow run that wrote them."""


@dataclass(frozen=True)
class Stage:
    """What a stage script works with.

    Attributes:
        name: of the stage and of its group in params.yaml.
        params: the checked group of params.yaml.
        runtime: the group `runtime`.
        checkpoints: folder of this very work (parameters, inputs and code); emptied when the stage has ended well.
        tracker: the stage's MLflow run; one that forgets in all processes of a training but the first.
        inputs: path -> MD5 of what dvc.yaml says that the stage reads, but for code.
    """

    name: str
    params: Any
    runtime: "Runtime"
    checkpoints: Path
    tracker: Tracker
    inputs: Mapping[str, str]
    project: Path

    @property
    def data(self) -> Path:
        """The data set folder."""
        return self.project / "data"

    @property
    def artifacts(self) -> Path:
        """The folder of what the stages write: `artifacts/<stage or model>/...`."""
        return self.project / "artifacts"

    @cached_property
    def device(self) -> "torch.device":
        """The device of `runtime.device`; torch is set up when it is first asked for."""
        device = prepare_torch(
            self.runtime.device,
            self.runtime.threads,
            local_rank=int(os.environ.get("LOCAL_RANK", "0")),
            local_count=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
        )
        self.tracker.tags({"machine.device": str(device), "machine.instructions": instruction_set()})
        return device

    @cached_property
    def processes(self) -> "Processes":
        """The processes of a training; they meet when it is first asked for."""
        from bruna.processes import Processes  # noqa: PLC0415 - torch

        return Processes.join(self.device)

    @property
    def figures_file(self) -> Path:
        """Where the stage's script writes all its figures."""
        return self.artifacts / self.name / FIGURES_FILE

    def finish(self, figures: Mapping[str, Any]) -> None:
        """Log the figures that the stage's script has written; keep its headline metrics, and print them.

        Args:
            figures: reproducible ones only, may be nested; times and machine facts go to the tracker. What stands in
                `warnings`, sentences, goes to stderr too.
        """
        self.tracker.figures(figures)
        found = headline_metrics(self.name, figures)
        write_json(found, self.project / "metrics" / f"{self.name}.json", sort_keys=False)  # as DVC shows them
        table(self.name, ("metric", "value", "meaning"), [(k, v, HEADLINES[k].meaning) for k, v in found.items()])
        for warning in figures.get("warnings", ()):
            print(f"warning: {warning}", file=sys.stderr)


def main(script: str, purpose: str | None, run: Callable[[Stage], None]) -> None:
    """Run a stage and exit: 0, 1 after a message for the user, 130 or 143 when interrupted.

    Args:
        script: the stage script's `__file__`; its stem is the stage's name.
        purpose: its docstring, shown by `--help`.
        run: does the work.
    """
    name = Path(script).stem
    parser = argparse.ArgumentParser(
        prog=f"stages/{name}.py",
        description=purpose,
        epilog=f"It takes no arguments: its settings are the group `{name}` of params.yaml, its inputs and outputs "
        f"stand in dvc.yaml. `dvc repro {name}` runs it with all it needs.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args()
    logging.basicConfig(format="%(levelname)s: %(message)s")
    logging.getLogger().handlers[0].setLevel(logging.WARNING)  # some libraries set their own loggers to INFO
    try:
        _start(script, name, purpose or "", run)
    except BrunaError as error:
        sys.exit(f"error: {error}")
    except Terminated:
        _interrupted(name, 143)
    except KeyboardInterrupt:
        _interrupted(name, 130)
    except Exception as error:
        sys.stderr = sys.__stderr__  # what only this process has met
        if trouble := machine_trouble(error, _batch_setting(name)):
            sys.exit(f"error: {name} could not go on. {trouble}")
        raise


def _batch_setting(name: str) -> str:
    """The setting of a stage that says how many images it takes at once; empty where it has none."""
    from bruna.params import Params  # noqa: PLC0415 - params.yaml itself may be wrong by now

    group = Params.model_fields.get(name)
    known = group.annotation.model_fields if group and group.annotation else ()
    return next((f"{name}.{key} in params.yaml" for key in ("batch_size", "batch_tuples") if key in known), "")


def _interrupted(name: str, status: int) -> None:
    print(f"{name} was interrupted. `dvc repro` goes on from its last checkpoint, if it keeps any.", file=sys.stderr)
    sys.exit(status)


def _start(script: str, name: str, purpose: str, run: Callable[[Stage], None]) -> None:
    """Run a stage here, start the processes of a training, or be one of them, as torchrun has told this one."""
    rank, joined = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if rank:  # the first process writes and speaks for all
        sys.stdout = sys.stderr = io.StringIO()
    params = _checked(name)
    count = getattr(params.group(name), "processes", 1)
    if joined == 1 and count > 1:
        sys.exit(_together(script, name, count))
    if joined not in (1, count):
        raise BrunaError(
            f"torchrun has started {joined} processes, and {name}.processes in params.yaml is {count}: make the two "
            "the same. It is a parameter because another number of processes gives other last bits."
        )
    if joined > 1:
        from bruna.launching import end_with_parent  # noqa: PLC0415

        end_with_parent()
    if rank:
        run(Stage(name, params.group(name), params.runtime, Path(os.devnull), NullTracker(), {}, PROJECT))
    else:
        _run(name, purpose, params, run)


def _together(script: str, name: str, count: int) -> int:
    """Start the processes of a training; return the exit status."""
    from bruna.launching import start_together  # noqa: PLC0415 - not for the stages that never need it

    status = start_together(script, count)
    if status == 128 + signal.SIGKILL:
        print(
            f"error: the first of the {count} processes of {name} was killed, for want of memory maybe. `dvc repro` "
            "goes on from its last checkpoint.",
            file=sys.stderr,
        )
    return status


def _run(name: str, purpose: str, params: "Params", run: Callable[[Stage], None]) -> None:
    started = time.monotonic()
    group = params.group(name)
    root = Path(os.environ.get("DVC_ROOT") or PROJECT)  # of a queued run: the repository it was copied from
    values = group.model_dump(mode="json")
    inputs, code, outputs = declared(name)
    work = checkpoint_key(name, values, inputs, code)
    for folder in (PROJECT / "artifacts", PROJECT / "metrics", root / ".checkpoints" / name):
        remove_unfinished(folder)
    written: dict[str, str | None] = {}
    with (
        _checkpoint_folder(root / ".checkpoints" / name, work) as checkpoints,
        stage_run(
            root,
            name,
            _execution(),
            params=values,
            inputs=inputs,
            outputs=written,
            tags={"bruna.fingerprint": work, "mlflow.source.name": f"stages/{name}.py", **_machine()},
            description=purpose,
            continue_run=_interrupted_run(checkpoints),
        ) as tracker,
    ):
        with whole_file(checkpoints / _RUN_FILE) as beside:
            beside.write_text(tracker.run_id, encoding="utf-8")
        run(Stage(name, group, params.runtime, checkpoints, tracker, inputs, PROJECT))
        written.update((path, fingerprint(PROJECT / path)) for path in outputs if (PROJECT / path).exists())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        tracker.metrics({"machine/seconds": time.monotonic() - started, "machine/peak_memory_mb": peak})


def _checked(name: str) -> "Params":
    """The settings, checked as `bruna check` does; the data set too, which only `validate` cannot do without.

    Raises:
        BrunaError: something would stop the pipeline. DVC has removed the stage's outputs by now: the message says what
            becomes of them.
    """
    from bruna.pipeline.check import check  # noqa: PLC0415 - pandas, which `--help` does not need

    data = PROJECT / "data"
    try:
        return check(PROJECT / "params.yaml", data if name == "validate" or data.exists() else None)
    except BrunaError as error:
        if "DVC_STAGE" not in os.environ:
            raise
        raise BrunaError(
            f"{error}\nNothing is lost: DVC removed this stage's outputs before it started the stage, and the next "
            "`dvc repro` that gets through brings them back, from its cache where nothing else has changed."
        ) from None


def _interrupted_run(checkpoints: Path) -> str | None:
    """The MLflow run that left the checkpoints this work goes on from; None where it starts anew."""
    file = checkpoints / _RUN_FILE
    return file.read_text(encoding="utf-8") if any(checkpoints.glob("*.pt")) and file.exists() else None


def declared(name: str) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """What dvc.yaml says of a stage: MD5 of its inputs, MD5 of its code, paths of its outputs.

    Raises:
        BrunaError: an input or a file of the code is missing.
    """
    stage = yaml.safe_load((PROJECT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][name]

    def paths(*keys: str) -> list[str]:
        entries = [entry for key in keys for entry in stage.get(key, ())]
        return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]

    inputs: dict[str, str] = {}
    code: dict[str, str] = {}
    for path in paths("deps"):
        if not (PROJECT / path).exists():
            raise BrunaError(f"{name} needs {path}, which is missing. `dvc repro {name}` makes what it needs first.")
        (code if path.startswith(("src/", "stages/")) else inputs)[path] = fingerprint(PROJECT / path)
    return inputs, code, paths("outs", "metrics", "plots")


def checkpoint_key(name: str, params: Mapping[str, Any], inputs: Mapping[str, str], code: Mapping[str, str]) -> str:
    """What a checkpoint belongs to, 32 hex digits: all that dvc.yaml says the stage's result depends on."""
    identity = json.dumps([name, params, inputs, code], sort_keys=True)
    return hashlib.md5(identity.encode(), usedforsecurity=False).hexdigest()


def _execution() -> Execution:
    """The execution that this stage is part of, with what its run in MLflow tells of it."""
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=PROJECT, capture_output=True, text=True, check=False)
    tags = {
        "mlflow.user": psutil.Process().username(),
        "mlflow.source.name": "dvc.yaml",
        "mlflow.source.git.commit": git.stdout.strip() if git.returncode == 0 else "",
        "dvc.exp": os.environ.get("DVC_EXP_NAME", ""),
        "dvc.baseline": os.environ.get("DVC_EXP_BASELINE_REV", ""),
    }
    pointer = PROJECT / "data.dvc"
    return replace(
        Execution.find(os.environ),
        params=yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8")),
        tags={name: value for name, value in tags.items() if value},
        data=yaml.safe_load(pointer.read_text(encoding="utf-8"))["outs"][0]["md5"] if pointer.exists() else None,
    )


def _machine() -> dict[str, str]:
    return {"machine.system": f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} CPUs"}


@contextmanager
def _checkpoint_folder(folder: Path, work: str) -> Iterator[Path]:
    """The folder of one work's checkpoints, for this process alone; removed when the block ends well.

    Two experiments at the same work at the same time would write to the same folder: the second takes its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{work}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        work = f"{work}-{os.getpid()}"
    try:
        yield folder / work
        shutil.rmtree(folder / work, ignore_errors=True)
    finally:
        lock.release()
