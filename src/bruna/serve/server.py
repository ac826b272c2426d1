"""The application on an address, until Ctrl-C."""

import errno
import ipaddress
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from urllib.parse import urlencode

import python_multipart  # noqa: F401 - FastAPI says too late and in other words that it is missing
import torch
import uvicorn

from bruna.errors import BrunaError
from bruna.inference.engine import Engine, by_torch
from bruna.serve.app import make_app
from bruna.serve.live_index import LiveIndex

_SECONDS = 3
"""That answers in the making get when the server ends."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int) -> socket.socket:
    """Take a port, before anything takes long.

    Raises:
        BrunaError: it is taken, or the host is none of this machine.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise BrunaError(f"--host: there is no {host!r} ({error.strerror or error}). Give 127.0.0.1.") from None
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what a server that has just ended leaves is free
    try:
        found.bind(address)
    except OSError as error:
        found.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise BrunaError(
                f"--host: {host} is no address of this machine. Give 127.0.0.1 for this machine alone, or 0.0.0.0 for "
                "all that can reach it."
            ) from None
        other = port + 1 if port < 65535 else 8000
        raise BrunaError(
            f"port {port} of {host} cannot be used ({error.strerror}): another program, perhaps another `bruna serve`, "
            f"may have it. Choose another: `bruna serve --port {other}`."
        ) from None
    return found


def address_of(listening: socket.socket, token: str | None) -> str:
    """What to open in a browser."""
    host, port = listening.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = socket.gethostname()
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}/" + (f"?{urlencode({'token': token})}" if token else "")


class Server(uvicorn.Server):
    """Answers until SIGINT, which `run` raises again as KeyboardInterrupt, or SIGTERM."""

    def __init__(self, live: LiveIndex, listening: socket.socket, token: str | None, ready: Callable[[], None]) -> None:
        """Args:
        live: what is asked.
        listening: what `listen` gave.
        token: what questions have to bring; None on loopback, where the names of this machine are enough.
        ready: called when it answers; a signal ends it cleanly from then on.
        """
        mine = frozenset({"localhost", "127.0.0.1", "[::1]", listening.getsockname()[0]})
        config = uvicorn.Config(
            make_app(live, None if token else mine, token),
            http="h11",
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,  # it would write down tokens and keys
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_SECONDS,
        )
        super().__init__(config)
        self._ready = ready
        self._signal: int | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take note of the signal that ends it."""
        self._signal = sig
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End within seconds, whatever is still being answered: no file is open, and nobody can stop a thread."""
        logging.getLogger("uvicorn.error").disabled = self._signal is not None
        await super().shutdown(sockets)
        if self._signal is not None and self.server_state.tasks:
            print("The application has ended, in the middle of an answer.", flush=True)
            sys.stderr.flush()
            os._exit(0 if self._signal == signal.SIGINT else 128 + self._signal)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        self._ready()


def open_live(index: Path, models: Path, device: torch.device, engine: Engine = by_torch) -> LiveIndex:
    """The index with its networks, which have run once: the first question is as fast as any."""
    live = LiveIndex(index, models, device, engine)
    live.warm_up()
    return live
