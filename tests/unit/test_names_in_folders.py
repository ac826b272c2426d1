"""Names and things in a data set folder that would be taken for others, or cannot be written down."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bruna.batches.store import ImageStore
from bruna.dataset.facts import count_subsets, find_files, image_facts, manifest_of
from bruna.errors import BrunaError
from tiny_dataset import write_dataset, write_image, write_mask


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("whole") / "data")


@pytest.fixture
def data(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "data"))


def problems(data: Path, column: str = "name_problem") -> dict[str, str]:
    files = find_files(data)
    return dict(files[["path", column]][files[column].notna()].to_numpy())


def test_one_identity_or_camera_under_two_spellings(data: Path) -> None:
    write_image(data / "gallery/00020_c4_1.jpg", 1)
    write_image(data / "train/0005_c02_1.jpg", 2)
    write_image(data / "gallery/00000_c4_1.jpg", 3)  # distractors are no one's
    assert problems(data) == {
        "gallery/00020_c4_1.jpg": "identity 20 is written 00020 here and 0020 in gallery/0020_c2s1_000451_03.jpg; "
        "write it in one way",
        "train/0005_c02_1.jpg": "camera 2 is written 02 here and 2 in gallery/0020_c2s1_000451_03.jpg; "
        "write it in one way",
    }


@pytest.mark.parametrize("digits", [1, 2, 4, 5, 9])
def test_identities_have_1_to_9_digits_everywhere_alike(data: Path, digits: int) -> None:
    for path in [*data.glob("train/*"), *data.glob("query/*"), *data.glob("gallery/0*")]:
        identity, rest = path.name.split("_", 1)
        path.rename(path.with_name(f"{int(identity):0{digits}d}_{rest}"))
    assert problems(data) == {}
    files = find_files(data)
    assert sorted(set(files["identity"][files["subset"] == "train"])) == [2, 5, 7, 11]


@pytest.mark.parametrize(("camera", "written"), [(0, "0"), (104, "104"), (9999, "9999"), (15, "15")])
def test_cameras_from_0_to_9999(data: Path, camera: int, written: str) -> None:
    for path in data.glob("[tqg]*[nry]/*_c2*"):
        path.rename(path.with_name(path.name.replace("_c2", f"_c{written}")))
    manifest = manifest_of(image_facts(data))
    assert set(manifest["camera"][manifest["subset"] == "train"]) == {1, camera}
    counts = count_subsets(manifest)["train"]["cameras"]
    assert counts == ({"1": 4, written: 4} if camera else {"1": 4})  # an unknown one is none
    assert problems(data) == {}


def test_any_ending_and_any_name_where_nothing_is_known(data: Path) -> None:
    for at, path in enumerate(sorted([*data.glob("train/*"), *data.glob("gallery/*")])):
        Image.open(path).save(path.with_name(f"Ähm {at} (ü)").with_suffix((".png", ".WEBP", ".bmp", ".tiff")[at % 4]))
        path.unlink()
    assert len(problems(data)) == 11
    files = find_files(data, identities=False)
    assert files["name_problem"].isna().all()
    train = files[files["subset"] == "train"]
    assert set(train["identity"]) == {-2} and set(train["camera"]) == {0} and len(train) == 8
    tests = files[files["subset"].isin(["query", "gallery"])]
    assert set(tests["identity"]) == {-2} and set(tests["camera"]) == {0} and len(tests) == 4
    facts = image_facts(data, identities=False)
    assert facts["decode_problem"].isna().all() and manifest_of(facts)["camera"].dtype == np.int16


def test_of_nobody_the_gallery_alone_is_a_data_set(data: Path) -> None:
    shutil.rmtree(data / "train")
    shutil.rmtree(data / "query")
    (data / "gallery" / "0001_c2s1_1.jpg").write_bytes(b"")
    (data / "gallery" / "1_c2_1.jpg").write_bytes(b"")  # another spelling of a number that means nothing here
    assert find_files(data, identities=False)["name_problem"].isna().all()
    with pytest.raises(BrunaError, match="has no training images in"):
        find_files(data)


@pytest.mark.parametrize("other", ["A.jpg", "e\u0301.jpg", "stra\u00dfe.jpg"])
def test_names_that_other_systems_take_for_one(data: Path, other: str) -> None:
    twin = {"A.jpg": "a.jpg", "e\u0301.jpg": "\u00e9.jpg", "stra\u00dfe.jpg": "STRASSE.jpg"}[other]
    for name in (other, twin):
        write_image(data / "test" / name, 1)
    found = problems(data)
    first, second = sorted((other, twin))
    assert list(found) == [f"test/{second}"] and f"other systems take it for {first}: " in found[f"test/{second}"]


@pytest.mark.parametrize("second", ["0001.PNG", "0001.jpg", "0001.tiff"])
def test_two_masks_of_an_image(data: Path, second: str) -> None:
    shutil.copy(data / "masks/masks/0001.png", data / "masks/masks" / second)
    assert "masks/images/0001.jpg" in problems(data) | problems(data, "pair_problem")
    assert (
        "2 masks, where one is expected: masks/masks/0001." in problems(data, "pair_problem")["masks/images/0001.jpg"]
    )


def test_an_image_and_its_mask_may_code_accents_differently(data: Path) -> None:
    write_image(data / "masks/images/\u00e9.jpg", 1)
    write_mask(data / "masks/masks/e\u0301.png")
    assert problems(data) == problems(data, "pair_problem") == {}
    assert image_facts(data).set_index("path").loc["masks/images/\u00e9.jpg", "mask_path"] == "masks/masks/e\u0301.png"


def test_names_that_no_table_can_hold(data: Path) -> None:
    raw = os.fsencode(data)
    for name in (b"test/caf\xe9.jpg", b"train/0002_c1_1\n.jpg", b"masks/masks/\xff.png", b"masks/images/\x1b[2J.jpg"):
        (raw_path := Path(os.fsdecode(raw + b"/" + name))).write_bytes(b"")
        assert raw_path.exists()
    says = "its name holds control characters, or bytes that are not UTF-8; rename it"
    found = problems(data)
    assert found == dict.fromkeys(
        (r"masks/images/\x1b[2J.jpg", r"masks/masks/\xff.png", r"test/caf\xe9.jpg", r"train/0002_c1_1\x0a.jpg"), says
    )
    assert image_facts(data)["path"].str.encode("utf-8").notna().all()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_things_that_are_no_files(data: Path) -> None:
    os.mkfifo(data / "train/0002_c1_1.jpg")
    (data / "query/0020_c1s1_000451_04.jpg").symlink_to("/dev/zero")
    (data / "test/000009.jpg").symlink_to("nowhere")
    (data / "test/loop.jpg").symlink_to("loop.jpg")
    (data / "test/linked.jpg").symlink_to(data / "test/000001.jpg")
    (data / "masks/masks/0001.png").unlink()
    os.mkfifo(data / "masks/masks/0001.png")
    (data / "masks/images/0002.jpg").unlink()
    (data / "masks/images/0002.jpg").mkdir()
    pipe = "a pipe, a device or a socket, not a file"
    assert problems(data) == {
        "train/0002_c1_1.jpg": pipe,
        "query/0020_c1s1_000451_04.jpg": pipe,
        "test/000009.jpg": "a link that leads nowhere",
        "test/loop.jpg": "a link that leads nowhere",
        "masks/images/0001.jpg": f"masks/masks/0001.png: {pipe}",
        "masks/images/0002.jpg": "a folder; images lie directly in it",
    }
    image_facts(data)


@pytest.mark.parametrize("folder", ["train", "query", "masks"])
def test_a_file_where_a_folder_is_expected(data: Path, folder: str) -> None:
    shutil.rmtree(data / folder)
    (data / folder).write_text("")
    with pytest.raises(BrunaError, match=rf"{folder}.* cannot be searched for images: Not a directory"):
        find_files(data)


@pytest.mark.parametrize("folder", ["query", "masks"])
def test_a_folder_that_is_a_link_to_nothing(data: Path, folder: str) -> None:
    shutil.rmtree(data / folder)
    (data / folder).symlink_to("unmounted")
    with pytest.raises(BrunaError, match=f"{folder}.* cannot be searched for images: No such file"):
        find_files(data)


def test_a_wide_pair_has_a_problem_and_no_overflow(data: Path) -> None:
    """The manifest keeps sides in 16 bits."""
    Image.new("RGB", (40_000, 2)).save(data / "masks/images/0001.jpg")
    write_mask(data / "masks/masks/0001.png", 40_000, 2)
    facts = image_facts(data).set_index("path")
    assert "2 x 40000 pixels" in facts.loc["masks/images/0001.jpg", "decode_problem"]
    manifest_of(facts.reset_index()[facts["decode_problem"].isna().to_numpy()])


def test_every_accepted_pair_is_decoded_as_it_was_checked(data: Path) -> None:
    half = np.zeros((128, 64), np.uint8)
    half[:, 32:] = 1
    image = Image.fromarray(half)
    image.putpalette([250, 250, 250, 200, 0, 0] + [0] * 762)  # a brighter background than person
    for number in (1, 2):
        write_image(data / f"masks/images/{number:04d}.jpg", number)
        image.save(data / f"masks/masks/{number:04d}.png")
    facts = image_facts(data)
    pairs = facts[facts["subset"] == "mask_pair"]
    assert pairs["mask_problem"].isna().all()
    encoded = [(data / path).read_bytes() for path in pairs["mask_path"]]
    masks = ImageStore.decode(encoded, list(pairs["mask_path"]), (128, 64), kind="binary").pixels.numpy()
    np.testing.assert_array_equal(masks[:, 0], np.stack([half * 255] * 2))
