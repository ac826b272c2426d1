"""`dataset.yaml`: what a data set is, and the schema of its attributes."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from bruna.dataset.schema import Task, Tasks
from bruna.errors import BrunaError
from bruna.yaml_file import parse, read_text

DATASET = "dataset.yaml"
COURSE_ANNOTATIONS = ("annotations_train.csv", "annotations_test.csv")
"""Files of a data set before it had a `dataset.yaml`."""
_NAME = re.compile(r"[^\W\d][\w -]*")
_RESERVED = re.compile(
    r"path|image|identity|camera\d*|subset|time|id|junk|overall|attributes", re.IGNORECASE | re.ASCII
)
"""Names of other columns, of the classes that Task 1 adds, and of means in its figures."""
_BARE = re.compile(r"(?!(?:null|true|false|yes|no|on|off|y|n)$)[a-z_]\w*", re.IGNORECASE | re.ASCII)
"""Names that every reader of YAML takes for a text without quotes."""
BRING = "`bruna import` brings a data set from its archives; `bruna sample` renders a small one."
_HOW = "docs/reference/data-set.md says what it holds."


def _as_text(value: Any) -> Any:
    """A number that is written without quotes, as text."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


_Value = Annotated[str, Field(min_length=1, max_length=100), BeforeValidator(_as_text)]
_Values = Annotated[tuple[_Value, ...], Field(strict=False, min_length=2, max_length=1000)]


class DatasetFile(BaseModel):
    """The content of `dataset.yaml`.

    Attributes:
        name: what the data set is called.
        source: where it comes from.
        terms: what its licence allows.
        identities: False where nobody knows who is who: names of images are then free.
        attributes_of: what an attribute belongs to: the identity (a bag that one camera does not show is still
            there), or the image.
        group: the column of the annotations that says which images stay on one side of the split, such as those of
            one person; "" for none. Where identities are known, they do.
        attributes: the values of each attribute, in the order of their codes; none for a set without.
        cameras: what the numbers of the cameras mean.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1)]
    source: str = ""
    terms: str = ""
    identities: bool = True
    attributes_of: Literal["identity", "image"] = "identity"
    group: str = ""
    attributes: dict[str, _Values] = {}
    cameras: str = ""

    @model_validator(mode="after")
    def _columns(self) -> "DatasetFile":
        seen: dict[str, str] = {}
        for name, values in self.attributes.items():
            if not _NAME.fullmatch(name) or name != name.strip():
                raise ValueError(f"attributes: {name!r} is no name: letters, digits, _, - and spaces, a letter first")
            if _RESERVED.fullmatch(name):
                raise ValueError(f"attributes: {name} is the name of another column: choose another")
            if (other := seen.setdefault(name.casefold(), name)) != name:
                raise ValueError(f"attributes: {other} and {name} differ in upper and lower case only")
            if twice := sorted({value for value in values if values.count(value) > 1}):
                raise ValueError(f"attributes.{name}: the value {twice[0]!r} stands there twice")
            if spaced := [value for value in values if value != value.strip()]:
                raise ValueError(f"attributes.{name}: the value {spaced[0]!r} begins or ends with a space")
        return self

    @model_validator(mode="after")
    def _group_column(self) -> "DatasetFile":
        if not self.group:
            return self
        if self.identities:
            raise ValueError("group: images are split by their identities; it goes with identities: false only")
        if not _NAME.fullmatch(self.group) or self.group != self.group.strip():
            raise ValueError(f"group: {self.group!r} is no name: letters, digits, _, - and spaces, a letter first")
        if _RESERVED.fullmatch(self.group) or self.group.casefold() in map(str.casefold, self.attributes):
            raise ValueError(f"group: {self.group} is the name of another column: choose another")
        return self

    @property
    def tasks(self) -> Tasks:
        """The schema: the attributes in their order."""
        return tuple(Task(name, values) for name, values in self.attributes.items())


def read_dataset_file(folder: Path) -> DatasetFile:
    """Read and check the `dataset.yaml` of a data set folder.

    Raises:
        BrunaError: it is missing, is not YAML, or says something that is not allowed.
    """
    file = folder / DATASET
    if not folder.is_dir():
        raise BrunaError(f"There is no data set: {folder} is missing. {BRING}")
    if not file.exists() and not file.is_symlink():
        before = [name for name in COURSE_ANNOTATIONS if (folder / name).exists()]
        if before:
            raise BrunaError(
                f"{file} is missing: {folder} holds a data set of an earlier version ({', '.join(before)}). "
                f"`bruna import {folder} --to {folder}` converts it."
            )
        raise BrunaError(
            f"{file} is missing: the name of the data set, and its attributes. {_HOW} Images alone are described by "
            f"`bruna attributes {folder}`; `bruna import {folder} --to OTHER` makes a data set of what it knows."
        )
    return parse_dataset_file(read_text(file), file)


def parse_dataset_file(text: str, name: Path) -> DatasetFile:
    """Check the text of a `dataset.yaml`.

    Args:
        text: YAML.
        name: what messages call it.

    Raises:
        BrunaError: it is not YAML, or says something that is not allowed.
    """
    try:
        return DatasetFile.model_validate(parse(text, name, _HOW))
    except ValidationError as error:
        lines = "\n".join(f"  {problem_text(details)}" for details in error.errors())
        raise BrunaError(f"{name} is not usable:\n{lines}\n{_HOW}") from None


def problem_text(details: Any) -> str:
    """One of the errors of a `ValidationError`, in words."""
    key = ".".join(str(part) for part in details["loc"]) or "the file"
    if details["type"] == "value_error":
        return str(details["ctx"]["error"])
    if details["type"] == "missing":
        return f"{key}: missing"
    if details["type"] == "extra_forbidden":
        return f"{key}: is unknown; known are {', '.join(DatasetFile.model_fields)}"
    found = "nothing" if details["input"] is None else repr(details["input"])[:80]
    if isinstance(details["input"], bool):
        found += " (put a value such as yes, no, true or false into quotes)"
    return f"{key}: found {found}; {details['msg']}"


def dataset_text(dataset: DatasetFile) -> str:
    """`dataset.yaml`, as it would be written by hand."""
    told = dataset.model_dump(exclude={"attributes"}, exclude_defaults=True)
    lines = [f"{key}: {_quoted(value)}" for key, value in told.items()]
    lines.append("attributes:" if dataset.attributes else "attributes: {}")
    lines += [
        f"  {name if _BARE.fullmatch(name) else _quoted(name)}: {_quoted(list(values))}"
        for name, values in dataset.attributes.items()
    ]
    return "\n".join(lines) + "\n"


def _quoted(value: object) -> str:
    """A text, a truth value or a list of texts; JSON's are YAML's too, and other readers take a bare no for false."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(sign if sign.isprintable() else f"\\U{ord(sign):08x}" for sign in text)
