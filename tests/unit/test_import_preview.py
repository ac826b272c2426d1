"""`bruna import` before anything is written: `--dry-run`, `--sheet` and `--formats`."""

import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_formats_attributes import pa100k, peta
from test_formats_reid import Files, cuhk03, msmt17, write_folder, write_zip

from bruna.dataset.dataset_file import read_dataset_file
from bruna.dataset.facts import find_files
from bruna.dataset.formats.known import FORMATS
from bruna.dataset.importers import import_dataset
from bruna.errors import BrunaError
from bruna.params import read_groups
from bruna.pipeline.misfits import misfits
from bruna.report.contact_sheet import COLUMNS
from conftest import Run


def picture(seed: int, form: str = "JPEG", size: tuple[int, int] = (64, 32)) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


PHOTOS = [picture(seed) for seed in range(4)]
MASK = io.BytesIO()
Image.fromarray(np.repeat(np.array([[0, 255]], np.uint8), 64, axis=0).repeat(16, axis=1)).save(MASK, "PNG")
OWN: Files = {f"train/000{1 + i // 2}_c{1 + i % 2}_{i}.jpg": data for i, data in enumerate(PHOTOS)}
SOURCES: dict[str, Files] = {
    "manifest": {
        "manifest.csv": b"path,identity,hat\n" + b"".join(b"%d.jpg,%d,%s\n" % (i, i // 2, b"yes" if i > 1 else b"no")
                                                          for i in range(2, 4)) + b"0.jpg,9,no\n1.jpg,9,no\n",
        **{f"{i}.jpg": data for i, data in enumerate(PHOTOS)},
    },
    "MSMT17": msmt17()[1],
    "CUHK03-NP": cuhk03()[1],
    "PA-100K": pa100k()[1],
    "PETA": peta()[1],
    "Market-1501, official": {path.replace("train", "bounding_box_train"): data for path, data in OWN.items()},
    "person masks": {**OWN, "images/1.jpg": PHOTOS[0], "masks/1.png": MASK.getvalue()},
    "the layout of data/": OWN,
    "a folder per identity": {f"{'anna' if i < 2 else 'ben'}/{i}.jpg": data for i, data in enumerate(PHOTOS)},
    "images alone": {f"in/{i}.jpg": data for i, data in enumerate(PHOTOS)} | {"x.jpg": picture(9)},
}  # fmt: skip


def state(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything below a folder: its number, and of a file the time and the bytes."""
    return {
        path.relative_to(folder).as_posix(): (
            (status := path.stat()).st_ino,
            *((status.st_mtime_ns, path.read_bytes()) if path.is_file() else (0, b"")),
        )
        for path in folder.rglob("*")
    }


def _misfits(top: Path) -> Iterator[object]:
    dataset = read_dataset_file(top / "data")
    groups, _ = read_groups(top / "params.yaml")
    return misfits(top / "data", find_files(top / "data", identities=dataset.identities), dataset, groups)


def told(out: str) -> str:
    """What a command printed but for its heading and its last line, which name what was done."""
    kept = [line for line in out.splitlines() if not line.startswith(("Next", "This was a dry run"))]
    return re.sub(r"\s+", " ", " ".join(kept)).replace("Would be imported into", "Imported into")


@pytest.mark.parametrize("name", SOURCES)
def test_a_trial_tells_what_the_import_tells_and_writes_nothing(name: str, top_folder: Path, bruna: Run) -> None:
    write_zip(top_folder / "source.zip", SOURCES[name])
    before = state(top_folder)
    status, tried, err = bruna("import", "source.zip", "--dry-run", "--adapt")
    assert status == 0, err
    assert state(top_folder) == before
    assert "This was a dry run: nothing was written." in tried
    assert "Would be imported into data" in tried and "Next" not in tried
    status, out, err = bruna("import", "source.zip")
    assert status == 0, err
    assert told(out) == told(tried) and "Imported into data" in out
    whole = state(top_folder)
    status, out, _ = bruna("import", "source.zip", "--dry-run")
    assert (status, "data holds the same already: nothing was written" in out) == (0, True)
    assert state(top_folder) == whole


def test_a_trial_over_another_data_set_leaves_it_as_it_was(top_folder: Path, bruna: Run) -> None:
    write_folder(top_folder / "data", {**OWN, "dataset.yaml": b"name: mine\n"})
    write_zip(top_folder / "source.zip", SOURCES["a folder per identity"])
    before = state(top_folder)
    status, out, _ = bruna("import", "source.zip", "--dry-run")
    assert status == 0 and "Would be imported into data" in out
    assert "The import itself would stop" in out and "would be lost" in " ".join(out.split())
    assert bruna("import", "source.zip")[0] == 1
    assert state(top_folder) == before
    assert bruna("import", "source.zip", "--dry-run", "--replace")[0] == 0
    assert state(top_folder) == before
    assert bruna("import", "source.zip", "--dry-run", "--to", "deep/er/other")[0] == 0
    assert state(top_folder) == before


@pytest.mark.parametrize("ends", ["validation", "look"])
def test_a_trial_that_ends_early_leaves_nothing(ends: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        assert list(tmp_path.glob(".data.*.part/train/*"))
        raise KeyboardInterrupt

    source = write_folder(tmp_path / "source", OWN)
    monkeypatch.setattr("bruna.dataset.importers._validate", stop if ends == "validation" else lambda *_: {})
    with pytest.raises(KeyboardInterrupt):
        import_dataset([source], tmp_path / "data", keep=False, look=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def size_of(sheet: Path) -> tuple[int, int]:
    with Image.open(sheet) as image:
        image.load()
        assert image.format == "PNG"
        return image.size


@pytest.mark.parametrize("trial", [True, False])
def test_a_sheet_has_a_line_of_images_for_each_folder(trial: bool, top_folder: Path, bruna: Run) -> None:
    files = OWN | {f"train/0003_c1_{i}.jpg": picture(20 + i, size=(16, 90)) for i in range(12)}
    files |= {"test/1.jpg": b"no image", "train/0003_c2_damaged.jpg": b"\xff\xd8\xff"}
    write_folder(top_folder / "my $x^$ source", files)
    status, out, err = bruna("import", "my $x^$ source", "--sheet", "new/sheet.png", *(["--dry-run"] if trial else []))
    assert status == 0, err
    assert "Some of the images: new/sheet.png" in out and "2 files cannot be used" in err
    width, height = size_of(top_folder / "new/sheet.png")
    assert width == COLUMNS * (96 + 12) + 12
    one_line = (height - 46) / 2
    assert (one_line, (top_folder / "data").exists()) == (26 + 192 + 38, not trial)
    with Image.open(top_folder / "new/sheet.png") as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    damaged, tile = (pixels[y + 26 : y + 26 + 192, 12 : 12 + 96] for y in (46, 46 + 256))  # of test/, of train/
    assert tile.std() > 20  # noise, where a damaged one has a word in its place
    assert damaged.mean() > 250 and damaged.min() < 200


def test_a_sheet_where_all_is_damaged_and_where_nothing_changes(top_folder: Path, bruna: Run) -> None:
    write_folder(top_folder / "photos", {"a/1.jpg": b"1", "b/c/2.png": b""})
    assert bruna("import", "photos", "--dry-run", "--sheet", "sheet.png")[0] == 0
    assert size_of(top_folder / "sheet.png") == (1092, 46 + 256)
    write_folder(top_folder / "people", OWN)
    for _ in range(2):  # the second time nothing is written, and the sheet drawn over the first
        assert bruna("import", "people", "--sheet", "sheet.png")[0] == 0
        assert size_of(top_folder / "sheet.png") == (1092, 46 + 256)


def test_a_sheet_is_written_over_no_image_that_is_read(top_folder: Path, bruna: Run) -> None:
    image = picture(1, "PNG")
    write_folder(top_folder / "photos", {"1.png": image, "2.png": picture(2, "PNG")})
    (top_folder / "people.csv").write_text("path,identity\nphotos/1.png,1\nphotos/2.png,2\n")
    masks = write_folder(top_folder / "pairs", {"images/1.png": image, "masks/1.png": MASK.getvalue()})
    write_folder(top_folder / "data", OWN | {"dataset.yaml": b"name: mine\n"})
    before = state(top_folder)
    for *command, sheet, message in (
        ("people.csv", "photos/1.png", "--sheet would write over photos/1.png, which this command reads"),
        ("photos", "photos/1.png", "--sheet would write over photos/1.png"),
        ("photos", "--masks", "pairs", "pairs/masks/1.png", "--sheet would write over pairs/masks/1.png"),
        ("photos", "--replace", "data/sheet.png", "lies in data, which is written anew. Give another place"),
        ("photos", "--replace", "data/train/0001_c1_0.jpg", "lies in data"),
    ):
        status, out, err = bruna("import", *command, "--sheet", sheet)
        assert (status, out) == (1, "") and message in err, err
        assert state(top_folder) == before
    shutil.rmtree(masks)


def test_formats_are_listed_with_their_files_and_docs(bruna: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    status, out, _ = bruna("import", "--formats")
    assert status == 0 and all(each.name in out for each in FORMATS)
    rows: list[tuple[str, str, str]] = []
    monkeypatch.setattr("bruna.progress.table", lambda *given: rows.extend(given[2]))
    assert bruna("import", "--formats")[:2] == (0, "")
    assert rows == [(each.name, each.layout, each.follows) for each in FORMATS]
    told_of = [each for each in FORMATS if each.follows.startswith("docs/")]
    docs = Path(__file__).parents[2]
    assert told_of and all((docs / each.follows).is_file() for each in told_of)


def test_a_trial_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(BrunaError, match="the disk there has 10 free"):
        import_dataset([write_folder(tmp_path / "source", OWN)], tmp_path / "data", keep=False)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_images_without_a_camera_are_counted(top_folder: Path, bruna: Run) -> None:
    """A distractor has a camera of its own, and makes up for nobody's."""
    rows = "path,identity,camera,subset\n0.jpg,1,1,\n1.jpg,1,,\n2.jpg,2,2,\n3.jpg,0,3,gallery\n"
    files = {"manifest.csv": rows.encode(), **{f"{i}.jpg": data for i, data in enumerate(PHOTOS)}}
    write_zip(top_folder / "source.zip", files)
    status, out, err = bruna("import", "source.zip", "--dry-run")
    assert status == 0, err
    assert "Without a camera: 1 image\n" in out and "Cameras (images): 1 (1), 2 (1), 3 (1)" in out


def test_settings_adapt_to_images_alone_too(top_folder: Path, bruna: Run) -> None:
    write_zip(top_folder / "source.zip", SOURCES["images alone"])
    status, out, err = bruna("import", "source.zip", "--adapt")
    assert status == 0, err
    assert "Nothing can be trained" in out and "params.yaml: changed" in out
    assert not list(_misfits(top_folder))
