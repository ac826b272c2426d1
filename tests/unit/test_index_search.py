"""Ranking an index: against a naive ranking, and against what the stage `evaluate` ranks."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bruna.dataset.schema import Task, logit_count
from bruna.dataset.tables import write_table
from bruna.errors import BrunaError
from bruna.evaluation.labelled import describe_table
from bruna.evaluation.retrieval import RANKED, retrieve
from bruna.files import write_json
from bruna.index.asking import index_of, open_index
from bruna.index.build import add_images
from bruna.index.facts import Facts
from bruna.index.gather import images_of
from bruna.index.header import Header, begin
from bruna.index.opened import Opened
from bruna.index.search import Query, Wish, distances, each_query, search
from bruna.inference.describer import load
from bruna.inference.settings import Settings
from bruna.params import read_params
from bruna.retrieval.gallery import Gallery
from conftest import ROOT
from person_table import person_table
from tiny_dataset import write_image
from tiny_models import save_tiny_models

SCHEMA = (Task("upcolor", ("black", "red", "blue")), Task("hat", ("no", "yes")))


class Steps:
    """A calibration of two steps, as an isotonic fit has: ties are frequent."""

    def probability(self, distances: np.ndarray, images: int | None = None) -> np.ndarray:
        assert images is not None
        return np.where(distances < 1.5, 0.8, 0.1) / (images + 1)

    def threshold(self, max_fmr: float) -> float | None:
        return 1.5 if max_fmr >= 0.01 else None


def opened(count: int, rng: np.random.Generator, levels: int = 4) -> Opened:
    """Few levels of few features: many equal distances."""
    features = rng.integers(0, levels, (count, 3)).astype(np.float32)
    attributes = rng.integers(0, 2, (count, logit_count(SCHEMA))).astype(np.float32)
    probabilities = {task.name: rng.dirichlet(np.ones(len(task.values)), count).astype(np.float32) for task in SCHEMA}
    junk = rng.random(count).astype(np.float32)
    columns = {
        "key": np.array([f"{i}.jpg" for i in range(count)], dtype=object),
        "camera": np.array(["1", "2", None], dtype=object)[rng.integers(0, 3, count)],
        "junk": junk,
    }
    codes = {name: of.argmax(axis=1) for name, of in probabilities.items()}
    header = Header("0" * 64, 3, SCHEMA, Settings(attribute_offset=0.5))
    gallery = Gallery.unlabelled(torch.from_numpy(features), torch.from_numpy(attributes))
    return Opened("people.index", header, gallery, Facts(codes, probabilities, columns), columns["key"])


def naive(index: Opened, query: Query, wish: Wish, where: str | None) -> pd.DataFrame:
    """One image after the other, in float64."""
    rows = []
    table = index.facts
    for i in range(len(index)):
        f = np.linalg.norm(index.gallery.features[i].double() - query.embedding.features[0].double())
        a = np.linalg.norm(index.gallery.attributes[i].double() - query.embedding.attributes[0].double())
        camera, red = table.columns["camera"][i], float(table.probabilities["upcolor"][i, 1])
        distance = f * (0.5 + a)
        if (wish.without is not None and wish.without[i]) or (camera is not None and camera in query.cameras):
            continue
        if wish.nearer is not None and not distance < wish.nearer:
            continue
        cost = distance
        if where is not None:
            if camera == "2" or (wish.strict and table.codes["upcolor"][i] != 1):
                continue
            if not wish.strict:
                cost = -round(float(wish.calibration.probability(np.array([distance]), 1)[0]) * red, 6)
        rows.append((cost, distance, i))
    rows.sort()
    return pd.DataFrame(rows[: wish.top], columns=["cost", "distance", "row"]).astype({"distance": float})


@settings(deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 60),
    top=st.integers(1, 70),
    mode=st.sampled_from(["photo", "strict", "both"]),
    junk=st.booleans(),
    nearer=st.sampled_from([None, 1.5]),
    cameras=st.sampled_from([frozenset(), frozenset({"1"})]),
)
def test_a_search_is_a_naive_ranking(seed, count, top, mode, junk, nearer, cameras) -> None:
    rng = np.random.default_rng(seed)
    index = opened(count, rng)
    asked = Gallery.unlabelled(
        torch.from_numpy(rng.integers(0, 4, (1, 3)).astype(np.float32)),
        torch.from_numpy(rng.integers(0, 2, (1, logit_count(SCHEMA))).astype(np.float32)),
    )
    where = None if mode == "photo" else "upcolor = red and camera != 2"
    query = Query("photo.jpg", asked, {"upcolor": 1, "hat": 0}, cameras)
    wish = Wish(
        top=top,
        where=None if where is None else index.condition(where),
        strict=mode == "strict",
        without=index.junk if junk else None,
        nearer=nearer,
        calibration=Steps() if mode == "both" else None,
    )
    expected = naive(index, query, wish, where)
    found = search(index, [query], wish)
    assert found["key"].tolist() == [f"{row}.jpg" for row in expected["row"]]
    np.testing.assert_allclose(found["distance"], expected["distance"], rtol=1e-6)
    assert found["rank"].tolist() == list(range(1, len(found) + 1))
    if mode == "both":  # of all images that show a person, not of those alone that the conditions leave
        persons = sum(value < index.header.settings.junk_threshold for value in index.facts.columns["junk"])
        np.testing.assert_allclose(found["probability"], np.where(found["distance"] < 1.5, 0.8, 0.1) / (persons + 1))
    for row, agreeing, differing in zip(expected["row"], found["agreeing"], found["differing"], strict=True):
        fits = {"upcolor": index.facts.codes["upcolor"][row] == 1, "hat": index.facts.codes["hat"][row] == 0}
        assert (set(agreeing), set(differing)) == ({n for n in fits if fits[n]}, {n for n in fits if not fits[n]})


def test_a_description_alone_ranks_by_its_probability() -> None:
    index = opened(40, np.random.default_rng(0))
    condition = index.condition("upcolor = red and hat = yes and camera = 1")
    found = search(index, [], Wish(top=40, where=condition))
    of = index.facts
    likely = of.probabilities["upcolor"][:, 1].astype(float) * of.probabilities["hat"][:, 1]
    kept = np.array([i for i in range(40) if of.columns["camera"][i] == "1"])
    assert found["key"].tolist() == [f"{i}.jpg" for i in kept[np.argsort(-likely[kept], kind="stable")]]
    np.testing.assert_allclose(found["description"], np.sort(likely[kept])[::-1])
    assert found["distance"].isna().all() and found["probability"].isna().all()
    strict = search(index, [], Wish(top=40, where=condition, strict=True))
    assert strict["key"].tolist() == [f"{i}.jpg" for i in of.holds(condition).nonzero()[0]]
    assert strict["differing"].map(len).eq(0).all() and len(strict) < len(found)


def test_beside_a_photo_a_description_needs_a_calibration_to_rank() -> None:
    index = opened(5, np.random.default_rng(0))
    query = Query("a.jpg", index.gallery.select(torch.tensor([0])), {"upcolor": 0, "hat": 0})
    with pytest.raises(ValueError, match="can only filter"):
        search(index, [query], Wish(where=index.condition("hat = yes")))
    assert len(search(index, [query], Wish(where=index.condition("camera != 7")))) == 5


@pytest.mark.parametrize("offset", [0.1, 30.0])
def test_ranks_are_those_of_evaluate(tmp_path: Path, offset: float) -> None:
    """The same images, once through the stage's functions and once through an index of the same table."""
    models = save_tiny_models(tmp_path / "artifacts")
    params = read_params(ROOT / "params.yaml").evaluate.model_copy(update={"attribute_offset": offset, "flip": True})
    write_json(params.model_dump(mode="json"), models / "evaluate" / "settings.json")
    people = load(models, "cpu")
    table = person_table([2, 5, 7], 5, (64, 32), seed=4)
    write_table(table, tmp_path / "query.parquet")
    images = describe_table(people, table, None, "query")
    expected = retrieve(images, images, params.model_copy(update={"filter_junk": False})).nearest

    index = index_of(tmp_path / "query.parquet", models, "cpu")
    assert index.rows.keys.tolist() == table["path"].tolist()
    row_of = {key: i for i, key in enumerate(table["path"])}
    for i, query in enumerate(each_query(images.found)):
        itself = np.arange(len(table)) == i
        same = (table["identity"] == table["identity"][i]).to_numpy() & (
            table["camera"] == table["camera"][i]
        ).to_numpy()
        found = search(index.rows, [query], Wish(top=RANKED, without=itself | same))
        valid = expected.indices[i] >= 0
        wanted, near = expected.indices[i][valid].numpy(), expected.distances[i][valid].numpy()
        np.testing.assert_allclose(distances(index.rows, query)[wanted], near, rtol=2e-4)
        at = [row_of[key] for key in found["key"]]
        assert sorted(at) == sorted(wanted.tolist())
        # Distances that differ in their last bits only may change places.
        np.testing.assert_allclose(distances(index.rows, query)[at], near, rtol=2e-4)
        clear = np.abs(np.diff(near, prepend=-1, append=near[-1] + 9)) > 1e-3 * near.max()
        alone = clear[:-1] & clear[1:]
        assert (np.array(at)[alone] == wanted[alone]).all() and alone.sum() > len(wanted) / 2


def test_several_photos_are_one_query_at_their_centroid(tmp_path: Path) -> None:
    models = save_tiny_models(tmp_path / "artifacts")
    table = person_table([2, 5], 3, (64, 32))
    write_table(table, tmp_path / "gallery.parquet")
    for i in (0, 1):
        (tmp_path / f"{i}.jpg").write_bytes(table["image"][i])
    people = load(models, "cpu")
    header = begin(tmp_path / "people.index", people, models)
    with ExitStack() as stack:
        add_images(tmp_path / "people.index", [images_of(tmp_path / "gallery.parquet", stack)], people, header)
    index = open_index(tmp_path / "people.index", models, "cpu")
    photos = [tmp_path / "0.jpg", tmp_path / "1.jpg"]
    found = index.search(photos, keep_junk=True).results
    alone = people.describe(photos, masks=False)
    centroid, attributes = alone.gallery.features.mean(0), alone.gallery.attributes.mean(0)
    everything = people.describe(list(table["image"]), masks=False).gallery
    expected = (everything.features - centroid).norm(dim=1) * (0.1 + (everything.attributes - attributes).norm(dim=1))
    np.testing.assert_allclose(np.sort(found["distance"]), np.sort(expected.numpy()), rtol=1e-3, atol=1e-6)
    assert found["query"].unique().tolist() == ["0.jpg, 1.jpg"]
    each = index.search(photos, keep_junk=True, each=True, top=1).results
    assert each["query"].tolist() == ["0.jpg", "1.jpg"] and each["key"].tolist() == table["path"][:2].tolist()
    assert each["distance"].max() < 1e-3 * expected.max()

    data = {photo.name: photo.read_bytes() for photo in photos}
    pd.testing.assert_frame_equal(index.search(data, keep_junk=True).results, found)
    predicted = index.search(data, keep_junk=True, each=True).predicted
    assert list(predicted) == ["0.jpg", "1.jpg"]
    assert predicted["1.jpg"] == {name: str(values[1]) for name, values in alone.attributes.items()}


def test_bytes_tell_their_camera_by_content_or_by_name_as_files_do(tmp_path: Path) -> None:
    models = save_tiny_models(tmp_path / "artifacts")
    table = person_table([2, 5], 3, (64, 32))
    write_table(table, tmp_path / "gallery.parquet")
    index = index_of(tmp_path / "gallery.parquet", models, "cpu")
    row = table.iloc[0]
    others = set(table["camera"].astype(str)) - {str(row["camera"])}
    found = index.search({"anything": bytes(row["image"])}, keep_junk=True, different_camera=True, top=99).results
    assert set(found["camera"]) == others
    unknown = tmp_path / "x.jpg"
    write_image(unknown, 77)
    with pytest.raises(BrunaError, match="nobody knows the camera of x: it is not in"):
        index.search({"x": unknown.read_bytes()}, keep_junk=True, different_camera=True)
    found = index.search({f"there/0002_c{row['camera']}_7.jpg": unknown.read_bytes()}, keep_junk=True,
                         different_camera=True, top=99).results  # fmt: skip
    assert set(found["camera"]) == others
