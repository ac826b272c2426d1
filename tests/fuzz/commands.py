"""`import`, `validate`, `attributes` and `evaluate` of damaged folders, archives and images.

Of whatever works it is also seen that it is right: nothing is lost on the way, and nothing is made of what is no image.
"""

import csv
import io
import json
import math
import os
import random
import re
import shutil
import tempfile
import zipfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from bruna.dataset.annotations import read_annotations
from bruna.dataset.dataset_file import read_dataset_file
from bruna.dataset.decoding import open_image, open_mask
from bruna.dataset.filenames import LABELLED, MASK_PAIR, SUFFIXES, UNLABELLED_SUBSETS, name_facts
from bruna.files import read_json
from bruna.params import Validate
from bruna.pipeline.check import check
from damage.archives import _mat as mat
from damage.archives import annotations as coded
from fuzz import ROOT, command, mutated, outcome
from fuzz.folders import Members, content, damage, healthy, write
from tiny_models import save_tiny_models

_LEFT = re.compile(r"\..+\.\d+\.(part|old)", re.DOTALL)
"""What a command writes before it is whole."""


@contextmanager
def _place(folder: Path) -> Iterator[Path]:
    """An empty folder of this case alone."""
    place = Path(tempfile.mkdtemp(dir=folder))
    try:
        yield place
    finally:
        shutil.rmtree(place)


@cache
def _models() -> Path:
    """Tiny models, for as long as this process runs."""
    kept = tempfile.TemporaryDirectory()
    _KEPT.append(kept)
    return save_tiny_models(Path(kept.name) / "artifacts")


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


@contextmanager
def _remembering(validated: list[Any]) -> Iterator[None]:
    """Keep what the validation finds, which takes a second."""
    from bruna.dataset import validation

    def validate(*arguments: Any, **options: Any) -> Any:
        validated.append(original(*arguments, **options))
        return validated[-1]

    original = validation.validate_dataset
    with mock.patch.object(validation, "validate_dataset", validate):
        yield


def _unchanged(before: dict[str, bytes | str], after: dict[str, bytes | str], written: Collection[str] = ()) -> None:
    """See that nothing has become of a folder, but for what was to be written and the folders that it lies in."""
    written = [os.path.normpath(path) for path in written]
    new = {name for path in written for name in (path, *map(str, Path(path).parents))}
    for name in before.keys() | after.keys():
        if name not in written and not (name in new and name not in before):
            assert before.get(name) == after.get(name), f"{name!r} has changed"
    assert not [name for name in after.keys() - before.keys() if _LEFT.fullmatch(Path(name).name)]


# --- validate


def fuzz_validate(folder: Path, draw: random.Random) -> str:
    """The stage, and `bruna check` before it, which opens a few images only."""
    from bruna.dataset.validation import validate_dataset

    params = Validate(image_size=draw.choice((None, (128, 64))), on_bad_image=draw.choice(("fail", "quarantine")))
    with _place(folder) as place:
        data = write(place / "data", healthy())
        damage(data, draw, (0, 1, 1, 2, 3))
        before = content(place)
        checked = outcome(lambda: check(ROOT / "params.yaml", data))
        result: list[Any] = []
        found = outcome(lambda: result.append(validate_dataset(data, params)))
        _unchanged(before, content(place))
        if result:
            _sound(data, result[0])
        assert checked in ("works", "refused")
    return found


def _names(folder: Path) -> set[str]:
    """Whatever lies in a folder of a data set that may not be there and is no clutter."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return {name for name in names if not name.startswith(".") and name != "Thumbs.db"}


def _sound(data: Path, result: Any) -> None:
    """See that every image of a validated folder is in the manifest or set aside, and what is said of it."""
    manifest, aside = result.manifest, set(result.quarantined)
    listed = [*manifest["path"], *aside]
    assert len(set(listed)) == len(listed)
    for subset in (*LABELLED, *UNLABELLED_SUBSETS, "masks/images"):
        assert _names(data / subset) == {Path(path).name for path in listed if Path(path).parent == Path(subset)}
    annotations = read_annotations(data, read_dataset_file(data))
    for row in manifest.to_dict("records"):
        image = open_image((data / row["path"]).read_bytes())
        assert (image.mode, image.size) == ("RGB", (row["width"], row["height"]))
        if row["subset"] == MASK_PAIR:
            mask = open_mask((data / row["mask_path"]).read_bytes())
            assert mask.size == image.size and np.unique(np.asarray(mask)).tolist() == [0, 255]
        elif row["subset"] == "train":
            assert name_facts(Path(row["path"]).name, "train") == (row["identity"], row["camera"], None)
            assert row[annotations.key] in annotations.keys


# --- import


def fuzz_import(folder: Path, draw: random.Random) -> str:
    """Also: what was accepted is valid and byte for byte from a source; what is refused leaves everything as it was."""
    with _place(folder) as place:
        given = _sources(place, draw)
        if draw.random() < 0.4:
            write(place / "data", {name: data for name, data in _laid_out().items() if _edition(name) != "official"})
            damage(place / "data", draw, (0, 0, 1, 2))
        options = [option for option in ("--merge", "--replace") if draw.random() < 0.3]
        target = "data"
        if draw.random() < 0.4:
            target = draw.choice(("data", "other", "sub/data", given[0], ".", "..", "data/x", ""))
            options += ["--to", target]
        if draw.random() < 0.3:
            options += ["--masks", draw.choice((*given, "persons"))]
        before, validated = content(place), list[Any]()
        with _remembering(validated):
            found, said = command(place, "import", *options, "--", *given)
        after = content(place)
        if found != "works" or "holds the same already" in said:
            _unchanged(before, after)
            return found
        old, new = ({name: tree[name] for name in tree if name.startswith(f"{target}/")} for tree in (before, after))
        _unchanged(
            {name: before[name] for name in before.keys() - old},
            {name: after[name] for name in after.keys() - new},
            [target],
        )
        if "--replace" not in options:  # nothing is lost; clutter of file managers does not count
            kept = {name for name in old if isinstance(old[name], bytes) and Path(name).name != "Thumbs.db"}
            assert {name: old[name] for name in kept} == {name: new.get(name) for name in kept}
        known = {*_contents(place, before), *_unpacked(place, given)}
        for name, data in new.items():  # annotations may have been made of another file
            assert data == "folder" or data in known or name.endswith((".csv", ".yaml")), name
        _sound(place / target, validated[0])
    return found


def _contents(place: Path, before: dict[str, bytes | str]) -> Iterator[bytes]:
    """What files hold, and what links lead to."""
    for name, what in before.items():
        if isinstance(what, bytes):
            yield what
        elif (place / name).is_file() and (place / name).stat().st_size < 1 << 24:
            yield (place / name).read_bytes()


def _unpacked(place: Path, given: Sequence[str]) -> Iterator[bytes]:
    """What archives hold, as far as it can be read."""
    for path in (place / name for name in given):
        if path.is_file() and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():
                    with suppress(Exception):
                        yield archive.read(member)


def _edition(name: str) -> str:
    top = name.partition("/")[0]
    if top in ("query", "gallery", "annotations_test.csv"):
        return "official"
    people = dict.fromkeys(("train", "annotations.csv", "annotations_train.csv", "dataset.yaml"), "people")
    return {**people, "masks": "masks"}.get(top, "unlabelled")


def _laid_out() -> Members:
    """A data set in the project's own layout, without a row for its queries, which not every source has."""
    members = healthy()
    kept = [line for line in members["annotations.csv"].splitlines(keepends=True) if not line.startswith(b"20,")]
    return members | {"annotations.csv": b"".join(kept)}


def _coded() -> Members:
    """The same with the annotation files of the course edition."""
    members = {name: data for name, data in healthy().items() if name not in ("annotations.csv", "dataset.yaml")}
    return members | {"annotations_train.csv": coded(2, 5, 7, 11), "annotations_test.csv": coded(20)}


def _sources(place: Path, draw: random.Random) -> list[str]:
    """Damaged folders and archives of one edition or the other; their names."""
    parts: dict[str, Members] = {}
    official = draw.random() < 0.3
    for name, data in (_coded() if official or draw.random() < 0.5 else _laid_out()).items():
        parts.setdefault(_edition(name), {})[name] = data
    persons = {name.removeprefix("masks/"): data for name, data in parts["masks"].items()}
    people = parts["people"]
    if official:
        places = {"train": "bounding_box_train", "gallery": "bounding_box_test"}
        people = {
            re.sub(
                r"^\w+",
                lambda found: places.get(found[0], found[0]),
                re.sub(r"_c(\d)_.+", r"_c\1s1_000451_03.jpg", name),
            ): data
            for name, data in (people | parts["official"]).items()
        }
        if draw.random() < 0.4:  # a second, for a process of its own
            people = {name: data for name, data in people.items() if not name.endswith(".csv")}
            people["market_attribute.mat"] = mat()
    sources = {"people": people | draw.choice(({}, parts["unlabelled"]))}
    sources |= draw.choice(({}, {"unlabelled": parts["unlabelled"]}, {"persons": persons}))
    names = []
    for name, members in sources.items():
        top = draw.choice(("",) * 5 + ("top/",) * 3 + ("one/two/",))
        write(place / name, {top + path: data for path, data in members.items()})
        damage(place / name, draw, (0, 0, 1, 1, 2))
        if draw.random() < 0.5:
            names.append(name)
            continue
        names.append(_packed(place, name, draw))
    if draw.random() < 0.1:
        names.append(draw.choice(("nowhere", "", ".", "people", *names, "/dev/zero", os.fsdecode(b"caf\xe9"))))
    draw.shuffle(names)
    return names


def _packed(place: Path, name: str, draw: random.Random) -> str:
    """Make a zip archive of a folder, damaged or not, and return its name."""
    members = [(path, data) for path, data in content(place / name).items() if isinstance(data, bytes)]
    file = io.BytesIO()
    method = draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(file, "w", method) as archive:
        for path, data in members:
            odd = (f"../{path}", f"/{path}", path.replace("/", "\\"), f"C:{path}", f"./{path}", path + "/")
            member = draw.choice(odd) if draw.random() < 0.005 else path
            archive.writestr(member.encode(errors="replace").decode(), data)
    data = file.getvalue()
    if draw.random() < 0.4:
        records = [found.start() for found in re.finditer(b"PK", data)]
        at = draw.choice((draw.choice(records), draw.randrange(len(data))))
        data = data[:at] + mutated(data[at : at + 46], draw) + data[at + 46 :]
    packed = draw.choice((f"{name}.zip", f"{name}.zip", name + ".data", os.fsdecode(b"caf\xe9.zip")))
    (place / packed).write_bytes(data)
    shutil.rmtree(place / name)
    return packed


# --- attributes


def fuzz_attributes(folder: Path, draw: random.Random) -> str:
    """Also: every image that is given is predicted or left out."""
    with _place(folder) as place:
        (place / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
        images = {
            name.replace("masks/", "deep/"): data for name, data in healthy().items() if not name.endswith(".csv")
        }
        crops = write(place / "crops", images)
        damage(crops, draw)
        found = [os.path.relpath(path, place) for path in crops.rglob("*")]
        given = draw.choices(("crops", *found), k=draw.choice((1, 1, 2, 3))) if draw.random() < 0.5 else ["crops"]
        if draw.random() < 0.05:
            given.append(draw.choice(("", "nowhere", ".", "x" * 300, "crops/..", "/dev/zero")))
        options = {"--output": _output(found, draw)} if draw.random() < 0.6 else {}
        for option in ("--probabilities", "--rejected"):
            if draw.random() < 0.3:
                options[option] = _output(found, draw)
        outputs = {"--output": "attributes.csv", **options}
        options["--models"] = _models_for(place, draw)
        options["--device"] = draw.choice(("cpu", "cpu", "cpu", "cpu", "auto", "cuda:7", "", "mps"))
        if draw.random() < 0.4:
            options["--from"] = draw.choice(("task1", "bruna", "both", "both", "none"))
        if draw.random() < 0.3:
            options["--neighbors"] = draw.choice(("1", "2", "2", "9", "1000000000000", "0", "-1", "x", "9" * 30))
        before = content(place)
        arguments = [part for option, value in options.items() for part in (f"{option}={value}",)]
        result, said = command(place, "attributes", *arguments, *draw.choice(([], ["--keep-junk"])), "--", *given)
        after = content(place)
        _unchanged(before, after, outputs.values())
        if result != "works":
            name = os.path.normpath(outputs["--output"])
            assert before.get(name) == after.get(name), f"{name} was written"
            return result
        images_given = _given(place, given)
        header, *rows = _rows(place / outputs["--output"])
        left_out = re.findall(r"^left out: ", said, re.MULTILINE)
        told = read_json(place / options["--models"] / "attributes" / "settings.json")["attributes"]
        assert header == ["id", *(each["name"] for each in told)] and len({row[0] for row in rows}) == len(rows)
        for name, *values in rows:
            assert name and all(value in each["values"] for value, each in zip(values, told, strict=True))
        assert len(rows) + len(left_out) == len(images_given), (len(rows), left_out, images_given)
        for option, at_least in (("--rejected", len(left_out)), ("--probabilities", len(rows))):
            if option in outputs:
                _, *lines = _rows(place / outputs[option])
                assert len(lines) >= at_least and len({len(line) for line in lines}) <= 1
                if option == "--probabilities":
                    assert all(0 <= float(cell) <= 1 for line in lines for cell in line[1:])
        for path in outputs.values():
            assert os.path.realpath(place / path) not in images_given
    return result


def _rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def _output(found: Sequence[str], draw: random.Random) -> str:
    odd = (
        ".",
        "",
        "crops",
        "params.yaml",
        "/dev/null",
        "/proc/x.csv",
        "x" * 300,
        os.fsdecode(b"caf\xe9.csv"),
        "a.csv/b",
    )
    if draw.random() < 0.75:
        return draw.choice(("a.csv", "b.csv", "c.csv", "crops/d.csv", "new/deep/e.csv"))
    return draw.choice((*odd, *draw.sample(found, min(3, len(found)))))


def _models_for(place: Path, draw: random.Random) -> str:
    if draw.random() < 0.85:
        return str(_models())
    models = place / draw.choice(("artifacts", os.fsdecode(b"m\xe9")))
    shutil.copytree(_models(), models)
    damage(models, draw)
    return models.name


def _given(place: Path, given: Sequence[str]) -> set[str]:
    """The images that are asked for: files that are named, and what ends as an image does in folders."""
    found: set[str] = set()
    for path in given:
        for top, _, names in os.walk(place / path):
            found |= {os.path.realpath(f"{top}/{name}") for name in names if Path(name).suffix.lower() in SUFFIXES}
        if not (place / path).is_dir():
            found.add(os.path.realpath(place / path))
    return found


# --- evaluate


def fuzz_evaluate(folder: Path, draw: random.Random) -> str:
    """Also: what is written is whole, and counts every image that is not left out by name."""
    with _place(folder) as place:
        quarantine = draw.random() < 0.7
        params = (ROOT / "params.yaml").read_text(encoding="utf-8")
        if quarantine:
            params = params.replace("on_bad_image: fail", "on_bad_image: quarantine")
        if draw.random() < 0.3:
            params = params.replace("filter_junk: true", "filter_junk: false").replace("rerank: false", "rerank: true")
        (place / "params.yaml").write_text(params, encoding="utf-8")
        data = write(place / "data", healthy())
        damage(data, draw, (0, 1, 1, 1, 2))
        found = [os.path.relpath(path, place) for path in data.rglob("*")]
        options = {option: _output(found, draw) for option in ("--json", "--html") if draw.random() < 0.5}
        outputs = dict(options)
        options["--models"] = _models_for(place, draw)
        before = content(place)
        arguments = [f"{option}={value}" for option, value in options.items()]
        result, _ = command(
            place, "evaluate", *arguments, "--", draw.choice(("data",) * 20 + ("", ".", "nowhere", "params.yaml"))
        )
        after = content(place)
        _unchanged(before, after, outputs.values() if result == "works" else ())
        if result != "works":
            return result
        if "--html" in outputs:
            assert (place / outputs["--html"]).read_text(encoding="utf-8").rstrip().endswith("</html>")
        if "--json" in outputs:
            figures = json.loads((place / outputs["--json"]).read_bytes(), parse_constant=lambda name: 1 / 0)
            lists = (_names(data / "query"), _names(data / "gallery"))
            files = sum(map(len, lists)) if all(lists) else len(_names(data / "train"))
            aside = len(figures.get("quarantined", ()))
            # Where all queries or all of the gallery are set aside, train/ is measured.
            assert figures["images"] + aside in (files, len(_names(data / "train")))
            shares = [figures["retrieval"]["market1501"].get(name) for name in ("map", "rank1", "minp")]
            assert all(share is None or (math.isfinite(share) and 0 <= share <= 1) for share in shares)
    return result
