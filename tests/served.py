"""The application of `bruna serve` in this process, on a free port, and plain HTTP to talk to it."""

import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import torch

from bruna.files import write_json
from bruna.index.build import add_images
from bruna.index.gather import images_of
from bruna.index.header import begin
from bruna.index.store import writing
from bruna.inference.describer import load
from bruna.serve.live_index import LiveIndex
from bruna.serve.server import Server, listen
from tiny_models import save_tiny_models

Photo = tuple[str, bytes]


class Answer(NamedTuple):
    """Status, headers in lower case, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Site(NamedTuple):
    """Where it answers."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request; underscores in the names of headers stand for hyphens."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            found = connection.getresponse()
            return Answer(found.status, {name.lower(): value for name, value in found.getheaders()}, found.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def thumbnail(self, key: str) -> Answer:
        return self.get(f"/api/thumbnail?key={quote(key, safe='')}")

    def search(self, photos: Sequence[Photo] = (), **fields: object) -> Answer:
        return self.post("/api/search", [("photos", *photo) for photo in photos], fields)

    def post(self, path: str, files: Sequence[tuple[str, str, bytes]], fields: Mapping[str, object]) -> Answer:
        body, kind = multipart(files, fields)
        return self.ask("POST", path, body, Content_Type=kind)


def multipart(files: Sequence[tuple[str, str, bytes]], fields: Mapping[str, object]) -> tuple[bytes, str]:
    """A form as browsers send it, and its content type."""
    parts = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    for field, name, data in files:
        safe = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        parts.append(f'name="{field}"; filename="{safe}"\r\nContent-Type: image/jpeg\r\n\r\n'.encode() + data)
    body = b"".join(b"--limit\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts)
    return body + b"--limit--\r\n", "multipart/form-data; boundary=limit"


@contextmanager
def served(index: Path, models: Path, token: str | None = None) -> Iterator[Site]:
    """Answer while the block runs."""
    with listen("127.0.0.1", 0) as listening:
        ready = threading.Event()
        running = Server(LiveIndex(index, models, torch.device("cpu")), listening, token, ready.set)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            assert ready.wait(30)
            yield Site(listening.getsockname()[1])
        finally:
            running.should_exit = True
            thread.join()


def make_index(folder: Path, models: Path, *sources: Path, thumbnails: bool = True) -> Path:
    """Describe images into an index."""
    people = load(models, "cpu")
    header = begin(folder, people, models)
    with ExitStack() as stack, writing(folder):
        images = [images_of(source, stack) for source in sources]
        add_images(folder, images, people, header, thumbnails=thumbnails)
    return folder


def tiny_models(folder: Path, **options: Any) -> Path:
    """Untrained networks that take hardly anything for junk."""
    models = save_tiny_models(folder, **options)
    write_json({"junk_threshold": 0.999}, models / "evaluate" / "settings.json")
    return models


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
