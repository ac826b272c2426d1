"""The object that runs all networks over images: the same results in every form, each image decoded once."""

import io
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from PIL import Image

from bruna.batches.store import decode_image
from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.schema import Task, Tasks, logit_count, logit_slices
from bruna.errors import BrunaError
from bruna.files import write_json
from bruna.inference import batching
from bruna.inference.described import Described
from bruna.inference.describer import Describer, load
from bruna.inference.settings import Settings
from bruna.inference.unet import segment_images
from bruna.models.normalize import as_floats, mask_floats
from bruna.retrieval.distances import ProductDistance
from bruna.retrieval.protocols import COURSE
from bruna.retrieval.ranking import top_k
from tiny_dataset import write_image
from tiny_models import ATTRIBUTES_SIZE, BRUNA_SIZE, UNET_SIZE, save_tiny_models

COUNT = 11
SETTINGS = Settings(flip=True, batch_size=4)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def people(artifacts: Path) -> Describer:
    return load(artifacts, "cpu", settings=SETTINGS)


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images, of which one has another size."""
    folder = tmp_path_factory.mktemp("crops")
    for i in range(COUNT):
        write_image(folder / f"{i:02d}.jpg", i, *((50, 110) if i == 7 else (64, 128)))
    return folder


def _files(crops: Path) -> list[Path]:
    return sorted(crops.iterdir())


def _array(path: Path) -> npt.NDArray[np.uint8]:
    with Image.open(path) as opened:
        return np.asarray(opened).transpose(2, 0, 1)[None]


def _same(found: Described, other: Described) -> bool:
    assert found.masks is not None and other.masks is not None
    return (
        np.array_equal(found.features, other.features)
        and np.array_equal(found.junk, other.junk)
        and np.array_equal(found.masks, other.masks)
        and all(found.probabilities[name].equals(other.probabilities[name]) for name in found.probabilities)
    )


FORMS: dict[str, Callable[[Path], Any]] = {
    "paths": lambda crops: [str(path) for path in _files(crops)],
    "bytes": lambda crops: [path.read_bytes() for path in _files(crops)],
    "pillow": lambda crops: [Image.open(path) for path in _files(crops)],
    "arrays": lambda crops: [_array(path) for path in _files(crops)],
    "images": lambda crops: [_array(path)[0] for path in _files(crops)],
    "tensors": lambda crops: [torch.from_numpy(_array(path).copy()) for path in _files(crops)],
    "mixed": lambda crops: [
        *_files(crops)[:3],
        np.concatenate([_array(path) for path in _files(crops)[3:7]]),
        *(path.read_bytes() for path in _files(crops)[7:]),
    ],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_an_image_gives_the_same(form: str, people: Describer, crops: Path) -> None:
    whole = people.describe(crops)
    assert whole.names == [str(path) for path in _files(crops)]
    images = FORMS[form](crops)
    found = people.describe(images)
    names = whole.names if form == "paths" else [str(i) for i in range(COUNT)]
    assert found.names == (whole.names[:3] + names[3:] if form == "mixed" else names)
    assert len(found) == COUNT
    assert _same(replace(found, names=whole.names), whole)


def test_one_image_is_an_image_of_many(people: Describer, crops: Path) -> None:
    first, whole = _files(crops)[0], people.describe(crops)
    for image in (first, str(first), first.read_bytes(), Image.open(first), _array(first)):
        found = people.describe(image)
        assert len(found) == 1 and found.features.shape == (1, 16)
        np.testing.assert_allclose(found.features[0], whole.features[0], atol=1e-5)


@pytest.mark.parametrize("block", [1, 4, 8])
def test_the_size_of_the_blocks_changes_nothing(
    block: int, people: Describer, crops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = people.describe(crops)
    monkeypatch.setattr(batching, "_BLOCK", block)
    assert len(batching.block_starts(COUNT, 4)) == {1: 3, 4: 3, 8: 2}[block]
    assert _same(people.describe(crops), at_once)


def test_each_image_is_decoded_once(people: Describer, crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: Counter[bytes] = Counter()
    original = Image.open

    def counting(file: io.BytesIO, **options: Any) -> Image.Image:
        opened[file.getvalue()] += 1
        return original(file, **options)

    monkeypatch.setattr(Image, "open", counting)
    people.describe(crops)
    assert opened == Counter(path.read_bytes() for path in _files(crops))


def test_the_networks_see_the_pixels_that_the_stages_see(people: Describer, crops: Path) -> None:
    """By hand: every network on what `decode_image` gives at its size, the mask resized in 8 bits."""
    assert people.unet and people.attribute_network and people.bruna
    assert len({UNET_SIZE, ATTRIBUTES_SIZE, BRUNA_SIZE}) == 3
    encoded = _files(crops)[7].read_bytes()

    def pixels(size: tuple[int, int]) -> torch.Tensor:
        return torch.from_numpy(decode_image(encoded, size, "rgb").copy())[None]

    found = people.describe(encoded)
    with torch.inference_mode():
        segmented = people.unet.network(as_floats(pixels(UNET_SIZE)))
        mask = (segmented.logits.sigmoid()[0, 0] * 255).round().byte().numpy()
        file = io.BytesIO()
        Image.fromarray(mask).save(file, "PNG")
        fitting = torch.from_numpy(decode_image(file.getvalue(), BRUNA_SIZE, "gray").copy())[None]
        images, masks = as_floats(pixels(BRUNA_SIZE)), mask_floats(fitting)
        assert masks is not None
        one = people.bruna.network(images, masks, segmented.bottleneck)
        other = people.bruna.network(images.flip(-1), masks.flip(-1), segmented.bottleneck)
        logits = people.attribute_network.network.predict(as_floats(pixels(ATTRIBUTES_SIZE)))
    assert found.masks is not None and found.masks.shape == (1, *UNET_SIZE)
    np.testing.assert_array_equal(found.masks[0], mask)
    assert found.plain is not None and found.gallery is not None and found.gallery.attributes is not None
    torch.testing.assert_close(found.plain.features, one.features)
    torch.testing.assert_close(
        torch.nn.functional.normalize(found.gallery.features),
        torch.nn.functional.normalize(one.features + other.features),
    )
    torch.testing.assert_close(found.gallery.attributes, (one.attributes + other.attributes) / 2)
    np.testing.assert_allclose(found.junk, logits[:, -1].sigmoid().numpy(), rtol=1e-6)


def test_stored_segments_take_the_place_of_the_u_net(people: Describer, crops: Path) -> None:
    files = _files(crops)
    table = pd.DataFrame({"path": [path.name for path in files], "image": [path.read_bytes() for path in files]})
    segments = segment_images(table, people.unet, SETTINGS.batch_size).sample(frac=1, random_state=0)
    without = replace(people, unet=None)
    images, names = list(table["image"]), list(table["path"])
    found = without.describe(images, names=names, _segments=segments)
    assert found.masks is None  # the U-Net has not been run
    whole = people.describe(images, names=names)
    assert _same(replace(found, masks=whole.masks), whole)
    with pytest.raises(BrunaError, match="Bruna needs the U-Net, and there is none"):
        without.describe(images)
    with pytest.raises(BrunaError, match="Bruna needs the U-Net, and there is none"):
        without.describe(images, names=names, _segments=segments.assign(mask=None))
    with pytest.raises(BrunaError, match=r"there is no mask of 00\.jpg\. `dvc repro segment`"):
        without.describe(images, names=names, _segments=segments[segments["path"] != "00.jpg"])


def test_masks_are_left_out_where_nobody_wants_them(artifacts: Path, people: Describer, crops: Path) -> None:
    assert people.describe(crops, masks=False).masks is None
    alone = load(artifacts, "cpu", bruna=False)
    found = alone.describe(crops)
    assert found.masks is None and found.gallery is None
    np.testing.assert_allclose(found.junk, people.describe(crops).junk, atol=1e-5)
    with pytest.raises(BrunaError, match="needs Bruna's network, which was not loaded"):
        found.features  # noqa: B018
    with pytest.raises(BrunaError, match="needs Bruna's network"):
        alone.rank(crops, crops)


def test_what_is_found_is_told_by_name(people: Describer, crops: Path) -> None:
    found = people.describe(crops)
    assert list(found.attributes) == [attribute.name for attribute in ATTRIBUTES]
    for attribute in ATTRIBUTES:
        shares, values = found.probabilities[attribute.name], found.attributes[attribute.name]
        assert list(shares.columns) == list(attribute.values) and shares.shape == (COUNT, len(attribute.values))
        np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
        assert values.tolist() == shares.idxmax(axis=1).tolist()
    assert people.schema == found.schema == ATTRIBUTES
    table = found.to_pandas()
    assert list(table.columns) == ["image", *found.attributes, "junk"] and len(table) == COUNT
    assert table["gender"].tolist() == found.attributes["gender"].tolist()
    neighborly = people.describe(crops, neighbors=COUNT)
    everywhere = neighborly.probabilities["upcolor"]
    np.testing.assert_allclose(everywhere, np.tile(found.probabilities["upcolor"].mean(), (COUNT, 1)), atol=1e-6)


OTHER = (Task("size", ("small", "middle", "large")), Task("glasses", ("no", "yes")))


def _with_schemas(folder: Path, task1: Tasks, bruna: Tasks) -> Path:
    """Models whose two networks tell these attributes."""
    save_tiny_models(folder, schema=task1)
    shutil.rmtree(folder / "bruna")
    shutil.copytree(save_tiny_models(folder / "other", schema=bruna) / "bruna", folder / "bruna")
    return folder


@pytest.mark.parametrize("schema", [OTHER, OTHER[1:], ()], ids=["two", "one", "none"])
def test_networks_of_any_schema_tell_it(schema: Tasks, crops: Path, tmp_path: Path) -> None:
    people = load(save_tiny_models(tmp_path, schema=schema), "cpu", settings=SETTINGS)
    found = people.describe(crops, neighbors=2)
    assert people.schema == found.schema == schema
    assert list(found.attributes) == list(found.probabilities) == [task.name for task in schema]
    assert found.junk.shape == (COUNT,) and (found.junk > 0).all() and (found.junk < 1).all()
    for source in ("task1", "bruna", "both"):
        chances, codes = found.attribute_probabilities(source), found.attribute_codes(source)
        assert chances.shape == (COUNT, logit_count(schema)) and codes.shape == (COUNT, len(schema))
        for column, where in enumerate(logit_slices(schema).values()):
            part = chances[:, where].numpy()
            best = part[:, 0] > 0.5 if part.shape[1] == 1 else part.argmax(axis=1)
            assert codes[:, column].tolist() == best.astype(int).tolist()
    for task in schema:
        assert list(found.probabilities[task.name]) == list(task.values)
        np.testing.assert_allclose(found.probabilities[task.name].sum(axis=1), 1, atol=1e-6)
    assert len(people.rank(crops, crops, k=2)) == 2 * COUNT
    assert list(people.describe([]).attributes) == [task.name for task in schema]


@pytest.mark.parametrize(
    ("task1", "bruna", "said"),
    [
        (OTHER, OTHER[:1], r"glasses \(no/yes; none\)"),
        (OTHER[:1], OTHER, r"glasses \(none; no/yes\)"),
        (OTHER, (Task("size", ("small", "large")), OTHER[1]), r"size \(small/middle/large; small/large\)"),
        (OTHER, OTHER[::-1], "the order of the attributes"),
    ],
)
def test_networks_of_different_schemas_are_refused(task1: Tasks, bruna: Tasks, said: str, tmp_path: Path) -> None:
    models = _with_schemas(tmp_path, task1, bruna)
    with pytest.raises(BrunaError, match=rf"attributes and .*bruna tell different attributes: {said}\. `dvc repro`"):
        load(models, "cpu")
    assert load(models, "cpu", bruna=False).schema == task1


def test_a_notebook_shows_both_in_a_line(people: Describer, crops: Path) -> None:
    assert repr(people).startswith("Describer(U-Net, Task 1, Bruna; Settings(") and len(repr(people)) < 250
    assert repr(people.describe(crops)) == f"Described({COUNT} images, 0 rejected)"


def test_rank_is_the_exact_search_by_the_papers_distance(people: Describer, crops: Path) -> None:
    query, gallery = people.describe(_files(crops)[:3]), people.describe(crops)
    table = people.rank(_files(crops)[:3], crops, k=4)
    assert list(table.columns) == ["query", "rank", "image", "distance"]
    assert query.gallery is not None and gallery.gallery is not None
    wanted = top_k(query.gallery, gallery.gallery, ProductDistance(SETTINGS.attribute_offset), COURSE, 4)
    assert table["query"].tolist() == np.repeat(query.names, 4).tolist()
    assert table["rank"].tolist() == [1, 2, 3, 4] * 3
    assert table["image"].tolist() == [gallery.names[i] for i in wanted.indices.flatten()]
    np.testing.assert_allclose(table["distance"], wanted.distances.flatten(), atol=1e-4)
    pd.testing.assert_frame_equal(
        people.rank(query, gallery, k=99).groupby("query").head(4).reset_index(drop=True), table
    )
    strict = replace(people, settings=replace(SETTINGS, junk_threshold=float(np.median(gallery.junk))))
    kept = set(np.array(gallery.names)[gallery.junk < np.median(gallery.junk)])
    assert set(strict.rank(query, gallery, k=99, filter_junk=True)["image"]) == kept


def test_the_settings_are_those_that_evaluate_has_used(artifacts: Path, tmp_path: Path) -> None:
    assert load(artifacts, "cpu").settings == Settings()
    assert Settings() == Settings(0.1, False, "task1", 1, 0.5, 128)  # the paper's
    folder = save_tiny_models(tmp_path)
    used = {"attribute_offset": 30.0, "flip": True, "attributes_from": "both", "attribute_neighbors": 6}
    used |= {"junk_threshold": 0.7, "batch_size": 32}
    write_json({**used, "rerank": True}, folder / "evaluate" / "settings.json")
    assert load(str(folder), "cpu").settings == Settings(30.0, True, "both", 6, 0.7, 32)
