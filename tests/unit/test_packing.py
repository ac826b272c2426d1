"""Image tables hold the files' bytes and the people's attributes, and split people, not images."""

import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bruna.dataset import packing
from bruna.dataset import tables as tables_module
from bruna.dataset.annotations import Annotations, read_annotations
from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.dataset_file import read_dataset_file
from bruna.dataset.facts import image_facts, manifest_of
from bruna.dataset.packing import mask_parts, pack_tables, write_images, write_masks
from bruna.dataset.schema import Task
from bruna.dataset.tables import attribute_codes, attributes_of, read_table
from bruna.errors import BrunaError
from bruna.files import fingerprint
from bruna.params import Split
from bruna.pipeline.split import split_dataset
from course_schema import NAMES
from tiny_dataset import write_annotations, write_dataset, write_image

SPLIT = Split(seed=0, train_share=0.5, mask_train_share=0.5, measured_on="validation")
DEVELOPMENT = SPLIT.model_copy(update={"measured_on": "development"})
TABLES = ["train", "validation", "test/query", "test/gallery", "test/queries", "test/test"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data")


def manifest(data: Path) -> pd.DataFrame:
    return manifest_of(image_facts(data))


def test_tables_hold_bytes_and_attributes(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (packing, tables_module):
        monkeypatch.setattr(module, "ROW_GROUP", 3)  # several blocks a table
    out = tmp_path / "out"
    table, summary = split_dataset(data, manifest(data).sample(frac=1, random_state=0), SPLIT, out)
    tables = {name: pd.read_parquet(out / f"{name}.parquet") for name in TABLES}
    for name, rows in tables.items():
        assert rows["path"].is_monotonic_increasing and rows["path"].is_unique, name
        assert all(row.image == (data / row.path).read_bytes() for row in rows.itertuples()), name
        assert [str(rows[c].dtype) for c in ("identity", "camera")] == ["int32", "int16"]
        for attribute in ATTRIBUTES:
            assert list(rows[attribute.name].cat.categories) == list(attribute.values), name
    train, validation = tables["train"], tables["validation"]
    assert (train["identity"].nunique(), validation["identity"].nunique()) == (2, 2)
    assert not set(train["identity"]) & set(validation["identity"])
    labelled = pd.concat([train, validation])
    assert sorted(labelled["path"]) == sorted(f"train/{p.name}" for p in (data / "train").iterdir())
    annotations = read_annotations(data, read_dataset_file(data))
    assert (attribute_codes(labelled) == annotations.of(labelled)).all() and attributes_of(labelled) == ATTRIBUTES
    by_path = labelled.set_index("path")
    person = by_path.loc["train/0002_c2_000020002.jpg"]
    assert person[["identity", "camera", "age", "upcolor", "downcolor"]].tolist() == [
        2, 2, "teenager", "red", "black"
    ]  # fmt: skip
    gallery = tables["test/gallery"].set_index("identity")
    assert gallery.loc[20, ["age", "upcolor"]].tolist() == ["old", "blue"]
    assert gallery.loc[[0, -1], list(NAMES)].isna().all(axis=None)
    assert tables["test/test"][list(NAMES)].isna().all(axis=None)
    assert set(tables["test/queries"]["identity"]) == {-2}
    assert summary["rows"] == {
        "train": 4, "validation": 4, "masks_train": 1, "masks_held_out": 1,
        "test_query": 1, "test_gallery": 3, "test_queries": 1, "test_test": 2,
    }  # fmt: skip
    assert table["people"].sum() == 4 * 12 and table.columns[0] == "attribute"


SCHEMA = (Task("size", ("small", "middle", "large", "huge")), Task("glasses", ("no", "yes")))


def test_tables_carry_the_attributes_that_they_are_given(data: Path, tmp_path: Path) -> None:
    """Values in the order of their codes, those that nobody bears too, also where nobody is annotated."""
    people = Annotations("identity", pd.Index([2, 5, 7, 11]), np.array([[2, 0], [0, 1], [1, 1], [1, -1]]), SCHEMA)
    train = np.repeat([False, False, True, True], 2)
    pack_tables(data, manifest(data), people, train, tmp_path, mask_train_share=0.5, seed=0)
    codes = {2: [2, 0], 5: [0, 1], 7: [1, 1], 11: [1, -1]}
    for name in TABLES:
        table = read_table(tmp_path / f"{name}.parquet")
        assert attributes_of(table) == SCHEMA, name
        assert attribute_codes(table).tolist() == [codes.get(i, [-1, -1]) for i in table["identity"]], name
    assert set(read_table(tmp_path / "train.parquet")["identity"]) == {7, 11}
    two = read_table(tmp_path / "validation.parquet").set_index("identity").loc[2, ["size", "glasses"]]
    assert two.drop_duplicates().values.tolist() == [["large", "no"]]
    write_images(
        data, manifest(data)[:2], Annotations("identity", people.keys, people.codes[:, :0], ()), tmp_path / "no"
    )
    bare = read_table(tmp_path / "no")
    assert list(bare) == ["path", "image", "identity", "camera"]
    assert attributes_of(bare) == () and attribute_codes(bare).shape == (2, 0)


def test_images_of_an_identity_may_differ(data: Path, tmp_path: Path) -> None:
    """An identity counts in the split with what most of its images show, and each image keeps what it shows."""
    paths = sorted(f"train/{path.name}" for path in (data / "train").iterdir())
    values = {
        path: {"size": SCHEMA[0].values[at % 4], "glasses": "" if at == 3 else "yes"} for at, path in enumerate(paths)
    }
    write_annotations(data, values | {"gallery/0020_c2s1_000451_03.jpg": {"size": "huge"}}, SCHEMA)
    balance, _ = split_dataset(data, manifest(data), SPLIT, tmp_path)
    table = pd.concat([read_table(tmp_path / f"{side}.parquet") for side in ("train", "validation")]).set_index("path")
    for path, of in values.items():
        assert (table.loc[path, "size"], table["glasses"].astype(object).fillna("")[path]) == (
            of["size"],
            of["glasses"],
        )
    people = balance.set_index(["attribute", "value"])["people"]
    assert people.to_dict() == {("size", "small"): 2, ("size", "large"): 2, ("glasses", "yes"): 4}
    gallery = read_table(tmp_path / "test" / "gallery.parquet").set_index("identity")["size"]
    assert gallery[20] == "huge" and gallery[[0, -1]].isna().all()


@pytest.mark.parametrize("schema", [SCHEMA, ()])
def test_nobody_s_images_are_split_one_by_one(data: Path, tmp_path: Path, schema: tuple[Task, ...]) -> None:
    (data / "annotations.csv").unlink()
    paths = sorted(f"train/{path.name}" for path in (data / "train").iterdir())
    values = {path: {"glasses": ("no", "yes")[at % 2]} for at, path in enumerate(paths)}
    write_annotations(data, values if schema else {}, schema, identities=False, attributes_of="image")
    rows = manifest_of(image_facts(data, identities=False))
    balance, summary = split_dataset(data, rows, SPLIT.model_copy(update={"train_share": 0.75}), tmp_path)
    tables = {side: read_table(tmp_path / f"{side}.parquet") for side in ("train", "validation")}
    assert [len(table) for table in tables.values()] == [6, 2]
    assert all(set(table["identity"]) == {-2} and attributes_of(table) == schema for table in tables.values())
    assert not [name for name in summary if "identit" in name]
    assert (summary["train_images"], summary["validation_images"]) == (6, 2)
    if schema:
        assert tables["validation"]["glasses"].tolist() in (["no", "yes"], ["yes", "no"])
        assert balance["people"].tolist() == [8, 4, 4] and "warnings" not in summary


def test_images_of_a_group_stay_on_one_side(data: Path, tmp_path: Path) -> None:
    (data / "annotations.csv").unlink()
    paths = sorted(f"train/{path.name}" for path in (data / "train").iterdir())
    groups = ["a", "b", "a", "c", "a", "b", "", ""]
    write_annotations(data, {path: {"glasses": "no"} for path in paths}, SCHEMA, identities=False, group="person")
    file = data / "annotations.csv"
    lines = file.read_text().splitlines()
    file.write_text("\n".join(f"{line},{end}" for line, end in zip(lines, ["person", *groups], strict=True)))
    rows = manifest_of(image_facts(data, identities=False))
    sides = set()
    for seed in range(8):
        balance, summary = split_dataset(
            data, rows, SPLIT.model_copy(update={"seed": seed, "train_share": 0.6}), tmp_path
        )
        train = set(read_table(tmp_path / "train.parquet")["path"])
        inside = [path in train for path in paths]
        assert inside[0] == inside[2] == inside[4] and inside[1] == inside[5]
        assert balance["people"].tolist() == [5, 5] and 0 < summary["train_images"] < 8
        sides.add(tuple(inside))
    assert any(one != other for *_, one, other in sides)  # those without are no group
    file.write_text("\n".join([lines[0] + ",person", *(f"{line},all" for line in lines[1:])]))
    with pytest.raises(BrunaError, match="at least 2 groups of images in train/, found 1"):
        split_dataset(data, rows, SPLIT, tmp_path)


def test_sides_of_another_size_than_asked_are_said(data: Path, tmp_path: Path) -> None:
    write_annotations(data, {2: {}, 5: {}, 7: {"size": "huge"}, 11: {"size": "huge"}}, SCHEMA)
    _, summary = split_dataset(data, manifest(data), SPLIT.model_copy(update={"train_share": 0.8}), tmp_path)
    assert summary["train_identities"] == 2
    (said,) = summary["warnings"]  # type: ignore[misc]
    assert said.startswith("split.train_share 0.8 asks for 3 of 4 identities to train on, and 2 do")
    assert said.endswith("(size=small, size=huge).")


def test_development_people_are_of_those_who_train_and_validation_is_in_no_table(data: Path, tmp_path: Path) -> None:
    """The usual split is made first, and what it gives to training is split again."""
    split_dataset(data, manifest(data), SPLIT, tmp_path / "usual")
    balance, summary = split_dataset(data, manifest(data), DEVELOPMENT, tmp_path / "again")
    usual, again = (
        {side: set(read_table(tmp_path / out / f"{side}.parquet")["identity"]) for side in ("train", "validation")}
        for out in ("usual", "again")
    )
    assert again["train"] | again["validation"] == usual["train"] and not again["train"] & again["validation"]
    assert (summary["train_identities"], summary["validation_identities"]) == (1, 1)
    assert set(balance.groupby("attribute")["people"].sum()) == {2} and balance["images"].max() == 4
    (said,) = summary["warnings"]  # type: ignore[misc]
    assert "1 development identities, taken from those that train; the 2 validation identities are in no table" in said
    for kept in ("masks.parquet", "test"):  # nobody knows who is on a mask pair
        assert fingerprint(tmp_path / "usual" / kept) == fingerprint(tmp_path / "again" / kept)
    two = manifest(data)[lambda rows: rows["identity"].isin([2, 5])]
    with pytest.raises(BrunaError, match="at least 2 training identities in train/, found 1"):
        split_dataset(data, two, DEVELOPMENT, tmp_path / "few")


def test_mask_pairs(data: Path, tmp_path: Path) -> None:
    split_dataset(data, manifest(data), SPLIT, tmp_path)
    masks = read_table(tmp_path / "masks.parquet")
    assert sorted(masks["part"]) == ["held_out", "train"]
    for row in masks.itertuples():
        stem = Path(row.path).stem
        assert row.image == (data / "masks" / "images" / f"{stem}.jpg").read_bytes()
        assert row.mask == (data / "masks" / "masks" / f"{stem}.png").read_bytes()
        assert np.unique(np.asarray(Image.open(io.BytesIO(row.mask)))).tolist() == [0, 255]


def test_same_input_same_bytes_and_stale_test_tables_go(data: Path, tmp_path: Path) -> None:
    for out in ("a", "b"):
        split_dataset(data, manifest(data), SPLIT, tmp_path / out)
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")
    rest = manifest(data)
    rest = rest[rest["subset"] == "train"]
    split_dataset(data, rest, SPLIT, tmp_path / "a")
    assert list((tmp_path / "a" / "test").iterdir()) == []
    masks = read_table(tmp_path / "a" / "masks.parquet")
    assert len(masks) == 0 and list(masks.columns) == ["path", "image", "mask", "part"]


def test_changed_and_vanished_files_are_refused(data: Path, tmp_path: Path) -> None:
    rows = manifest(data)
    people = Annotations("identity", pd.Index([], dtype=np.int64), np.empty((0, 12), dtype=np.int64), ATTRIBUTES)
    train = np.ones(8, dtype=bool)
    write_image(data / "train" / "0005_c1_000050001.jpg", 1)
    with pytest.raises(BrunaError, match=r"0005_c1_000050001\.jpg has changed since it was validated"):
        pack_tables(data, rows, people, train, tmp_path / "out", mask_train_share=0.5, seed=0)
    (data / "train" / "0005_c1_000050001.jpg").unlink()
    with pytest.raises(BrunaError, match=r"0005_c1_000050001\.jpg cannot be read"):
        pack_tables(data, rows, people, train, tmp_path / "out", mask_train_share=0.5, seed=0)
    assert not list((tmp_path / "out").glob("*train*"))


@given(st.integers(2, 200), st.floats(0.01, 0.99), st.integers(0, 5))
def test_mask_parts(count: int, share: float, seed: int) -> None:
    parts = mask_parts(count, share, seed)
    inside = (parts == "train").sum()
    assert 1 <= inside <= count - 1
    assert inside == round(share * count) or inside in (1, count - 1)
    assert (parts == mask_parts(count, share, seed)).all()
    assert mask_parts(1, share, seed).tolist() == ["train"]


def test_a_table_may_lie_in_a_folder_whose_name_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"t\xe9") / "masks.parquet"
    write_masks(tmp_path, pd.DataFrame({"path": [], "mask_path": [], "md5": []}), np.array([], dtype=str), path)
    assert list(read_table(path)) == ["path", "image", "mask", "part"]
