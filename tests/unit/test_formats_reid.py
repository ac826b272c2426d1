"""MSMT17 and CUHK03-NP: miniatures of their layouts become data sets, and go through the stages to a page."""

import io
import re
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from bruna.dataset.dataset_file import read_dataset_file
from bruna.dataset.formats.cuhk03 import CUHK03
from bruna.dataset.formats.msmt17 import MSMT17
from bruna.dataset.importers import import_dataset
from bruna.dataset.tables import read_table
from bruna.errors import BrunaError
from bruna.inference.describer import load
from bruna.pipeline.check import check
from bruna.pipeline.misfits import adapt
from bruna.sample.person import draw_person
from bruna.sample.plan import plan_attributes, random_generator
from bruna.sample.shot import build_world, take_shot
from tiny_records import PROJECT, tiny
from tiny_stages import STAGES, run_stage

TRAINING, TEST = (0, 1, 2, 3, 4, 8), (0, 1, 3)
"""Numbers of people as MSMT17 has them, training and test apart; some are missing, as nobody promises that none is."""


class Shot(NamedTuple):
    """What the renderer knows of an image: `person` is of `TRAINING` where the subset is train, else of `TEST`."""

    subset: str
    person: int
    camera: int
    data: bytes


Files = dict[str, bytes]


@cache
def shots(cameras: tuple[int, ...], form: str) -> tuple[Shot, ...]:
    """Each person of training once from each camera; each of the test twice, the first time as a query."""
    world = build_world(5)
    codes = plan_attributes(len(TRAINING) + len(TEST), random_generator(5, 1))
    people = [draw_person(row, random_generator(5, 2, i)) for i, row in enumerate(codes)]
    found = []
    for i, person in enumerate(people):
        number = (*TRAINING, *TEST)[i]
        for k, camera in enumerate(cameras):
            for again, subset in enumerate(("train",) if i < len(TRAINING) else ("query", "gallery")):
                file = io.BytesIO()
                image, _ = take_shot(world, person, k + 1, random_generator(5, 3, i, k, again))
                image.save(file, form)
                found.append(Shot(subset, number, camera, file.getvalue()))
    return tuple(found)


def msmt17(train: str = "train", test: str = "test") -> tuple[tuple[Shot, ...], Files]:
    """The truth, and the files of the layout; the third image of some people is in list_val, one image in no list."""
    truth = shots((1, 4, 12), "JPEG")
    files, lists = {}, dict.fromkeys(("train", "val", "query", "gallery"), "")
    for i, shot in enumerate(truth):
        path = f"{shot.person:04d}/{shot.person:04d}_{i:03d}_{shot.camera:02d}_0303morning_{i:04d}_1"
        path += "_ex.jpg" if i % 5 == 0 else ".jpg"
        files[f"{train if shot.subset == 'train' else test}/{path}"] = shot.data
        in_val = shot.subset == "train" and shot.camera == 12 and shot.person % 2 == 0
        lists["val" if in_val else shot.subset] += f"{path} {shot.person}\n"
    assert lists["val"]
    return truth, {
        **files,
        **{f"list_{name}.txt": text.encode() for name, text in lists.items()},
        f"{train}/0000/0000_999_01_0113noon_0001_0.jpg": b"no list names it",
    }


def cuhk03(form: str = "PNG") -> tuple[tuple[Shot, ...], Files]:
    """The truth, and the files of one of the two folders; people of the test are numbered after those of training."""
    truth = shots((1, 2), form)
    folders = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
    files = {
        f"{folders[shot.subset]}/{_cuhk03_identity(shot):04d}_c{shot.camera}_{i + 1}.{form.lower()}": shot.data
        for i, shot in enumerate(truth)
    }
    return truth, {**files, "readme.md": b"no part of it"}


def _cuhk03_identity(shot: Shot) -> int:
    return 1 + (TRAINING.index(shot.person) if shot.subset == "train" else len(TRAINING) + TEST.index(shot.person))


def _msmt17_identity(shot: Shot) -> int:
    return 1 + shot.person + (0 if shot.subset == "train" else 1 + max(TRAINING))


LAYOUTS: dict[str, tuple[Callable[[], tuple[tuple[Shot, ...], Files]], Callable[[Shot], int], str, str]] = {
    "MSMT17": (msmt17, _msmt17_identity, "MSMT17", "train/0000/0000_999_01_0113noon_0001_0.jpg"),
    "MSMT17, V2": (
        lambda: msmt17("mask_train_v2", "mask_test_v2"),
        _msmt17_identity,
        "MSMT17",
        "mask_train_v2/0000/0000_999_01_0113noon_0001_0.jpg",
    ),
    "CUHK03": (cuhk03, _cuhk03_identity, "CUHK03-NP", "readme.md"),
}


def write_folder(path: Path, files: Files) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def write_zip(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_tar(path: Path, files: Files) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


FORMS: dict[str, tuple[Callable[[Path, Files], Path], str, str]] = {
    "folder": (write_folder, "source", ""),
    "zip": (write_zip, "source.zip", ""),
    "tar.gz": (write_tar, "source.tar.gz", ""),
    "wrapped": (write_zip, "source.zip", "download/data set/"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_image_comes_with_identity_and_camera(layout: str, form: str, tmp_path: Path) -> None:
    make, identity, name, unlisted = LAYOUTS[layout]
    write, source, prefix = FORMS[form]
    truth, files = make()
    target = tmp_path / "data"
    given = write(tmp_path / source, {prefix + path: data for path, data in files.items()})
    summary = import_dataset([given], target)
    read = [
        (path.parent.name, int(found[1]), int(found[2]), path.read_bytes())
        for path in target.glob("*/*")
        if (found := re.match(r"(\d+)_c(\d+)_", path.name))
    ]
    assert sorted(read) == sorted((shot.subset, identity(shot), shot.camera, shot.data) for shot in truth)
    assert {path.name for path in target.iterdir()} == {"train", "query", "gallery", "dataset.yaml"}
    assert {path.parent.name for path in target.glob("*/*")} == {"train", "query", "gallery"}
    assert len(list(target.glob("*/*"))) == len(truth)
    training = {shot.person for shot in truth if shot.subset == "train"}
    searched = {shot.person for shot in truth if shot.subset == "query"}
    cameras = len({shot.camera for shot in truth})
    assert summary.identities == {"train": len(training), "query": len(searched), "gallery": len(searched)}
    assert summary.cameras == dict.fromkeys(summary.identities, cameras)
    assert summary.images == {part: sum(shot.subset == part for shot in truth) for part in summary.identities}
    assert (summary.ignored, summary.damaged) == ([f"{source}/{prefix}{unlisted}"], {})
    dataset = read_dataset_file(target)
    assert (dataset.name, dataset.tasks) == (name, ())
    assert dataset.terms == "research use only, not to be redistributed"
    assert dataset.cameras.startswith("1 ")


def mean_average_precision(
    distances: npt.NDArray[np.float64], query: Sequence[tuple[int, int]], gallery: Sequence[tuple[int, int]]
) -> float:
    """The Market-1501 protocol: without images of the query's person by its camera; queries without a match left out.

    Written for this test, from the words of the paper: precision at each match, its mean, the mean over the queries.
    """
    values = []
    for row, (person, camera) in zip(distances, query, strict=True):
        ranked = [gallery[i] for i in np.argsort(row) if gallery[i] != (person, camera)]
        ranks = [rank for rank, (other, _) in enumerate(ranked, start=1) if other == person]
        if ranks:
            values.append(np.mean([found / rank for found, rank in enumerate(ranks, start=1)]))
    return float(np.mean(values))


@pytest.mark.parametrize("layout", ["MSMT17", "CUHK03"])
def test_it_goes_through_to_a_page_and_its_map_is_that_of_numpy(layout: str, tmp_path: Path) -> None:
    truth, files = LAYOUTS[layout][0]()
    import_dataset([write_zip(tmp_path / "source.zip", files)], tmp_path / "data")
    settings = tmp_path / "params.yaml"
    settings.write_text((PROJECT / "params.yaml").read_text())
    adapt(settings, tmp_path / "data")
    params = tiny(check(settings, tmp_path / "data"))
    figures: dict[str, Any] = {stage: run_stage(stage, tmp_path, params).finished for stage in STAGES}
    artifacts = tmp_path / "artifacts"
    people = load(artifacts, "cpu")
    known = {shot.data: (shot.person, shot.camera) for shot in truth if shot.subset != "train"}
    features, labels = [], []
    for part in ("query", "gallery"):
        images = list(read_table(artifacts / "split" / "test" / f"{part}.parquet")["image"])
        found = people.describe(images, masks=False).gallery
        assert found is not None
        features.append(found.features.numpy().astype(np.float64))
        labels.append([known[image] for image in images])
    distances = np.linalg.norm(features[0][:, None] - features[1][None], axis=2)
    measured = figures["evaluate"]["test"]["market1501"]
    assert measured["map"] == pytest.approx(mean_average_precision(distances, *labels), abs=1e-6)
    assert 0 < measured["map"] < 1
    assert measured["queries"] == len(labels[0])
    page = re.sub("(<[^>]*>)+", " ", (artifacts / "report" / "report.html").read_text())
    assert f"Test mAP {measured['map']:.1%}" in re.sub(r"\s+", " ", page)


def refused(tmp_path: Path, files: Files, *messages: str) -> str:
    """The import of a folder of these files ends with these words and writes nothing."""
    source = write_folder(tmp_path / "source", files)
    with pytest.raises(BrunaError) as error:
        import_dataset([source], tmp_path / "data")
    for message in messages:
        assert message in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    return str(error.value)


def test_msmt17_tells_all_wrong_lines_at_once(tmp_path: Path) -> None:
    _, files = msmt17()
    lines = files["list_train.txt"].decode().splitlines()
    second = lines[1].split()[0]
    bad = ["0000/0000_000_01_a.jpg", "0000/portrait.jpg 0", "0000/0000_000_00_a.jpg 0", "0000/0000_000_01_a.jpg -1"]
    bad.append(lines[1])
    files["list_train.txt"] = "\n".join([*lines, *bad]).encode()
    more = "".join(f"0003/0003_{i:03d}_04_a.jpg 3\n" for i in range(8))
    files["list_gallery.txt"] += (more + "0003/../0003/0003_001_04_b.jpg 3\n").encode()
    del files[f"train/{second}"]
    text = refused(
        tmp_path,
        files,
        "15 wrong lines",
        *(f"list_train.txt, line {len(lines) + i}: {line!r}" for i, line in enumerate(bad[:4], start=1)),
        f"list_train.txt, line {len(lines) + 5}: {second.split('/')[1]} stands in list_train.txt, line 2 already",
        f"list_train.txt, line 2: train/{second} is not there",
        f"line {files['list_gallery.txt'].count(b'.jpg') - 8}: test/0003/0003_000_04_a.jpg is not there",
        "... and 5 more",
        str(tmp_path / "source"),
        "0000/0000_000_01_0303morning_0015_0.jpg 0",
    )
    assert "0003_004_04_a" not in text


def test_msmt17_reads_lists_of_any_editor(tmp_path: Path) -> None:
    truth, files = msmt17()
    for name in [name for name in files if name.endswith(".txt")]:
        files[name] = b"\xef\xbb\xbf" + files[name].replace(b"\n", b" \r\n") + b"\r\n"
    summary = import_dataset([write_folder(tmp_path / "source", files)], tmp_path / "data")
    assert sum(summary.images.values()) == len(truth)


def test_msmt17_needs_all_of_one_version(tmp_path: Path) -> None:
    _, files = msmt17()
    for i, name in enumerate(("list_train.txt", "list_val.txt", "list_query.txt", "list_gallery.txt")):
        without = {path: data for path, data in files.items() if path != name}
        (tmp_path / str(i)).mkdir()
        refused(tmp_path / str(i), without, f"no {name}", MSMT17.layout)
    both = files | {f"mask_{path}": data for path, data in msmt17()[1].items() if path.startswith("train/")}
    mixed = {("mask_test_v2/" + path[5:] if path.startswith("test/") else path): d for path, d in files.items()}
    for name, wrong in {
        "both": {path.replace("mask_train/", "mask_train_v2/"): data for path, data in both.items()},
        "mixed": mixed,
    }.items():
        (tmp_path / name).mkdir()
        refused(tmp_path / name, wrong, "train/ and test/ (V1), or mask_train_v2/ and mask_test_v2/ (V2")
    two = {f"MSMT17_V1/{path}": data for path, data in files.items()}
    two |= {f"MSMT17_V2/{path}": data for path, data in msmt17("mask_train_v2", "mask_test_v2")[1].items()}
    (tmp_path / "two").mkdir()
    refused(tmp_path / "two", two, "two data sets, in MSMT17_V1/ and in MSMT17_V2/. Give one of them")


@pytest.mark.parametrize("wrapped", ["", "cuhk03-np/"])
@pytest.mark.parametrize("names", ["the same", "others"])
def test_cuhk03_takes_one_of_detected_and_labeled(names: str, wrapped: str, tmp_path: Path) -> None:
    truth, files = cuhk03()
    others = cuhk03("JPEG")[1] if names == "others" else {path: data + b"\0" for path, data in files.items()}
    others = {path.replace(".jpeg", ".jpg"): data for path, data in others.items()}
    shared = {path for path in files if path in others and "bounding" in path}
    assert bool(shared) == (names == "the same")
    both = {f"{wrapped}labeled/{path}": data for path, data in files.items()}
    both |= {f"{wrapped}detected/{path}": data for path, data in others.items()}
    source = write_zip(tmp_path / "cuhk03-np.zip", both)
    one = source / f"{wrapped}labeled"
    with pytest.raises(BrunaError, match=f"Give one of them, such as {re.escape(str(one))}[.]"):
        import_dataset([source], tmp_path / "data")
    assert not (tmp_path / "data").exists()
    summary = import_dataset([one], tmp_path / "data")
    assert sum(summary.images.values()) == len(truth)
    written = {path.read_bytes() for path in (tmp_path / "data").glob("*/*")}
    assert written == {shot.data for shot in truth}


@pytest.mark.parametrize(
    "name",
    ["0001_c3_7.png", "0001_c1_016620005.png", "0001_c1s1_000451_03.png", "00025_c1_1.png", "0001_c1_1b.png"],
)
def test_one_other_name_and_it_is_not_cuhk03(name: str, tmp_path: Path) -> None:
    _, files = cuhk03()
    more = files | {f"bounding_box_train/{name}": shots((1, 2, 3), "PNG")[2].data}
    assert CUHK03.signs == ("bounding_box_train/",)
    import_dataset([write_folder(tmp_path / "mine", more)], tmp_path / "data")
    assert read_dataset_file(tmp_path / "data").name == "mine"
    assert (tmp_path / "data" / "train" / name).exists()
