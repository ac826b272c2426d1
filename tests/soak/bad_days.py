"""Bad days: disks that are full, read-only or elsewhere, a locked store, no network, no home, two at once.

    python tests/soak/bad_days.py [--only WORDS] [--keep]

In a temporary copy of the project, on a disk of its own, `dvc repro` runs everything once on a tiny rendered data
set. Then each bad day is staged, a stage or a command is run, and the day is ended. This must hold:

* what is said has the words of the table below and no traceback, and the status is that of a message (1), or 0 where
  the day does no harm;
* the same command, run again after the day has ended, ends with the outputs that there were before, byte for byte.

Disks need a mount namespace of their own (`unshare`); where the system allows none, those days are left out, and
said to be. Expect ten minutes on two cores. Exit status: 0 if everything held, 1 if anything did not; what, is
printed.
"""

import argparse
import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import yaml

from bruna.files import fingerprint
from bruna.progress import table
from bruna.sample import render_sample
from bruna.tracking.execution import terminable
from project_copy import STAGES, TINY, Project, temporary_folder

INSIDE = "BRUNA_BAD_DAYS"
"""Set where this script runs in a mount namespace of its own."""
SHORT: Mapping[str, dict[str, object]] = {
    "train_unet": {**TINY["train_unet"], "epochs": 1},
    "train_attributes": {**TINY["train_attributes"], "network": "mobilenet_v3_small"},
    "train_bruna": {**TINY["train_bruna"], "epochs": 1},
}
FULL = "No space left on device|[Dd]isk is full|Free some space"
LOCKED = 12.0
"""Seconds for which another program has the store."""


@dataclass(frozen=True)
class Day:
    """One bad day.

    Attributes:
        what: is wrong.
        command: that meets it.
        says: what must be said, a regular expression; empty where nothing need be.
        staged: the day, in a context.
        succeeds: whether the command must; None where it depends, and only a failure has to say something.
        environment: variables to set, or to remove (None).
        prefix: of the command.
    """

    what: str
    command: tuple[str, ...]
    says: str
    staged: Callable[[], AbstractContextManager[object]]
    succeeds: bool | None = False
    environment: Mapping[str, str | None] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()


def mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """Have a file or a folder be on a disk that is mounted read-only."""
    mount("--bind", path, path)
    try:
        mount("-o", "remount,bind,ro", path)
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[None]:
    """Have an empty disk at a folder, which is made."""
    path.mkdir(parents=True, exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", path)
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


@contextmanager
def full(disk: Path, leave: int) -> Iterator[None]:
    """Fill a disk but for so many bytes."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(65536))
    os.truncate(filler, max(0, filler.stat().st_size - leave))
    try:
        yield
    finally:
        filler.unlink()


def begins(project: Project, stage: str) -> Callable[[], None]:
    """What waits until a stage is started once more, that is for the lock of its checkpoints."""
    folder = project.folder / ".checkpoints" / stage
    for lock in folder.glob("*.lock"):
        lock.unlink()

    def wait() -> None:
        while not list(folder.glob("*.lock")):
            time.sleep(0.1)

    return wait


@contextmanager
def locked(project: Project, stage: str, seconds: float) -> Iterator[None]:
    """Have another program write to the store, as a browser of databases does, until a stage has waited for so long."""
    other = sqlite3.connect(project.folder / "mlflow.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    wait = begins(project, stage)

    def release() -> None:
        wait()
        time.sleep(seconds)
        other.close()

    thread = threading.Thread(target=release)
    thread.start()
    yield
    thread.join()


@contextmanager
def another(project: Project) -> Iterator[None]:
    """Have a `dvc repro` under way."""
    wait = begins(project, "train_unet")
    with subprocess.Popen(
        ["dvc", "repro", "--force", "--single-item", "train_unet"],
        cwd=project.folder,
        env=project.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        wait()
        yield
        assert process.wait() == 0


@contextmanager
def aside(path: Path, put: Callable[[Path], object]) -> Iterator[None]:
    """Have something else in the place of a file or folder."""
    kept = path.with_name(f"{path.name} aside")
    path.rename(kept)
    put(path)
    try:
        yield
    finally:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        kept.rename(path)


@contextmanager
def setting(project: Project, group: str, name: str, value: object) -> Iterator[None]:
    """Have another value in params.yaml."""
    file = project.folder / "params.yaml"
    before = file.read_text()
    params = yaml.safe_load(before)
    params[group][name] = value
    file.write_text(yaml.safe_dump(params, sort_keys=False))
    try:
        yield
    finally:
        file.write_text(before)


def script(stage: str) -> tuple[str, ...]:
    return (sys.executable, f"stages/{stage}.py")


class Soak:
    """The project, what its stages make on a good day, and what became of the bad ones."""

    def __init__(self, project: Project) -> None:
        self.project = project
        stages = yaml.safe_load((project.folder / "dvc.yaml").read_text())["stages"]
        self.outputs = {name: [*_paths(stages[name])] for name in STAGES}
        self.good = self._made()
        self.rows: list[tuple[str, str, str, str]] = []
        self.problems: list[str] = []

    def _made(self) -> dict[str, str]:
        paths = [path for outputs in self.outputs.values() for path in outputs]
        return {
            path: fingerprint(self.project.folder / path) for path in paths if (self.project.folder / path).exists()
        }

    def written_by(self, stage: str) -> int:
        """Bytes of what a stage leaves."""
        folders = [self.project.folder / path for path in self.outputs[stage]]
        files = [file for folder in folders for file in (folder.rglob("*") if folder.is_dir() else [folder])]
        return sum(file.stat().st_size for file in files if file.is_file())

    def live(self, day: Day) -> None:
        """Stage a day, run its command, end it, run the command again, and note what was said and whether it held."""
        name = " ".join(word for word in day.command if word != sys.executable)
        if day.command[0] == sys.executable:  # as DVC does before it starts a stage
            self._remove(Path(day.command[-1]).stem)
        with day.staged():
            status, said = self._run(day)
        again, later = self._run(Day(day.what, day.command, "", nullcontext))
        problems = []
        words = " ".join(said.split())
        if "Traceback" in said or (day.says and not re.search(day.says, words) and (status or day.succeeds)):
            problems.append(f"does not say {day.says!r}, or with a traceback:\n{said}")
        if day.succeeds is not None and day.succeeds != (status == 0):
            problems.append(f"ended with {status}:\n{said}")
        if again:
            problems.append(f"failed when the day was over:\n{later}")
        made = self._made()
        problems += [f"{path} differs" for path in self.good if made.get(path) != self.good[path]]
        self.problems += [f"{day.what}, {name}: {problem}" for problem in problems]
        shown = _told(said) if status or (day.succeeds and day.says) else "(it went through)"
        self.rows.append((day.what, name, shown, "no" if problems else "yes"))
        print(f"{day.what}: {name} ended with {status}, then {again}{', WRONG' if problems else ''}", flush=True)

    def _remove(self, stage: str) -> None:
        for path in self.outputs[stage]:
            place = self.project.folder / path
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)

    def _run(self, day: Day) -> tuple[int, str]:
        environment = {**self.project.environment(), "DVC_ROOT": str(self.project.folder), **day.environment}
        if day.command[0] == "dvc":
            del environment["DVC_ROOT"]
        done = subprocess.run(
            [*day.prefix, *day.command],
            cwd=self.project.folder,
            env={name: value for name, value in environment.items() if value is not None},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout


def _paths(stage: Mapping[str, list[object]]) -> Iterator[str]:
    for key in ("outs", "metrics", "plots"):
        for entry in stage.get(key, []):
            yield entry if isinstance(entry, str) else str(next(iter(entry)))  # type: ignore[call-overload]


def _told(said: str) -> str:
    """The part of what was said that is for the user: from the first `error:` on, or a line that waits."""
    lines = [line for line in said.splitlines() if line.strip()]
    first = next((i for i, line in enumerate(lines) if re.match("error:|ERROR:|.*waiting for it", line)), -1)
    text = " ".join(lines[first : first + 3] if lines else [])
    return text if len(text) < 300 else f"{text[:297]}..."


def days(soak: Soak, scratch: Path) -> Iterator[Day]:
    """All bad days; those of disks only where they can be staged."""
    project, root = soak.project, soak.project.folder
    database = root / "mlflow.db"
    yield Day(
        "another program has the store",
        script("train_unet"),
        "is locked by another program",
        lambda: locked(project, "train_unet", LOCKED),
        succeeds=True,
    )
    yield Day("`mlflow.db` is a folder", script("split"), "is not a file", lambda: aside(database, Path.mkdir))
    yield Day(
        "`mlartifacts` is a file", script("split"), "is not a folder", lambda: aside(root / "mlartifacts", Path.touch)
    )
    yield Day(
        "`.checkpoints` is a file",
        script("split"),
        "Something else is in its place",
        lambda: aside(root / ".checkpoints", Path.touch),
    )
    for variable in ("HOME", "TMPDIR"):
        nowhere = {variable: str(scratch / "nowhere")}
        yield Day(f"{variable} is no folder", script("report"), "", nullcontext, True, nowhere)
    yield Day("no HOME", script("report"), "", nullcontext, True, {"HOME": None})
    again = ("dvc", "repro", "--force", "--single-item", "train_unet")
    yield Day("two `dvc repro` at once", again, "is busy|Unable to acquire lock", lambda: another(project))
    if INSIDE not in os.environ:
        return
    yield Day(
        "no network, `pretrained: imagenet`",
        script("train_attributes"),
        "could not be fetched",
        lambda: setting(project, "train_attributes", "pretrained", "imagenet"),
        False,
        {"TORCH_HOME": str(scratch / "torch")},
        ("unshare", "--net"),
    )
    yield Day("a full disk, 0 bytes left", script("train_unet"), FULL, lambda: full(root, 0))
    for stage in STAGES:
        half = soak.written_by(stage) // 2
        yield Day(f"a full disk, {half:,} bytes left", script(stage), FULL, lambda half=half: full(root, half), None)
    yield Day("a full disk, 200,000 bytes left", ("dvc", "repro", "--force"), FULL, lambda: full(root, 200_000))
    for size in ("8k", "64k"):
        folder = scratch / f"tmp-{size}"
        yield Day(
            f"TMPDIR on a disk of {size}",
            script("report"),
            FULL,
            lambda folder=folder, size=size: small_disk(folder, size),
            None,
            {"TMPDIR": str(folder)},
        )
    yield Day(
        "artifacts/ is read-only", script("split"), "Read-only file system", lambda: read_only(root / "artifacts")
    )
    yield Day("`mlflow.db` is read-only", script("split"), "cannot be used", lambda: read_only(database))
    yield Day(
        "`mlartifacts` is read-only", script("split"), "cannot be written", lambda: read_only(root / "mlartifacts")
    )
    yield Day(
        "DVC's cache is read-only",
        ("dvc", "repro", "--force", "--single-item", "split"),
        "Read-only file system",
        lambda: read_only(root / ".dvc" / "cache"),
    )
    yield Day(
        "`--to` is a mount point",
        ("bruna", "sample", "--to", str(scratch / "disk")),
        "is a mount point",
        lambda: small_disk(scratch / "disk", "9m"),
    )


def prepared(folder: Path) -> Soak:
    """A copy of the project, on a disk of its own if it can have one, in which everything has run once."""
    if INSIDE in os.environ:
        mount("-t", "tmpfs", "-o", "size=1500m", "tmpfs", folder)
    project = Project(folder, {**TINY, **SHORT})
    render_sample(folder / "data", identities=16, images_per_identity=4, test_identities=3, mask_pairs=12)
    project.run("dvc", "add", "--quiet", "data")
    print("the good day: `dvc repro`", flush=True)
    project.run("dvc", "repro")
    project.commit()
    return Soak(project)


def main() -> None:
    """Stage one day after the other, then report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only the days whose name has this regular expression in it")
    parser.add_argument(
        "--keep", action="store_true", help="keep the copy of the project, where it has no disk of its own"
    )
    arguments = parser.parse_args()
    alone = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if (
        INSIDE not in os.environ
        and subprocess.run([*alone, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False).returncode == 0
    ):
        os.execvpe("unshare", [*alone, sys.executable, *sys.argv], {**os.environ, INSIDE: "1"})
    with terminable(), temporary_folder("bad-days", keep=arguments.keep) as folder:
        for name in ("project", "scratch"):
            (folder / name).mkdir()
        try:
            soak = prepared(folder / "project")
            for day in days(soak, folder / "scratch"):
                if re.search(arguments.only, day.what):
                    soak.live(day)
        finally:
            subprocess.run(["umount", "--quiet", "--lazy", str(folder / "project")], check=False)
    table("Bad days", ("what was staged", "what met it", "what it said", "held"), soak.rows)
    for problem in soak.problems:
        print(problem)
    if INSIDE not in os.environ:
        print("This system allows no mount namespace: the days of disks and of the network were left out.")
    sys.exit(bool(soak.problems))


if __name__ == "__main__":
    main()
