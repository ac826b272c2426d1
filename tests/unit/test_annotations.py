"""`annotations.csv`: values by identity or by path, unknown cells, and what is said about a wrong file."""

import os
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bruna.dataset.annotations import (
    Annotations,
    annotations_csv,
    joined,
    parse_annotations,
    raw_table,
    read_annotations,
)
from bruna.dataset.dataset_file import DatasetFile
from bruna.dataset.schema import Task
from bruna.errors import BrunaError

HELMETS = (Task("helmet", ("no", "yes")), Task("vest", ("none", "orange", "neon yellow")))
DATASET = DatasetFile(name="site", attributes={task.name: task.values for task in HELMETS})
ROWS = pd.DataFrame(
    {"identity": [7, 30, 8, -1], "path": ["train/a.jpg", "train/b.jpg", "train/c.jpg", "gallery/d.jpg"]}
)


def test_values_by_identity(tmp_path: Path) -> None:
    (tmp_path / "annotations.csv").write_text(
        "\ufeffvest, identity ,helmet\r\norange,30,\r\n,,\r\nneon yellow,7,yes\r\n"
    )
    found = read_annotations(tmp_path, DATASET)
    assert found.of(ROWS).tolist() == [[1, 2], [-1, 1], [-1, -1], [-1, -1]]


def test_values_by_path_from_parquet(tmp_path: Path) -> None:
    table = pd.DataFrame({"path": ["train/c.jpg", "train/a.jpg"], "helmet": ["no", None], "vest": ["none", "orange"]})
    table.to_parquet(tmp_path / "annotations.parquet")
    found = read_annotations(tmp_path, DATASET)
    assert (found.key, found.of(ROWS).tolist()) == ("path", [[-1, 1], [-1, -1], [0, 0], [-1, -1]])


def test_nobody_is_annotated_without_a_file(tmp_path: Path) -> None:
    assert read_annotations(tmp_path, DATASET).of(ROWS).tolist() == [[-1, -1]] * 4
    assert read_annotations(tmp_path, DatasetFile(name="site")).of(ROWS).shape == (4, 0)
    (tmp_path / "annotations.csv").write_text("identity\n7\n")  # known, and of no attribute
    assert read_annotations(tmp_path, DatasetFile(name="site")).of(ROWS).shape == (4, 0)


@pytest.mark.parametrize(
    ("table", "codes"),
    [
        (pd.DataFrame({"identity": [7, 8], "size": [42.5, None], "worn": [True, None]}), [[1, 1], [-1, -1]]),
        (pd.DataFrame({"identity": ["7", " 8 "], "size": [" 42", ""], "worn": ["True", "False"]}), [[0, 1], [-1, 0]]),
        (
            pd.DataFrame({"worn": [False, True], "size": pd.array([None, 42], "Int64"), "identity": [7, 8]}),
            [[-1, 0], [0, 1]],
        ),
        (
            pd.DataFrame({"size": [42, 42], "worn": ["True", None]}, pd.Index([8, 7], name="identity")),
            [[0, -1], [0, 1]],
        ),
        (
            pd.DataFrame({"identity": [7, 8], "size": ["42", None], "worn": [None, "True"]}).astype("category"),
            [[0, -1], [-1, 1]],
        ),
    ],
    ids=["numbers and truth values", "texts", "whole numbers with a gap", "an index", "categories"],
)
def test_types_of_parquet_are_read_as_their_texts(tmp_path: Path, table: pd.DataFrame, codes: list[list[int]]) -> None:
    table.to_parquet(tmp_path / "annotations.parquet")
    dataset = DatasetFile(name="site", attributes={"size": ("42", "42.5"), "worn": ("False", "True")})
    assert read_annotations(tmp_path, dataset).of(ROWS[ROWS["identity"].isin([7, 8])]).tolist() == codes


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        (["a", "b"], "a cell holds a ndarray, not a text or a number"),
        ({"a": 1}, "a cell holds a dict, not"),
        ("\x1b[2J", "a cell has the character '\\x1b'"),
        ("a" * 1_001, "a cell of more than 1,000 characters"),
    ],
)
def test_what_no_cell_of_parquet_may_hold(tmp_path: Path, cell: object, says: str) -> None:
    pd.DataFrame({"identity": [7], "helmet": [cell], "vest": ["none"]}).to_parquet(tmp_path / "annotations.parquet")
    with pytest.raises(BrunaError) as error:
        read_annotations(tmp_path, DATASET)
    assert f"annotations.parquet cannot be read as parquet ({says}" in str(error.value)


def test_there_may_be_one_file_only(tmp_path: Path) -> None:
    (tmp_path / "annotations.csv").write_text("identity,helmet,vest\n")
    (tmp_path / "annotations.parquet").symlink_to("nowhere")
    with pytest.raises(BrunaError, match=r"holds annotations\.csv and annotations\.parquet\. Remove one of them"):
        read_annotations(tmp_path, DATASET)


codes = st.lists(st.tuples(st.integers(-1, 1), st.integers(-1, 2)), min_size=1, max_size=6)
values = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=5)
odd = st.sampled_from(["NA", "nan", "None", "null", "yes", "1,5", 'a"b', "neon yellow", "ö", "01", "-"])
schemas = st.tuples(*(st.lists(values | odd, min_size=size, max_size=size, unique=True) for size in (2, 3)))


@settings(max_examples=100, deadline=None)
@given(codes, schemas, st.booleans(), st.randoms(use_true_random=False))
def test_the_text_says_what_was_written(
    people: list[tuple[int, int]], schema: tuple[list[str], list[str]], by_path: bool, random: Random
) -> None:
    order = random.sample(range(1, len(people) + 1), len(people))
    tasks = tuple(Task(name, tuple(of)) for name, of in zip(("no", "upper body"), schema, strict=True))
    keys = pd.Index([f'train/{i}, "ä" {i}.jpg' if by_path else 3 * i for i in order])
    written = Annotations("path" if by_path else "identity", keys, np.array(people), tasks)
    text = annotations_csv(written)
    found = parse_annotations(raw_table(text, "some.csv"), tasks)
    assert (found.key, found.attributes) == (written.key, tasks)
    assert found.keys.tolist() == sorted(keys)
    assert found.codes.tolist() == [list(people[order.index(i)]) for i in sorted(order)]
    assert annotations_csv(found) == text


def test_a_column_may_group_images(tmp_path: Path) -> None:
    dataset = DatasetFile(name="site", identities=False, group="person", attributes=DATASET.attributes)
    file = tmp_path / "annotations.csv"
    file.write_text("path,person,helmet,vest\ntrain/b.jpg,,no,\ntrain/a.jpg,anna,yes,\ntrain/c.jpg,anna,,\n")
    found = read_annotations(tmp_path, dataset)
    a, b, c, not_annotated = found.groups_of(ROWS).tolist()
    assert a == c and len({a, b, not_annotated}) == 3
    assert found.of(ROWS).tolist() == [[1, -1], [0, -1], [-1, -1], [-1, -1]]
    text = annotations_csv(found)
    assert text.splitlines()[:2] == [b"path,helmet,vest,person", b"train/a.jpg,yes,,anna"]
    assert annotations_csv(parse_annotations(raw_table(text, "some.csv"), HELMETS, "person")) == text
    file.write_text("path,helmet,vest\n")
    with pytest.raises(BrunaError, match="missing columns: person"):
        read_annotations(tmp_path, dataset)
    assert len(set(read_annotations(tmp_path, DATASET).groups_of(ROWS))) == 4


def test_the_text_by_hand() -> None:
    people = Annotations("identity", pd.Index([30, 7]), np.array([[1, 2], [-1, 0]]), HELMETS)
    assert annotations_csv(people) == b"identity,helmet,vest\n7,,none\n30,yes,neon yellow\n"
    bare = Annotations("path", pd.Index(["train/b.jpg", "train/a, b.jpg"]), np.empty((2, 0), np.int64), ())
    assert annotations_csv(bare) == b'path\n"train/a, b.jpg"\ntrain/b.jpg\n'


def test_parts_are_joined_unless_both_have_a_row() -> None:
    one, other = (Annotations("identity", pd.Index([i]), np.array([[1, i]]), HELMETS) for i in (1, 2))
    both = joined([one, other], "market.zip")
    assert (both.keys.tolist(), both.codes.tolist()) == ([1, 2], [[1, 1], [1, 2]])
    with pytest.raises(BrunaError, match=r"market\.zip: identity 1 has two rows"):
        joined([one, one], "market.zip")
    assert joined([one], "market.zip").keys.tolist() == [1]
    image = Annotations("path", pd.Index(["train/a.jpg"]), np.array([[0, -1]]), HELMETS)
    with pytest.raises(BrunaError, match=r"peta: path train/a\.jpg has two rows"):
        joined([image, image], "peta")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("identity,helmet\n1,yes", "annotations.csv has the wrong header: missing columns: vest."),
        ("helmet,vest\nyes,none", "missing columns: identity"),
        ("identity,helmet,vest,,helmet\n", "unknown columns: (no name); columns that occur twice: helmet"),
        ("identity,helmet,vest\n1,yes", "line 2 has 2 cells where the header has 3"),
        ("", "annotations.csv is empty. Its first line names the columns"),
        ('identity,helmet,vest\n1,"yes', "line 2 cannot be read as CSV: unexpected end of data"),
        ("identity\x00", "line 1 has the character '\\x00'"),
        ("PAR1nonsense", "annotations.csv cannot be read as parquet"),
        ("identity,path,helmet,vest", "unknown columns: path"),
        ("identity,helmet,vest\n" + "1" * 1_001, "line 2 cannot be read as CSV: a cell of more than 1,000 characters"),
        ("identity,helmet,vest," + ",".join(f"x{i}" for i in range(12)), "x8, x9 and 2 more."),
    ],
)
def test_what_is_no_table_of_this_schema(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "annotations.csv").write_text(text)
    with pytest.raises(BrunaError) as error:
        read_annotations(tmp_path, DATASET)
    assert says in str(error.value)


def test_what_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "annotations.csv"
    path.mkdir()
    with pytest.raises(BrunaError, match="it is a folder, not a file"):
        read_annotations(tmp_path, DATASET)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(BrunaError, match="it is a pipe, a device or a socket"):
        read_annotations(tmp_path, DATASET)
    path.unlink()
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(BrunaError, match="1,099,511,627,776 bytes"):
        read_annotations(tmp_path, DATASET)
