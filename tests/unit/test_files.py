"""Files are whole or absent, and what a killed process left is cleared away."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bruna.errors import BrunaError
from bruna.files import (
    IGNORED,
    _machine,
    files_below,
    fingerprint,
    remove_unfinished,
    restore,
    whole_file,
    whole_folder,
)

_CALLS = ("listdir", "lstat", "mkdir", "open", "replace", "rename", "rmdir", "scandir", "unlink")
"""Whatever of `os` the module and shutil.rmtree call."""


@contextmanager
def _struck(at: int, strike: Callable[[], None], *, after: bool, again: bool = False) -> Iterator[list[str]]:
    """Strike before or after the call of that number of `os`, or from it on; yields the names of the calls made."""
    made: list[str] = []

    def struck(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            made.append(name)
            hit = len(made) > at if again else len(made) == at + 1
            if hit and not after:
                strike()
            result = call(*arguments, **named)
            if hit and after:
                if name == "open":
                    os.close(result)
                strike()
            return result

        return run

    with pytest.MonkeyPatch.context() as patch:
        for name in _CALLS:
            patch.setattr(os, name, struck(name, getattr(os, name)))
        yield made


def _interrupt() -> None:
    raise KeyboardInterrupt


def _tree(path: Path) -> dict[str, str] | None:
    """Names and texts of a folder, or the text of a file under an empty name; None where nothing is."""
    if path.is_file():
        return {"": path.read_text()}
    return {str(x.relative_to(path)): x.read_text() for x in path.rglob("*") if x.is_file()} if path.is_dir() else None


_OLD, _NEW = (dict.fromkeys(("a", "deep/b", "deep/c"), age) for age in ("old", "new"))


def _fill(folder: Path, age: str) -> None:
    (folder / "deep").mkdir(parents=True)
    for name in _OLD:
        (folder / name).write_text(age)


def _write_folder(path: Path) -> None:
    with whole_folder(path) as beside:
        _fill(beside, "new")


def _write_file(path: Path) -> None:
    with whole_file(path) as beside:
        beside.write_text("new")


_KINDS: dict[str, tuple[Callable[[Path], None], dict[str, str], dict[str, str]]] = {
    "folder": (_write_folder, _OLD, _NEW),
    "file": (_write_file, {"": "old"}, {"": "new"}),
}


def _start(kind: str, path: Path) -> None:
    """The old content at `path`, nothing beside it."""
    shutil.rmtree(path.parent, ignore_errors=True)
    path.parent.mkdir()
    if kind == "folder":
        _fill(path, "old")
    else:
        path.write_text("old")


def _whole_again(path: Path, kind: str) -> dict[str, str] | None:
    """What is at `path` after another process has begun to write it, and failed; nothing may be left beside it."""
    write = {"folder": whole_folder, "file": whole_file}[kind]
    with pytest.raises(RuntimeError), write(path):
        raise RuntimeError
    assert list(path.parent.iterdir()) == [path]
    return _tree(path)


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("after", [False, True])
def test_an_interruption_at_any_call_leaves_the_old_or_the_new(tmp_path: Path, kind: str, after: bool) -> None:
    write, old, new = _KINDS[kind]
    path = tmp_path / "there" / "thing"
    found = []
    for again in (False, True):  # pressed once; pressed until it ends
        at = 0
        while True:
            _start(kind, path)
            with suppress(KeyboardInterrupt), _struck(at, _interrupt, after=after, again=again) as made:
                write(path)
            if len(made) <= at:  # one call further than it makes
                break
            if not again:
                assert _tree(path) in (old, new), made
            restore(path)
            assert _tree(path) in (old, new), made
            assert list(path.parent.iterdir()) == [path], made
            found.append(_tree(path))
            at += 1
    assert old in found and new in found


def test_what_is_half_removed_is_never_put_back(tmp_path: Path) -> None:
    """DVC removes an output before it runs a stage: what is beside it then is whole or nothing."""
    path, at = tmp_path / "there" / "thing", 0
    while True:
        _start("folder", path)
        with suppress(KeyboardInterrupt), _struck(at, _interrupt, after=True) as made:
            _write_folder(path)
        if len(made) <= at:  # one call further than it makes
            break
        shutil.rmtree(path)
        restore(path)
        assert _tree(path) in (None, _OLD), made
        at += 1
    assert at > 10


def _killed(kind: str, at: int, after: bool, path: Path) -> bool:
    """Kill a child of this process at a call; False where it made fewer."""
    child = os.fork()
    if not child:
        try:
            with _struck(at, lambda: os.kill(os.getpid(), signal.SIGKILL), after=after):
                _KINDS[kind][0](path)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def kill_everywhere(folder: Path) -> None:
    """For a process without threads, which may fork: kill at each call, and let another process write there."""
    for kind, (_, old, new) in _KINDS.items():
        found = []
        for after in (False, True):
            at, path = 0, folder / "there" / "thing"
            while _start(kind, path) or _killed(kind, at, after, path):
                missing = _tree(path) is None
                found.append(_whole_again(path, kind))
                assert found[-1] in (old, new), (kind, at, after)
                print(kind, at, after, "restored" if missing else "whole")
                at += 1
        assert old in found and new in found


def test_a_kill_at_any_call_leaves_what_the_next_process_restores(tmp_path: Path) -> None:
    program = "import sys; from pathlib import Path; from test_files import kill_everywhere as k; k(Path(sys.argv[1]))"
    command = [sys.executable, "-c", program, str(tmp_path)]
    ended = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    # Between the two renames nothing is at the place.
    assert {line.split()[0] for line in ended.stdout.splitlines() if line.endswith("restored")} == {"folder"}


def test_a_folder_that_was_moved_aside_comes_back_unless_its_process_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / f".thing.{os.getppid()}@{_machine()}.old"
    _fill(left, "old")
    dated = tmp_path / ".thing.20250131.old"  # somebody's own
    dated.mkdir()
    restore(tmp_path / "thing")
    remove_unfinished(tmp_path)
    assert left.exists() and not (tmp_path / "thing").exists()
    # The same number, of a process that has started since.
    younger = SimpleNamespace(status=lambda: "running", create_time=lambda: time.time() + 3600)
    monkeypatch.setattr("bruna.files.psutil.Process", lambda pid: younger)
    remove_unfinished(tmp_path)
    assert _tree(tmp_path / "thing") == _OLD and not left.exists() and dated.exists()


@pytest.mark.parametrize(("ending", "hours"), [("old", 1), ("part", 25)])
def test_what_another_container_writes_is_left_alone_until_it_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, hours: int
) -> None:
    """Both count their processes from 1: nobody can see from here whether that one lives."""
    theirs = tmp_path / f".thing.{os.getpid()}@000000.{ending}"
    _fill(theirs, "old")
    remove_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [theirs.name]
    later = time.time() + hours * 3600
    monkeypatch.setattr("bruna.files.time.time", lambda: later)
    remove_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == (["thing"] if ending == "old" else [])


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


def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path: Path) -> None:
    _fill(tmp_path / "elsewhere", "old")
    (tmp_path / "thing").symlink_to("elsewhere")
    _write_folder(tmp_path / "thing")
    assert (_tree(tmp_path / "thing"), _tree(tmp_path / "elsewhere")) == (_NEW, _OLD)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "thing"]


def test_what_a_killed_process_left_does_not_count_and_is_removed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "model.bin").write_bytes(b"weights")
    before = fingerprint(tmp_path / "out")
    program = (
        "import os, sys; from pathlib import Path; from bruna.files import whole_file\n"
        "with whole_file(Path(sys.argv[1])) as beside: beside.write_text('half'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "out" / "curves.png")], check=False)
    living = tmp_path / "out" / f".other.json.{os.getppid()}@{_machine()}.part"
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


def test_no_file_below_a_folder_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to("..")
    monkeypatch.chdir(tmp_path)
    for _ in range(1_100):  # more than Python lets functions call each other
        Path("a").mkdir()
        os.chdir("a")
    Path("deep.jpg").touch()
    found = list(files_below(tmp_path))
    os.chdir(tmp_path)
    subprocess.run(["rm", "-r", "a"], check=True)  # pytest would stumble over it
    assert found == [tmp_path / "link", tmp_path.joinpath(*["a"] * 1_100, "deep.jpg")]

    def denied(folder: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(BrunaError, match="cannot be read: Permission denied"):
        list(files_below(tmp_path))
