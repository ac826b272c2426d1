"""Tiny data sets that lack something, and what must hold of the pipeline's whole run on them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bruna.dataset.schema import Task
from bruna.files import read_json
from bruna.pipeline.misfits import LACKS
from project_copy import TINY, Project
from tiny_dataset import write_annotations, write_image, write_mask

HELMETS = (Task("helmet", ("no", "yes")), Task("vest", ("none", "orange", "yellow")))
MODELS = {"unet": "masks", "attributes": "attributes", "bruna": "identities"}
"""Folder of a model -> without what it is not trained."""
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    **TINY,
    "train_unet": {**TINY["train_unet"], "epochs": 1},
    "train_attributes": {**TINY["train_attributes"], "network": "simple_cnn"},
    "train_bruna": {**TINY["train_bruna"], "epochs": 1, "batch_tuples": 3, "tuples_per_identity": 1},
}
"""Of the smallest run that goes through every stage."""
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
    """Twelve images of nobody knows whom, each annotated for itself, and three more to test with."""
    values: dict[int | str, dict[str, str]] = {}
    for i in range(15):
        path = f"{'train' if i < 12 else 'gallery'}/crop {i}.webp"
        write_image(folder / "crop.jpg", i)
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / "crop.jpg").rename(folder / path)
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


SETS: Mapping[str, tuple[list[str], Callable[[Path], None]]] = {
    "nothing lacks": ([], whole),
    **{f"no {name}": ([name], without(name)) for name in LACKS if name != "identities"},
    "one camera": (["cameras"], one_camera),
    "no identities": (["identities"], strangers),
    "pictures alone": ([name for name in LACKS if name != "identities"], without(*LACKS)),
}
"""Name -> what the set lacks, and what writes it. Without attributes and identities there is nothing to train."""


def untrained(artifacts: Path) -> list[str]:
    """The models of which their stage has written that they are not trained."""
    return [model for model in MODELS if read_json(artifacts / model / "settings.json").get("trained") is False]


def untrained_without(lacking: list[str]) -> list[str]:
    """The models that have nothing to be trained on."""
    return [model for model, lack in MODELS.items() if lack in lacking]


def whole_run(folder: Path, name: str) -> Project:
    """Import one of the sets into a copy of the project and run everything on it, as a user does; all must succeed."""
    source, project = folder / "source", Project(folder / "project", SETTINGS)
    source.mkdir()
    SETS[name][1](source)
    project.run("bruna", "import", str(source), "--replace", "--adapt")
    project.run("dvc", "add", "--quiet", "data")
    project.run("dvc", "repro")
    return project


def mistakes(project: Project, lacking: list[str]) -> list[str]:
    """What is wrong in a project after its whole run on a set that lacks this."""
    artifacts, found = project.folder / "artifacts", []
    if not (artifacts / "report" / "report.html").is_file():
        found.append("there is no page")
    if (models := untrained(artifacts)) != untrained_without(lacking):
        found.append(f"untrained are {models or 'none'}, and not {untrained_without(lacking) or 'none'}")
    if "Running stage" in (printed := project.run("dvc", "repro")):
        found.append(f"the second `dvc repro` runs something:\n{printed}")
    return found
