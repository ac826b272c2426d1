"""Every mistake of a table of images is told, with its line, all at once."""

from pathlib import Path

import pytest
from test_formats_manifest import ALL, images_of, rows_of, table
from test_formats_reid import refused, write_folder, write_zip

from bruna.dataset.importers import import_dataset
from bruna.errors import BrunaError


@pytest.fixture(autouse=True)
def _without_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bruna.dataset.importers._validate", lambda *_: {})


MISTAKES: dict[str, tuple[str, list[str]]] = {
    "no path": ("photo\n1.jpg\n", ["there is no column path among photo"]),
    "semicolons": ("path;identity;hat\n1.jpg;1;a\n", ["divided by semicolons, and commas are expected"]),
    "other names of columns": (
        "file,person,cam,hat\n1.jpg,anna,1,a\n2.jpg,ben,2,b\n",
        [
            "3 wrong columns",
            "the column file is no attribute: call it path",
            "the column person is no attribute: call it identity",
            "the column cam is no attribute: call it camera",
        ],
    ),
    "upper and lower case": (
        "path,identity,camera,hat\n1.jpg,ben,Hall,yes\n2.jpg,Ben,hall,Yes\na/b_c.jpg,cara,hall,no\n",
        [
            "3 wrong lines",
            "line 3: identity Ben is written ben before",
            "line 3: camera hall is written Hall before",
            "line 3: hat Yes is written yes before",
        ],
    ),
    "path twice": ("path,path\n1.jpg,2.jpg\n", ["the column path occurs twice"]),
    "an attribute twice": ("path,hat,hat\n1.jpg,a,b\n", ["the column hat occurs twice"]),
    "no lines": ("path,identity\n", ["there is no line below the header"]),
    "empty": ("", ["is empty. Its first line names the columns"]),
    "ragged": ("path,hat\n1.jpg\n", ["line 2 has 1 cell where the header has 2"]),
    "one value": (
        "path,hat\n1.jpg,a\n2.jpg,a\n",
        ["the column hat has 1 different value, and an attribute has 2 to 100"],
    ),
    "a column without name": (",path\n0,1.jpg\n1,2.jpg\n", ["'' is no name"]),
    "names of columns": (
        "path,hat?,Camera,Bag,bag,id\n1.jpg,a,a,a,a,a\n2.jpg,b,b,b,b,b\n",
        [
            "4 wrong columns",
            "'hat?' is no name",
            "Camera is the name of another column",
            "Bag and bag differ",
            "the column id is no attribute: call it identity",
        ],
    ),
    "a long value": (f"path,hat\n1.jpg,a\n2.jpg,{'b' * 101}\n", ["attributes.hat.1", "at most 100 characters"]),
    "a line break": ('path,hat\n1.jpg,a\n2.jpg,"b\rc"\n', ["line 4: hat has a line break"]),
    "lines": (
        "path,identity,subset,camera\n"
        "1.jpg,,train,10000\n"
        "9.jpg,7,tset,1\n"
        ",7,train,1\n"
        "1.jpg,0,query,1\n"
        "2.jpg,-1,,1\n"
        "3.txt,7,train,1\n",
        [
            "9 wrong lines:",
            "line 2: no identity\n  line 2: camera 10000, above 9999",
            "line 3: there is no image 9.jpg\n  line 3: subset is 'tset', not one of train, val, validation, query",
            "line 4: there is no image (empty)",
            "line 5: 1.jpg has a line already\n  line 5: identity 0, which only the subset gallery may have",
            "line 6: identity -1, which only the subset gallery may have",
            "line 7: there is no image 3.txt",
        ],
    ),
    "ten and the rest": (
        "path\n" + "".join(f"no/{i}.jpg\n" for i in range(1012)),
        ["1,012 wrong lines", "line 11: there is no image no/9.jpg\n  ... and 1,002 more\nThey are in "],
    ),
    "one name for two": (
        "path\na/b_c.jpg\na_b/c.jpg\n",
        ["line 3: a_b/c.jpg and a/b_c.jpg would both become train/a_b_c.jpg"],
    ),
    "no training images": ("path,identity,subset\n1.jpg,1,query\n2.jpg,1,gallery\n", ["hold no training images"]),
    "one number for two": ("path,identity\n1.jpg,7\n2.jpg,007\n", ["007 and 7 are the same identity"]),
}


@pytest.mark.parametrize("itself", [True, False])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_of_a_table_is_told(mistake: str, itself: bool, tmp_path: Path) -> None:
    text, messages = MISTAKES[mistake]
    files = {name: name.encode() for name in ("1.jpg", "2.jpg", "3.txt", "a/b_c.jpg", "a_b/c.jpg")}
    if itself:
        path = write_folder(tmp_path / "source", files | {"people.csv": text.encode()}) / "people.csv"
        messages = [*messages, *([str(path)] if "images" not in mistake and "number" not in mistake else [])]
        refuse_source(path, tmp_path, *messages)
    else:
        refused(tmp_path, files | {"manifest.csv": text.encode()}, *messages)


def refuse_source(source: Path, tmp_path: Path, *messages: str) -> None:
    with pytest.raises(BrunaError) as error:
        import_dataset([source], tmp_path / "data")
    for message in messages:
        assert message in str(error.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("schema", "messages"),
    [
        ('attributes:\n  hat: ["yes", "no"]', ["line 4: hat is 'maybe', not one of yes, no"]),
        ("attributes: {}", ["dataset.yaml and the columns differ in the attributes hat"]),
        ("attributes:\n  hat: [a, b]\n  bag: [a, b]", ["differ in the attributes bag"]),
        ("identities: false\nattributes:\n  hat: [a, b]", ["identities: false, and there is a column identity"]),
        ("attributes:\n  hat: [a]", ["dataset.yaml is not usable", "attributes.hat"]),
    ],
)
def test_a_schema_that_does_not_go_with_the_table(schema: str, messages: list[str], tmp_path: Path) -> None:
    rows = rows_of("path identity hat\n1.jpg 1 yes\n2.jpg 2 no\n3.jpg 2 maybe")
    files = {**images_of(rows), "manifest.csv": table(rows), "dataset.yaml": f"name: x\n{schema}\n".encode()}
    refused(tmp_path, files, *messages)


def test_two_manifests_and_a_table_in_an_archive_of_its_own(tmp_path: Path) -> None:
    for name in ("two", "lone"):
        (tmp_path / name).mkdir()
    files = {**images_of(ALL), "manifest.csv": table(ALL), "manifest.parquet": table(ALL, "parquet")}
    refused(tmp_path / "two", files, "holds manifest.csv and manifest.parquet in one folder. Remove one of the two")
    write_folder(tmp_path / "lone", images_of(ALL))
    packed = write_zip(tmp_path / "lone" / "people.zip", {"people.csv": table(ALL)})
    refuse_source(packed, tmp_path / "lone", "is no data set that is known here (it holds people.csv)")
