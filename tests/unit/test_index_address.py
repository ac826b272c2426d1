"""`bruna index` of an address: the same rows as of the folder on disk, and mistakes in plain words."""

import csv
import threading
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from test_index_store import assert_same

from bruna.dataset.tables import write_table
from bruna.errors import BrunaError
from bruna.index.gather import images_of
from conftest import Run
from person_table import person_table
from tiny_dataset import write_image
from tiny_models import save_tiny_models

Seen = list[tuple[str, bytes, dict[str, str]]]


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A folder per identity, the same as a zip archive, a table of some of it, and a table of the stage split."""
    top = tmp_path / "my bucket"
    for number in range(110):  # more than are read ahead
        write_image(top / "people" / ("anna" if number % 2 else "ben") / f"{number}.jpg", number)
    (top / "people" / ".hidden.jpg").write_bytes(b"left by a file manager")
    with zipfile.ZipFile(top / "people.zip", "w") as archive:
        for path in sorted((top / "people").rglob("*.jpg")):
            archive.write(path, path.relative_to(top / "people"))
    with (top / "some.csv").open("w") as file:
        csv.writer(file).writerows([("path", "camera"), ("people/ben/0.jpg", 4), ("./people/anna/1.jpg", "")])
    write_table(person_table([2, 3], 3), top / "split.parquet")
    return top


def seen(source: Path | str) -> Seen:
    with ExitStack() as stack:
        images = images_of(source, stack)
        found = [(image.key, image.read(), dict(image.known)) for image in images.each]
        assert images.count == len(found)
    return found


@pytest.mark.parametrize("name", ["people", "people.zip", "some.csv", "split.parquet"])
def test_an_address_has_the_images_of_the_path(sources: Path, name: str) -> None:
    expected = seen(sources / name)
    assert len(expected) == {"people": 110, "people.zip": 110, "some.csv": 2, "split.parquet": 6}[name]
    assert seen((sources / name).as_uri()) == expected
    if name == "people":
        assert seen(f"{(sources / name).as_uri()}/") == expected
        assert {key.rpartition("/")[0] for key, _, _ in expected} == {"people/anna", "people/ben"}


def test_the_command_writes_the_same_rows(top_folder: Path, sources: Path, bruna: Run) -> None:
    save_tiny_models(top_folder / "artifacts")
    address = (sources / "people.zip").as_uri()
    for source, to in ((address, "one.index"), (str(sources / "people.zip"), "two.index")):
        status, out, err = bruna("index", source, "--to", to, "--engine", "torch")
        assert status == 0 and "holds 110 images" in out, err
    assert_same(Path("one.index"), Path("two.index"))
    assert not Path("file:").exists()


def test_an_image_that_a_table_names_and_nobody_has_is_left_out(sources: Path) -> None:
    (sources / "some.csv").write_text("path\npeople/ben/0.jpg\npeople/nobody.jpg\n")
    with ExitStack() as stack:
        found = list(images_of((sources / "some.csv").as_uri(), stack).each)
        assert found[0].read()
        with pytest.raises(BrunaError, match="there is no such file"):
            found[1].read()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ftp://host/people", r"ftp:// is unknown. Known are s3://, .* Download files of the web first"),
        ("file:///nowhere/people", "file:///nowhere/people does not exist"),
        ("s3://me:secret@bucket/people", "holds a password, .* as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("S3://?region=x", "s3:// cannot be read: the address has no bucket"),
        ("s3:/bucket/people", "If it is an address, write s3://bucket/people, with two slashes"),
        ("GS//bucket", "If it is an address, write gs://bucket/people, with two slashes"),
        ("file://photos/", "file:// takes a whole path: file:///home/you/photos"),
        ("{top}/none.zip", r"file:///\S+/none.zip cannot be opened as a zip archive"),
        ("{top}/people.tar", "people.tar is a tar archive, which is read from disk only"),
        ("{top}/empty", r"no image in file:///\S+/empty: folders .* searched for \.jpg"),
        ("{top}/wrong.csv", r"file:///\S+/wrong.csv: the table has no column path"),
        ("{top}/wrong.parquet", r"file:///\S+/wrong.parquet cannot be read as parquet"),
    ],
)
def test_mistakes(tmp_path: Path, address: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("none.zip", "people.tar", "wrong.parquet"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
    (tmp_path / "wrong.csv").write_text("image\n1.jpg\n")
    with pytest.raises(BrunaError, match=message) as raised:
        seen(address.format(top=tmp_path.as_uri()))
    assert "secret" not in str(raised.value)


@pytest.fixture
def forbidding() -> Iterator[str]:
    """Where an S3 server forbids everything in a bucket, and has nothing in others."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(403 if self.path.startswith("/bucket/") else 404)
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<ListBucketResult></ListBucketResult>")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_server_of_s3_that_forbids(forbidding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow._s3fs", reason="pyarrow was built without S3")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(BrunaError, match=r"s3://bucket/people cannot be read: .*ACCESS_DENIED.* keys") as raised:
        seen(f"s3://bucket/people?region=x&scheme=http&endpoint_override={forbidding}")
    assert "endpoint_override" not in str(raised.value)
    with pytest.raises(BrunaError, match=rf"bucket none, there is no people/a in it, .*\({forbidding} was asked"):
        seen(f"S3://none/people/a?region=x&scheme=http&endpoint_override={forbidding}")


def test_what_cannot_be_read_on_ends_the_command(sources: Path) -> None:
    """And is left out no more than all that follows, which a lost connection would keep from being read, too."""
    with ExitStack() as stack:
        images = images_of((sources / "people").as_uri(), stack)
        (sources / "people" / "anna" / "1.jpg").unlink()
        (sources / "people" / "anna" / "1.jpg").mkdir()
        with pytest.raises(BrunaError, match=r"my bucket/people cannot be read: .*directory"):
            list(images.each)
