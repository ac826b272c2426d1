"""Files are whole or absent, and what a killed process left is cleared away."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bruna.errors import BrunaError
from bruna.files import fingerprint, remove_unfinished, whole_file, whole_folder


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
