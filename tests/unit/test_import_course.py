"""The annotation files of the course edition: codes, multicolor, and what is said about a wrong one."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bruna.dataset.annotations import Annotations
from bruna.dataset.course import ANNOTATION_COLUMNS, ATTRIBUTES, COLUMNS, MULTICOLOR
from bruna.dataset.formats.course import course_annotations
from bruna.errors import BrunaError
from course_schema import NAMES

HEADER = ",".join(ANNOTATION_COLUMNS)


def row(identity: int | str, **values: int | str) -> str:
    """A row in the course coding: a young man in long trousers, no colour set, but for `values`."""
    return ",".join(str({"id": identity, **values}.get(column, 1)) for column in ANNOTATION_COLUMNS)


def read(*rows: str, header: str = HEADER) -> Annotations:
    return course_annotations(("\n".join([header, *rows]) + "\n").encode(), "some.csv")


def test_codes_by_hand() -> None:
    found = read(
        row(30, age=4, hat=2, gender=2, upred=2, downbrown=2),
        row(7, age=2, clothes=2, upblack=2),
    )
    assert (found.key, found.keys.tolist(), found.attributes) == ("identity", [7, 30], ATTRIBUTES)
    values = [{n: a.values[c] for n, a, c in zip(NAMES, ATTRIBUTES, codes, strict=True)} for codes in found.codes]
    assert values[0]["age"] == "teenager" and values[1]["age"] == "old"
    assert values[0]["clothes"] == "pants" and values[1]["clothes"] == "dress"
    assert (values[0]["hat"], values[1]["hat"]) == ("no", "yes")
    assert (values[0]["gender"], values[1]["gender"]) == ("male", "female")
    assert (values[0]["upcolor"], values[1]["upcolor"]) == ("black", "red")
    assert (values[0]["downcolor"], values[1]["downcolor"]) == (MULTICOLOR, "brown")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*(st.integers(0, len(a.values) - 1) for a in ATTRIBUTES)), min_size=1, max_size=5))
def test_every_code_survives_the_file(people: list[tuple[int, ...]]) -> None:
    rows = []
    for identity, codes in enumerate(people, start=1):
        values = {}
        for attribute, code in zip(ATTRIBUTES, codes, strict=True):
            columns = COLUMNS[attribute.name]
            if len(columns) == 1:
                values[columns[0]] = code + 1
            elif attribute.values[code] != MULTICOLOR:
                values[columns[code]] = 2
        rows.append(row(identity, **values))
    assert (read(*rows).codes == np.array(people)).all()


def test_columns_in_another_order_do_not_matter() -> None:
    lines = [",".join(line.split(",")[::-1]) for line in (HEADER, row(3, age=3, upgreen=2))]
    assert (read(lines[1], header=lines[0]).codes == read(row(3, age=3, upgreen=2)).codes).all()


def test_wrong_header_names_the_columns() -> None:
    with pytest.raises(BrunaError) as error:
        read(header=HEADER.replace(",hat,", ",cap,").replace(",downbrown", ",upblack"))
    for part in ("some.csv", "missing columns: hat, downbrown", "unknown columns: cap", "occur twice: upblack"):
        assert part in str(error.value)


def test_wrong_rows_are_named_with_line_and_value() -> None:
    with pytest.raises(BrunaError) as error:
        read(
            row(1, age=5),
            row(2, hat=""),
            "",
            row(1, upred=2, upblue=2),
            row("x", backpack=2),
            row("0004"),
        )
    for part in (
        "line 2 (id 1): age is '5', not 1 or 2 or 3 or 4",
        "line 3 (id 2): hat is '', not 1 or 2",
        "line 5: id 1 stands in line 2 already",
        "line 5 (id 1): upred and upblue are 2, at most one may be",
        "line 6: id is 'x', not a number from 1",
        "line 7: id is '0004'",
    ):
        assert part in str(error.value)


def test_long_lists_are_cut_and_counted() -> None:
    with pytest.raises(BrunaError, match=r"(?s)has 14 wrong values.*line 11.*and 4 more"):
        read(*(row(i, age=9) for i in range(1, 15)))


def test_short_row_and_empty_file() -> None:
    with pytest.raises(BrunaError, match=r"line 3 has 2 cells where the header has 28"):
        read(row(1), "2,1")
    with pytest.raises(BrunaError, match=r"empty\.csv is empty"):
        course_annotations(b"", "empty.csv")


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
def test_ways_to_write_the_same_table(change: Callable[[bytes], bytes]) -> None:
    found, good = (course_annotations(data, "some.csv") for data in (change(GOOD), GOOD))
    assert found.keys.tolist() == [7, 30]
    assert (found.codes == good.codes).all()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (GOOD.replace(b"\n7,", "\né,".encode("latin-1")), "is not text in UTF-8 (line 3 has the byte 0xe9)"),
        (GOOD.decode().encode("utf-16"), "is not text in UTF-8 (line 1 has the byte 0xff)"),
        (GOOD.decode().encode("utf-16-le"), "line 1 has the character '\\x00'"),
        (GOOD + b"\0", "line 3 has the character '\\x00'"),
        (GOOD.replace(b"30", b"\x1b[2J30"), "line 2 has the character '\\x1b'"),
        (GOOD.replace(b"30", b"3" * 5_000), "line 2 cannot be read as CSV: a cell of more than 1,000 characters"),
        (GOOD.replace(b"30", b"3" * 200_000), "line 2 cannot be read as CSV: field larger than field limit"),
        (GOOD.replace(b"30", b'"30'), "line 3 cannot be read as CSV: unexpected end of data"),
        (b"," * 5_000, "is empty"),
        (b"a" + b",a" * 5_000 + b",b" * 90, "unknown columns: a, b."),
        (b"id,age\n" + GOOD, "line 2 has 28 cells where the header has 2"),
        (GOOD + b"\n" + b"3" * 10 + b",1" * 27, "line 4: id is '3333333333', not a number from 1"),
        ("\n".join([HEADER, row("\u0663")]).encode(), "id is '\u0663', not a number from 1"),
    ],
)
def test_what_is_no_table_of_annotations(data: bytes, message: str) -> None:
    with pytest.raises(BrunaError) as error:
        course_annotations(data, "some.csv")
    assert message in str(error.value) and "some.csv" in str(error.value)
    assert len(str(error.value)) < 2_000


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, len(GOOD)), st.integers(0, 5), st.binary(max_size=6) | st.sampled_from([b"\xff\xfe", b'"', b"\r"])
)
def test_a_damaged_file_is_read_or_refused(at: int, removed: int, inserted: bytes) -> None:
    data = GOOD[:at] + inserted + GOOD[at + removed :]
    try:
        found = course_annotations(data, "some.csv")
    except BrunaError as error:
        assert "some.csv" in str(error)
    else:
        assert (found.codes >= 0).all() and (found.keys > 0).all()
