"""Files are whole or absent, and what a killed process left is cleared away."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bruna.errors import BrunaError
from bruna.files import IGNORED, fingerprint, remove_unfinished, whole_file, whole_folder


def test_an_interrupted_write_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    target.write_text("before")
    with pytest.raises(KeyboardInterrupt), whole_file(target) as beside:
        beside.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "before"
    with pytest.raises(BrunaError, match="could not write"), whole_folder(tmp_path / "f") as folder:
        (folder / "missing" / "x").write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_what_a_killed_process_left_does_not_count_and_is_removed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.bin").write_bytes(b"weights")
    before = fingerprint(tmp_path / "out")
    program = (
        "import os, sys; from pathlib import Path; from bruna.files import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as beside: beside.write_text('half'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "out" / "curves.png")], check=False)
    living = tmp_path / "out" / f".other.json.{os.getpid()}.part"
    living.write_text("being written")
    assert len(list((tmp_path / "out").iterdir())) == 3
    assert fingerprint(tmp_path / "out") == before
    remove_unfinished(tmp_path)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [living.name, "model.bin"]


def test_fingerprints_are_those_of_dvc(tmp_path: Path) -> None:
    """The constants are what `dvc add` wrote for this folder and this file."""
    folder = tmp_path / "data"
    (folder / "b").mkdir(parents=True)
    (folder / "a.txt").write_text("one")
    (folder / "b" / "é.txt").write_text("two")
    expected = "94e575b20d128dd2320f6bea9cb4b227.dir"
    assert fingerprint(folder) == expected
    assert fingerprint(folder / "a.txt") == "f97c5d29941bfb1b2fdab0874906ab82"
    (folder / "b" / ".DS_Store").write_text("a trace of a file browser")
    assert fingerprint(folder) == expected
    listed = (Path(__file__).parents[2] / ".dvcignore").read_text(encoding="utf-8").splitlines()
    assert {line.rstrip("/") for line in listed if not line.startswith("#")} == set(IGNORED)
