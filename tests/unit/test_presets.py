import itertools
import random
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from bruna.errors import BrunaError
from bruna.nested import flatten
from bruna.params import parse_params
from bruna.presets import EXPECTED, apply_preset, describe_presets, write_settings

ROOT = Path(__file__).parents[2]
PRESETS = ROOT / "presets"
NAMES = ("market1501", "paper", "sample")


@pytest.fixture
def params(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    return path


def keys(path):
    groups = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    groups.pop(EXPECTED)  # no settings
    return set(flatten(groups))


def test_sample_says_what_params_says_and_covers_every_key_of_the_others(params):
    delivered = params.read_text()
    assert apply_preset("sample", PRESETS, params) == []
    assert params.read_text() == delivered
    for name in ("paper", "market1501"):
        assert keys(PRESETS / f"{name}.yaml") <= keys(PRESETS / "sample.yaml")


def test_result_does_not_depend_on_the_preset_before_and_sample_restores_every_byte(params):
    delivered = params.read_text()
    results = {}
    for first, second in itertools.permutations(NAMES, 2):
        params.write_text(delivered)
        apply_preset(first, PRESETS, params)
        apply_preset(second, PRESETS, params)
        text = params.read_text()
        assert results.setdefault(second, text) == text
        assert apply_preset(second, PRESETS, params) == []
        assert params.read_text() == text
        parse_params(YAML(typ="safe", pure=True).load(text), "result")
    assert results["sample"] == delivered
    assert len(set(results.values())) == 3


def test_only_the_changed_values_differ_and_comments_stay_in_their_column(params):
    before = params.read_text().splitlines()
    changes = apply_preset("paper", PRESETS, params)
    after = params.read_text().splitlines()
    assert len(before) == len(after)
    pairs = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert len(pairs) == len(changes)
    for old, new in pairs:
        assert old.split(":")[0] == new.split(":")[0]
        assert old.partition(" # ")[2] == new.partition(" # ")[2] != ""
    width = next(line for line in after if line.startswith("  width:"))
    assert width.index("#") == next(line for line in before if line.startswith("  width:")).index("#")
    changed = {change.key: (change.old, change.new) for change in changes}
    assert changed["train_unet.width"][1] == 64
    assert changed["train_bruna.backbone_lr"][1] == pytest.approx(1e-5)


@pytest.mark.parametrize(
    ("name", "mark", "end"),
    [("paper", b"\xef\xbb\xbf", b"\n"), ("paper", b"", b"\r\n"), ("market1501", b"\xef\xbb\xbf", b"\r")],
)
def test_line_ends_stay_and_sample_restores_every_byte(params, name, mark, end):
    apply_preset(name, PRESETS, params)
    expected = mark + params.read_bytes().replace(b"\n", end)
    delivered = mark + (ROOT / "params.yaml").read_bytes().replace(b"\n", end)
    params.write_bytes(delivered)
    apply_preset(name, PRESETS, params)
    assert params.read_bytes() == expected
    apply_preset("sample", PRESETS, params)
    assert params.read_bytes() == delivered


@pytest.mark.parametrize("seed", range(5))
def test_no_byte_but_of_changed_values_differs(params, seed):
    """Whatever the layout: line ends that change from line to line, spaces, quotes, comments, blank lines."""
    lines = (ROOT / "params.yaml").read_bytes().splitlines()
    draw = random.Random(seed)
    for i, line in enumerate(lines):
        key, colon, rest = line.partition(b": ")
        value, comment, said = rest.partition(b" #")
        if colon and value.strip() and b"#" not in key:
            space = b" " * draw.randint(1, 3)
            lines[i] = (
                key + b":" + space + value.strip() + draw.choice((b"", b"  ", b" #x", b" # \xc3\xa9", comment + said))
            )
        lines[i] += draw.choice((b"", b"", b" ")) + draw.choice((b"\n", b"\r\n", b"\r", b"\n\n", b"\n# new\n"))
    params.write_bytes(before := b"".join(lines))
    changed = {change.key.rpartition(".")[2].encode() for change in apply_preset("paper", PRESETS, params)}
    old, new = before.splitlines(keepends=True), params.read_bytes().splitlines(keepends=True)
    assert len(old) == len(new) and old != new
    for one, other in zip(old, new, strict=True):
        if one != other:
            assert one.partition(b":")[0] == other.partition(b":")[0] and one.split(b":")[0].strip() in changed
            assert one.partition(b" #")[2] == other.partition(b" #")[2]
            assert one[len(one.rstrip()) :] == other[len(other.rstrip()) :]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  width: 8  ", "  # width\n#"),  # a setting that is missing stands at the head of its group
        ("  image_size: [128, 64]       # height and width the n", "  image_size:\n    - 128  # height\n    - 64\n  #"),
        ("  epochs: 11                  #", "  epochs:    # none yet\n  #"),
        ("  lr: 0.001                   #", '  "lr":\n    0.001\n  #'),
    ],
)
def test_other_layouts_are_written_into(params, old, new):
    text = params.read_text()
    assert old in text
    apply_preset("paper", PRESETS, params)
    wanted = YAML(typ="safe", pure=True).load(params.read_text())
    params.write_text(text.replace(old, new, 1).replace("epochs:    #", "epochs: 1  #" if "epochs" in old else "#"))
    apply_preset("paper", PRESETS, params)
    assert YAML(typ="safe", pure=True).load(params.read_text()) == wanted


def test_paper_says_what_section_3_prints(params):
    apply_preset("paper", PRESETS, params)
    values = parse_params(YAML(typ="safe", pure=True).load(params.read_text()), "paper")
    task1, task2 = values.train_attributes, values.train_bruna
    assert (task1.epochs, task1.lr, task1.backbone_lr_factor, task1.weight_decay) == (3, 0.01, 0.1, 1e-7)
    assert (task1.pretrained, task1.schedule, task1.task_weights) == ("imagenet", "constant", "raise_worst")
    assert (task1.junk_share, task1.weak_share, task1.weak_below) == (0.01, 0.01, 30)
    augment = task1.augment
    assert (augment.pad, augment.brightness, augment.hue, augment.rotation, augment.equalize) == (4, 0.2, 0.01, 4, 0.01)
    assert (task2.backbone, task2.features, task2.mask, task2.bottleneck) == (
        "mobilenet_v3_small",
        1600,
        "channel",
        True,
    )
    assert (task2.lr, task2.backbone_lr, task2.adversary_lr, task2.halve_every) == (1e-4, 1e-5, 1e-3, 0)
    assert (task2.adversary_loss, values.evaluate.attribute_offset) == ("paper", 0.1)


def test_diff_writes_nothing(params):
    before = params.read_bytes()
    assert apply_preset("paper", PRESETS, params, write=False)
    assert params.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train_unet:\n  wdith: 64\n", "train_unet.wdith: found 64; this setting is unknown"),
        ("train_unet:\n  width: wide\n", "train_unet.width: found 'wide'"),
        ("train_unet:\n  width: 64\n  depth: 8\n", "must be a multiple of 256"),
        ("unet:\n  width: 64\n", "unet: found a group; this setting is unknown"),
        ("train_unet: 64\n", "train_unet"),
        ("train_unet:\n  width:\n    deep: 1\n", "train_unet.width holds 8 where a group"),
        ("- width\n", "holds no settings"),
        ("", "holds no settings"),
        ("a: [\n", "not valid YAML"),
    ],
)
def test_a_wrong_preset_is_refused_before_anything_is_written(params, tmp_path, text, message):
    folder = tmp_path / "presets"
    folder.mkdir()
    (folder / "mine.yaml").write_text(text)
    before = params.read_bytes()
    with pytest.raises(BrunaError) as error:
        apply_preset("mine", folder, params)
    assert message in str(error.value)
    assert params.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params.yaml", "presets"]


def test_unknown_preset_lists_the_known_and_cannot_leave_the_folder(params):
    for name in ("papre", "../params"):
        with pytest.raises(BrunaError, match="market1501, paper, sample"):
            apply_preset(name, PRESETS, params)


def test_a_value_changed_by_dvc_is_kept_where_no_preset_sets_it(params):
    # `dvc exp run -S split.seed=7 -S train_bruna.lr=1e-5` writes 7 and 1e-05 with the comments kept.
    params.write_text(
        params.read_text().replace("seed: 0  ", "seed: 7  ", 1).replace("lr: 1.0e-3  ", "lr: 1e-05   ", 1)
    )
    apply_preset("market1501", PRESETS, params)
    text = params.read_text()
    assert "seed: 7" in text
    assert "1e-05" not in text


def test_descriptions_are_the_first_comment_lines():
    found = describe_presets(PRESETS)
    assert tuple(found) == NAMES
    assert found["paper"].startswith("The settings that section 3")
    assert all(found.values())


@pytest.mark.parametrize("lines", ["\n  - 4\n  - 6\n", "\n    - 4\n    - 6   # six\n", "  # which\n  - 4\n  - 6\n"])
def test_a_list_of_lines_is_replaced_wherever_its_lines_stand(tmp_path, lines):
    text = re.sub(r"(  camera_classes:).*\n", lambda found: found[1] + lines, (ROOT / "params.yaml").read_text())
    params = tmp_path / "params.yaml"
    params.write_text(text)
    wanted = {"train_attributes.camera_classes": []}
    if "which" in lines:  # a comment between the two: no place for a value on the line
        with pytest.raises(BrunaError, match="put each of them on one line"):
            write_settings(params, wanted, dict.fromkeys(wanted, "[]"), "a test")
        assert params.read_text() == text
        return
    write_settings(params, wanted, dict.fromkeys(wanted, "[]"), "a test")
    found = YAML(typ="safe", pure=True).load(params.read_text())
    assert found == YAML(typ="safe", pure=True).load(text) | {
        "train_attributes": found["train_attributes"] | {"camera_classes": []}
    }
