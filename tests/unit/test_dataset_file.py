"""`dataset.yaml`: what it may say, and what is said about a wrong one."""

from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bruna.dataset.dataset_file import DatasetFile, dataset_text, parse_dataset_file, read_dataset_file
from bruna.dataset.schema import Task
from bruna.errors import BrunaError

FILE = Path("data/dataset.yaml")
RESERVED = ("path", "image", "identity", "camera", "subset", "Time", "id")


def test_a_file_as_one_writes_it_by_hand(tmp_path: Path) -> None:
    (tmp_path / "dataset.yaml").write_text(
        "name: Gate 4\nattributes:\n  helmet: [no, 'yes']\n  shoes:\n    - boots\n    - 42\n    - 43.5\n"
    )
    found = read_dataset_file(tmp_path)
    assert found.tasks == (Task("helmet", ("no", "yes")), Task("shoes", ("boots", "42", "43.5")))
    assert (found.name, found.source, found.identities, found.attributes_of) == ("Gate 4", "", True, "identity")
    assert parse_dataset_file("name: x", FILE).tasks == ()


texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8)
values = texts.filter(lambda text: text == text.strip()) | st.sampled_from(
    ["yes", "no", "true", "null", "~", "1e3", "- a"]
)
names = st.from_regex(r"[a-zéß北][\w-]{0,5}", fullmatch=True) | st.sampled_from(
    ["no", "Yes", "null", "true", "off", "N", "upper body", "größe"]
)
schemas = st.dictionaries(
    names.filter(lambda name: name not in ("id", "path", "time", "junk", "image")),
    st.lists(values, min_size=2, max_size=4, unique=True).map(tuple),
    max_size=4,
).filter(lambda schema: len({name.casefold() for name in schema}) == len(schema))
datasets = st.builds(
    DatasetFile,
    name=texts,
    source=texts | st.just(""),
    terms=texts | st.just(""),
    identities=st.booleans(),
    attributes_of=st.sampled_from(["identity", "image"]),
    attributes=schemas,
    cameras=texts | st.just(""),
)
grouped = st.builds(
    DatasetFile, name=texts, identities=st.just(False), group=names.map(lambda name: f"group of {name}")
)


@settings(max_examples=200, deadline=None)
@given(datasets | grouped)
@example(DatasetFile(name="no"))
@example(DatasetFile(name="a\u2028\x7f\ufeff\n\U0001f9e2", attributes={"null": ("no", "yes"), "größe": ("1", "1.0")}))
def test_what_is_written_is_read(dataset: DatasetFile) -> None:
    text = dataset_text(dataset)
    found = parse_dataset_file(text, FILE)
    assert found == dataset and list(found.attributes) == list(dataset.attributes)
    # PyYAML takes a bare yes or no for true and false, and \U of the basic plane as it stands there.
    assert yaml.safe_load(text)["attributes"] == {name: list(of) for name, of in dataset.attributes.items()}


def test_it_is_written_as_one_would_by_hand() -> None:
    dataset = DatasetFile(
        name="Gate 4",
        identities=False,
        attributes_of="image",
        attributes={"helmet": ("no", "yes"), "no": ("ö", "a\u00a0b"), "upper body": ("a", "b")},
    )
    assert dataset_text(dataset).splitlines() == [
        'name: "Gate 4"',
        "identities: false",
        'attributes_of: "image"',
        "attributes:",
        '  helmet: ["no", "yes"]',
        '  "no": ["ö", "a\\U000000a0b"]',
        '  "upper body": ["a", "b"]',
    ]
    assert dataset_text(DatasetFile(name="x")) == 'name: "x"\nattributes: {}\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file: found nothing"),
        ("[x]", "the file: found ['x']"),
        ("name: [x]", "name: found ['x']"),
        ("name:", "name: found nothing; "),
        ("name: ''", "name: found ''; String should have at least 1 character"),
        ("source: x", "name: missing"),
        (
            "name: x\nowner: y",
            "owner: is unknown; known are name, source, terms, identities, attributes_of",
        ),
        ("name: x\nattributes_of: person", "attributes_of: found 'person'; Input should be 'identity' or 'image'"),
        ("name: x\nidentities: nobody", "identities: found 'nobody'"),
        ("name: x\nattributes: {hat: [yes]}", "attributes.hat: found ['yes']"),
        ("name: x\nattributes: {hat: [true, false]}", "attributes.hat.0: found True (put a value such as yes, no,"),
        ("name: x\nattributes:", "attributes: found nothing"),
        ("name: x\nattributes: [hat]", "attributes: found ['hat']"),
        ("name: x\nattributes: {hat: a}", "attributes.hat: found 'a'"),
        ("name: x\nattributes: {1: [a, b]}", "attributes.1.[key]: found 1; Input should be a valid string"),
        ("name: x\nattributes: {hat: [a, '']}", "attributes.hat.1: found ''; String should have at least 1 character"),
        ("name: x\nattributes: {hat: [a, ]}", "attributes.hat: found ['a']"),
        ("name: x\nattributes: {hat: [a, null]}", "attributes.hat.1: found nothing"),
        (f"name: x\nattributes: {{hat: [a, {'b' * 101}]}}", "String should have at most 100 characters"),
        (f"name: x\nattributes: {{hat: {list(range(1001))}}}", "attributes.hat: found [0, 1, 2"),
        ("name: x\nattributes: {hat: [1, '1']}", "attributes.hat: the value '1' stands there twice"),
        ("name: x\nattributes: {hat: [a, b, a]}", "attributes.hat: the value 'a' stands there twice"),
        ("name: x\nattributes: {hat: [a, ' b']}", "attributes.hat: the value ' b' begins or ends with a space"),
        ("name: x\nattributes: {Camera4: [a, b]}", "attributes: Camera4 is the name of another column"),
        *((f"name: x\nattributes: {{{name}: [a, b]}}", f"{name} is the name of another column") for name in RESERVED),
        ("name: x\nattributes: {junk: [a, b]}", "attributes: junk is the name of another column"),
        ("name: x\nattributes: {4x: [a, b]}", "attributes: '4x' is no name"),
        ("name: x\nattributes: {a/b: [a, b]}", "attributes: 'a/b' is no name"),
        (
            "name: x\nattributes: {hat: [a, b], Hat: [a, b]}",
            "hat and Hat differ in upper and lower case only",
        ),
        ("name: x\ngroup: person", "group: images are split by their identities; it goes with identities: false only"),
        ("name: x\nidentities: false\ngroup: p/q", "group: 'p/q' is no name"),
        ("name: x\nidentities: false\ngroup: identity", "group: identity is the name of another column"),
        (
            "name: x\nidentities: false\ngroup: Hat\nattributes: {hat: [a, b]}",
            "group: Hat is the name of another column",
        ),
        ("name: x\nname: y", "is not valid YAML"),
        ("name: x\nattributes: {hat: [a, b", "is not valid YAML"),
    ],
)
def test_what_it_may_not_say(text: str, says: str) -> None:
    with pytest.raises(BrunaError) as error:
        parse_dataset_file(text, FILE)
    assert says in str(error.value) and "data/dataset.yaml" in str(error.value)
    assert len(str(error.value)) < 1_000


def test_git_does_not_know_what_was_changed_in_it() -> None:
    with pytest.raises(BrunaError) as error:
        parse_dataset_file("name: [", FILE)
    assert "git" not in str(error.value)
    assert str(error.value).endswith("docs/reference/data-set.md says what it holds.")


def test_every_mistake_is_said_at_once() -> None:
    with pytest.raises(BrunaError) as error:
        parse_dataset_file("owner: y\nattributes: {hat: [a], bag: [yes, 2, true]}", FILE)
    message = str(error.value).splitlines()
    assert message[0] == "data/dataset.yaml is not usable:" and "docs/reference/data-set.md" in message[-1]
    assert [line.split(":")[0].strip() for line in message[1:-1]] == [
        "name",
        "attributes.hat",
        "attributes.bag.2",
        "owner",
    ]


def test_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(BrunaError, match=r"There is no data set: .*gone is missing.*bruna import.*bruna sample"):
        read_dataset_file(tmp_path / "gone")
    with pytest.raises(BrunaError, match=r"dataset\.yaml is missing: the name of the data set, and its attributes"):
        read_dataset_file(tmp_path)
    (tmp_path / "annotations_test.csv").write_text("id")
    with pytest.raises(BrunaError, match=r"an earlier version \(annotations_test\.csv\)\. `bruna import .* --to"):
        read_dataset_file(tmp_path)
    (tmp_path / "dataset.yaml").mkdir()
    with pytest.raises(BrunaError, match=r"dataset\.yaml cannot be read: it is a folder"):
        read_dataset_file(tmp_path)
    (tmp_path / "dataset.yaml").rmdir()
    (tmp_path / "dataset.yaml").write_bytes(b"name: caf\xe9")
    with pytest.raises(BrunaError, match=r"dataset\.yaml is not UTF-8 text"):
        read_dataset_file(tmp_path)
