import math
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bruna.dataset.annotations import read_annotations
from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.dataset_file import read_dataset_file
from bruna.dataset.filenames import name_facts
from bruna.errors import BrunaError
from bruna.files import fingerprint
from bruna.sample import SampleSummary, plan_attributes, random_generator, render_sample
from bruna.sample.canvas import HEIGHT, OVERSAMPLE, WIDTH, Canvas
from bruna.sample.figure import draw_figure
from bruna.sample.person import Person, draw_person
from bruna.sample.plan import plan_shots
from bruna.sample.pose import Frame, Pose
from course_schema import NAMES

SMALL = {"identities": 5, "images_per_identity": 5, "test_identities": 3, "mask_pairs": 6}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> SampleSummary:
    return render_sample(tmp_path_factory.mktemp("sample") / "data", seed=3, **SMALL)


def standing(person: Person, yaw: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A person at rest before even gray, without a camera: the image and the mask."""
    canvas = Canvas(Image.new("RGB", (WIDTH * OVERSAMPLE, HEIGHT * OVERSAMPLE), (128, 128, 128)), 0.0)
    canvas.subject = True
    pose = Pose(yaw, 0.0, 1.0, 0.2, 0.2, (0.2, 0.2), 0.15)
    draw_figure(canvas, person, pose, Frame(440, (128, 490), yaw, 0.1), (0.5,) * 8)
    return np.asarray(canvas.image(), dtype=int), np.asarray(canvas.mask())


@pytest.mark.parametrize("seed", range(4))
def test_every_value_has_three_bearers_in_the_default_plan(seed: int) -> None:
    codes = plan_attributes(66, random_generator(seed, 1, 0))
    for i, attribute in enumerate(ATTRIBUTES):
        bearers = np.bincount(codes[:, i], minlength=len(attribute.values))
        assert len(bearers) == len(attribute.values)
        assert bearers.min() >= 3, attribute.name


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 300), st.integers(0, 1000))
def test_a_plan_of_any_size_holds_valid_codes(count: int, seed: int) -> None:
    codes = plan_attributes(count, random_generator(seed))
    assert codes.shape == (count, 12)
    for i, attribute in enumerate(ATTRIBUTES):
        assert ((codes[:, i] >= 0) & (codes[:, i] < len(attribute.values))).all()
        if count >= 30:
            assert np.bincount(codes[:, i], minlength=len(attribute.values)).min() >= 3


@given(st.integers(1, 40), st.integers(1, 3), st.integers(0, 1000))
def test_shots_cover_three_cameras_and_no_frame_twice(count: int, every: int, seed: int) -> None:
    shots = plan_shots(0, count, random_generator(seed), every=every)
    seen = Counter(shot.camera for shot in shots)
    assert len(shots) == count
    assert len({shot.frame for shot in shots}) == count
    assert len(seen) >= min(3, max(1, count // every))
    if count >= 3 * every:
        assert min(seen.values()) >= every


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(sample: SampleSummary, tmp_path: Path) -> None:
    random.seed(99)
    np.random.seed(99)
    again = render_sample(tmp_path / "again", seed=3, **SMALL)
    assert fingerprint(again.folder) == fingerprint(sample.folder)
    fewer = render_sample(tmp_path / "other", seed=4, **{**SMALL, "test_identities": 0, "mask_pairs": 0})
    assert {path.name for path in fewer.folder.iterdir()} == {"train", "annotations.csv", "dataset.yaml"}
    assert fingerprint(fewer.folder / "train") != fingerprint(sample.folder / "train")


def test_the_layout_and_the_names(sample: SampleSummary) -> None:
    facts = {
        subset: [name_facts(path.name, subset) for path in sorted((sample.folder / subset).iterdir())]
        for subset in ("train", "query", "gallery", "queries", "test")
    }
    assert not [fact for subset in facts.values() for fact in subset if fact.problem]
    counts = (sample.train, sample.query, sample.gallery, sample.queries, sample.test)
    assert tuple(len(subset) for subset in facts.values()) == counts
    train, query, gallery = ({(f.identity, f.camera) for f in facts[s]} for s in ("train", "query", "gallery"))
    assert len({identity for identity, _ in train}) == 5
    people = {identity for identity, _ in query}
    assert len(people) == 3
    assert not people & {identity for identity, _ in train}
    assert {identity for identity, _ in gallery} == people | {0, -1}
    for identity in people:  # a query needs an image of the person in another camera
        assert len({camera for i, camera in gallery if i == identity}) >= 3
    for identity, number in Counter(f.identity for f in facts["train"]).items():
        assert 2 <= number <= 8
        assert len({camera for i, camera in train if i == identity}) >= min(3, number)


def test_the_annotations_are_the_plan(sample: SampleSummary) -> None:
    dataset = read_dataset_file(sample.folder)
    assert dataset.tasks == ATTRIBUTES and dataset.source == "bruna sample --seed 3"
    read = read_annotations(sample.folder, dataset)
    for subset, group, count in (("train", 0, 5), ("query", 1, 3)):
        drawn = sorted({int(path.name[:4]) for path in (sample.folder / subset).iterdir()})
        codes = read.codes[read.keys.get_indexer(drawn)]
        np.testing.assert_array_equal(codes, plan_attributes(count, random_generator(3, 1, group)))
    assert len(read.keys) == 8


def test_images_are_whole_and_all_different(sample: SampleSummary) -> None:
    paths = sorted(sample.folder.rglob("*.jpg"))
    assert len(paths) == sample.images
    assert len({path.read_bytes() for path in paths}) == len(paths)
    for path in paths:
        with Image.open(path) as image:
            image.load()
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (64, 128))


def test_masks_are_two_valued_and_lie_on_the_person(sample: SampleSummary) -> None:
    masks = sorted((sample.folder / "masks/masks").iterdir())
    images = sorted((sample.folder / "masks/images").iterdir())
    assert [path.stem for path in masks] == [path.stem for path in images]
    assert len(masks) == 6
    for path in masks:
        with Image.open(path) as mask:
            assert (mask.format, mask.mode, mask.size) == ("PNG", "L", (64, 128))
            pixels = np.asarray(mask)
        assert set(np.unique(pixels)) == {0, 255}
        assert 0.08 < (pixels > 0).mean() < 0.7


@pytest.mark.parametrize("attribute", NAMES)
def test_every_attribute_changes_the_drawing(attribute: str) -> None:
    """Each value of an attribute looks different in some view, all else about the person being equal."""
    codes = np.array([1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 0])  # a teenager in a white shirt and black shorts
    place = NAMES.index(attribute)
    views = []
    for value in range(len(ATTRIBUTES[place].values)):
        codes[place] = value
        person = draw_person(codes, random_generator(0, 5))
        views.append(np.stack([standing(person, yaw)[0] for yaw in (0.0, math.pi / 2, math.pi)]))
    for i, first in enumerate(views):
        for second in views[:i]:
            changed = (np.abs(first - second).max(axis=-1) > 25).sum()
            assert changed > 60, f"{attribute}: only {changed} of {first[..., 0].size} pixels differ"


def test_the_mask_is_where_the_drawing_changed_the_place() -> None:
    person = draw_person(np.array([1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 2, 2]), random_generator(0, 6))
    image, mask = standing(person)
    changed = np.abs(image - 128).max(axis=-1) > 40
    changed[118:] = False  # the shadow at the feet belongs to the ground
    assert (changed & (mask == 0)).sum() < 0.06 * (mask > 0).sum()


def test_a_plain_shirt_has_its_colour_on_the_chest() -> None:
    codes = np.array([1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0])
    for value, name in enumerate(ATTRIBUTES[10].values[:-1]):
        codes[10] = value
        person = draw_person(codes, random_generator(0, 7))
        person = replace(person, upper=replace(person.upper, pattern="plain"), logo="none")
        chest = np.median(standing(person)[0][45:60, 27:37].reshape(-1, 3), axis=0)
        assert np.abs(chest - person.upper.colours[0]).max() < 30, name


@pytest.mark.parametrize(
    "wrong",
    [{"identities": 0}, {"images_per_identity": 3}, {"mask_pairs": -1}, {"identities": 900, "test_identities": 900}],
)
def test_impossible_counts_are_refused_before_anything_is_written(wrong: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(BrunaError, match=r"identities|images_per_identity|mask_pairs"):
        render_sample(tmp_path / "data", **wrong)
    assert not list(tmp_path.iterdir())


def test_progress_sees_every_image(tmp_path: Path) -> None:
    seen: list[int] = []

    def progress(jobs, description, total):  # type: ignore[no-untyped-def]
        for job in jobs:
            yield job
            seen.append(total)

    summary = render_sample(
        tmp_path / "d", identities=1, images_per_identity=4, test_identities=0, mask_pairs=1, progress=progress
    )
    assert seen == [summary.images] * summary.images
