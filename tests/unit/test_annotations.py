"""The annotation file: codes, multicolor, and what is said about a wrong one."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bruna.dataset.annotations import accepted, raw_table, read_annotations
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


GOOD = "\n".join([HEADER, row(30, age=4, hat=2), row(7, clothes=2)]).encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b",", b" , "),
        lambda text: text.replace(b"\n", b"\r"),
        lambda text: text.replace(b"\n", b"\r\n") + b"\r\n" + b"," * 27 + b"\r\n,,,\r\n",
        lambda text: text.replace(b"\n", b"\n" + b"," * 27 + b"\n"),
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: b'"' + text.replace(b",", b'","').replace(b"\n", b'"\n"') + b'"',
    ],
    ids=["spaces", "CR", "CR LF and empty rows", "empty rows between", "byte order mark", "quotes"],
)
def test_ways_to_write_the_same_table(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "annotations_train.csv"
    path.write_bytes(change(GOOD))
    found = read_annotations(path)
    assert found.identities.tolist() == [7, 30]
    assert (found.codes == accepted(raw_table(GOOD, "good"), "good").codes).all()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (GOOD.replace(b"\n7,", "\né,".encode("latin-1")), "is not text in UTF-8 (line 3 has the byte 0xe9)"),
        (GOOD.decode().encode("utf-16"), "is not text in UTF-8 (line 1 has the byte 0xff)"),
        (GOOD.decode().encode("utf-16-le"), "line 1 has the character '\\x00'"),
        (GOOD + b"\0", "line 3 has the character '\\x00'"),
        (GOOD.replace(b"30", b"\x1b[2J30"), "line 2 has the character '\\x1b'"),
        (GOOD.replace(b"30", b"3" * 5_000), "line 2 cannot be read as CSV: a cell of more than 100 characters"),
        (GOOD.replace(b"30", b"3" * 200_000), "line 2 cannot be read as CSV: field larger than field limit"),
        (GOOD.replace(b"30", b'"30'), "line 3 cannot be read as CSV: unexpected end of data"),
        (b"," * 5_000, "is empty"),
        (b"a" + b",a" * 5_000 + b",b" * 90, "unknown columns: a, b."),
        (b"id,age\n" + GOOD, "line 2 has 28 cells where the header has 2"),
        (GOOD + b"\n" + b"3" * 10 + b",1" * 27, "line 4: id is '3333333333', not a number from 1"),
        ("\n".join([HEADER, row("\u0663")]).encode(), "id is '\u0663', not a number from 1"),
    ],
)
def test_what_is_no_table_of_annotations(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "annotations_train.csv"
    path.write_bytes(data)
    with pytest.raises(BrunaError) as error:
        read_annotations(path)
    assert message in str(error.value) and str(path) in str(error.value)
    assert len(str(error.value)) < 2_000


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(BrunaError, match="it is a folder, not a file"):
        read_annotations(tmp_path)
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(BrunaError, match="it is a pipe, a device or a socket"):
        read_annotations(tmp_path / "pipe.csv")
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(BrunaError, match="1,099,511,627,776 bytes"):
        read_annotations(tmp_path / "huge.csv")


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, len(GOOD)), st.integers(0, 5), st.binary(max_size=6) | st.sampled_from([b"\xff\xfe", b'"', b"\r"])
)
def test_a_damaged_file_is_read_or_refused(at: int, removed: int, inserted: bytes) -> None:
    data = GOOD[:at] + inserted + GOOD[at + removed :]
    try:
        found = accepted(raw_table(data, "some.csv"), "some.csv")
    except BrunaError as error:
        assert "some.csv" in str(error)
    else:
        assert (found.codes >= 0).all() and (found.identities > 0).all()
