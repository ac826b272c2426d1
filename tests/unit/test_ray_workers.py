"""Describing on Ray's workers: the same rows as in one process, whatever dies."""

import signal
import socket
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest
from test_index_store import assert_same

from bruna.errors import BrunaError
from bruna.index.build import add_images
from bruna.index.gather import images_of
from bruna.index.header import begin
from bruna.index.store import writing
from bruna.inference.describer import load
from tiny_dataset import write_image
from tiny_models import save_tiny_models

ray = pytest.importorskip("ray", reason="Ray is not installed: bruna[ray]")


def kill_one_that_describes(killed: list[int]) -> None:
    """Of this test's own Ray: other tests may have theirs."""
    while not killed:
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):  # it may have ended
                if "ray::_describe" in " ".join(process.cmdline()):
                    process.send_signal(signal.SIGKILL)
                    killed.append(process.pid)
                    return
        time.sleep(0.002)


def test_two_workers_write_the_rows_of_one_process_though_one_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bruna.index.ray_workers import on_workers

    models = save_tiny_models(tmp_path / "artifacts")
    for number in range(24):
        write_image(tmp_path / "photos" / f"{number:03}.jpg", number)
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"no image")
    monkeypatch.setattr("bruna.index.build._BLOCK", 12)
    here = load(models, "cpu")
    object.__setattr__(here.settings, "batch_size", 4)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        there = on_workers(here, models)
        assert there.count == 2 and "networks run by torch on 2 workers of Ray" in capsys.readouterr().err
        killed: list[int] = []
        killer = threading.Thread(target=kill_one_that_describes, args=[killed], daemon=True)
        for name, people in (("one", here), ("two", there)):
            folder = tmp_path / f"{name}.index"
            header = begin(folder, here, models)
            with ExitStack() as stack, writing(folder):
                if people is there:
                    killer.start()
                added = add_images(folder, [images_of(tmp_path / "photos", stack)], people, header, thumbnails=False)
            assert added.described == 24 and list(added.left_out) == ["photos/bad.jpg"]
        assert killed
        assert_same(tmp_path / "one.index", tmp_path / "two.index")
    finally:
        ray.shutdown()


def test_an_address_where_nobody_answers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bruna.index.ray_workers import on_workers

    here = load(save_tiny_models(tmp_path / "artifacts"), "cpu")
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(BrunaError, match=rf"no Ray answers at {address} \(RAY_ADDRESS\). Start it there with"):
            on_workers(here, tmp_path / "artifacts")
