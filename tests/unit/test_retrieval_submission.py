"""The two submission files, letter by letter."""

import pytest

from bruna.dataset.course import ANNOTATION_COLUMNS, ATTRIBUTES
from bruna.dataset.schema import Task
from bruna.errors import BrunaError
from bruna.evaluation.submission import CLASSIFICATION_COLUMNS, classification_csv, reid_text

HEADER = (
    "id,age,backpack,bag,handbag,clothes,down,up,hair,hat,gender,upblack,upwhite,upred,uppurple,upyellow,upgray,"
    "upblue,upgreen,upmulticolor,downblack,downwhite,downpink,downpurple,downyellow,downgray,downblue,downgreen,"
    "downbrown,downmulticolor"
)


def test_reid_text():
    text = reid_text(["001261.jpg", "7.jpg"], ["005883.jpg", "016903.jpg"], [[1, 0], [0, -1]])
    assert text == "001261.jpg: 016903.jpg, 005883.jpg\n7.jpg: 005883.jpg\n"
    with pytest.raises(ValueError):
        reid_text(["001261.jpg"], [], [])


def test_classification_csv():
    codes = [[0, 1, 0, 1, 0, 1, 1, 0, 1, 1, 2, 9], [3, 0, 0, 0, 1, 0, 0, 1, 0, 0, 8, 0]]
    assert classification_csv(["000001.jpg", "000002.jpg"], codes, ATTRIBUTES) == (
        f"{HEADER}\n"
        "000001.jpg,1,2,1,2,1,2,2,1,2,2,1,1,2,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2\n"
        "000002.jpg,4,1,1,1,2,1,1,2,1,1,1,1,1,1,1,1,1,1,2,2,1,1,1,1,1,1,1,1,1\n"
    )
    without = [c for c in CLASSIFICATION_COLUMNS if not c.endswith("multicolor")]
    assert tuple(without) == ANNOTATION_COLUMNS


@pytest.mark.parametrize("code", [-1, 9])
def test_an_impossible_code_is_refused(code):
    with pytest.raises(BrunaError, match=rf"a\.jpg has code {code} for upcolor"):
        classification_csv(["a.jpg"], [[0] * 10 + [code, 0]], ATTRIBUTES)


def test_another_schema_is_told_by_its_values():
    schema = (Task("glasses", ("none", "clear, or so", "dark")), Task("bag", ("no", "yes")))
    text = classification_csv(["1.jpg", "2,3.jpg"], [[1, 0], [2, 1]], schema)
    assert text == 'id,glasses,bag\n1.jpg,"clear, or so",no\n"2,3.jpg",dark,yes\n'
    fewer = classification_csv(["1.jpg"], [[3] + [0] * 10], ATTRIBUTES[:11])  # the course's coding wants all twelve
    assert (
        fewer.startswith("id,age,backpack,")
        and fewer.splitlines()[1] == "1.jpg,old,no,no,no,dress,long,long,short,no,male,black"
    )
    assert classification_csv(["1.jpg"], [[]], ()) == "id\n1.jpg\n"
    with pytest.raises(ValueError):
        classification_csv(["1.jpg"], [[0]], schema)
