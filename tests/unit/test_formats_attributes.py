"""PA-100K and PETA: miniatures of their layouts become data sets, and go through the stages to a page."""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.io
from test_formats_reid import FORMS, Files, refused, write_folder, write_zip

from bruna.dataset.dataset_file import read_dataset_file
from bruna.dataset.importers import import_dataset
from bruna.dataset.tables import read_table
from bruna.files import read_json
from bruna.pipeline.check import check
from bruna.pipeline.misfits import adapt
from bruna.sample.person import draw_person
from bruna.sample.plan import plan_attributes, random_generator
from bruna.sample.shot import build_world, take_shot
from lacking import MODELS
from tiny_records import PROJECT, tiny
from tiny_stages import STAGES, run_stage

PEOPLE, IMAGES = 8, 3
PARTS = {"train": 15, "val": 3, "test": 6}
"""Images of PA-100K's parts in the miniature."""


@dataclass(frozen=True)
class Shot:
    """What the renderer knows of an image."""

    person: int
    values: dict[str, str]
    data: bytes


@cache
def shots(form: str) -> tuple[Shot, ...]:
    """Three images of each of eight people."""
    world = build_world(6)
    codes = plan_attributes(PEOPLE, random_generator(6, 1))
    found = []
    for i, person in enumerate(draw_person(row, random_generator(6, 2, i)) for i, row in enumerate(codes)):
        for k in range(IMAGES):
            file = io.BytesIO()
            take_shot(world, person, k + 1, random_generator(6, 3, i, k))[0].save(file, form)
            found.append(Shot(i, person.values, file.getvalue()))
    return tuple(found)


def cells(names: list[Any]) -> npt.NDArray[np.object_]:
    """A cell array, N x 1."""
    found = np.empty((len(names), 1), dtype=object)
    found[:, 0] = names
    return found


def mat(variables: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, variables, do_compression=True)
    return file.getvalue()


Truth = dict[bytes, tuple[str, dict[str, bool], str]]
"""Of the bytes of each image: its folder, which attributes hold, and its group."""
PA100K: dict[str, Callable[[dict[str, str]], bool]] = {
    "Female": lambda of: of["gender"] == "female",
    "AgeOver60": lambda of: of["age"] == "old",
    "Age18-60": lambda of: of["age"] == "adult",
    "Hat": lambda of: of["hat"] == "yes",
    "Skirt&Dress": lambda of: of["clothes"] == "dress",
}
PETA: dict[str, Callable[[dict[str, str]], bool]] = {
    "personalMale": lambda of: of["gender"] == "male",
    "accessoryHat": lambda of: of["hat"] == "yes",
    "carryingBackpack": lambda of: of["backpack"] == "yes",
    "upperBodyBlack": lambda of: of["upcolor"] in ("black", "multicolor"),
    "upperBodyRed": lambda of: of["upcolor"] in ("red", "multicolor"),
    "hairGreen": lambda of: False,
}


def pa100k_variables() -> dict[str, Any]:
    variables: dict[str, Any] = {"attributes": cells(list(PA100K))}
    start = 0
    for part, count in PARTS.items():
        its = range(start, start + count)
        variables[f"{part}_images_name"] = cells([f"{i + 1:06d}.jpg" for i in its])
        rows = [[holds(shots("JPEG")[i].values) for holds in PA100K.values()] for i in its]
        variables[f"{part}_label"] = np.array(rows, dtype=np.uint8)
        start += count
    return variables


def pa100k(images: str = "data", annotation: str = "annotation.mat") -> tuple[Truth, Files]:
    truth: Truth = {}
    files = {annotation: mat(pa100k_variables()), "README.txt": b"no part of it"}
    for i, shot in enumerate(shots("JPEG")):
        files[f"{images}/{i + 1:06d}.jpg"] = shot.data
        folder = "gallery" if i >= PARTS["train"] + PARTS["val"] else "train"
        truth[shot.data] = (folder, {name: holds(shot.values) for name, holds in PA100K.items()}, "")
    return truth, files


def peta_variables() -> dict[str, Any]:
    """People 1 to 8, the last three of a second set, where they are 1 to 3 again."""
    rows = []
    for i, shot in enumerate(shots("PNG")):
        of_set = shot.person - 5 if shot.person > 4 else shot.person
        numbers = [i + 1, shot.person + 1, 1 + (shot.person > 4), of_set + 1]
        rows.append([*numbers, *(holds(shot.values) for holds in PETA.values())])
    side = {name: np.arange(1, 4)[:, None] for name in ("train", "val", "trainval", "test")}
    return {
        "data": np.array(rows, dtype=np.float64),
        "attribute": cells(list(PETA)),
        "selected_attribute": np.arange(5, 5 + len(PETA)),
        "partion_attribute": cells([side] * 5),
    }


def peta(images: str = "images") -> tuple[Truth, Files]:
    files = {"PETA.mat": mat({"peta": peta_variables()}), "README.txt": b"no part of it"}
    truth: Truth = {}
    for i, shot in enumerate(shots("PNG")):
        files[f"{images}/{i + 1:05d}.png"] = shot.data
        truth[shot.data] = ("train", {name: holds(shot.values) for name, holds in PETA.items()}, str(shot.person + 1))
    return truth, files


def peta_release() -> tuple[Truth, Files]:
    """3DPeS names people, with zeros before them in some names of images; MIT names each image."""
    files: Files = {"README.txt": b"no part of it"}
    truth: Truth = {}
    lines: dict[str, list[str]] = {"3DPeS": [], "MIT": []}
    known = {name: holds for name, holds in PETA.items() if name != "hairGreen"}  # nobody's is in no file
    for i, shot in enumerate(shots("PNG")):
        holds = {name: holds(shot.values) for name, holds in known.items()}
        line = " ".join(name for name, held in holds.items() if held) or "personalFemale"
        if shot.person < 5:
            files[f"3DPeS/archive/{shot.person + 98:0{3 + i % 2}d}_{i}_FRAME_26_RGB.png"] = shot.data
            lines["3DPeS"] += [f"{shot.person + 98} {line}"] if i % IMAGES == 0 else []
            group = f"3DPeS {shot.person + 98}"
        else:
            files[f"MIT/archive/{i:05d}.png"] = shot.data
            lines["MIT"].append(f"{i:05d}.png {line}")
            group = f"MIT {i}"
        truth[shot.data] = ("train", {name: name in line.split() for name in (*known, "personalFemale")}, group)
    lines["3DPeS"].append("7 personalMale")  # of whom there is no image
    files |= {f"{name}/archive/Label.txt": "\n".join([*its, ""]).encode() for name, its in lines.items()}
    if not any(attributes["personalFemale"] for _, attributes, _ in truth.values()):
        for _, attributes, _ in truth.values():
            del attributes["personalFemale"]
    return truth, files


LAYOUTS: dict[str, tuple[Callable[[], tuple[Truth, Files]], str, str]] = {
    "PA-100K": (pa100k, "PA-100K", "Skirt dress"),
    "PETA": (peta, "PETA", "Accessoryhat"),
    "PETA, as released": (peta_release, "PETA", "Accessoryhat"),
}
"""Who makes each, the name of the data set, and an attribute as the page shows it."""


def written(folder: Path) -> Truth:
    """What a data set folder holds, read without the project's code."""
    found: Truth = {}
    for row in csv.DictReader((folder / "annotations.csv").read_text().splitlines()):
        path, group = row.pop("path"), row.pop("person", "")
        assert set(row.values()) <= {"no", "yes"}
        found[(folder / path).read_bytes()] = (path.split("/")[0], {k: v == "yes" for k, v in row.items()}, group)
    return found


def expected(truth: Truth) -> Truth:
    return {
        data: (folder, {name.replace("&", "_"): held for name, held in holds.items()}, group)
        for data, (folder, holds, group) in truth.items()
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_image_comes_with_its_attributes(layout: str, form: str, tmp_path: Path) -> None:
    make, name, _ = LAYOUTS[layout]
    write, source, prefix = FORMS[form]
    truth, files = make()
    given = write(tmp_path / source, {prefix + path: data for path, data in files.items()})
    summary = import_dataset([given], tmp_path / "data")
    assert written(tmp_path / "data") == expected(truth)
    assert len(truth) == len(list((tmp_path / "data").glob("*/*.*"))) == PEOPLE * IMAGES
    folders = [folder for folder, *_ in truth.values()]
    assert summary.images == {folder: folders.count(folder) for folder in dict.fromkeys(folders)}
    assert (summary.ignored, summary.damaged) == ([f"{source}/{prefix}README.txt"], {})
    dataset = read_dataset_file(tmp_path / "data")
    assert (dataset.name, dataset.identities, dataset.attributes_of) == (name, False, "image")
    assert set(dataset.attributes.values()) == {("no", "yes")}
    assert dataset.group == ("" if name == "PA-100K" else "person")
    assert dataset.source and dataset.terms


@pytest.mark.parametrize("layout", LAYOUTS)
def test_task_1_alone_trains_and_no_person_is_on_both_sides(layout: str, tmp_path: Path) -> None:
    truth, files = LAYOUTS[layout][0]()
    data, settings = tmp_path / "data", tmp_path / "params.yaml"
    import_dataset([write_zip(tmp_path / "source.zip", files)], data)
    settings.write_text((PROJECT / "params.yaml").read_text())
    adapt(settings, data)
    params = tiny(check(settings, data))
    for stage in STAGES:
        run_stage(stage, tmp_path, params)
    artifacts = tmp_path / "artifacts"
    untrained = [name for name in MODELS if read_json(artifacts / name / "settings.json").get("trained") is False]
    assert untrained == ["unet", "bruna"]
    sides = [list(read_table(artifacts / "split" / f"{side}.parquet")["image"]) for side in ("train", "validation")]
    assert sorted(sides[0] + sides[1]) == sorted(data for data, (folder, *_) in truth.items() if folder == "train")
    groups = [{truth[image][2] for image in side} for side in sides]
    assert sides[1] and (layout == "PA-100K" or not groups[0] & groups[1])
    metrics = read_json(tmp_path / "metrics" / "evaluate.json")
    assert "map" not in metrics and 0 <= metrics["attribute_accuracy"] <= 1
    assert ("test_attribute_accuracy" in metrics) == (layout == "PA-100K")
    assert LAYOUTS[layout][2] in (artifacts / "report" / "report.html").read_text()


@pytest.mark.parametrize(
    ("images", "annotation"),
    [
        ("release_data", "annotation.mat"),
        ("release_data/release_data", "annotation.mat"),
        ("data/release_data/release_data", "annotation/annotation.mat"),
    ],
)
def test_pa100k_wherever_its_images_lie(images: str, annotation: str, tmp_path: Path) -> None:
    truth, files = pa100k(images, annotation)
    import_dataset([write_folder(tmp_path / "source", files)], tmp_path / "data")
    assert written(tmp_path / "data") == expected(truth)


def test_one_image_and_one_attribute(tmp_path: Path) -> None:
    """SciPy drops dimensions of one element, so that the reader sees no matrix."""
    few: dict[str, Any] = {"attributes": cells(["Female"])}
    for part, name in zip(PARTS, ("000001.jpg", "000002.jpg", "000003.jpg"), strict=True):
        few |= {f"{part}_images_name": cells([name]), f"{part}_label": np.array([[part == "val"]], dtype=np.uint8)}
    files = pa100k()[1] | {"annotation.mat": mat(few)}
    import_dataset([write_folder(tmp_path / "source", files)], tmp_path / "data")
    rows = (tmp_path / "data" / "annotations.csv").read_text().splitlines()
    assert rows == ["path,Female", "gallery/000003.jpg,no", "train/000001.jpg,no", "train/000002.jpg,yes"]
    variables = peta_variables()
    one = {**variables, "data": variables["data"][:1]}
    (tmp_path / "peta").mkdir()
    import_dataset(
        [write_folder(tmp_path / "peta" / "source", peta()[1] | {"PETA.mat": mat({"peta": one})})], tmp_path / "p"
    )
    assert len(written(tmp_path / "p")) == 1


def changed(variables: dict[str, Any], name: str, change: Callable[[Any], Any]) -> dict[str, Any]:
    return variables | {name: change(variables[name].copy())}


def put(at: tuple[int, int], value: Any, kind: type = float) -> Callable[[Any], Any]:
    """A change of one value of a matrix."""

    def change(matrix: Any) -> Any:
        matrix = matrix.astype(kind)
        matrix[at] = value
        return matrix

    return change


WRONG_PA100K: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "too few rows": ("val_label", lambda m: m[1:], "val_label has 2 x 5 values for 3 images x 5 attributes"),
    "too few columns": ("train_label", lambda m: m[:, 1:], "train_label has 15 x 4 values for 15 images x 5 attrib"),
    "turned": ("train_label", lambda m: m.T, "train_label has 5 x 15 values for 15 images x 5 attributes"),
    "texts": ("train_label", lambda m: cells(["yes"] * 15), "train_label has 15 values for 15 images x 5 attributes"),
    "no matrix": ("test_label", lambda m: {"a": 1}, "test_label has no values for 6 images x 5 attributes"),
    "names that are numbers": ("test_images_name", lambda m: np.arange(6), "test_images_name holds something else"),
    "no names": ("attributes", lambda m: np.arange(5), "attributes holds no names"),
    "two": ("train_label", put((1, 0), 2), "000002.jpg: Female is 2, not 0 or 1"),
    "no number": ("test_label", put((0, 2), np.nan), "000019.jpg: Age18-60 is nan, not 0 or 1"),
    "no image": ("val_images_name", put((0, 0), "000099.jpg", object), "there is no image 000099.jpg"),
    "out of the folder": ("val_images_name", put((0, 0), "../000016.jpg", object), "there is no image ../000016.jpg"),
    "twice": ("val_images_name", put((0, 0), "000001.jpg", object), "000001.jpg is named twice"),
    "the same name": ("attributes", put((0, 0), "Skirt_Dress", object), "the attribute Skirt_Dress is there twice"),
    "no such name": ("attributes", put((0, 0), "2 bags", object), "'2 bags' is no name"),
}


@pytest.mark.parametrize("wrong", WRONG_PA100K)
def test_pa100k_that_does_not_fit(wrong: str, tmp_path: Path) -> None:
    name, change, message = WRONG_PA100K[wrong]
    files = pa100k()[1] | {"annotation.mat": mat(changed(pa100k_variables(), name, change))}
    refused(tmp_path, files, message, f"annotation.mat of {tmp_path / 'source'}", "HydraPlus-Net")


WRONG_PETA: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "too few columns": ("data", lambda m: m[:, 1:], "peta.data of PETA.mat is no matrix of 4 + 6 columns for 6 names"),
    "no rows": ("data", lambda m: m[:0], "peta.data of PETA.mat is no matrix"),
    "texts": ("data", lambda m: cells(["1"] * 24), "peta.data of PETA.mat is no matrix"),
    "no names": ("attribute", lambda m: np.arange(6), "no matrix of 4 + 0 columns for 0 names"),
    "two": ("data", put((6, 4), 2), "00007.png: personalMale is 2, not 0 or 1"),
    "other image": ("data", put((6, 0), 8), "row 7 of peta.data is of image 8"),
    "other person": ("data", put((1, 1), 9), "row 2 of peta.data is of person 9, but person 1 of data set 1 was 1"),
    "half a person": ("data", put((1, 1), 0.5), "the first 4 columns of peta.data hold other values than whole"),
    "no person": ("data", put((1, 3), np.inf), "the first 4 columns of peta.data hold other values than whole"),
    "the column of groups": ("attribute", put((0, 0), "person", object), "person is the name of another column"),
}


@pytest.mark.parametrize("wrong", WRONG_PETA)
def test_peta_that_does_not_fit(wrong: str, tmp_path: Path) -> None:
    name, change, message = WRONG_PETA[wrong]
    files = peta()[1] | {"PETA.mat": mat({"peta": changed(peta_variables(), name, change)})}
    refused(tmp_path, files, message, str(tmp_path / "source"), "PETA.mat", "mmlab.ie.cuhk.edu.hk")


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    _, files = peta()
    for number in range(13, 25):
        del files[f"images/{number:05d}.png"]
    variables = changed(peta_variables(), "data", put((0, 9), 7))
    files["PETA.mat"] = mat({"peta": variables})
    refused(tmp_path, files, "13 problems", "there is no image 00013.png", "... and 3 more")
    _, files = peta_release()
    files["MIT/archive/Label.txt"] += b"00015.png personalMale hairBald\n3\n"
    files["3DPeS/archive/1_1.png"] = files["MIT/archive/00015.png"]
    files["GRID/archive/Label.txt"] = b"1 personalMale\n"
    (tmp_path / "release").mkdir()
    refused(
        tmp_path / "release",
        files,
        "4 problems",
        "MIT/archive/Label.txt, line 10: 00015.png has other attributes than in a line before",
        "MIT/archive/Label.txt, line 11: 3 has no attributes",
        "3DPeS/archive/Label.txt has no line for 3DPeS/archive/1_1.png",
        "there are no images in GRID/archive",
    )


@pytest.mark.parametrize(("make", "name"), [(pa100k, "annotation.mat"), (peta, "PETA.mat")])
def test_damaged_matlab_files(make: Callable[[], tuple[Truth, Files]], name: str, tmp_path: Path) -> None:
    _, files = make()
    for i, data in enumerate((b"MATLAB 5.0 MAT-file, or so it says" * 20, files[name][:300], b"")):
        (tmp_path / str(i)).mkdir()
        refused(tmp_path / str(i), files | {name: data}, f"({name})", str(tmp_path / str(i) / "source"))
    (tmp_path / "other").mkdir()
    if name == "PETA.mat":
        refused(tmp_path / "other", files | {name: mat({"rap": 1})}, "there is no peta.attribute", "no peta.data")
        return
    less = {key: value for key, value in pa100k_variables().items() if key not in ("val_label", "attributes")}
    refused(tmp_path / "other", files | {name: mat(less)}, "2 missing variables", "no attributes", "no val_label")


def test_what_only_has_the_name(tmp_path: Path) -> None:
    """Another annotation.mat, and folders of other data sets called as PETA's: the images are taken alone."""
    images = {f"MIT/{path}": data for path, data in pa100k()[1].items() if path.startswith("data/")}
    files = images | {"annotation.mat": mat({"boxes": np.ones((3, 4))}), "annotation/notes.txt": b"of them"}
    summary = import_dataset([write_folder(tmp_path / "source", files)], tmp_path / "data")
    assert summary.images == {"train": len(images)}
    assert read_dataset_file(tmp_path / "data").name == "source"
    for name, make in {"annotation.mat": pa100k, "PETA.mat": peta}.items():
        (tmp_path / name).mkdir()
        refused(tmp_path / name, {name: make()[1][name]}, "24 problems", "there is no image", "and 14 more")
