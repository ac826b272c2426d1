"""The annotation file: codes, multicolor, and what is said about a wrong one."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bruna.dataset.annotations import read_annotations
from bruna.dataset.attributes import ANNOTATION_COLUMNS, ATTRIBUTES, MULTICOLOR, NAMES
from bruna.errors import BrunaError

HEADER = ",".join(ANNOTATION_COLUMNS)


def row(identity: int | str, **values: int | str) -> str:
    """A row in the course coding: a young man in long trousers, no colour set, but for `values`."""
    return ",".join(str({"id": identity, **values}.get(column, 1)) for column in ANNOTATION_COLUMNS)


def write(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "annotations_train.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_codes_by_hand(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        row(30, age=4, hat=2, gender=2, upred=2, downbrown=2),
        row(7, age=2, clothes=2, upblack=2),
    )
    found = read_annotations(path)
    assert found.identities.tolist() == [7, 30]
    values = [{n: a.values[c] for n, a, c in zip(NAMES, ATTRIBUTES, codes, strict=True)} for codes in found.codes]
    assert values[0]["age"] == "teenager" and values[1]["age"] == "old"
    assert values[0]["clothes"] == "pants" and values[1]["clothes"] == "dress"
    assert (values[0]["hat"], values[1]["hat"]) == ("no", "yes")
    assert (values[0]["gender"], values[1]["gender"]) == ("male", "female")
    assert (values[0]["upcolor"], values[1]["upcolor"]) == ("black", "red")
    assert (values[0]["downcolor"], values[1]["downcolor"]) == (MULTICOLOR, "brown")
    assert found.of([30, 8, 7]).tolist() == [found.codes[1].tolist(), [-1] * 12, found.codes[0].tolist()]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*(st.integers(0, len(a.values) - 1) for a in ATTRIBUTES)), min_size=1, max_size=5))
def test_every_code_survives_the_file(tmp_path_factory: pytest.TempPathFactory, people: list[tuple[int, ...]]) -> None:
    rows = []
    for identity, codes in enumerate(people, start=1):
        values = {}
        for attribute, code in zip(ATTRIBUTES, codes, strict=True):
            if len(attribute.columns) == 1:
                values[attribute.columns[0]] = code + 1
            elif attribute.values[code] != MULTICOLOR:
                values[attribute.columns[code]] = 2
        rows.append(row(identity, **values))
    found = read_annotations(write(tmp_path_factory.mktemp("codes"), *rows))
    assert (found.codes == np.array(people)).all()


def test_columns_in_another_order_and_a_byte_order_mark_do_not_matter(tmp_path: Path) -> None:
    path = write(tmp_path, row(3, age=3, upgreen=2))
    names, values = (line.split(",")[::-1] for line in path.read_text().splitlines())
    other = tmp_path / "reversed.csv"
    other.write_text("\ufeff" + ",".join(names) + "\r\n" + ",".join(values) + "\r\n")
    assert (read_annotations(other).codes == read_annotations(path).codes).all()


def test_wrong_header_names_the_columns(tmp_path: Path) -> None:
    path = write(tmp_path, header=HEADER.replace(",hat,", ",cap,").replace(",downbrown", ",upblack"))
    with pytest.raises(BrunaError) as error:
        read_annotations(path)
    for part in (str(path), "missing columns: hat, downbrown", "unknown columns: cap", "occur twice: upblack"):
        assert part in str(error.value)


def test_wrong_rows_are_named_with_line_and_value(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        row(1, age=5),
        row(2, hat=""),
        "",
        row(1, upred=2, upblue=2),
        row("x", backpack=2),
        row("0004"),
    )
    with pytest.raises(BrunaError) as error:
        read_annotations(path)
    for part in (
        "line 2 (id 1): age is '5', not 1 or 2 or 3 or 4",
        "line 3 (id 2): hat is '', not 1 or 2",
        "line 5: id 1 stands in line 2 already",
        "line 5 (id 1): upred and upblue are 2, at most one may be",
        "line 6: id is 'x', not a number from 1",
        "line 7: id is '0004'",
    ):
        assert part in str(error.value)


def test_long_lists_are_cut_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path, *(row(i, age=9) for i in range(1, 15)))
    with pytest.raises(BrunaError, match=r"(?s)has 14 wrong values.*line 11.*and 4 more"):
        read_annotations(path)


def test_short_row_missing_file_and_empty_file(tmp_path: Path) -> None:
    with pytest.raises(BrunaError, match=r"line 3 has 2 cells where the header has 28"):
        read_annotations(write(tmp_path, row(1), "2,1"))
    with pytest.raises(BrunaError, match=r"nowhere\.csv is missing.*bruna import.*bruna sample"):
        read_annotations(tmp_path / "nowhere.csv")
    empty = tmp_path / "empty.csv"
    empty.write_text("")
    with pytest.raises(BrunaError, match=r"empty\.csv is empty"):
        read_annotations(empty)
