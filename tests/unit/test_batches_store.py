"""The store against Pillow itself, in memory and mapped."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from bruna.batches.persons import PersonStore
from bruna.batches.store import ImageStore, Kind, decode_image
from bruna.dataset.decoding import in_8_bits
from bruna.errors import BrunaError

SIZE = (16, 8)


def encode(pixels: np.ndarray, file_format: str = "JPEG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, file_format)
    return file.getvalue()


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def decoded(encoded: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))


@pytest.mark.parametrize("memory_limit", [None, 0], ids=["in memory", "mapped"])
def test_pixels_are_pillows_in_the_order_given(memory_limit: int | None, tmp_path: Path) -> None:
    encoded = [encode(noise(i, *SIZE, 3), "JPEG" if i % 2 else "PNG") for i in range(150)]
    encoded[7] = encode(noise(7, *SIZE))  # a grey JPEG becomes three channels
    names = [str(i) for i in range(150)]
    store = ImageStore.decode(encoded, names, SIZE, memory_limit=memory_limit, folder=tmp_path)
    assert len(store) == 150
    assert store.pixels.dtype == torch.uint8
    index = torch.tensor([149, 0, 7, 0])
    want = np.stack([decoded(encoded[i]).transpose(2, 0, 1) for i in index.tolist()])
    assert torch.equal(store[index], torch.from_numpy(want))
    assert torch.equal(store[index.numpy()], store[index])
    assert list(tmp_path.iterdir()) == []  # the mapped file has no name to be left behind


def test_another_size_is_resized_with_antialiasing() -> None:
    stripes = np.zeros((64, 32, 3), dtype=np.uint8)
    stripes[::2] = 200  # a filter without antialiasing keeps only the bright or only the dark rows
    pixels = ImageStore.decode([encode(stripes, "PNG")], ["x"], SIZE).pixels.float()
    assert (pixels[:, :, 2:-2] - 100).abs().max() <= 2


@pytest.mark.parametrize("kind", ["rgb", "gray"])
@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_16_bit_grey_is_its_8_bit_twin(kind: Kind, file_format: str) -> None:
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    wanted = decode_image(encode((every >> 8).astype(np.uint8), "PNG"), (256, 256), kind).astype(int)
    found = decode_image(encode(every, file_format), (256, 256), kind).astype(int)
    assert abs(found - wanted).max() <= 1 and (found.min(), found.max()) == (0, 255)
    twins = noise(0, *SIZE)
    exact = decode_image(encode(twins.astype(np.uint16) * 257, file_format), SIZE, kind)
    np.testing.assert_array_equal(exact, decode_image(encode(twins, "PNG"), SIZE, kind))


def test_images_without_a_known_white_are_refused() -> None:
    floats = np.random.default_rng(0).random(SIZE, dtype=np.float32)
    for pixels, reason in ((floats, "floating-point"), (np.full(SIZE, 1 << 20, np.int32), "32 bits")):
        with pytest.raises(BrunaError, match=rf"x\.jpg cannot be decoded as an image \(its pixels .*{reason}"):
            ImageStore.decode([encode(pixels, "TIFF")], ["x.jpg"], SIZE)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_other_modes_are_converted_as_pillow_does(mode: str) -> None:
    image = Image.fromarray(noise(0, *SIZE, 3)).convert(mode)
    for wanted in ("RGB", "L"):
        np.testing.assert_array_equal(np.asarray(in_8_bits(image, wanted)), np.asarray(image.convert(wanted)))


def test_persons_find_their_masks_by_path() -> None:
    masks = noise(2, 2, *SIZE)
    table = pd.DataFrame({"path": ["a", "b"], "image": [encode(noise(i, *SIZE, 3), "PNG") for i in range(2)]})
    kept = {"path": ["b", "a"], "mask": [encode(each, "PNG") for each in masks], "bottleneck": [[1.0], [2.0]]}
    segments = pd.DataFrame(kept)
    found = PersonStore.decode(table, segments, SIZE, masks=True, bottleneck=True)
    assert found.masks is not None and found.bottlenecks is not None
    assert torch.equal(found.masks.pixels[:, 0], torch.from_numpy(masks[::-1].copy()))
    assert found.bottlenecks.tolist() == [[2.0], [1.0]] and found.bottlenecks.dtype == torch.float32
    for wrong, message in (
        (None, "Bruna needs the U-Net, and there is none"),
        (segments.assign(mask=None), "Bruna needs the U-Net, and there is none"),
        (segments[:1], r"there is no mask of a\. `dvc repro segment`"),
    ):
        assert PersonStore.decode(table, wrong, SIZE, masks=False, bottleneck=False).masks is None
        with pytest.raises(BrunaError, match=message):
            PersonStore.decode(table, wrong, SIZE, masks=False, bottleneck=True)


def test_masks_of_two_values_become_0_and_255() -> None:
    half = np.zeros(SIZE, dtype=np.uint8)
    half[:, 4:] = 1
    wide = half.astype(np.uint16)
    for pixels in (half, half * 255, half.astype(bool), wide, wide * 255, wide * 65535):
        encoded = encode(pixels, "PNG")
        store = ImageStore.decode([encoded], ["m"], SIZE, kind="binary")
        assert torch.equal(store.pixels[0, 0], torch.from_numpy(half * 255))
    probabilities = noise(1, *SIZE)
    gray = ImageStore.decode([encode(probabilities, "PNG")], ["m"], SIZE, kind="gray")
    assert torch.equal(gray.pixels[0, 0], torch.from_numpy(probabilities))


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"no image", lambda data: b""])
def test_a_damaged_image_is_named(damage) -> None:  # type: ignore[no-untyped-def]
    good = encode(noise(0, 64, 32, 3))
    with pytest.raises(BrunaError, match=r"train/0003_c1_5\.jpg cannot be decoded"):
        ImageStore.decode([good, damage(good)], ["train/0001_c1_1.jpg", "train/0003_c1_5.jpg"], SIZE)


def test_a_folder_that_cannot_hold_the_pixels_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BrunaError, match="more than the memory limit"):
        ImageStore.decode([encode(noise(0, *SIZE, 3))], ["x"], SIZE, memory_limit=0, folder=tmp_path / "file")


def test_batches_go_where_the_pixels_are_or_where_they_are_sent() -> None:
    pixels = torch.zeros(2, 3, *SIZE, dtype=torch.uint8)
    assert ImageStore(pixels).device == pixels.device
    elsewhere = ImageStore(pixels, torch.device("meta"))
    assert elsewhere[torch.tensor([1])].device.type == "meta" and elsewhere.pixels is pixels


def test_an_empty_store_has_a_shape() -> None:
    assert ImageStore.decode([], [], SIZE).pixels.shape == (0, 3, *SIZE)
