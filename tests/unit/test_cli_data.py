"""`bruna import`, `sample` and `preset`: what comes before the pipeline."""

import re
import zipfile
from pathlib import Path

from bruna.dataset.attributes import ANNOTATION_COLUMNS


def test_import_prints_counts_and_the_next_commands(top_folder, bruna):
    with zipfile.ZipFile(top_folder / "course.zip", "w") as archive:
        archive.writestr("train/0002_c1_016620005.jpg", b"x")
        archive.writestr("train/0002_c2_016620005.jpg", b"y")
        archive.writestr("extras/notes.txt", b"z")
        archive.writestr(
            "annotations_train.csv",
            "\n".join([",".join(ANNOTATION_COLUMNS), ",".join(["2"] * len(ANNOTATION_COLUMNS))]),
        )
    status, out, err = bruna("import", "course.zip")
    assert (status, (top_folder / "data/train/0002_c2_016620005.jpg").read_bytes()) == (0, b"y")
    assert re.search(r"train +2 +1 +2 +1", out)
    assert "extras/ (1)" in out
    assert "dvc add data" in out
    assert "dvc repro" in out
    assert "import into data: 3 files" in err
    status, out, _ = bruna("import", "course.zip", "--to", "other")
    assert "bruna evaluate other" in out


def test_preset_lists_shows_and_writes(top_folder, bruna):
    before = Path("params.yaml").read_text()
    status, out, _ = bruna("preset")
    assert status == 0
    assert re.search(r"paper +The settings that section 3", out)
    status, out, _ = bruna("preset", "paper", "--diff")
    assert re.search(r"train_unet\.width +8 +64", out)
    assert Path("params.yaml").read_text() == before
    assert bruna("preset", "paper")[0] == 0
    assert Path("params.yaml").read_text() != before
    assert "already" in bruna("preset", "paper")[1]
    assert bruna("preset", "sample")[0] == 0
    assert Path("params.yaml").read_text() == before


def test_sample_never_replaces_a_data_set_unasked(top_folder, bruna):
    kept = top_folder / "data" / "train" / "0002_c1_016620005.jpg"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"mine")
    status, _, err = bruna("sample")
    assert status == 1
    assert "--replace" in err
    status, out, _ = bruna("sample", "--if-missing")
    assert status == 0
    assert "nothing was rendered" in out
    assert kept.read_bytes() == b"mine"


def test_sample_says_what_comes_next_unless_a_script_asks(top_folder, bruna, monkeypatch):
    import bruna.sample as package

    monkeypatch.setattr(package, "render_sample", lambda to, **_: to.mkdir())
    assert "Next: `dvc add data`" in bruna("sample")[1]
    Path("data").rmdir()
    status, out, _ = bruna("sample", "--if-missing")
    assert status == 0
    assert "Next" not in out
