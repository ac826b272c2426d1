"""An index that is read from disk whenever it is asked, and the approximate one beside it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from test_index_search import Steps

import bruna.index.approximate
import bruna.index.store
import bruna.index.streamed
from bruna.dataset.schema import Task, logit_count
from bruna.errors import BrunaError
from bruna.index.approximate import Approximate, approximate_note, cover
from bruna.index.header import Header
from bruna.index.opened import Opened, open_rows
from bruna.index.remove import remove_images
from bruna.index.rows import probabilities_of
from bruna.index.search import Query, Wish, candidates, search
from bruna.index.store import append, parts_of, writing
from bruna.index.streamed import Streamed, open_searchable
from bruna.inference.settings import Settings
from bruna.retrieval.gallery import Gallery

SCHEMA = (Task("upcolor", ("black", "red", "blue")), Task("hat", ("no", "yes")))
WIDTH = 21
"""Features; with the attributes' no multiple of what a processor takes at once."""


def faiss() -> None:
    pytest.importorskip("faiss", reason="FAISS is not installed: bruna[large]")


def table(numbers: range, texts: str = "{}") -> Any:
    """Rows whose embeddings tell their numbers; every sixth camera is unknown."""
    rng = np.random.default_rng(numbers.start)
    centres = np.random.default_rng(5).normal(size=(40, WIDTH)) * 3
    columns: dict[str, Any] = {
        "key": [f"{i}.jpg" for i in numbers],
        "digest": [f"{i:064x}" for i in numbers],
        "camera": [None if i % 6 == 5 else str(i % 6) for i in numbers],
        "given": [texts.format(i % 9) for i in numbers],
        "junk": pa.array(rng.random(len(numbers)).astype(np.float32)),
        "features": list(centres[[i % 40 for i in numbers]] + rng.normal(size=(len(numbers), WIDTH))),
        "attribute_features": list(rng.random((len(numbers), logit_count(SCHEMA)))),
    }
    for task in SCHEMA:
        found = rng.dirichlet(np.ones(len(task.values)), len(numbers))
        columns[task.name] = [task.values[code] for code in found.argmax(axis=1)]
        columns[probabilities_of(task.name)] = list(found)
    lists = {name: pa.array(of, pa.list_(pa.float32(), len(of[0]))) for name, of in columns.items() if name in LISTS}
    return pa.table({**columns, **lists})


LISTS = ("features", "attribute_features", *(probabilities_of(task.name) for task in SCHEMA))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """700 rows in parts of 64; three parts a shard."""
    monkeypatch.setattr(bruna.index.store, "PART_ROWS", 64)
    monkeypatch.setattr(bruna.index.approximate, "SHARD_PARTS", 3)
    place = tmp_path / "people.index"
    place.mkdir()
    Header("0" * 64, WIDTH, SCHEMA, Settings(attribute_offset=0.5, junk_threshold=0.9)).write(place)
    append(place, table(range(500)))
    append(place, table(range(500, 700), "n{}"))
    return place


def asked(index: Opened, count: int = 2) -> list[Query]:
    """Photos near to images of the index, of known cameras."""
    some = index.gallery.select(torch.arange(count) * 50)
    assert some.attributes is not None
    near = [Gallery.unlabelled(some.features[[i]] + 0.1, some.attributes[[i]]) for i in range(count)]
    return [Query(f"photo {i}", of, {"upcolor": 1, "hat": 0}) for i, of in enumerate(near)]


def answers(index: Any, queries: list[Query], wish: Wish) -> pd.DataFrame:
    return search(index, queries, wish).drop(columns="rank")


CONDITIONS = (
    None,
    "camera != 3",
    "given = 4",
    "given < 5 or hat = yes",
    "upcolor = red and not key like '1%'",
    "key = none",
)


@pytest.mark.parametrize("where", CONDITIONS)
@pytest.mark.parametrize("strict", [False, True])
def test_an_index_on_disk_answers_as_one_in_memory(folder: Path, where: str | None, strict: bool) -> None:
    held, streamed = open_rows(folder), Streamed(folder)
    assert len(streamed) == len(held) == 700 and streamed.persons == held.persons and streamed.known == held.known
    condition = None if where is None else held.condition(where)
    wish = Wish(top=90, where=condition, strict=strict, without=held.junk, nearer=9.0, calibration=Steps())
    queries = [
        replace(query, cameras=cameras) for query, cameras in zip(asked(held), (frozenset(), {"1"}), strict=True)
    ]
    for photos in ([], queries):
        pd.testing.assert_frame_equal(answers(streamed, photos, wish), answers(held, photos, wish))
    assert candidates(streamed, wish).tolist() == candidates(held, wish).tolist()


def test_an_index_beyond_the_limit_is_left_on_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(open_searchable(folder), Opened)
    monkeypatch.setattr(bruna.index.streamed, "HELD_BYTES", 700 * WIDTH * 4 - 1)
    assert isinstance(open_searchable(folder), Streamed)


def test_a_part_that_changed_meanwhile_is_refused(folder: Path) -> None:
    streamed, held = Streamed(folder), open_rows(folder)
    append(folder, table(range(700, 705)))
    with pytest.raises(BrunaError, match="was changed while it was read"):
        search(streamed, asked(held), Wish())


@pytest.mark.parametrize("where", [None, "camera = 2 and key like '%1.jpg'", "hat = yes"])
def test_an_approximate_search_finds_what_an_exact_one_does(folder: Path, where: str | None) -> None:
    faiss()
    with writing(folder):
        assert cover(folder) == (700, 700)
        assert cover(folder) == (0, 700)
    held, near = open_rows(folder), Approximate(folder)
    queries = asked(held, 5)
    wish = Wish(top=5, where=None if where is None else held.condition(where), strict=True, without=held.junk)
    found, exact = answers(near, queries, wish), answers(held, queries, wish)
    assert found["key"].tolist() == exact["key"].tolist()
    np.testing.assert_allclose(found["distance"], exact["distance"], rtol=0.01)
    assert "may be missing" in approximate_note(near, queries, wish)[0] and not approximate_note(held, queries, wish)


def test_codes_alone_lead_to_the_nearest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a shard 15 rows are looked at."""
    faiss()
    monkeypatch.setattr(bruna.index.approximate, "_LIKELY", 15)
    with writing(folder):
        cover(folder)
    held, near = open_rows(folder), Approximate(folder)
    looked: list[int] = []
    codes = near._codes
    monkeypatch.setattr(near, "_codes", lambda at: looked.append(at) or codes(at))
    queries = asked(held, 8)
    found, exact = (answers(index, queries, Wish(top=1)) for index in (near, held))
    assert found["key"].tolist() == exact["key"].tolist() and len(looked) == 8 * 3  # the last shard is too small


def test_what_shards_do_not_cover_is_compared_all_the_same(folder: Path) -> None:
    faiss()
    with writing(folder):
        cover(folder)
        append(folder, table(range(700, 800)))  # the last part becomes another: its shard fits no more
    held, near = open_rows(folder), Approximate(folder)
    assert near.covered == 10 * 64
    queries = asked(held, 5)
    assert answers(near, queries, Wish(top=9))["key"].tolist() == answers(held, queries, Wish(top=9))["key"].tolist()
    assert "160 images that it does not cover" in approximate_note(near, queries, Wish())[0]
    with writing(folder):
        assert cover(folder) == (160, 800)
    assert Approximate(folder).covered == 800


def test_images_added_to_an_index_of_one_part(tmp_path: Path) -> None:
    """Its only shard fits no more, and all images are compared until it is prepared again."""
    faiss()
    Header("0" * 64, WIDTH, SCHEMA, Settings(attribute_offset=0.5, junk_threshold=0.9)).write(tmp_path)
    append(tmp_path, table(range(60)))
    with writing(tmp_path):
        cover(tmp_path)
        append(tmp_path, table(range(60, 70)))
    held, near = open_rows(tmp_path), Approximate(tmp_path)
    queries, wish = asked(held), Wish(top=9)
    pd.testing.assert_frame_equal(answers(near, queries, wish), answers(held, queries, wish))
    assert "covers none of 70 images any more" in approximate_note(near, queries, wish)[0]
    with writing(tmp_path):
        assert cover(tmp_path) == (70, 70)
    assert Approximate(tmp_path).covered == 70


def test_who_is_erased_is_in_no_shard(folder: Path) -> None:
    faiss()
    with writing(folder):
        cover(folder)
        held = open_rows(folder)
        gone = held.keys == "150.jpg"
        half = held.gallery.features[gone].half().numpy().tobytes()
        assert any(half in path.read_bytes() for path in folder.iterdir())
        before = set(folder.glob("approximate-*"))
        remove_images(folder, held, gone)
    left = set(folder.glob("approximate-*"))
    assert left < before and not any(half in path.read_bytes() for path in folder.iterdir() if path.is_file())
    near, held = Approximate(folder), open_rows(folder)
    assert near.covered == 508 and "150.jpg" not in set(answers(near, asked(held, 5), Wish(top=100))["key"])


def test_a_missing_or_damaged_approximate_index_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faiss()
    with pytest.raises(BrunaError, match="has no approximate index"):
        Approximate(folder)
    with writing(folder):
        cover(folder)
    held = open_rows(folder)
    monkeypatch.setattr(bruna.index.approximate, "_LIKELY", 15)
    for path in folder.glob("*.codes"):
        path.write_bytes(b"damaged")
    with pytest.raises(BrunaError, match=r"codes cannot be read"):
        search(Approximate(folder), asked(held), Wish(top=1))
    for path in folder.glob("*.half"):
        path.unlink()
    assert Approximate(folder).covered == 0
    assert len(parts_of(folder)) == 11
    (folder / "approximate.json").write_text("[")
    with pytest.raises(BrunaError, match="has no approximate index"):
        Approximate(folder)
