"""Writes the sample as a data set folder: train, query, gallery, unlabelled images, mask pairs."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bruna.dataset.annotations import ANNOTATIONS, Annotations, annotations_csv
from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.dataset_file import DATASET, DatasetFile, dataset_text
from bruna.errors import BrunaError
from bruna.files import whole_folder
from bruna.sample.person import Person, draw_person
from bruna.sample.plan import (
    CAMERAS,
    Shot,
    plan_attributes,
    plan_shots,
    random_generator,
)
from bruna.sample.shot import World, build_world, take_shot

_HIGHEST_IDENTITY = 1501
_TEST_IMAGES = 12
"""Images of each identity of query and gallery, three or more in each camera that sees it."""
_DISTRACTORS, _JUNK = 28, 16
_QUERIES, _TEST, _TEST_JUNK, _UNLABELLED_PEOPLE = 20, 80, 6, 10
_QUALITY = 90

# First key of the random generators, so that no two drawings share one.
_PLAN, _NAMES, _PERSON, _SHOT, _DRAW = range(1, 6)
_TRAIN, _TEST_SET, _OTHERS, _UNLABELLED, _MASKS = range(5)


@dataclass(frozen=True)
class SampleSummary:
    """How many images of each kind were written."""

    folder: Path
    identities: int
    train: int
    test_identities: int
    query: int
    gallery: int
    distractors: int
    junk: int
    queries: int
    test: int
    mask_pairs: int

    @property
    def images(self) -> int:
        """All images; the masks are not counted."""
        return self.train + self.query + self.gallery + self.queries + self.test + self.mask_pairs


@dataclass(frozen=True)
class _Job:
    """One image to draw: where it goes, of whom (None: nobody), seen how."""

    path: str
    person: Person | None
    camera: int
    key: tuple[int, ...]
    junk: bool = False
    mask: str | None = None


def render_sample(
    folder: Path,
    *,
    seed: int = 0,
    identities: int = 66,
    images_per_identity: int = 9,
    test_identities: int = 16,
    mask_pairs: int = 450,
    progress: Callable[[Iterable[Any], str, int], Iterable[Any]] | None = None,
) -> SampleSummary:
    """Draw the sample data set into `folder`, replacing what is there.

    Equal arguments give equal bytes. Every image is 64 x 128 (width x height), JPEG; masks are PNG, 0 or 255.

    Args:
        folder: the data set folder to make.
        seed: decides everything.
        identities: labelled people of train/; from 30 on every attribute value has at least three bearers.
        images_per_identity: mean number of images of each; one varies by up to three either way.
        test_identities: people of query/ and gallery/; 0 leaves out both and the unlabelled folders.
        mask_pairs: image and mask pairs, each of another person; 0 leaves masks/ out.
        progress: called as `progress(jobs, description, total)`, yields the jobs, e.g. `bruna.progress.track`.

    Raises:
        BrunaError: a count that cannot be drawn, or the folder cannot be written.
    """
    _check_counts(identities, images_per_identity, test_identities, mask_pairs)
    numbers = random_generator(seed, _NAMES).permutation(_HIGHEST_IDENTITY)[: identities + test_identities] + 1
    train_ids, test_ids = np.sort(numbers[:identities]), np.sort(numbers[identities:])
    train_people, train_codes = _people(seed, _TRAIN, identities)
    test_people, test_codes = _people(seed, _TEST_SET, test_identities)
    jobs = list(_train_jobs(seed, train_people, train_ids, images_per_identity))
    if test_identities:
        jobs += _test_jobs(seed, test_people, test_ids)
        jobs += _unlabelled_jobs(seed)
    jobs += _mask_jobs(seed, mask_pairs)
    world = build_world(seed)
    steps = jobs if progress is None else progress(jobs, "rendering the sample", len(jobs))
    with whole_folder(folder) as beside:
        for job in steps:
            _draw(beside, world, job, seed)
        people = Annotations(
            "identity", pd.Index([*train_ids, *test_ids]), np.concatenate([train_codes, test_codes]), ATTRIBUTES
        )
        (beside / ANNOTATIONS[0]).write_bytes(annotations_csv(people))
        (beside / DATASET).write_text(dataset_text(_dataset(seed)), encoding="utf-8")
    return _summary(Path(folder), jobs, identities, test_identities)


def _check_counts(identities: int, images: int, test_identities: int, mask_pairs: int) -> None:
    most = 1000
    for name, count, least in (
        ("identities", identities, 1),
        ("images_per_identity", images, 4),
        ("test_identities", test_identities, 0),
        ("mask_pairs", mask_pairs, 0),
    ):
        if not least <= count <= most:
            raise BrunaError(f"the sample cannot have {name} = {count}; choose {least} to {most}.")
    if identities + test_identities > _HIGHEST_IDENTITY:
        raise BrunaError(
            f"the sample numbers people from 1 to {_HIGHEST_IDENTITY}; identities + test_identities is "
            f"{identities + test_identities}. Ask for fewer."
        )


def _people(seed: int, group: int, count: int) -> tuple[list[Person], npt.NDArray[np.int64]]:
    codes = plan_attributes(count, random_generator(seed, _PLAN, group))
    return [draw_person(row, random_generator(seed, _PERSON, group, i)) for i, row in enumerate(codes)], codes


def _train_jobs(seed: int, people: list[Person], ids: npt.NDArray[np.int64], mean: int) -> Iterator[_Job]:
    """Course names: identity, camera, nine digits that say nothing."""
    for i, (person, identity) in enumerate(zip(people, ids, strict=True)):
        rng = random_generator(seed, _SHOT, _TRAIN, i)
        shots = plan_shots(i, mean + int(rng.integers(-3, 4)), rng)
        frames = rng.choice(10**8, size=len(shots), replace=False)
        for k, (shot, frame) in enumerate(zip(shots, frames, strict=True)):
            name = f"train/{identity:04d}_c{shot.camera}_{frame:09d}.jpg"
            yield _Job(name, person, shot.camera, (_TRAIN, i, k))


def _test_jobs(seed: int, people: list[Person], ids: npt.NDArray[np.int64]) -> list[_Job]:
    """Official names; the first image of each camera is the query, the others stand in the gallery."""
    jobs = []
    for i, (person, identity) in enumerate(zip(people, ids, strict=True)):
        shots = plan_shots(i, _TEST_IMAGES, random_generator(seed, _SHOT, _TEST_SET, i), every=3)
        queried: set[int] = set()
        for k, shot in enumerate(shots):
            subset = "gallery" if shot.camera in queried else "query"
            queried.add(shot.camera)
            jobs.append(_Job(f"{subset}/{_name(f'{identity:04d}', shot)}", person, shot.camera, (_TEST_SET, i, k)))
    return jobs + _other_jobs(seed, people)


def _other_jobs(seed: int, people: list[Person]) -> list[_Job]:
    """The gallery's distractors (identity 0000) and its junk (-1: a part of somebody, or an empty place)."""
    others, _ = _people(seed, _OTHERS, _DISTRACTORS // 2)
    jobs = []
    rng = random_generator(seed, _SHOT, _OTHERS)
    for k, frame in enumerate(rng.choice(90_000, size=_DISTRACTORS + _JUNK, replace=False)):
        shot = Shot(k, int(rng.integers(1, CAMERAS + 1)), int(rng.integers(1, 4)), int(frame))
        junk = k >= _DISTRACTORS
        crowd = people if junk else others
        person = None if junk and k % 3 == 0 else crowd[k % len(crowd)]
        label = "-1" if junk else "0000"
        jobs.append(_Job(f"gallery/{_name(label, shot)}", person, shot.camera, (_OTHERS, k), junk=junk))
    return jobs


def _name(label: str, shot: Shot) -> str:
    return f"{label}_c{shot.camera}s{shot.sequence}_{shot.frame:06d}_{shot.frame % 7:02d}.jpg"


def _unlabelled_jobs(seed: int) -> list[_Job]:
    """Anonymous names in random order: two queries and some test images of each of ten people, a little junk."""
    people, _ = _people(seed, _UNLABELLED, _UNLABELLED_PEOPLE)
    rng = random_generator(seed, _NAMES, _UNLABELLED)
    jobs = []
    for subset, count, junk in (("queries", _QUERIES, 0), ("test", _TEST, _TEST_JUNK)):
        for place, k in enumerate(rng.permutation(count)):
            i, bad = int(k), bool(k < junk)
            person = None if bad and i % 3 == 0 else people[i % len(people)]
            camera = int(rng.integers(1, CAMERAS + 1))
            key = (_UNLABELLED, int(subset == "test"), i)
            jobs.append(_Job(f"{subset}/{place:06d}.jpg", person, camera, key, junk=bad))
    return jobs


def _mask_jobs(seed: int, count: int) -> list[_Job]:
    people, _ = _people(seed, _MASKS, count)
    rng = random_generator(seed, _NAMES, _MASKS)
    return [
        _Job(f"masks/images/{k + 1:04d}.jpg", person, int(rng.integers(1, CAMERAS + 1)), (_MASKS, k),
             mask=f"masks/masks/{k + 1:04d}.png")
        for k, person in enumerate(people)
    ]  # fmt: skip


def _draw(folder: Path, world: World, job: _Job, seed: int) -> None:
    rng = random_generator(seed, _DRAW, *job.key)
    image, mask = take_shot(world, job.person, job.camera, rng, junk=job.junk, alone=job.mask is not None)
    path = folder / job.path
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, "JPEG", quality=_QUALITY)
    if job.mask is not None:
        place = folder / job.mask
        place.parent.mkdir(parents=True, exist_ok=True)
        mask.save(place, "PNG")


def _dataset(seed: int) -> DatasetFile:
    return DatasetFile(
        name="Rendered people",
        source=f"bruna sample --seed {seed}",
        terms="free for any use",
        attributes={attribute.name: attribute.values for attribute in ATTRIBUTES},
        cameras="six cameras, each with its own place, height and light",
    )


def _summary(folder: Path, jobs: list[_Job], identities: int, test_identities: int) -> SampleSummary:
    def count(start: str) -> int:
        return sum(job.path.startswith(start) for job in jobs)

    return SampleSummary(
        folder=folder,
        identities=identities,
        train=count("train/"),
        test_identities=test_identities,
        query=count("query/"),
        gallery=count("gallery/"),
        distractors=count("gallery/0000_"),
        junk=count("gallery/-1_"),
        queries=count("queries/"),
        test=count("test/"),
        mask_pairs=count("masks/"),
    )
