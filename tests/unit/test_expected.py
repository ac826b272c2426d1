"""The figures that presets are expected to reach, and `bruna preset NAME --check`."""

import json
import re
from pathlib import Path

import pytest

from bruna.errors import BrunaError
from bruna.pipeline.expected import reached, read_expected
from bruna.presets import apply_preset

ROOT = Path(__file__).parents[2]
PRESETS = ROOT / "presets"
NAMES = ("market1501", "paper", "sample")


def _measured(folder: Path, **other: float) -> None:
    """Put the figures of the sample as they are in Git into a folder, some of them changed."""
    (folder / "metrics").mkdir(exist_ok=True)
    for file in (ROOT / "metrics").glob("*.json"):
        found = json.loads(file.read_text(encoding="utf-8"))
        changed = {name: other.get(name, value) for name, value in found.items()}
        (folder / "metrics" / file.name).write_text(json.dumps(changed), encoding="utf-8")


def test_every_preset_says_what_it_should_reach_and_the_sample_has_reached_it():
    ranges = {name: read_expected(name, PRESETS).ranges for name in NAMES}
    assert all({"map", "rank1"} <= set(each) for each in ranges.values())
    for low, high in (ends for each in ranges.values() for ends in each.values()):
        assert 0 < low < high <= 1 and high - low <= 0.15
    expected = read_expected("sample", PRESETS)
    found = reached("sample", expected, PRESETS, ROOT / "params.yaml", ROOT / "metrics", ROOT / "no.lock")
    assert [each.metric for each in found if not each.ok] == []


def test_the_command_compares_the_last_run(top_folder, bruna):
    status, _, err = bruna("preset", "sample", "--check")
    assert status == 1 and "metrics/ holds none of the figures that preset sample expects" in err
    _measured(top_folder)
    status, out, err = bruna("preset", "sample", "--check")
    assert (status, err) == (0, "") and re.search(r"rank1 +0\.\d+–0\.\d+ +0\.903 +yes", out)
    assert "Expected: the embedded sample" in out
    _measured(top_folder, map=0.5, rank1=1.0)
    (top_folder / "metrics" / "train_unet.json").unlink()
    status, out, err = bruna("preset", "sample", "--check")
    assert status == 1 and "3 of 4 figures are not as expected: map, rank1, unet_iou." in err
    assert re.search(r"map .* 0\.500 +no", out) and re.search(r"unet_iou .* – +no", out)
    assert bruna("preset", "--check")[0] == bruna("preset", "sample", "--check", "--diff")[0] == 1


def _change(folder: Path, old: str, new: str) -> None:
    text = (folder / "params.yaml").read_text(encoding="utf-8")
    assert old in text
    (folder / "params.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  width: 8 ", "  width: 9 ", "params.yaml is not preset sample: train_unet.width differs."),
        ("measured_on: validation ", "measured_on: development ", "what is expected was measured on validation people"),
    ],
)
def test_figures_of_something_else_are_not_compared(top_folder, bruna, old, new, message):
    _measured(top_folder)
    _change(top_folder, old, new)
    status, out, err = bruna("preset", "sample", "--check")
    assert (status, out) == (1, "") and message in err


def test_figures_of_an_earlier_run_are_not_compared(top_folder, bruna):
    _measured(top_folder)
    lock = "stages:\n  train_unet:\n    params:\n      params.yaml:\n        train_unet: {width: 8, lr: 9.0e-03}\n"
    (top_folder / "dvc.lock").write_text(lock)
    assert bruna("preset", "sample", "--check")[0] == 0
    (top_folder / "dvc.lock").write_text(lock.replace("8", "16"))
    _, _, err = bruna("preset", "sample", "--check")
    assert "metrics/ is of other settings than params.yaml has now: train_unet.width." in err
    apply_preset("paper", PRESETS, top_folder / "params.yaml")
    _, _, err = bruna("preset", "sample", "--check")
    assert re.search(r"is not preset sample: [\w., ]+ and \d+ settings more differ", err)


def test_published_weights_may_lie_anywhere(top_folder, bruna):
    apply_preset("market1501", PRESETS, top_folder / "params.yaml")
    _change(top_folder, "pretrained: imagenet ", "pretrained: weights.pth ")
    _measured(top_folder)
    assert "0.874–0.914" in bruna("preset", "market1501", "--check")[1]
    _change(top_folder, "pretrained: weights.pth ", "pretrained: none ")
    assert "train_attributes.pretrained differs" in bruna("preset", "market1501", "--check")[2]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("", "has no group `expected`"),
        ("expected: 0.8\n", "should hold `measured`, a sentence"),
        ("expected:\n  map: [0.7, 0.8]\n", "should hold `measured`, a sentence"),
        ("expected:\n  measured: here\n  mAP: [0.7, 0.8]\n", "expected.mAP is no headline metric"),
        ("expected:\n  measured: here\n  map: 0.8\n", "expected.map is 0.8: give [lowest, highest]"),
        ("expected:\n  measured: here\n  map: [0.8, 0.7]\n", "expected.map is [0.8, 0.7]"),
        ("expected:\n  measured: here\n  map: [0.7, yes]\n", "expected.map is [0.7, 'yes']"),
    ],
)
def test_expectations_that_say_nothing_are_refused(tmp_path, block, message):
    (tmp_path / "mine.yaml").write_text(f"train_unet:\n  width: 8\n{block}")
    with pytest.raises(BrunaError) as error:
        read_expected("mine", tmp_path)
    assert message in str(error.value)
