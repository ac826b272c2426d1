"""`bruna import`, `sample` and `preset`: what comes before the pipeline."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import get_type_hints

import pytest

from bruna.cli.main import app
from bruna.cli.shared import check_outputs
from bruna.dataset.course import ANNOTATION_COLUMNS
from bruna.errors import BrunaError
from bruna.files import _machine, write_json
from tiny_dataset import write_image


def test_import_prints_counts_and_the_next_commands(top_folder, bruna):
    with zipfile.ZipFile(top_folder / "course.zip", "w") as archive:
        for number, name in enumerate(("0002_c1", "0002_c2", "0007_c1", "0007_c2")):
            write_image(top_folder / f"{number}.jpg", number)
            archive.write(top_folder / f"{number}.jpg", f"train/{name}_016620005.jpg")
        archive.writestr("test/000001.jpg", b"no image")
        archive.writestr("extras/notes.txt", b"z")
        archive.writestr(
            "annotations_train.csv",
            "\n".join(
                [
                    ",".join(ANNOTATION_COLUMNS),
                    *(f"{identity},2,1,2,1,2,1,1,1,1,2,2,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2" for identity in (2, 7)),
                ]
            ),
        )
    status, out, err = bruna("import", "course.zip")
    assert status == 0, err
    assert (top_folder / "data/train/0002_c2_016620005.jpg").read_bytes() == (top_folder / "1.jpg").read_bytes()
    assert re.search(r"train +4 +2 +2 +2", out)
    assert "extras/ (1)" in out
    assert "dvc add data" in out
    assert "dvc repro" in out
    assert "import into data: 7 files" in err
    assert re.search(r"warning: 1 file cannot be used.*\n  test/000001.jpg: ", err)
    status, out, _ = bruna("import", "course.zip")
    assert (status, "data holds the same already" in out) == (0, True)
    status, out, _ = bruna("import", "course.zip", "--to", "other")
    assert "bruna evaluate other" in out


def test_preset_lists_shows_and_writes(top_folder, bruna):
    before = Path("params.yaml").read_text()
    status, out, _ = bruna("preset")
    assert status == 0
    assert re.search(r"paper +The settings that section 3", out)
    status, out, _ = bruna("preset", "paper", "--diff")
    assert re.search(r"train_unet\.width +8 +64", out)
    assert Path("params.yaml").read_text() == before
    assert bruna("preset", "paper")[0] == 0
    assert Path("params.yaml").read_text() != before
    assert "already" in bruna("preset", "paper")[1]
    assert bruna("preset", "sample")[0] == 0
    assert Path("params.yaml").read_text() == before


def test_sample_never_replaces_a_data_set_unasked(top_folder, bruna):
    kept = top_folder / "data" / "train" / "0002_c1_016620005.jpg"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"mine")
    status, _, err = bruna("sample")
    assert status == 1
    assert "--replace" in err
    status, out, _ = bruna("sample", "--if-missing")
    assert status == 0
    assert "nothing was rendered" in out
    assert kept.read_bytes() == b"mine"


@pytest.mark.parametrize("held", ["masks/images/0001.jpg", "query/0002_c1_016620005.jpg", "annotations_train.csv"])
def test_sample_never_replaces_a_part_of_a_data_set_unasked(top_folder, bruna, held):
    kept = top_folder / "data" / held
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"mine")
    for options in ((), ("--if-missing",)):
        status, out, err = bruna("sample", *options)
        assert (status, out) == (1, "")
        assert f"data holds {Path(held).parts[0]} and no train/" in err
        assert "--replace" in err
        assert kept.read_bytes() == b"mine"


@pytest.fixture
def dead() -> str:
    """The number of a process that has ended, as it stands in the names of what it wrote."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return f"{process.pid}@{_machine()}"


def test_every_command_finds_a_data_set_that_a_killed_one_had_moved_aside(top_folder, bruna, dead):
    """And the trained models: what is in their place is looked at only then."""
    write_image(top_folder / "photo.jpg", 1)
    for *command, folder in (
        ("sample", "--if-missing", "data"),
        ("check", "data"),
        ("import", "photos", "data"),
        ("evaluate", "other", "other"),
        ("evaluate", "photos", "artifacts/bruna"),
        ("attributes", "photo.jpg", "artifacts/attributes"),
    ):
        (top_folder / "photos").mkdir(exist_ok=True)
        place = top_folder / folder
        write_image(place.with_name(f".{place.name}.{dead}.old") / "kept.jpg", 1)
        write_image(place.with_name(f".{place.name}.{dead}.part") / "half.jpg", 1)
        (place.with_name(f".{place.name}.{dead}.old") / "train").mkdir()
        bruna(*command)
        assert sorted(path.name for path in place.iterdir()) == ["kept.jpg", "train"], command
        assert not list(top_folder.rglob(f"*.{dead}.*"))
        shutil.rmtree(place)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_asked_to_end_leaves_nothing(tmp_path, ending):
    command = [sys.executable, "-c", "from bruna.cli.main import main; main()", "sample", "--to", "people"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until = time.monotonic() + 60
    while not list(tmp_path.glob(".people.*.part/train/*")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(ending)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + ending
    assert b"Traceback" not in err and (b"Ended by SIGTERM" in err) == (ending == signal.SIGTERM)
    assert not list(tmp_path.iterdir())


OUTPUTS = {
    "--output": ("attributes", "photo.jpg"),
    "--probabilities": ("attributes", "photo.jpg"),
    "--rejected": ("attributes", "photo.jpg"),
    "--json": ("evaluate", "other"),
    "--html": ("evaluate", "other"),
    "--sheet": ("import", "other"),
    "--csv": ("search", "photo.jpg"),
}
"""Every option that names a file to write, and a command with it."""


def test_the_options_that_name_a_file_to_write_are_those_below():
    """A new one is checked as these are: `check_outputs`."""
    paths = {
        name
        for command in app.registered_commands
        for name, hint in get_type_hints(command.callback).items()
        if "Path" in str(hint)
    }
    folders_and_inputs = {"images", "sources", "folder", "models", "masks", "to", "photos", "index", "gallery"}
    outputs = {"output", "probabilities", "rejected", "json_file", "page", "sheet", "csv_file"}
    assert paths - folders_and_inputs == outputs


@pytest.mark.parametrize("option", OUTPUTS)
def test_a_file_of_another_kind_is_not_written_over(tmp_path, option):
    own = {
        "--json": '{"images": 1}',
        "--html": "\ufeff<!DOCTYPE html>\n<title>x</title>",
        "--rejected": "path,reason\n",
        "--sheet": "\x89PNG\r\n",
        "--csv": "query,rank\n",
    }
    file = tmp_path / "there"
    for text, kept in (
        ("train_unet:\n  lr: 1\n", True),
        ("identity,hat\n1,no\n", True),
        ("# <!doctype html>, id,", True),
        ("", False),
        (own.get(option, "id,hat\n"), False),
    ):
        file.write_text(text, encoding="latin-1" if "PNG" in text else "utf-8")
        if not kept:
            check_outputs({option: file}, [])
            continue
        with pytest.raises(BrunaError, match=f"{option}: .*there is there and is no .*: it would be lost"):
            check_outputs({option: file}, [])
    check_outputs({option: tmp_path / "new"}, [])


def test_what_a_command_has_written_it_writes_over(top_folder, bruna):
    (top_folder / "dvc.yaml").write_text("stages: {}\n")
    write_image(top_folder / "other" / "train" / "0002_c1_016620005.jpg", 2)
    status, _, err = bruna("evaluate", "other", "--html", "dvc.yaml")
    assert status == 1 and "--html: dvc.yaml is there and is no HTML page: it would be lost. Give another" in err
    assert (top_folder / "dvc.yaml").read_text() == "stages: {}\n"


@pytest.mark.parametrize("option", OUTPUTS)
def test_an_output_is_refused_before_the_work(top_folder, bruna, monkeypatch, option):
    """No input is written over, nothing is written that could not be, and no two outputs are the same file."""

    def work(*_, **__):
        raise AssertionError("it has begun to work")

    monkeypatch.setattr("bruna.inference.describer.load", work)
    monkeypatch.setattr("bruna.evaluation.folder.evaluate_folder", work)
    monkeypatch.setattr("bruna.dataset.importers.import_dataset", work)
    write_image(top_folder / "photo.jpg", 1)
    write_image(top_folder / "other" / "train" / "0002_c1_016620005.jpg", 2)
    write_json({}, top_folder / "artifacts" / "bruna" / "settings.json")
    command = OUTPUTS[option]
    read = top_folder / (command[1] if command[0] in ("attributes", "search") else "other/train/0002_c1_016620005.jpg")
    (top_folder / "hard.csv").hardlink_to(read)
    (top_folder / "soft.csv").symlink_to(read)
    os.mkfifo(top_folder / "pipe.csv")
    another = next((each for each, its in OUTPUTS.items() if its == command and each != option), None)
    reads_settings = command[0] != "import"
    before = {path: path.lstat() for path in top_folder.rglob("*")}
    for place, message in (
        (".", "is a folder"),
        ("", "is a folder"),
        ("/", "is a folder"),
        ("other", "is a folder"),
        ("pipe.csv", "is no file"),
        ("/dev/null", "is no file"),
        ("/dev/stdout", "is a link"),
        ("soft.csv", "is a link"),
        ("/proc/out.csv", "could not write /proc/out.csv"),
        ("params.yaml/out.csv", "could not write"),
        ("x" * 300, "File name too long"),
        (str(read), f"{option} would write over"),
        (f"other/../{read.relative_to(top_folder)}", "would write over"),
        ("hard.csv", f"{option} would write over {read.relative_to(top_folder)}"),
        ("params.yaml", "would write over params.yaml" if reads_settings else "is no PNG image"),
        (
            "artifacts/bruna/settings.json",
            "would write over artifacts/bruna/settings.json" if reads_settings else "is no PNG image",
        ),
    ):
        status, out, err = bruna(*command, option, place)
        assert (status, out) == (1, ""), place
        assert message in err and "Traceback" not in err, place
    for one, two in (("new/a", "new/a"), ("new/a", "new/b/../a"), ("new/a", "new/a/b"), ("hard.csv", "hard.csv")):
        if another is None:
            break
        status, _, err = bruna(*command, option, one, another, two)
        assert status == 1 and ("are the same file" in err or "lies below" in err), (one, two)
    after = {path: path.lstat() for path in top_folder.rglob("*")}
    assert {path: (s.st_ino, s.st_size) for path, s in before.items()} == {
        path: (s.st_ino, s.st_size) for path, s in after.items()
    }


def test_names_that_are_not_utf8_never_break_a_message(top_folder, bruna):
    name = os.fsdecode(b"n\xf6")
    (top_folder / name).mkdir()
    (top_folder / name / "a.txt").touch()
    for *words, said in (
        ("import", f"{name}.zip", "does not exist"),
        ("import", name, "--to", f"{name}2", "is no data set"),
        ("sample", "--to", name, "holds a.txt"),
        ("evaluate", f"{name}2", "is not a folder"),
        ("attributes", name, "no image in"),
        ("index", f"{name}2", "does not exist"),
        ("search", "params.yaml", "--index", name, "is no index"),
        ("attributes", f"{name}2", "does not exist"),
        ("attributes", "params.yaml", "--models", name, "is missing"),
        ("attributes", "params.yaml", "-o", name, "is a folder"),
        ("preset", name, "there is no preset"),
    ):
        status, _, err = bruna(*words)
        last = err.splitlines()[-1]
        assert status == 1 and last.startswith("error: ") and said in last, words
        assert r"n\xf6" in last or r"n\udcf6" in last, words


def test_a_terminal_without_utf8_gets_every_message(top_folder):
    """The encoding is ASCII, and what it lacks is written as escapes; a table has lines, which it lacks too."""
    command = [sys.executable, "-c", "from bruna.cli.main import main; main()", "preset"]
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for name, status in ((None, 0), (b"n\xf6", 1), ("ж".encode(), 1)):
        ended = subprocess.run([*command, *([name] if name else [])], cwd=top_folder, env=environment,
                               capture_output=True, check=False)  # fmt: skip
        said = (ended.stdout + ended.stderr).decode("ascii")
        assert ended.returncode == status and "Traceback" not in said, said


def test_sample_says_what_comes_next_unless_a_script_asks(top_folder, bruna, monkeypatch):
    import bruna.sample as package

    monkeypatch.setattr(package, "render_sample", lambda to, **_: to.mkdir())
    assert "Next: `dvc add data`" in bruna("sample")[1]
    Path("data").rmdir()
    status, out, _ = bruna("sample", "--if-missing")
    assert status == 0
    assert "Next" not in out
