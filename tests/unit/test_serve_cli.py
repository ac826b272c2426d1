"""`bruna serve`: its address, what it refuses before anything is loaded, and its end."""

import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
import torch

from bruna.inference.describer import Describer
from bruna.serve.server import address_of, is_loopback, listen, open_live
from conftest import Run
from served import Site, free_port, make_index, tiny_models
from tiny_dataset import write_image

ENGINE = "networks run by torch\n"
"""What stderr says of tiny networks, which have no graphs."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("made")
    write_image(top / "photos" / "a.jpg", 1)
    make_index(top / "people.index", tiny_models(top / "artifacts"), top / "photos")
    return top


@pytest.fixture
def project(top_folder: Path, made: Path) -> Path:
    for name in ("artifacts", "people.index"):
        shutil.copytree(made / name, top_folder / name)
    return top_folder


def suppressed(ask: Callable[[], object]) -> None:
    with suppress(OSError, HTTPException):
        ask()


@contextmanager
def started(*arguments: str, before: str = "") -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-u", "-c", f"{before}from bruna.cli.main import main; main()", "serve", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.usefixtures("project")
def test_it_prints_its_address_answers_there_and_ends_with_ctrl_c() -> None:
    port = free_port()
    with started("--port", str(port)) as process:
        assert process.stdout is not None and process.stderr is not None
        printed = [process.stdout.readline() for _ in range(3)]
        assert printed[0] == "Loading the index and the networks ...\n"
        assert printed[1] == f"people.index, 1 image: http://127.0.0.1:{port}/\n"
        assert Site(port).get("/api/index").json["images"] == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert (process.stdout.read(), process.stderr.read()) == ("The application has ended.\n", ENGINE)


@pytest.mark.usefixtures("project")
def test_ctrl_c_ends_it_at_once_while_it_answers_something_long() -> None:
    port = free_port()
    slow = (
        "import time; from bruna.serve.live_index import LiveIndex\n"
        "LiveIndex.search = lambda *_, **__: print('begun', flush=True) or time.sleep(60)\n"
    )
    with started("--port", str(port), before=slow) as process:
        assert process.stdout is not None and process.stderr is not None
        for _ in range(3):
            process.stdout.readline()
        thread = threading.Thread(target=suppressed, args=(lambda: Site(port).search(where="hat = yes"),))
        thread.start()
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        thread.join()
        assert process.stdout.read() == "The application has ended, in the middle of an answer.\n"
        assert process.stderr.read() == ENGINE


@pytest.mark.usefixtures("project")
def test_other_machines_need_the_token_that_is_printed_and_sigterm_ends_it() -> None:
    port = free_port()
    with started("--host", "0.0.0.0", "--port", str(port)) as process:
        assert process.stdout is not None and process.stderr is not None
        printed = [process.stdout.readline() for _ in range(2)]
        found = re.search(rf": http://[^/]+:{port}/\?token=([\w-]{{22}})\n$", printed[1])
        assert found, printed
        site = Site(port)
        assert site.get("/api/index").status == 401 and "token" in site.get("/").json["detail"]
        assert site.get("/api/index", Authorization=f"Bearer {found[1]}").status == 200
        process.terminate()
        assert process.wait(30) == 143
        assert process.stderr.read() == f"{ENGINE}Ended by SIGTERM. No file is half written.\n"


@pytest.mark.usefixtures("project")
def test_what_cannot_be_is_told_before_anything_is_loaded(bruna: Run) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        status, out, err = bruna("serve", "--port", str(port))
    assert (status, out) == (1, "")
    assert f"port {port} of 127.0.0.1 cannot be used" in err and f"bruna serve --port {port + 1}" in err
    status, out, err = bruna("serve", "--host", "no host")
    assert (status, out) == (1, "") and "there is no 'no host'" in err
    status, out, err = bruna("serve", "--host", "8.8.8.8")
    assert (status, out) == (1, "") and "--host: 8.8.8.8 is no address of this machine. Give 127.0.0.1" in err
    assert bruna("serve", "--port", "70000")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--index", "nothing.index"], "nothing.index does not exist. `bruna index SOURCE --to nothing.index`"),
        (["--models", "nothing"], "nothing is no folder"),
    ],
)
@pytest.mark.usefixtures("project")
def test_what_is_missing_is_told(bruna: Run, arguments: Sequence[str], said: str) -> None:
    status, _, err = bruna("serve", "--port", str(free_port()), *arguments)
    assert status == 1 and said in err


def test_an_index_of_other_models_is_refused(project: Path, bruna: Run) -> None:
    shutil.rmtree(project / "artifacts")
    tiny_models(project / "artifacts", seed=1)
    status, _, err = bruna("serve", "--port", str(free_port()))
    assert status == 1 and "people.index was made by other models" in err


def test_the_networks_have_run_once_before_the_first_question(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[object] = []
    real = Describer.describe

    def describe(self: Describer, *images: Any, **how: Any) -> Any:
        ran.append(images)
        return real(self, *images, **how)

    monkeypatch.setattr(Describer, "describe", describe)
    open_live(made / "people.index", made / "artifacts", torch.device("cpu"))
    assert len(ran) == 1


def test_which_addresses_are_of_this_machine_alone() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost")] == [True] * 4
    assert [is_loopback(host) for host in ("0.0.0.0", "::", "192.168.1.2", "example.org", "", "127.0.0.1.evil")] == [
        False
    ] * 6
    with listen("127.0.0.1", 0) as found:
        port = found.getsockname()[1]
        assert address_of(found, None) == f"http://127.0.0.1:{port}/"
        assert address_of(found, "a b&c") == f"http://127.0.0.1:{port}/?token=a+b%26c"
    with listen("0.0.0.0", 0) as found:
        assert address_of(found, None) == f"http://{socket.gethostname()}:{found.getsockname()[1]}/"
