"""What the describing object is given by mistake, nothing at all, or in unusual forms."""

import io
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.filenames import printable
from bruna.errors import BrunaError
from bruna.inference import described
from bruna.inference.describer import Describer, load
from bruna.inference.images import files_by_id
from bruna.inference.settings import Settings
from tiny_dataset import write_image
from tiny_models import UNET_SIZE, save_tiny_models

FEATURES = 16


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def people(artifacts: Path) -> Describer:
    return load(artifacts, "cpu", settings=Settings(batch_size=4))


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("crops")
    for i in range(3):
        write_image(folder / f"{i}.jpg", i)
    return sorted(folder.iterdir())


def _png(pixels: npt.NDArray[Any], file_format: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, file_format)
    return file.getvalue()


def test_a_bad_image_is_named(people: Describer, crops: list[Path], tmp_path: Path) -> None:
    fine = crops[0]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(fine.read_bytes()[:700])
    for images, message in [
        ([fine, broken], rf"image {broken} cannot be read: image file is truncated"),
        ([tmp_path / "nowhere.jpg"], r"nowhere\.jpg cannot be read: No such file or directory"),
        ([fine, b"no image"], r"image 1 cannot be read: it is not a JPEG, PNG"),
        (tmp_path / "empty", r"no image in .*empty"),
    ]:
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(BrunaError, match=message):
            people.describe(images)
    for images, message in [
        ([fine, np.zeros((2, 8, 8, 3), np.uint8)], r"image 1 is an array of shape \(2, 8, 8, 3\) and type uint8"),
        (np.zeros((2, 3, 8, 8), np.float32), r"image 0 is an array of shape \(2, 3, 8, 8\) and type float32"),
        ([fine, None], r"image 1 is NoneType: give a path"),
        ("", r"image 0 is an empty path: give a file or a folder"),
        ([fine, ""], r"image 1 is an empty path"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.bfloat16), r"image 0 is an array of shape .* type torch\.bfloat16"),
        (
            torch.zeros(1, 3, 8, 8, dtype=torch.uint8, device="meta"),
            r"image 0 is a tensor .* on meta: give a dense one",
        ),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8).to_sparse(), r"image 0 is a tensor of layout torch\.sparse_coo"),
    ]:
        with pytest.raises(ValueError, match=message):
            people.describe(images)
    with pytest.raises(ValueError, match="2 names for 1 images"):
        people.describe(fine, names=["a", "b"])
    found = people.describe([fine, broken, fine], skip_unreadable=True)
    assert found.names == [str(fine)] * 2 and [image.name for image in found.rejected] == [str(broken)]
    nothing = people.describe(broken, skip_unreadable=True)
    assert len(nothing) == 0 and nothing.attributes["age"].shape == (0,) and len(nothing.features) == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_what_is_no_file_and_names_that_are_no_text(people: Describer, crops: list[Path], tmp_path: Path) -> None:
    """None of them is opened: a pipe would be waited on for ever."""
    shutil.copy(crops[0], tmp_path / "a.jpg")
    os.mkfifo(tmp_path / "b.jpg")
    (tmp_path / "c.png").symlink_to("/dev/zero")
    (tmp_path / "d.tif").symlink_to("nowhere")
    (tmp_path / "e.jpg").mkdir()  # searched like any folder
    shutil.copy(crops[0], os.fsencode(tmp_path) + b"/f\xe9.jpg")
    found = people.describe(tmp_path, skip_unreadable=True)
    assert found.names == [str(tmp_path / "a.jpg")]
    pipe = "cannot be read: it is a pipe, a device or a socket, not a file"
    assert [(Path(image.name).name, image.reason) for image in found.rejected] == [
        ("b.jpg", pipe),
        ("c.png", pipe),
        ("d.tif", "cannot be read: No such file or directory"),
        (r"f\xe9.jpg", "cannot be read: its name holds control characters, or bytes that are not UTF-8; rename it"),
    ]
    for given in (tmp_path / "b.jpg", tmp_path):
        with pytest.raises(BrunaError, match=rf"image {tmp_path}/b\.jpg {pipe}"):
            people.describe(given)
    files = files_by_id([tmp_path, tmp_path / "b.jpg", tmp_path / "d.tif"])
    assert list(map(printable, files)) == ["a.jpg", "b.jpg", "c.png", "d.tif", r"f\xe9.jpg"]
    long = tmp_path / ("x" * 300 + ".jpg")
    with pytest.raises(BrunaError, match=r"x\.jpg cannot be read: File name too long"):
        people.describe(long)
    with pytest.raises(BrunaError, match="does not exist"):
        files_by_id([long])


class _Slow(io.BytesIO):
    """A file whose every read lets other threads go on."""

    def read(self, size: int | None = -1, /) -> bytes:
        time.sleep(0.002)
        return super().read(size)


def test_a_lazily_opened_image_may_be_given_more_than_once(people: Describer) -> None:
    """And two images may read one file."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)
    wanted = people.describe(_png(noise)).features
    lazy, shared = Image.open(_Slow(_png(noise))), _Slow(_png(noise))
    two = [Image.open(shared), Image.open(shared)]
    for images in ([lazy] * 4, two):
        found = people.describe(images, skip_unreadable=True)
        assert found.rejected == []
        np.testing.assert_allclose(found.features, np.tile(wanted, (len(images), 1)), atol=1e-4)


def test_a_broken_image_that_is_given_twice_is_rejected_twice(people: Describer, crops: list[Path]) -> None:
    lazy = Image.open(io.BytesIO(crops[0].read_bytes()[:700]))
    found = people.describe([lazy, crops[0], lazy], skip_unreadable=True)
    assert [image.name for image in found.rejected] == ["0", "2"] and found.names == [str(crops[0])]


@pytest.mark.parametrize("nothing", [[], np.zeros((0, 3, 8, 8), np.uint8)], ids=["a list", "an array"])
def test_nothing_is_described_in_the_usual_shapes(nothing: Any, people: Describer, crops: list[Path]) -> None:
    found = people.describe(nothing, neighbors=3, progress="nothing")
    assert len(found) == 0 and found.features.shape == (0, FEATURES) and found.junk.shape == (0,)
    assert found.masks is not None and found.masks.shape == (0, *UNET_SIZE) and found.masks.dtype == np.uint8
    assert all(found.attributes[each.name].shape == (0,) for each in ATTRIBUTES)
    assert found.probabilities["age"].shape == (0, 4) and len(found.to_pandas()) == 0
    for query, gallery in ((nothing, crops), (crops, nothing), (found, found)):
        for filter_junk in (False, True):
            ranking = people.rank(query, gallery, filter_junk=filter_junk)
            assert list(ranking) == ["query", "rank", "image", "distance"] and len(ranking) == 0


@pytest.mark.parametrize("value", [0, -1, 2.0, "3", True, None])
def test_a_number_of_images_is_a_whole_number_from_1(value: Any, people: Describer, crops: list[Path]) -> None:
    found = people.describe(crops)
    with pytest.raises(ValueError, match=rf"k is {value!r}: give a whole number of at least 1"):
        people.rank(found, found, k=value)
    with pytest.raises(ValueError, match=rf"neighbors is {value!r}: give a whole number"):
        people.describe(crops, neighbors=value)
    with pytest.raises(ValueError, match="batch_size"):
        Settings(batch_size=value)
    if value is not None:  # None stands for what the images were described with
        with pytest.raises(ValueError, match=rf"neighbors is {value!r}: give a whole number"):
            found.attribute_codes(neighbors=value)
    assert len(people.rank(found, found, k=np.int64(2))) == 6  # type: ignore[arg-type]


def test_settings_are_checked_when_they_are_made(artifacts: Path, people: Describer, crops: list[Path]) -> None:
    for wrong in (
        {"attribute_offset": -1.0},
        {"attribute_offset": float("nan")},
        {"flip": "no"},
        {"attributes_from": "task2"},
        {"attribute_neighbors": 0},
        {"junk_threshold": 1.5},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Settings(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="attributes_from is 'task2': give task1, bruna or both"):
        people.describe(crops).attribute_probabilities("task2")  # type: ignore[arg-type]
    alone = load(artifacts, "cpu", bruna=False)
    with pytest.raises(ValueError, match="neighbors is 2: they are found by Bruna's network, which was not loaded"):
        alone.describe(crops, neighbors=2)


def test_neighbors_are_searched_once(people: Describer, crops: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    found = people.describe(crops, neighbors=2)
    searches, top_k = [], described.top_k

    def counted(*arguments: Any) -> Any:
        searches.append(arguments)
        return top_k(*arguments)

    monkeypatch.setattr(described, "top_k", counted)
    for _ in range(2):
        first = found.probabilities["age"]
        assert found.attributes and len(found.to_pandas()) == 3 and found.attribute_codes().shape == (3, 12)
        assert first.equals(found.probabilities["age"])
    assert len(searches) == 1
    assert (found.attribute_probabilities(neighbors=1) != found.attribute_probabilities()).any()
    found.attribute_probabilities("bruna")
    assert len(searches) == 2


@pytest.mark.parametrize("low", [1, 0], ids=["v * 257", "v * 256"])
def test_16_bits_are_seen_as_their_8_bit_twin(low: int, people: Describer) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (64, 32), dtype=np.uint8)
    sixteen = grey.astype(np.uint16) * 256 + low * grey
    twin = people.describe(_png(grey))
    for image in (_png(sixteen), Image.fromarray(sixteen), Image.fromarray(sixteen.astype(np.int32))):
        found = people.describe(image)
        np.testing.assert_allclose(found.features, twin.features, atol=1e-5 if low else 0.2)
    white = people.describe(np.full((1, 3, 64, 32), 255, np.uint8))
    assert np.abs(white.features - twin.features).max() > 0.2


def test_what_has_no_known_white_is_refused(people: Describer) -> None:
    floats = np.random.default_rng(0).random((64, 32), dtype=np.float32)
    for image, reason in (
        (Image.fromarray(floats), "its pixels are floating-point numbers, whose range is unknown"),
        (_png(floats, "TIFF"), "its pixels are floating-point numbers"),
        (Image.fromarray(np.full((64, 32), 1 << 16, np.int32)), "its pixels have more than 16 bits"),
        (Image.fromarray(np.full((64, 32), -1, np.int32)), "its pixels have more than 16 bits"),
        (
            Image.fromarray(np.full((64, 32), 200, np.int32)),
            "its pixels have 16 bits, and the brightest is below 16,384",
        ),
    ):
        with pytest.raises(BrunaError, match=f"image 0 cannot be read: {reason}"):
            people.describe(image)


@pytest.mark.parametrize("device", ["tpu", "mps", "meta", "xpu", "cpu:1", "", None, torch.device("meta")], ids=str)
def test_a_device_that_is_none(device: Any, artifacts: Path) -> None:
    with pytest.raises(BrunaError, match=rf"^device: found '{device}'; give auto, cpu, cuda or cuda:N"):
        load(artifacts, device)


def test_a_gpu_that_is_not_there(artifacts: Path) -> None:
    from bruna.runtime import find_device

    for setting, cure in (
        ("device", "Give auto, or check"),
        ("runtime.device", "Set `runtime.device: auto` in params"),
    ):
        with pytest.raises(
            BrunaError, match=rf"^{setting}: found 'cuda:99', but torch .* GPUs on this machine\. {cure}"
        ):
            find_device("cuda:99", setting)
    with pytest.raises(BrunaError, match=r"^device: found 'cuda:99'"):
        load(artifacts, torch.device("cuda:99"))
