r"""Places to write to, and names.

What a command writes is checked before it works: it writes over none of its inputs, and twice into no file.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from bruna.files import whole_folder
from damage import Damage, bruna, refusal
from tiny_dataset import write_image


def _files(folder: Path) -> None:
    write_image(folder / "photo.jpg", 1, 16, 32)
    write_image(folder / "people/train/0002_c1_016620005.jpg", 1, 16, 32)


def _attributes(options: str, change: Callable[[Path], object] = lambda folder: None) -> Callable[[Path], str]:
    def run(folder: Path) -> str:
        _files(folder)
        change(folder)
        return bruna(folder, f"bruna attributes photo.jpg {options}")

    return run


def _evaluate(options: str) -> Callable[[Path], str]:
    def run(folder: Path) -> str:
        _files(folder)
        (folder / "params.yaml").touch()
        return bruna(folder, f"bruna evaluate people {options}")

    return run


def _sample(held: str, options: str) -> Callable[[Path], str]:
    def run(folder: Path) -> str:
        (folder / "data" / held).mkdir(parents=True)
        return bruna(folder, f"bruna sample {options}")

    return run


def _named(folder: Path) -> str:
    write_image(folder / os.fsdecode(b"caf\xe9.jpg"), 1, 16, 32)
    return bruna(folder, f"bruna attributes {folder}")


def _project(folder: Path) -> str:
    project = folder / os.fsdecode(b"pr\xe9")
    project.mkdir()
    return bruna(project, "bruna check")


def _ended(folder: Path) -> str:
    with mock.patch("bruna.sample.render_sample", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM)):
        return bruna(folder, "bruna sample", status=128 + signal.SIGTERM)


def _mounted(folder: Path) -> str:
    with mock.patch.object(Path, "is_mount", lambda path: path == folder):
        return refusal(whole_folder(folder).__enter__)


ROWS = [
    Damage(
        "the output is the input",
        "bruna attributes photo.jpg -o photo.jpg",
        "--output would write over photo.jpg, which this command reads",
        _attributes("-o photo.jpg"),
    ),
    Damage(
        "the output is another name of the input (a hard link)",
        "bruna attributes photo.jpg -o out.csv",
        "--output would write over photo.jpg, which this command reads",
        _attributes("-o out.csv", lambda folder: (folder / "out.csv").hardlink_to(folder / "photo.jpg")),
    ),
    Damage(
        "the output is a symbolic link",
        "bruna attributes photo.jpg -o out.csv",
        "--output: out.csv is a link. Give the place that it leads to",
        _attributes("-o out.csv", lambda folder: (folder / "out.csv").symlink_to("photo.jpg")),
    ),
    Damage(
        "two outputs are one file",
        "bruna attributes photo.jpg -o a.csv --probabilities a.csv",
        "--output and --probabilities are the same file, a.csv. Give each a file of its own",
        _attributes("-o a.csv --probabilities a.csv"),
    ),
    Damage(
        "an output lies below another",
        "bruna attributes photo.jpg -o a --rejected a/b.csv",
        "--rejected: a/b.csv lies below a, the file of --output",
        _attributes("-o a --rejected a/b.csv"),
    ),
    Damage("the output is a folder", "bruna attributes photo.jpg -o .", "or ., is a folder", _attributes("-o .")),
    Damage("the output is empty", "bruna attributes photo.jpg -o ''", "or ., is a folder", _attributes("-o ''")),
    Damage(
        "the output is a device",
        "bruna attributes photo.jpg -o /dev/null",
        "--output: /dev/null is no file",
        _attributes("-o /dev/null"),
    ),
    Damage(
        "the output cannot be written",
        "bruna attributes photo.jpg -o /proc/out.csv",
        "could not write /proc/out.csv",
        _attributes("-o /proc/out.csv"),
    ),
    Damage(
        "the output lies below a file",
        "bruna attributes photo.jpg -o photo.jpg/out.csv",
        "Not a directory. Choose a place that can be written, then run the same command again; nothing was done yet",
        _attributes("-o photo.jpg/out.csv"),
    ),
    Damage(
        "the output is an image of the data set",
        "bruna evaluate people --json people/train/0002_c1_016620005.jpg",
        "--json would write over people/train/0002_c1_016620005.jpg, which this command reads",
        _evaluate("--json people/train/0002_c1_016620005.jpg"),
    ),
    Damage(
        "the output is the settings",
        "bruna evaluate people --html params.yaml",
        "--html would write over params.yaml, which this command reads",
        _evaluate("--html params.yaml"),
    ),
    Damage(
        "a data set is there",
        "bruna sample",
        "data holds a data set, which rendering would replace",
        _sample("train", ""),
    ),
    Damage(
        "a part of a data set is there, as of an import of masks alone",
        "bruna sample --if-missing",
        "data holds masks and no train/: a part of a data set, which rendering would replace",
        _sample("masks", "--if-missing"),
    ),
    Damage(
        "the folder to write holds something else",
        "bruna sample --replace",
        "data holds thesis, which is no part of a data set",
        _sample("thesis", "--replace"),
    ),
    Damage(
        "the folder to write is a mount point",
        "bruna import people.zip --to /mnt/people",
        "is a mount point, which cannot be replaced as a whole. Choose a folder inside it",
        _mounted,
    ),
    Damage(
        "the name of an image is not UTF-8",
        "bruna attributes photos",
        r"caf\xe9.jpg",
        _named,
    ),
    Damage(
        "the name of the project's folder is not UTF-8",
        "bruna check",
        r"pr\xe9, is not UTF-8, and DVC cannot work in it: rename it",
        _project,
    ),
    Damage(
        "the command is asked to end while it works",
        "kill PID (SIGTERM; `bruna sample` for one)",
        "Ended by SIGTERM. No file is half written",
        _ended,
    ),
]
