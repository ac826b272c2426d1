"""Data sets that lack something: known before any training, and through to a page all the same."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bruna.dataset.dataset_file import read_dataset_file
from bruna.dataset.facts import find_files
from bruna.dataset.schema import Task
from bruna.dataset.tables import attributes_of, read_table
from bruna.errors import BrunaError
from bruna.files import read_json
from bruna.pipeline.check import check
from bruna.pipeline.misfits import LACKS, adapt, lacks
from tiny_dataset import write_annotations, write_image, write_mask
from tiny_records import PROJECT, tiny
from tiny_stages import STAGES, run_stage

HELMETS = (Task("helmet", ("no", "yes")), Task("vest", ("none", "orange", "yellow")))
MODELS = {"unet": "masks", "attributes": "attributes", "bruna": "identities"}
PEOPLE = (1, 12, 123, 1234, 12345, 9)


def people(folder: Path, *, cameras: tuple[int, ...] = (1, 2, 104), attributes: tuple[Task, ...] = HELMETS) -> None:
    """Six identities with an image from each camera; one in three cells of their annotations is empty."""
    for i, identity in enumerate(PEOPLE):
        for k in range(3):
            camera = cameras[k % len(cameras)]
            write_image(folder / "train" / f"{identity}_c{camera}_shot {k}.png", 100 * i + k)
    values: dict[int | str, dict[str, str]] = {
        identity: {a.name: ("", *a.values)[(i + j) % 3] for j, a in enumerate(attributes)}
        for i, identity in enumerate(PEOPLE)
    }
    write_annotations(folder, values if attributes else {}, attributes)


def strangers(folder: Path, attributes: tuple[Task, ...] = HELMETS) -> None:
    """Twelve images of nobody knows whom, each annotated for itself."""
    values: dict[int | str, dict[str, str]] = {}
    for i in range(12):
        path = f"train/crop {i}.webp"
        write_image(folder / "train" / f"crop {i}.jpg", i)
        (folder / "train" / f"crop {i}.jpg").rename(folder / path)
        values[path] = {a.name: a.values[i % len(a.values)] for a in attributes}
    write_annotations(folder, values, attributes, identities=False, attributes_of="image")
    masks(folder)


def masks(folder: Path) -> None:
    for number in (1, 2, 3):
        write_image(folder / "masks" / "images" / f"{number}.jpg", number)
        write_mask(folder / "masks" / "masks" / f"{number}.png")


def _query_and_gallery(folder: Path) -> None:
    for camera, subset in ((1, "query"), (2, "gallery")):
        write_image(folder / subset / f"77_c{camera}_1.jpg", camera)


def whole(folder: Path) -> None:
    people(folder)
    masks(folder)
    _query_and_gallery(folder)


def without(*lacking: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        people(
            folder,
            cameras=(0,) if "cameras" in lacking else (1, 2, 104),
            attributes=() if "attributes" in lacking else HELMETS,
        )
        if "masks" not in lacking:
            masks(folder)
        if "query and gallery" not in lacking:
            _query_and_gallery(folder)

    return make


def one_camera(folder: Path) -> None:
    people(folder, cameras=(3,))
    masks(folder)
    _query_and_gallery(folder)


SETS: dict[str, tuple[list[str], Callable[[Path], None]]] = {
    "nothing lacks": ([], whole),
    **{f"no {name}": ([name], without(name)) for name in LACKS if name != "identities"},
    "one camera": (["cameras"], one_camera),
    "no identities": (["identities"], strangers),
    "pictures alone": ([name for name in LACKS if name != "identities"], without(*LACKS)),
}


@pytest.mark.parametrize("name", SETS)
def test_what_lacks_is_known_and_the_rest_goes_through_to_a_page(name: str, tmp_path: Path) -> None:
    lacking, make = SETS[name]
    data, file = tmp_path / "data", tmp_path / "params.yaml"
    data.mkdir()
    make(data)
    dataset = read_dataset_file(data)
    assert lacks(find_files(data, identities=dataset.identities), dataset) == lacking
    file.write_text((PROJECT / "params.yaml").read_text())
    with pytest.raises(BrunaError) as error:
        check(file, data)
    changed = {change.key for change in adapt(file, data)}
    assert all(f"{key} is " in str(error.value) for key in changed)
    params = tiny(check(file, data))
    assert not adapt(file, data)
    for stage in STAGES:
        run_stage(stage, tmp_path, params)
    assert attributes_of(read_table(tmp_path / "artifacts" / "split" / "train.parquet")) == dataset.tasks
    page = (tmp_path / "artifacts" / "report" / "report.html").read_text()
    settings = {model: read_json(tmp_path / "artifacts" / model / "settings.json") for model in MODELS}
    untrained = [model for model in MODELS if settings[model].get("trained") is False]
    assert untrained == [model for model, lack in MODELS.items() if lack in lacking]
    assert ("there is no Task 1" in page) == ("attributes" in lacking)
