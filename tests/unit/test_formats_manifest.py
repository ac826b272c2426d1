"""A table of images becomes a data set: every cell of it, or a message for each of its mistakes."""

import io
import itertools
import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from test_formats_attributes import shots
from test_formats_reid import FORMS, Files, mean_average_precision, write_folder

from bruna.dataset.annotations import read_annotations
from bruna.dataset.dataset_file import DatasetFile, read_dataset_file
from bruna.dataset.facts import find_files
from bruna.dataset.importers import import_dataset
from bruna.dataset.tables import read_table
from bruna.inference.describer import load
from bruna.pipeline.check import check
from bruna.pipeline.misfits import adapt
from tiny_records import PROJECT, tiny
from tiny_stages import STAGES, run_stage

Row = Mapping[str, str]


@pytest.fixture(autouse=True)
def _without_validation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "end_to_end" not in request.node.name:
        monkeypatch.setattr("bruna.dataset.importers._validate", lambda *_: {})


def table(rows: Sequence[Row], kind: str = "csv") -> bytes:
    frame = pd.DataFrame(rows)
    if kind == "csv":
        return frame.to_csv(index=False).encode()
    file = io.BytesIO()
    frame.to_parquet(file)
    return file.getvalue()


def rows_of(text: str) -> list[dict[str, str]]:
    """Lines of cells divided by spaces, `-` for an empty one; the first names the columns."""
    header, *lines = [line.split() for line in text.strip().splitlines()]
    return [{name: "" if cell == "-" else cell for name, cell in zip(header, line, strict=True)} for line in lines]


def images_of(rows: Sequence[Row]) -> Files:
    """A file of its own bytes for each path."""
    return {row["path"]: f"the image {row['path']}".encode() for row in rows}


def imported(folder: Path) -> Files:
    """The images of a data set by their place."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.glob("*/*")}


def import_table(tmp_path: Path, rows: Sequence[Row], **more: str) -> tuple[dict[str, str], DatasetFile]:
    """Import a folder with a manifest: the place of each path of the table, and the schema."""
    beside = {name.replace("_", "."): text.encode() for name, text in more.items()}
    files = {**images_of(rows), "manifest.csv": table(rows), **beside}
    import_dataset([write_folder(tmp_path / "mine", files)], tmp_path / "data")
    of = {data: path for path, data in images_of(rows).items()}
    return {of[data]: place for place, data in imported(tmp_path / "data").items()}, read_dataset_file(
        tmp_path / "data"
    )


ALL = rows_of("""
    path         identity camera subset  time        hat vest
    a/1.jpg      anna     gate   -       -           yes none
    a/2.jpg      anna     hall   train   2026-05-03  -   none
    b/1.png      ben      gate   val     10:14:05.5  no  -
    b/2.jpg      carl     hall   query   -           -   orange
    b/3.jpg      carl     gate   gallery -           no  orange
    b/4.jpg      0        gate   gallery -           -   -
    b/5.jpg      -1       hall   gallery -           -   -
    c/1.webp     -        -      queries -           -   -
    c/2.jpg      -        -      test    -           -   -
""")
PLACES = [
    "train/0001_c1_a_1.jpg",
    "train/0001_c2_2026-05-03_a_2.jpg",
    "train/0002_c1_10-14-05-5_b_1.png",
    "query/0003_c2_b_2.jpg",
    "gallery/0003_c1_b_3.jpg",
    "gallery/0000_c1_b_4.jpg",
    "gallery/-1_c2_b_5.jpg",
    "queries/c_1.webp",
    "test/c_2.jpg",
]
HOW: dict[str, tuple[Callable[[Path, Files], Path], str, str]] = {
    **FORMS,
    "tar": (FORMS["tar.gz"][0], "source.tar", ""),
    "three folders": (write_folder, "source", "a b/c/d/"),
    "itself": (write_folder, "source", ""),
}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_given_in_every_way(kind: str, how: str, tmp_path: Path) -> None:
    write, name, prefix = HOW[how]
    files = {**images_of(ALL), f"manifest.{kind}": table(ALL, kind), "cover.jpg": b"in no line", "readme.md": b"no"}
    given = write(tmp_path / name, {prefix + path: data for path, data in files.items()})
    if how == "itself":
        (given / f"manifest.{kind}").rename(given / f"people.{kind}")
        given = given / f"people.{kind}"
    summary = import_dataset([given], tmp_path / "data")
    expected = dict(zip(PLACES, images_of(ALL).values(), strict=True))
    assert imported(tmp_path / "data") == expected
    assert summary.identities == {"train": 2, "query": 1, "gallery": 1}
    assert summary.annotated == {"train": 2, "query": 1, "gallery": 1}
    left_out = [] if how == "itself" else [f"{name}/{prefix}cover.jpg", f"{name}/{prefix}readme.md"]
    assert summary.ignored == left_out
    dataset = read_dataset_file(tmp_path / "data")
    assert dataset.name == {"itself": "people"}.get(how, "source")
    assert dataset.attributes == {"hat": ("no", "yes"), "vest": ("none", "orange")}
    assert (dataset.attributes_of, dataset.cameras) == ("identity", "1: gate, 2: hall")
    assert (tmp_path / "data/annotations.csv").read_text() == "identity,hat,vest\n1,yes,none\n2,no,\n3,no,orange\n"
    again = import_dataset([tmp_path / "data"], tmp_path / "copy")
    assert again.images == summary.images
    assert import_dataset([given], tmp_path / "copy").unchanged


@pytest.mark.parametrize("columns", [c for n in range(4) for c in itertools.combinations(("camera", "time", "hat"), n)])
def test_without_identities_what_does_not_train_is_a_labelled_test_image(
    columns: tuple[str, ...], tmp_path: Path
) -> None:
    rows = [{name: row[name] for name in ("path", "subset", *columns)} for row in ALL]
    places, dataset = import_table(tmp_path, rows)
    assert (dataset.identities, dataset.attributes_of) == (False, "image")
    assert [places[row["path"]].split("/")[0] for row in rows] == ["train"] * 3 + ["gallery"] * 6
    files = find_files(tmp_path / "data", identities=False)
    known = read_annotations(tmp_path / "data", dataset)
    assert len(files) == len(rows) and set(known.keys) == (set(files["path"]) if "hat" in columns else set())
    if "hat" in columns:
        codes = dict(zip(known.keys, known.codes[:, 0].tolist(), strict=True))
        of = {"yes": 1, "no": 0, "": -1}
        assert [codes[places[row["path"]]] for row in rows] == [of[row["hat"]] for row in rows]


def test_a_value_of_the_image_is_kept_for_the_image_alone(tmp_path: Path) -> None:
    rows = rows_of("path identity hat bag\n1.jpg anna yes -\n2.jpg anna no big\n3.jpg ben - none\n4.jpg 0 no big")
    rows[3]["subset"] = "gallery"
    rows = [{"subset": "", **row} for row in rows]
    _, dataset = import_table(tmp_path, rows)
    assert dataset.attributes_of == "image"
    assert (tmp_path / "data/annotations.csv").read_text() == (
        "path,hat,bag\ngallery/0000_c0_4.jpg,no,big\ntrain/0001_c0_1.jpg,yes,\ntrain/0001_c0_2.jpg,no,big\n"
        "train/0002_c0_3.jpg,,none\n"
    )


def test_distractors_are_many_people(tmp_path: Path) -> None:
    """Two of them differ, as two people do: the attributes still belong to identities."""
    rows = rows_of("""path identity subset hat
        1.jpg 7 - yes
        2.jpg 9 - no
        3.jpg 0 gallery yes
        4.jpg 0000 gallery no
        5.jpg -1 gallery no""")
    places, dataset = import_table(tmp_path, rows)
    assert dataset.attributes_of == "identity"
    assert (tmp_path / "data/annotations.csv").read_text() == "identity,hat\n7,yes\n9,no\n"
    assert [places[f"{i}.jpg"] for i in (3, 4, 5)] == [
        "gallery/0000_c0_3.jpg",
        "gallery/0000_c0_4.jpg",
        "gallery/-1_c0_5.jpg",
    ]


@pytest.mark.parametrize("itself", [True, False])
def test_a_schema_beside_the_table_gives_the_order(itself: bool, tmp_path: Path) -> None:
    rows = rows_of("path identity size\n1.jpg anna small\n2.jpg anna -\n3.jpg ben large")
    schema = "name: Gate 4\nterms: internal\nattributes:\n  size: [small, middle, large]\ncameras: at the gate\n"
    files = {**images_of(rows), "manifest.csv": table(rows), "dataset.yaml": schema.encode()}
    folder = write_folder(tmp_path / "mine", files)
    summary = import_dataset([folder / "manifest.csv" if itself else folder], tmp_path / "data")
    dataset = read_dataset_file(tmp_path / "data")
    assert (dataset.name, dataset.terms, dataset.cameras) == ("Gate 4", "internal", "at the gate")
    assert dataset.attributes == {"size": ("small", "middle", "large")}
    assert summary.ignored == []


def test_a_schema_may_tell_a_group_and_need_not_tell_that_nobody_is_named(tmp_path: Path) -> None:
    rows = rows_of("path hat person\n1.jpg yes 4\n2.jpg no 4\n3.jpg - -")
    schema = 'name: x\nidentities: false\ngroup: person\nattributes:\n  hat: ["yes", "no"]\n'
    _, dataset = import_table(tmp_path, rows, dataset_yaml=schema)
    assert (dataset.group, dataset.identities) == ("person", False)
    assert (tmp_path / "data/annotations.csv").read_text().splitlines()[:2] == ["path,hat,person", "train/1.jpg,yes,4"]
    other = tmp_path / "other"
    schema = 'name: x\nattributes:\n  hat: ["yes", "no"]\n'
    _, dataset = import_table(other, [{"path": row["path"], "hat": row["hat"]} for row in rows], dataset_yaml=schema)
    assert (dataset.identities, dataset.attributes) == (False, {"hat": ("yes", "no")})


def test_numbers_stay_and_names_are_numbered(tmp_path: Path) -> None:
    """Whole numbers beside empty cells are written 7.0 by pandas."""
    rows = rows_of("path identity camera\n1.jpg 12.0 3.0\n2.jpg 7.0 -\n3.jpg 0123 10")
    assert set(import_table(tmp_path / "a", rows)[0].values()) == {
        "train/0012_c3_1.jpg",
        "train/0007_c0_2.jpg",
        "train/0123_c10_3.jpg",
    }
    rows = rows_of("path identity camera\n1.jpg 12 3\n2.jpg anna hall\n3.jpg 12 -")
    places, dataset = import_table(tmp_path / "b", rows)
    assert set(places.values()) == {"train/0001_c1_1.jpg", "train/0002_c2_2.jpg", "train/0001_c0_3.jpg"}
    assert dataset.cameras == "1: 3, 2: hall"


def test_values_are_in_the_order_of_their_numbers_or_of_the_alphabet(tmp_path: Path) -> None:
    rows = [
        {"path": f"{i}.jpg", "size": size, "kind": kind}
        for i, (size, kind) in enumerate([("10", "nan"), ("9.5", "2"), ("-1", "10"), ("1e1", "")])
    ]
    _, dataset = import_table(tmp_path, rows)
    assert dataset.attributes == {"size": ("-1", "9.5", "10", "1e1"), "kind": ("10", "2", "nan")}


def test_paths_of_every_kind(tmp_path: Path) -> None:
    files = {"in/a b/ä_1.jpg": b"1", "in/.h/2.JPG": b"2", "up/3.png": b"3", "far/4.jpg": b"4", "in/sub/5.jpg": b"5"}
    top = write_folder(tmp_path / "top", files)
    paths = ["a b/ä_1.jpg", ".h/2.JPG", "../up/3.png", str(top / "far/4.jpg"), ".\\sub\\5.jpg", "./" + "x" * 300]
    long = "y" * 240 + ".jpg"
    (top / "in" / long).write_bytes(b"6")
    (top / "in/people.csv").write_bytes(table([{"path": path} for path in [*paths[:-1], long]]))
    import_dataset([top / "in/people.csv"], tmp_path / "data")
    found = imported(tmp_path / "data")
    assert sorted(found.values()) == [b"1", b"2", b"3", b"4", b"5", b"6"]
    assert {place for place, data in found.items() if data in b"1235"} == {
        "train/a b_ä_1.jpg",
        "train/h_2.jpg",
        "train/up_3.png",
        "train/sub_5.jpg",
    }
    assert len(find_files(tmp_path / "data", identities=False)) == 6


names = st.sampled_from(["anna", "Ben", "ä ö", "7b"])
SUBSETS = {"": "train", "train": "train", "val": "train", "query": "query", "gallery": "gallery", "test": "test"}


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, str]]:
    """A table of any of the columns that has no mistake."""
    count = draw(st.integers(2, 9))
    cell: dict[str, st.SearchStrategy[str]] = {
        "identity": draw(st.sampled_from([names, st.integers(1, 9).map(str)])),
        "camera": draw(st.sampled_from([st.sampled_from(["gate", "hall", ""]), st.sampled_from(["3", "12", ""])])),
        "subset": st.sampled_from(list(SUBSETS)),
        "time": st.sampled_from(["", "10:14", "2026-05-03 ü"]),
        "hat": st.sampled_from(["yes", "no", ""]),
        "Größe": st.sampled_from(["1", "2", "10", ""]),
    }
    columns = draw(st.lists(st.sampled_from(list(cell)), unique=True))
    folders = st.sampled_from(["", "a/", "a_b/", "train/", "ä ö/b/"])
    rows = []
    for i in range(count):
        row = {"path": f"{draw(folders)}{draw(st.sampled_from(['', 'x y', '_1']))}{i:03d}.jpg"}
        row |= {name: draw(cell[name]) for name in columns}
        if i == 0 and "subset" in row:
            row["subset"] = "train"
        if row.get("subset") == "gallery" and "identity" in row:
            row["identity"] = draw(st.sampled_from([row["identity"], "0", "-1"]))
        rows.append(row)
    for name in ("hat", "Größe"):
        assume(name not in columns or len({row[name] for row in rows} - {""}) > 1)
    return rows


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=tables(), kind=st.sampled_from(["csv", "parquet"]))
def test_what_the_table_says_is_what_the_data_set_says(rows: list[dict[str, str]], kind: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = write_folder(Path(folder) / "source", {**images_of(rows), f"manifest.{kind}": table(rows, kind)})
        import_dataset([source], Path(folder) / "data")
        data = Path(folder) / "data"
        dataset = read_dataset_file(data)
        files = find_files(data, identities=dataset.identities)
        codes = read_annotations(data, dataset).of(files)
        content = imported(data)
    assert files["name_problem"].isna().all()
    at = {content[path]: i for i, path in enumerate(files["path"])}
    order = [at[data] for data in images_of(rows).values()]  # every image is there, byte for byte
    assert sorted(order) == list(range(len(rows))) and len(files) == len(rows)
    found = files.iloc[order].reset_index(drop=True)
    known = "identity" in rows[0]
    folders = [SUBSETS[row.get("subset", "")] for row in rows]
    assert list(found["subset"]) == [of if known or of == "train" else "gallery" for of in folders]
    labelled = [i for i, of in enumerate(folders) if known and of != "test"]
    check_numbers([rows[i].get("identity", "") for i in labelled], found["identity"].iloc[labelled].tolist())
    check_numbers([rows[i].get("camera", "") for i in labelled], found["camera"].iloc[labelled].tolist())
    for name in dataset.attributes:
        of_people = [(row["identity"], row[name]) for row in (rows[i] for i in labelled) if row[name]]
        expected = [row[name] if not known or i in labelled else "" for i, row in enumerate(rows)]
        if dataset.attributes_of == "identity":
            expected = ["".join({v for who, v in of_people if who == row["identity"]}) if i in labelled
                        and row["identity"] not in ("0", "-1") else "" for i, row in enumerate(rows)]  # fmt: skip
        values = [*dataset.attributes[name], ""]
        column = list(dataset.attributes).index(name)
        assert [values[code] for code in codes[order, column]] == expected
        assert values[:-1] == sorted(values[:-1], key=int if name == "Größe" else None)


def check_numbers(cells: Sequence[str], numbers: Sequence[int]) -> None:
    """Equal cells have equal numbers, others others; names that all are numbers keep them; 0, -1 and "" are theirs."""
    pairs = set(zip(cells, numbers, strict=True))
    assert len(pairs) == len(set(cells)) == len({number for _, number in pairs})
    own = [cell for cell in cells if cell not in ("", "0", "-1")]
    fixed = own if not all(cell.isdecimal() for cell in own) else []
    assert all(number == int(cell or 0) for cell, number in pairs if cell not in fixed)


def test_end_to_end_a_table_becomes_a_page_and_its_map_is_that_of_numpy(tmp_path: Path) -> None:
    rows: list[dict[str, str]] = []
    files: Files = {}
    for i, shot in enumerate(shots("JPEG")):
        camera = i % 3 + 1
        subset = "" if shot.person < 5 else "query" if camera == 1 else "gallery"
        cells = {"gender": shot.values["gender"], "upcolor": shot.values["upcolor"]}
        cells = {name: "" if (2 * i + k) % 10 == 3 else value for k, (name, value) in enumerate(cells.items())}
        name = f"person {shot.person}"
        rows.append({"path": f"{i}.jpg", "identity": name, "camera": f"no {camera}", "subset": subset, **cells})
        files[f"{i}.jpg"] = shot.data
    summary = import_dataset([write_folder(tmp_path / "x", {**files, "manifest.csv": table(rows)})], tmp_path / "data")
    assert summary.damaged == {} and sum(summary.images.values()) == len(rows)
    params_file = tmp_path / "params.yaml"
    params_file.write_text((PROJECT / "params.yaml").read_text())
    adapt(params_file, tmp_path / "data")
    params = tiny(check(params_file, tmp_path / "data"))
    figures: dict[str, Any] = {stage: run_stage(stage, tmp_path, params).finished for stage in STAGES}
    describer = load(tmp_path / "artifacts", "cpu")
    who = {files[row["path"]]: (int(row["identity"][7:]), int(row["camera"][3:])) for row in rows}
    features, labels = [], []
    for part in ("query", "gallery"):
        images = list(read_table(tmp_path / "artifacts" / "split" / "test" / f"{part}.parquet")["image"])
        found = describer.describe(images, masks=False).gallery
        assert found is not None
        features.append(found.features.numpy().astype(np.float64))
        labels.append([who[image] for image in images])
    distances = np.linalg.norm(features[0][:, None] - features[1][None], axis=2)
    measured = figures["evaluate"]["test"]["market1501"]
    assert measured["map"] == pytest.approx(mean_average_precision(distances, *labels), abs=1e-6)
    assert measured["queries"] == 3 and 0 < measured["map"] <= 1
    schema = json.loads((tmp_path / "artifacts/attributes/settings.json").read_text())
    assert "upcolor" in json.dumps(schema) and "downcolor" not in json.dumps(schema)
    page = re.sub(r"\s+", " ", re.sub("(<[^>]*>)+", " ", (tmp_path / "artifacts/report/report.html").read_text()))
    assert f"Test mAP {cast(float, measured['map']):.1%}" in page
