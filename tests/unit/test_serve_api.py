"""The API of `bruna serve`: as the index answers, every mistake a sentence, nothing written, nobody erased is shown."""

import io
import os
import shutil
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bruna.serve.guard
from bruna.index.asking import open_index
from bruna.index.opened import open_rows
from bruna.index.remove import remove_images
from bruna.index.store import thumbnails_of, writing
from bruna.inference.calibration import write_calibration
from bruna.inference.describer import load
from bruna.inference.explaining import Halves, explain, similarity, write_typical
from bruna.retrieval.calibration import Calibration, FittedOn
from served import Photo, Site, make_index, multipart, served, tiny_models
from tiny_dataset import write_dataset, write_image

PHOTO = "train/0002_c1_000020001.jpg"


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, a data set and an index of it."""
    top = tmp_path_factory.mktemp("made")
    models = tiny_models(top / "artifacts")
    make_index(top / "people.index", models, write_dataset(top / "data"))
    return top


@pytest.fixture(scope="module")
def site(top: Path) -> Iterator[Site]:
    with served(top / "people.index", top / "artifacts") as found:
        yield found


@pytest.fixture(scope="module")
def photo(top: Path) -> Photo:
    return "a.jpg", (top / "data" / PHOTO).read_bytes()


def bomb() -> bytes:
    """A small PNG that claims to have 2.5 billion pixels."""
    parts = [b"IHDR" + (50_000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00", b"IDAT" + zlib.compress(bytes(9))]
    chunks = [(len(part) - 4).to_bytes(4, "big") + part + zlib.crc32(part).to_bytes(4, "big") for part in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_facts_are_those_of_the_index(site: Site, top: Path) -> None:
    found, rows = site.get("/api/index").json, open_rows(top / "people.index")
    assert (found["images"], found["thumbnails"], found["junk"]) == (len(rows), len(rows), int(rows.junk.sum()))
    cameras = Counter(camera for camera in rows.texts("camera") if camera is not None)
    assert {each["value"]: each["images"] for each in found["cameras"]} == cameras
    assert [each["value"] for each in found["cameras"]] == sorted(cameras, key=int)
    for attribute, task in zip(found["attributes"], rows.header.schema, strict=True):
        assert [each["value"] for each in attribute["values"]] == list(task.values)
        assert [each["images"] for each in attribute["values"]] == [
            int((rows.facts.codes[task.name] == code).sum()) for code in range(len(task.values))
        ]
    assert (found["first_time"], found["calibration"]) == (None, None)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"top": 3, "where": "camera != 2"},
        {"different_camera": True},
        {"where": "upcolor = red and hat = no", "strict": True, "keep_junk": True},
        {"each": True, "top": 4},
    ],
)
def test_a_search_is_that_of_the_index(site: Site, top: Path, asked: dict[str, object]) -> None:
    files = [top / "data" / "train" / f"{name}.jpg" for name in ("0002_c1_000020001", "0005_c1_000050001")]
    people = open_index(top / "people.index", top / "artifacts", "cpu")
    expected = people.search(files, **{"top": 60, **asked})  # type: ignore[arg-type]
    found = site.search([(file.name, file.read_bytes()) for file in files], **asked).json
    assert [row["key"] for row in found["results"]] == expected.results["key"].tolist()
    assert [row["query"] for row in found["results"]] == expected.results["query"].tolist()
    assert [row["agreeing"] for row in found["results"]] == [list(names) for names in expected.results["agreeing"]]
    shown = [row["distance"] for row in found["results"]]
    np.testing.assert_allclose(shown, expected.results["distance"], rtol=1e-4, atol=1e-5)
    assert found["predicted"] == expected.predicted and found["notes"] == list(expected.notes)
    assert {row["probability"] for row in found["results"]} == {None}


def test_how_many_images_are_searched_is_told(site: Site, top: Path, photo: Photo) -> None:
    rows = open_index(top / "people.index", top / "artifacts", "cpu").rows
    of_camera = sum(
        str(camera) == "1" and not junk for camera, junk in zip(rows.texts("camera"), rows.junk, strict=True)
    )
    found = site.search([photo], where="camera = 1", top=1).json
    assert (found["searched"], found["images"]) == (of_camera, len(rows)) and 1 < of_camera < len(rows)


def test_a_description_alone_ranks(site: Site, top: Path) -> None:
    found = site.search(where="upcolor = red").json
    expected = open_index(top / "people.index", top / "artifacts", "cpu").search(where="upcolor = red", top=60)
    assert [row["key"] for row in found["results"]] == expected.results["key"].tolist()
    assert [row["distance"] for row in found["results"]] == [None] * len(expected.results)
    assert site.search(where="key like 'nobody'").json["answers"] == [
        "Not in the gallery: no image fits the conditions."
    ]


def test_photos_of_one_name_are_two_photos(site: Site, photo: Photo, top: Path) -> None:
    other = (top / "data" / "test" / "000001.jpg").read_bytes()
    found = site.search([photo, (photo[0], other)], each=True, top=1).json
    assert list(found["predicted"]) == ["a.jpg", "a.jpg (2)"]
    assert [row["key"] for row in found["results"]] == [f"data/{PHOTO}", "data/queries/000001.jpg"]


_HUGE = b"\xff\xd8" + bytes(100 << 20)


@pytest.mark.parametrize(
    ("photos", "fields", "status", "said"),
    [
        ([], {}, 422, "nothing to look for"),
        ([("", b"")], {}, 422, "nothing to look for"),
        ([], {"where": "   "}, 422, "nothing to look for"),
        ([], {"where": "colour = red"}, 422, "where cannot be read"),
        ([], {"where": "hat = '\x00"}, 422, "a quote opens here that nothing closes"),
        ([], {"where": "(" * 5000}, 422, "more than 100 brackets"),
        ([("notes.txt", b"Hello")], {}, 422, "notes.txt cannot be read: it is not a JPEG"),
        ([("empty.jpg", b"")], {}, 422, "empty.jpg cannot be read: the file is empty"),
        ([("bomb.png", bomb())], {}, 422, "bomb.png cannot be read: it has"),
        ([("a\x00\x1b[31m.jpg", b"x")], {}, 422, r"a\x00\x1b[31m.jpg cannot be read"),
        ([("../../etc/passwd", b"x")], {}, 422, "../../etc/passwd cannot be read"),
        ([("huge.jpg", _HUGE)], {}, 413, "more than 64 MB of photos"),
        ([("a.jpg", b"x")] * 33, {}, 422, "these are 33 photos; 32 at most"),
        ([("a.jpg", b"x")] * 1000, {}, 422, "these are 1000 photos; 32 at most"),
        ([("a.jpg", b"x")] * 1001, {}, 400, "the form cannot be read (Too many files"),
        ([], {"where": "hat = yes", "top": 0}, 422, "top: "),
        ([], {"where": "hat = yes", "top": "many"}, 422, "top: "),
        ([], {"where": "hat = yes", "top": 1001}, 422, "top: "),
        ([], {"where": "hat = yes", "max_fmr": 0.01}, 422, "max_fmr needs a photo"),
        ([], {"where": "hat = yes", "max_fmr": "nan"}, 422, "max_fmr is nan"),
        ([], {f"field{i}": i for i in range(1001)}, 400, "Too many fields"),
        ([], {"where": "a" * (2 << 20)}, 400, "maximum size"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(
    site: Site, photos: list[Photo], fields: dict[str, object], status: int, said: str
) -> None:
    try:
        found = site.search(photos, **fields)
    except (BrokenPipeError, ConnectionResetError):  # refused before all of it was sent
        assert status == 413
        return
    assert (found.status, list(found.json)) == (status, ["detail"])
    assert said in found.json["detail"] and "Traceback" not in found.json["detail"]
    assert "--where" not in found.json["detail"] and "--max-fmr" not in found.json["detail"]


def test_a_truncated_photo_and_one_of_nobody_are_refused(top: Path, site: Site, photo: Photo, tmp_path: Path) -> None:
    found = site.search([(photo[0], photo[1][:600])])
    assert found.status == 422 and "a.jpg cannot be read: " in found.json["detail"]
    models = shutil.copytree(top / "artifacts", tmp_path / "artifacts")
    (models / "evaluate" / "settings.json").write_text('{"junk_threshold": 0.0001}')
    with served(top / "people.index", models) as strict:
        found = strict.search([photo])
        assert found.status == 422 and "keep_junk searches for it as it is" in found.json["detail"]
        assert strict.search([photo], keep_junk=True).json["results"][0]["key"] == f"data/{PHOTO}"


def test_too_much_is_stopped_even_if_nobody_says_how_much(site: Site) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'--limit\r\nContent-Disposition: form-data; name="photos"; filename="a"\r\n\r\n'
        for _ in range(80):
            yield bytes(1 << 20)

    connection = HTTPConnection("127.0.0.1", site.port, timeout=60)
    kind = {"Content-Type": "multipart/form-data; boundary=limit"}
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.request("POST", "/api/search", pieces(), kind, encode_chunked=True)
        answer = connection.getresponse()
        assert answer.status == 413 and b"more than 64 MB of photos" in answer.read()
    connection.close()
    assert site.search(where="hat = yes").status == 200


def test_content_type_and_name_do_not_matter_but_the_form_does(site: Site, photo: Photo) -> None:
    body, kind = multipart([("photos", "whatever.exe", photo[1])], {})
    plain = body.replace(b"image/jpeg", b"text/html")
    assert site.ask("POST", "/api/search", plain, Content_Type=kind).json["results"][0]["distance"] < 0.01
    for wrong in (body[: len(body) // 2], b"", b"--limit\r\n\r\n"):
        assert site.ask("POST", "/api/search", wrong, Content_Type=kind).status in (400, 422)
    assert site.ask("POST", "/api/search", b"{}", Content_Type="application/json").status == 422
    assert site.ask("POST", "/api/search", body, Content_Type="multipart/form-data").status == 400


def test_nothing_is_written(site: Site, top: Path) -> None:
    written: list[object] = []
    watching = True

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if (
            watching
            and event == "open"
            and (
                (isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"))
                or (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            )
        ):
            written.append(arguments)
        elif watching and event in ("os.mkdir", "os.rename", "tempfile.mkstemp", "tempfile.mkdtemp"):
            written.append((event, arguments))

    noise = np.random.default_rng(0).integers(0, 256, (2000, 1000, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "BMP")  # 6 MB: more than a form keeps in memory by default
    sys.addaudithook(watch)
    try:
        assert site.search([("large.bmp", file.getvalue())]).status == 200
        assert site.post("/api/why", [("photo", "a.bmp", file.getvalue())], {"key": f"data/{PHOTO}"}).status == 200
    finally:
        watching = False
    assert written == []


def test_eight_at_once_all_get_their_own_answer(site: Site, top: Path) -> None:
    files = sorted((top / "data" / "train").iterdir())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda file: site.search([(file.name, file.read_bytes())], top=1), files))
    assert [answer.json["results"][0]["key"] for answer in answers] == [f"data/train/{file.name}" for file in files]


def test_thumbnails_are_found_by_key_and_nothing_else(site: Site, top: Path) -> None:
    for key, small in thumbnails_of(top / "people.index").items():
        found = site.thumbnail(key)
        assert (found.status, found.headers["content-type"], found.body) == (200, "image/jpeg", small)
    keys = ["../index.json", "/etc/passwd", "data/../data/" + PHOTO, "part-000001.parquet", "", "\x00", "%", "'" * 4000]
    assert {site.thumbnail(key).status for key in keys} == {404}
    assert site.get("/api/thumbnail").status == 422
    assert site.get("/nothing").json["detail"] == "there is nothing at /nothing. /docs lists all addresses."
    assert site.ask("DELETE", "/api/index").json["detail"] == "DELETE is not possible here. /docs shows what is."
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/assets/..%2fpage.py"):
        assert site.get(path).status == 404


def test_why_compares_a_photo_with_the_small_picture(top: Path, photo: Photo, tmp_path: Path) -> None:
    models = shutil.copytree(top / "artifacts", tmp_path / "artifacts")
    people, small = load(models, "cpu"), thumbnails_of(top / "people.index")
    key = f"data/{PHOTO}"
    typical = explain(people, list(small.values()), list(small)).halves.mean()
    write_typical(typical, models / "evaluate")
    halves = explain(people, [photo[1], small[key]], ["photo", "small"]).halves
    expected = similarity(Halves(*(part[:1] for part in halves)), Halves(*(part[1:] for part in halves)), typical)
    with served(top / "people.index", models) as site:
        found = site.post("/api/why", [("photo", "a.jpg", photo[1])], {"key": key}).json
        alone = site.post("/api/why", [], {"key": key}).json
        gone = site.post("/api/why", [("photo", "a.jpg", photo[1])], {"key": "data/nobody.jpg"})
        wrong = site.post("/api/why", [("photo", "a.jpg", b"x")], {"key": f"data/{PHOTO}"})
    assert found["query"]["name"] == "a.jpg" and found["hit"]["name"] == f"data/{PHOTO}"
    assert found["query"]["attributes"] == found["hit"]["attributes"]
    assert found["hit"]["distance"] < 0.01 and found["hit"]["camera"] == "1"
    assert found["hit"]["upper"] == pytest.approx(float(expected.upper[0]), abs=1e-3)
    assert found["hit"]["lower"] == pytest.approx(float(expected.lower[0]), abs=1e-3)
    assert alone["query"] is None and alone["hit"]["attributes"] == found["hit"]["attributes"]
    assert gone.status == 422 and "no image under this key" in gone.json["detail"]
    assert wrong.status == 422 and "a.jpg cannot be read" in wrong.json["detail"]


def test_a_calibration_gives_probabilities_and_only_the_rates_that_it_carries(
    top: Path, photo: Photo, tmp_path: Path
) -> None:
    models = shutil.copytree(top / "artifacts", tmp_path / "artifacts")
    fitted_on = FittedOn("tiny people", 15, 5, 10, 60, 60, cross_camera=True)
    curve = ((0.0, 1.0), (1.0, 0.5), (50.0, 0.0)), (1.0, 2.0, 50.0), (0.05, 0.4, 1.0), (0.5, 0.25, 0.0)
    calibration = Calibration("isotonic", *curve, fitted_on)
    write_calibration(calibration, models / "evaluate")
    with served(top / "people.index", models) as site:
        told = site.get("/api/index").json["calibration"]
        results = site.search([photo]).json["results"]
        kept = site.search([photo], max_fmr=0.05).json["results"]
    assert (told["data_set"], told["identities"]) == ("tiny people", 5)
    rates = {each["rate"]: (each["distance"], each["missed"]) for each in told["rates"]}
    assert min(rates) == 0.05 and rates[0.05] == (1.0, 0.5) and rates[0.4] == rates[0.5] == (2.0, 0.25)
    assert [row["probability"] for row in results] == [
        pytest.approx(calibration.probability(row["distance"])) for row in results
    ]
    assert kept == [row for row in results if row["distance"] < 1.0]


def test_who_is_erased_vanishes_at_once_and_who_is_added_appears(top: Path, photo: Photo, tmp_path: Path) -> None:
    index = shutil.copytree(top / "people.index", tmp_path / "people.index")
    key = f"data/{PHOTO}"
    with served(index, top / "artifacts") as site:
        assert site.search([photo]).json["results"][0]["key"] == key and site.thumbnail(key).status == 200
        with writing(index):
            rows = open_rows(index, features=False)
            remove_images(index, rows, rows.keys == key)
        assert site.thumbnail(key).status == 404
        found = site.search([photo]).json
        assert key not in {row["key"] for row in found["results"]} and found["images"] == len(rows) - 1
        assert site.get("/api/index").json["images"] == len(rows) - 1
        write_image(tmp_path / "more" / "new.jpg", 4321)
        make_index(index, top / "artifacts", tmp_path / "more")
        assert (
            site.search([("x", (tmp_path / "more" / "new.jpg").read_bytes())]).json["results"][0]["key"]
            == "more/new.jpg"
        )
        with writing(index):
            rows = open_rows(index, features=False)
            remove_images(index, rows, np.ones(len(rows), np.bool_))
        assert site.get("/api/index").json["images"] == 0
        assert "is empty" in site.search([photo]).json["detail"]
        shutil.rmtree(index)
        assert "does not exist" in site.search([photo]).json["detail"] and site.get("/").status == 200


def test_searching_while_the_index_grows_and_shrinks_never_fails(top: Path, photo: Photo, tmp_path: Path) -> None:
    index = shutil.copytree(top / "people.index", tmp_path / "people.index")
    ended, problems = threading.Event(), []

    def change() -> None:
        for number in range(3):
            write_image(tmp_path / "more" / f"{number}.jpg", 9000 + number)
            make_index(index, top / "artifacts", tmp_path / "more")
            with writing(index):
                rows = open_rows(index, features=False)
                remove_images(index, rows, rows.keys == f"more/{number}.jpg")
        ended.set()

    with served(index, top / "artifacts") as site:
        thread = threading.Thread(target=change)
        thread.start()
        while not ended.is_set():
            answer = site.search([photo], top=2)
            if answer.status != 200:
                problems.append(answer.body)
        thread.join()
    assert problems == []


def test_only_the_page_itself_may_ask(site: Site) -> None:
    here = f"127.0.0.1:{site.port}"
    for host in (here, f"localhost:{site.port}", "localhost", f"[::1]:{site.port}", "LOCALHOST"):
        assert site.get("/api/index", Host=host).status == 200
    for host in (
        "evil.example",
        f"evil.example:{site.port}",
        "127.0.0.1.evil.example",
        "",
        "localhost@evil",
        "[",
        "127.0.0.1:1@evil",
        "[::1]evil",
    ):
        assert site.get("/", Host=host).status == 403
    body, kind = multipart([], {"where": "hat = yes"})

    def post(**headers: str) -> int:
        return site.ask("POST", "/api/search", body, Content_Type=kind, **headers).status

    assert (post(), post(Origin=f"http://{here}", Sec_Fetch_Site="same-origin")) == (200, 200)
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://127.0.0.1:{site.port + 1}"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "navigate"},
    ):
        assert post(**headers) == 403
    assert site.get("/api/index", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors").status == 403
    assert site.get("/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status == 200


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/static/app.js", "/api/index", "/nothing"])
def test_every_answer_forbids_what_the_page_does_not_need(site: Site, path: str) -> None:
    headers = site.get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert headers["cache-control"] == "no-store" and headers["x-content-type-options"] == "nosniff"
    assert "unsafe" not in headers["content-security-policy"] and "server" not in headers
    assert "access-control-allow-origin" not in headers


def test_a_token_opens_the_door_and_nothing_else_does(top: Path) -> None:
    token = "the token"
    with served(top / "people.index", top / "artifacts", token) as site:
        for path in (
            "/",
            "/api/index",
            "/openapi.json",
            "/static/app.js",
            "/?token=",
            "/?token=the+toke",
            "/?token=%ff",
        ):
            assert (site.get(path).status, b"token is needed" in site.get(path).body) == (401, True)
        assert site.get("/api/index", Authorization="Bearer wrong").status == 401
        assert site.get("/api/index", Cookie="bruna=wrong").status == 401
        assert site.get("/api/index", Authorization=f"Bearer {token}", Host="any.name").status == 200
        welcome = site.get("/?token=the+token")
        assert (welcome.status, welcome.headers["location"]) == (303, "/")
        cookie = welcome.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=lax" in cookie and cookie.startswith(f"bruna_{site.port}=")
        assert site.get("/api/index", Cookie=cookie.partition(";")[0]).status == 200
        body, kind = multipart([], {"where": "hat = yes"})
        asked = {"Content_Type": kind, "Cookie": cookie.partition(";")[0]}
        assert site.ask("POST", "/api/search", body, **asked).status == 200
        assert site.ask("POST", "/api/search", body, **asked, Origin="http://evil.example").status == 403
        assert site.ask("POST", "/api/search", body, Content_Type=kind).status == 401


@pytest.mark.parametrize("trickles", [False, True])
def test_who_stops_in_the_middle_or_trickles_makes_room(
    top: Path, monkeypatch: pytest.MonkeyPatch, trickles: bool
) -> None:
    monkeypatch.setattr(bruna.serve.guard, "_PATIENCE", 0.3)
    monkeypatch.setattr(bruna.serve.guard, "_AT_ONCE", 1)
    import socket

    with served(top / "people.index", top / "artifacts") as site:
        lazy = socket.create_connection(("127.0.0.1", site.port))
        host = "Host: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=limit\r\nContent-Length: 900\r\n\r\n"
        begin = '--limit\r\nContent-Disposition: form-data; name="where"\r\n\r\n'
        lazy.sendall(f"POST /api/search HTTP/1.1\r\n{host}{begin}".encode())
        ended = threading.Event()

        def trickle() -> None:
            with suppress(OSError):
                while trickles and not ended.wait(0.05):
                    lazy.sendall(b"-")

        thread = threading.Thread(target=trickle)
        thread.start()
        time.sleep(0.1)
        assert site.search(where="hat = yes").status == 200
        assert b" 408 " in lazy.recv(100)
        ended.set()
        thread.join()
        lazy.close()


def test_the_api_is_described(site: Site) -> None:
    paths = site.get("/openapi.json").json["paths"]
    assert set(paths) == {"/api/index", "/api/search", "/api/thumbnail", "/api/why"}
    search = paths["/api/search"]["post"]
    assert search["description"] and search["responses"]["422"]["content"]["application/json"]["schema"]
    assert {site.get(path).status for path in ("/docs", "/static/docs.js", "/static/docs.css")} == {200}
