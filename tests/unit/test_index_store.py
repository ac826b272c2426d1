"""An index on disk: built at once or bit by bit, killed and resumed, and rows erased from every byte of it."""

import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import bruna.index.build
import bruna.index.store
from bruna.dataset.tables import write_table
from bruna.errors import BrunaError
from bruna.index.asking import open_index
from bruna.index.build import Added, add_images
from bruna.index.gather import images_of
from bruna.index.header import begin, read_header
from bruna.index.opened import open_rows
from bruna.index.remove import remove_images
from bruna.index.store import parts_of, read_part, state_of, thumbnails_of, writing
from bruna.inference.describer import Describer, load
from person_table import person_table
from tiny_dataset import write_dataset, write_image
from tiny_models import save_tiny_models


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_models(tmp_path_factory.mktemp("models") / "artifacts")


@pytest.fixture(scope="module")
def people(models: Path) -> Describer:
    return load(models, "cpu")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four images a block, six rows a part."""
    monkeypatch.setattr(bruna.index.build, "_BLOCK", 4)
    monkeypatch.setattr(bruna.index.store, "PART_ROWS", 6)


def add(folder: Path, people: Describer, models: Path, *sources: Path, thumbnails: bool = True) -> Added:
    header = begin(folder, people, models)
    with ExitStack() as stack, writing(folder):
        return add_images(folder, [images_of(path, stack) for path in sources], people, header, thumbnails=thumbnails)


def rows(folder: Path) -> dict[str, dict[str, object]]:
    """All cells by key; the features of one image in different batches differ in their last bits."""
    found: dict[str, dict[str, object]] = {}
    for part in parts_of(folder):
        for row in read_part(part).to_pylist():
            assert row["key"] not in found
            row = {name: cell for name, cell in row.items() if cell is not None}  # noqa: PLW2901 - a part may lack it
            found[str(row.pop("key"))] = row
    return found


def assert_same(one: Path, other: Path) -> None:
    first, second = rows(one), rows(other)
    assert first.keys() == second.keys()
    for key, row in first.items():
        assert row.keys() == second[key].keys()
        for name, cell in row.items():
            if isinstance(cell, float) or (isinstance(cell, list) and isinstance(cell[0], float)):
                np.testing.assert_allclose(np.array(cell), np.array(second[key][name]), rtol=1e-4, atol=1e-5)
            else:
                assert cell == second[key][name], (key, name)


def photos(folder: Path, seeds: Sequence[int]) -> Path:
    for seed in seeds:
        write_image(folder / f"{seed:03d}.jpg", seed)
    return folder


@pytest.mark.usefixtures("small")
def test_an_incremental_index_is_one_built_whole(tmp_path: Path, models: Path, people: Describer) -> None:
    source = photos(tmp_path / "photos", range(15))
    shutil.copy(source / "003.jpg", source / "0030.jpg")
    (source / "bad.jpg").write_bytes((source / "001.jpg").read_bytes()[:300])
    whole, grown = tmp_path / "whole.index", tmp_path / "grown.index"
    added = add(whole, people, models, source)
    assert (added.described, added.copied, added.there, list(added.left_out)) == (15, 1, 0, ["photos/bad.jpg"])
    hidden = tmp_path / "later"
    hidden.mkdir()
    for name in ("003.jpg", "007.jpg", "012.jpg", "014.jpg"):
        (source / name).rename(hidden / name)
    first = add(grown, people, models, source)
    for path in hidden.iterdir():
        path.rename(source / path.name)
    second = add(grown, people, models, source)
    assert (first.described, second.described, second.copied, second.there) == (12, 3, 1, 12)
    assert_same(whole, grown)
    before = {part: part.read_bytes() for part in parts_of(grown)}
    third = add(grown, people, models, source)
    assert (third.described, third.copied, third.there) == (0, 0, 16)
    assert {part: part.read_bytes() for part in parts_of(grown)} == before
    assert [pq.read_metadata(part).num_rows for part in parts_of(whole)] == [6, 6, 4]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("fatal", range(1, 6))
def test_a_stop_at_any_write_loses_and_doubles_nothing(
    tmp_path: Path, models: Path, people: Describer, monkeypatch: pytest.MonkeyPatch, fatal: int
) -> None:
    source = photos(tmp_path / "photos", range(14))
    add(tmp_path / "whole.index", people, models, source)
    real, writes = pq.write_table, 0

    def failing(table: object, file: object, **options: object) -> None:
        nonlocal writes
        writes += 1
        if writes == fatal:
            file.write(b"half")  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        real(table, file, **options)

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", failing)
        with pytest.raises(KeyboardInterrupt):
            add(tmp_path / "people.index", people, models, source)
    stopped = open_rows(tmp_path / "people.index")
    assert len(stopped) < 14 and set(stopped.keys) < set(open_rows(tmp_path / "whole.index").keys)
    added = add(tmp_path / "people.index", people, models, source)
    assert added.there == len(stopped) and added.described == 14 - len(stopped)
    assert_same(tmp_path / "people.index", tmp_path / "whole.index")


_KILLED = """
import sys
from pathlib import Path
import bruna.index.build, bruna.index.store
from test_index_store import add, load
bruna.index.build._BLOCK, bruna.index.store.PART_ROWS = 4, 6
models = Path(sys.argv[1])
add(Path("people.index"), load(models, "cpu"), models, Path("photos"))
"""


@pytest.mark.usefixtures("small")
def test_a_killed_index_goes_on(tmp_path: Path, models: Path, people: Describer) -> None:
    photos(tmp_path / "photos", range(48))
    folder = tmp_path / "people.index"
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1]), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(models)], cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}
    )
    until = time.monotonic() + 120
    while len(parts_of(folder)) < 2 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    (folder / f".part-000009.parquet.{os.getpid()}@0a0b0c.part").write_bytes(b"half of somebody")
    held = len(rows(folder))
    assert 6 < held < 48
    added = add(folder, people, models, tmp_path / "photos")
    assert (added.there, added.described) == (held, 48 - held)
    assert not list(folder.rglob("*.part"))
    add(tmp_path / "whole.index", people, models, tmp_path / "photos")
    assert_same(folder, tmp_path / "whole.index")


def test_another_writer_is_kept_away(tmp_path: Path, models: Path, people: Describer) -> None:
    begin(tmp_path / "people.index", people, models)
    with (
        writing(tmp_path / "people.index"),
        pytest.raises(BrunaError, match="another command is writing"),
        writing(tmp_path / "people.index"),
    ):
        pass


def contents(folder: Path) -> bytes:
    """Every byte of a folder, names too; columns that are compressed also as they are without."""
    found = b""
    for path in sorted(folder.rglob("*")):
        found += path.name.encode() + path.read_bytes()
        if path.suffix == ".parquet":
            found += repr(pq.read_table(path).drop_columns(["features", "thumbnail"]).to_pydict()).encode()
    return found


@pytest.mark.usefixtures("small")
def test_nothing_of_an_erased_image_is_left_in_any_byte(tmp_path: Path, models: Path, people: Describer) -> None:
    table = ["path,camera,name,team"]
    for i in range(14):
        write_image(tmp_path / f"shot-{i:02d}.jpg", i)
        table.append(f"shot-{i:02d}.jpg,{1 + i % 3},Person {i},{'blue' if i == 4 else ''}")
    (tmp_path / "people.csv").write_text("\n".join(table) + "\n")
    folder = tmp_path / "people.index"
    add(folder, people, models, tmp_path / "people.csv")
    before = rows(folder)
    gone = {"shot-04.jpg", "shot-13.jpg"}
    traces = []
    for key in sorted(gone):
        row = before[key]
        features = np.array(row["features"], np.float32).tobytes()
        traces += [key.encode(), str(row["name"]).encode(), str(row["digest"]).encode(), row["thumbnail"], features]
        traces += [hashlib.sha256(key.encode()).hexdigest().encode()]
    held = contents(folder)
    assert [trace in held for trace in traces] == [True] * 5 + [False] + [True] * 5 + [False]
    assert b"blue" in held and b"team" in held
    with writing(folder):
        index = open_rows(folder, features=False)
        receipt = remove_images(folder, index, np.isin(index.keys, sorted(gone)))
    held = contents(folder)
    assert not any(trace in held for trace in traces)
    assert b"team" not in held  # a column that only they had
    assert rows(folder) == {key: row for key, row in before.items() if key not in gone}
    assert (set(receipt.keys), receipt.left, receipt.same) == (gone, 12, [])
    lines = (folder / "removed.csv").read_text().splitlines()
    assert lines == ["time,images,left,digest", f"{receipt.time},2,12,{receipt.digest}"]
    text = "".join(f"{line}\n" for line in [receipt.number, *sorted(gone)])
    assert hashlib.sha256(text.encode()).hexdigest() == receipt.digest


@pytest.mark.usefixtures("small")
def test_a_part_that_was_rewritten_has_the_bytes_of_one_that_never_had_the_row(
    tmp_path: Path, models: Path, people: Describer
) -> None:
    """The strongest proof: what is left is a function of the rows that are left."""
    folder, never = tmp_path / "people.index", tmp_path / "never.index"
    add(folder, people, models, photos(tmp_path / "photos", range(5)))
    shutil.copytree(folder, never)
    part = parts_of(never)[0]
    kept = read_part(part).to_pylist()
    schema = read_part(part).schema
    part.unlink()
    bruna.index.store.append(
        never, pa.Table.from_pylist([row for row in kept if row["key"] != "photos/002.jpg"], schema)
    )
    index = open_rows(folder, features=False)
    remove_images(folder, index, index.keys == "photos/002.jpg")
    assert parts_of(folder)[0].read_bytes() == part.read_bytes()
    index = open_rows(folder, features=False)
    remove_images(folder, index, np.ones(4, np.bool_))
    assert parts_of(folder) == [] and len(open_rows(folder)) == 0


def test_the_same_image_under_another_key_is_named(tmp_path: Path, models: Path, people: Describer) -> None:
    source = photos(tmp_path / "photos", range(3))
    shutil.copy(source / "001.jpg", source / "again.jpg")
    folder = tmp_path / "people.index"
    add(folder, people, models, source)
    index = open_rows(folder)
    assert remove_images(folder, index, index.keys == "photos/001.jpg").same == ["photos/again.jpg"]


def test_what_is_known_of_images_comes_along(tmp_path: Path, models: Path, people: Describer) -> None:
    write_dataset(tmp_path / "data")
    for name in ("anna/1.jpg", "ben/1.jpg"):
        write_image(tmp_path / "team" / name, len(name))
    with zipfile.ZipFile(tmp_path / "team.zip", "w") as archive:
        archive.write(tmp_path / "team" / "anna" / "1.jpg", "anna/9.jpg")
        archive.write(tmp_path / "team" / "ben" / "1.jpg", "ben/9.jpg")
    write_image(tmp_path / "one.jpg", 77)
    (tmp_path / "shots.csv").write_text("path,camera,time,gender,key\none.jpg,hall,2024-05-01 08:00,female,K1\n")
    table = person_table([3], 2, (64, 32))
    write_table(table, tmp_path / "split.parquet")
    folder = tmp_path / "people.index"
    names = ("data", "team", "team.zip", "shots.csv", "split.parquet")
    added = add(folder, people, models, *(tmp_path / name for name in names))
    found = rows(folder)
    assert len(found) == 14 + 1 + 2 + 2 + 1 + 2 and not added.left_out
    known = {key: {name: row.get(name) for name in ("identity", "camera", "time")} for key, row in found.items()}
    assert known["data/train/0002_c1_000020001.jpg"] == {"identity": "2", "camera": "1", "time": None}
    assert known["data/gallery/-1_c3s1_000451_00.jpg"] == {"identity": "-1", "camera": "3", "time": None}
    assert known["data/test/000001.jpg"] == {"identity": None, "camera": None, "time": None}
    assert not any(key.startswith("data/masks") for key in found)
    assert known["team/anna/1.jpg"]["identity"] == known["team.zip/anna/9.jpg"]["identity"] == "anna"
    assert known["one.jpg"] == {"identity": None, "camera": "hall", "time": "2024-05-01 08:00"}
    assert found["one.jpg"]["given_gender"] == "female" and found["one.jpg"]["given_key"] == "K1"
    assert known[table["path"][0]] == {"identity": "3", "camera": "1", "time": None}
    index = open_rows(folder)
    assert index.facts.holds(index.condition("given_gender = female")).sum() == 1
    add(folder, people, models, tmp_path / "data" / "gallery")
    given = {
        key: (row.get("identity"), row["camera"]) for key, row in rows(folder).items() if key.startswith("gallery/")
    }
    assert set(given.values()) == {("20", "2"), ("0", "3"), ("-1", "3")}


def test_thumbnails_are_small_or_absent(tmp_path: Path, models: Path, people: Describer) -> None:
    write_image(tmp_path / "photos" / "wide.jpg", 1, 300, 200)
    add(tmp_path / "with.index", people, models, tmp_path / "photos")
    picture = Image.open(io.BytesIO(rows(tmp_path / "with.index")["photos/wide.jpg"]["thumbnail"]))
    assert picture.format == "JPEG" and picture.size == (64, 43)
    add(tmp_path / "without.index", people, models, tmp_path / "photos", thumbnails=False)
    assert "thumbnail" not in rows(tmp_path / "without.index")["photos/wide.jpg"]


def test_another_image_under_a_key_is_left_out(tmp_path: Path, models: Path, people: Describer) -> None:
    source, folder = photos(tmp_path / "photos", [1, 2]), tmp_path / "people.index"
    add(folder, people, models, source)
    before = rows(folder)
    write_image(source / "001.jpg", 99)
    added = add(folder, people, models, source)
    assert added.there == 1 and "another image under this key" in added.left_out["photos/001.jpg"]
    assert rows(folder) == before


def test_an_index_of_other_models_or_another_use_is_refused(tmp_path: Path, models: Path, people: Describer) -> None:
    folder = tmp_path / "people.index"
    begin(folder, people, models)
    other = save_tiny_models(tmp_path / "other" / "artifacts", seed=1)
    with pytest.raises(BrunaError, match=r"people.index was made by other models \(fingerprint .*NEW.index"):
        begin(folder, load(other, "cpu"), other)
    mirrored = replace(people, settings=replace(people.settings, flip=True))
    with pytest.raises(BrunaError, match="or by a different use of them"):
        begin(folder, mirrored, models)
    another = replace(people, settings=replace(people.settings, attribute_offset=7.0))
    assert begin(folder, another, models) == read_header(folder)
    assert read_header(folder).settings.attribute_offset == 7.0


def test_networks_without_attributes_make_an_index_too(tmp_path: Path) -> None:
    models = save_tiny_models(tmp_path / "artifacts", schema=())
    folder = tmp_path / "people.index"
    add(folder, load(models, "cpu"), models, photos(tmp_path / "photos", range(3)))
    found = open_index(folder, models, "cpu").search(tmp_path / "photos" / "001.jpg", keep_junk=True)
    assert found.results["key"][0] == "photos/001.jpg" and len(found.results) == 3
    with pytest.raises(BrunaError, match=r"no attribute or column .hat.\. There are key, identity, camera, time, junk"):
        open_index(folder, models, "cpu").search(where="hat = yes")


@pytest.mark.usefixtures("small")
def test_thumbnails_are_read_by_key_and_the_state_tells_every_change(
    tmp_path: Path, models: Path, people: Describer
) -> None:
    folder = tmp_path / "people.index"
    add(folder, people, models, photos(tmp_path / "photos", range(8)))
    first, small = state_of(folder), thumbnails_of(folder)
    assert {key: row["thumbnail"] for key, row in rows(folder).items()} == small and len(small) == 8
    assert thumbnails_of(folder, {"photos/007.jpg", "nobody"}) == {"photos/007.jpg": small["photos/007.jpg"]}
    assert state_of(folder) == first
    add(folder, people, models, photos(tmp_path / "more", [20]), thumbnails=False)
    second = state_of(folder)
    assert second != first and thumbnails_of(folder) == small
    index = open_rows(folder)
    with writing(folder):
        remove_images(folder, index, index.keys == "photos/003.jpg")
    assert state_of(folder) not in (first, second)
    assert set(thumbnails_of(folder)) == set(small) - {"photos/003.jpg"}


def test_an_index_that_lost_all_images_still_has_its_columns(tmp_path: Path, models: Path, people: Describer) -> None:
    folder = tmp_path / "people.index"
    add(folder, people, models, photos(tmp_path / "photos", [1]))
    with writing(folder):
        remove_images(folder, open_rows(folder), np.ones(1, np.bool_))
    empty = open_rows(folder)
    assert len(empty) == 0 and list(empty.facts.columns) == ["key", "identity", "camera", "time", "junk"]
    assert empty.facts.holds(empty.condition("camera != 3 and time >= 'x'")).tolist() == []


def test_every_manifest_of_a_source_counts(tmp_path: Path, models: Path, people: Describer) -> None:
    for name in ("one", "two"):
        write_image(tmp_path / "shots" / name / "cam" / "a.jpg", len(name))
        write_image(tmp_path / "shots" / name / "cam" / "not-listed.jpg", 50)
        (tmp_path / "shots" / name / "manifest.csv").write_text(f"path,camera\n./cam/a.jpg,{name}\n")
    folder = tmp_path / "people.index"
    add(folder, people, models, tmp_path / "shots")
    assert {key: row["camera"] for key, row in rows(folder).items()} == {
        "shots/one/cam/a.jpg": "one",
        "shots/two/cam/a.jpg": "two",
    }
    (tmp_path / "shots" / "one" / "manifest.csv").write_text("path,camera\ncam/a.jpg,1\ncam/b.jpg,1\n")
    with pytest.raises(BrunaError, match=r"1 wrong line:\n  line 3: there is no image cam/b\.jpg"):
        images_of(tmp_path / "shots", ExitStack())


def test_names_that_no_table_can_hold_are_left_out(tmp_path: Path, models: Path, people: Describer) -> None:
    source = photos(tmp_path / "photos", range(2))
    for name in (os.fsdecode(b"\xf6.jpg"), "a\nb.jpg", "\u2713 [b]ok.jpg"):
        shutil.copy(source / "001.jpg", source / name)
    folder = tmp_path / "people.index"
    added = add(folder, people, models, source)
    assert sorted(rows(folder)) == ["photos/000.jpg", "photos/001.jpg", "photos/\u2713 [b]ok.jpg"]
    assert sorted(added.left_out) == [r"photos/\xf6.jpg", r"photos/a\x0ab.jpg"]
    with pytest.raises(BrunaError, match=r"found 1 photo that cannot be read:\n  \\xf6\.jpg cannot be read: its name"):
        open_index(folder, models, "cpu").search(source / os.fsdecode(b"\xf6.jpg"))
