"""Settings.

A file of settings is read by `bruna check`, by `bruna preset` and by every stage in the same way.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from damage import Damage, bruna, refusal

ROOT = Path(__file__).parents[2]
_CHECK, _PRESET = "bruna check", "bruna preset paper"
_DELIVERED = (ROOT / "params.yaml").read_text(encoding="utf-8")


def _check(folder: Path) -> str:
    from bruna.pipeline.check import check

    return refusal(lambda: check(folder / "params.yaml", None))


def _file(kind: str, says: str, content: str | bytes) -> Damage:
    """A params.yaml of other bytes."""

    def run(folder: Path) -> str:
        raw = content if isinstance(content, bytes) else content.encode("utf-8")
        (folder / "params.yaml").write_bytes(raw)
        return _check(folder)

    return Damage(kind, _CHECK, says, run)


def _place(kind: str, says: str, make: Callable[[Path], object]) -> Damage:
    """Something else in the place of params.yaml."""

    def run(folder: Path) -> str:
        make(folder / "params.yaml")
        return _check(folder)

    return Damage(kind, _CHECK, says, run)


def _setting(kind: str, says: str, **values: Any) -> Damage:
    """Values of settings, by names with `__` for dots."""

    def run(folder: Path) -> str:
        yaml = YAML(typ="safe", pure=True)
        settings = yaml.load(_DELIVERED)
        for name, value in values.items():
            *groups, last = name.split("__")
            group = settings
            for each in groups:
                group = group[each]
            group[last] = value
        yaml.dump(settings, folder / "params.yaml")
        return _check(folder)

    return Damage(kind, _CHECK, says, run)


def _preset(kind: str, says: str, content: bytes, file: str = "presets/paper.yaml") -> Damage:
    def run(folder: Path) -> str:
        shutil.copytree(ROOT / "presets", folder / "presets")
        shutil.copy(ROOT / "params.yaml", folder)
        (folder / file).write_bytes(content)
        before = (folder / "params.yaml").read_bytes()
        said = bruna(folder, _PRESET)
        assert (folder / "params.yaml").read_bytes() == before
        return said

    return Damage(kind, _PRESET, says, run)


def _changed(old: str, new: str) -> str:
    assert old in _DELIVERED
    return _DELIVERED.replace(old, new, 1)


def _bomb() -> str:
    levels = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))
    return f"a0: &a0 [lol]\n{levels}{_DELIVERED}"


ROWS = [
    _place("no params.yaml", "params.yaml is missing. Run this from the top folder of the project.", lambda _: None),
    _place("params.yaml is a folder", "cannot be read: it is a folder, not a file", Path.mkdir),
    _place("params.yaml is a pipe", "cannot be read: it is a pipe, a device or a socket", os.mkfifo),
    _file("params.yaml in Latin-1", "is not UTF-8 text", _changed("device: auto", "device: café").encode("latin-1")),
    _file("params.yaml in UTF-16", "is not UTF-8 text", _DELIVERED.encode("utf-16")),
    _file("params.yaml of 150,000 bytes", "more than any such file", _DELIVERED + "# \n" * 50_000),
    _file("params.yaml nested 3,000 deep", "is not valid YAML: it is nested too deeply", "[" * 3000),
    _file("an alias, or a billion of them", "found the alias *a0, which is not read here", _bomb()),
    _file("a key that stands twice", 'found duplicate key "device"', _changed("  threads", "  device: cpu\n  threads")),
    _file("a tab before a key", "found character '\\t' that cannot start any token", _changed("  seed", "\tseed")),
    _file("an empty file", "the file: found nothing, where settings and their values belong", ""),
    _file("a list of settings", "the file: found ['seed'], where settings and their values belong", "- seed\n"),
    _file("a NUL byte", "unacceptable character #x0000", _changed("seed: 0", "seed: \0")),
    _file(
        "a tag of Python's", "could not determine a constructor", _changed("seed: 0", "seed: !!python/object:os.x 0")
    ),
    _file("a number of 5,000 digits", "a value cannot be read", _changed("seed: 0", f"seed: {'9' * 5000}")),
    _file("a day that is none", "a value cannot be read (day is out of range", _changed("seed: 0", "seed: 2001-02-30")),
    _file(
        "a date for a number", "split.seed: found datetime.date(2001, 2, 3)", _changed("seed: 0", "seed: 2001-02-03")
    ),
    _file("a quote that is left open", "is not valid YAML: line", _changed("device: auto", "device: 'auto")),
    _setting("an unknown setting", "this setting is unknown: did you mean epochs?", train_bruna__epoch=2),
    _setting("a setting of an earlier version", "is now called train_bruna.mining", train_bruna__picks="random"),
    _setting("a text for a number", "train_unet.lr: found 'banana'", train_unet__lr="banana"),
    _setting("an infinite number", "train_bruna.lr: found inf", train_bruna__lr=float("inf")),
    _setting("no number (`.nan`)", "train_bruna.dropout: found nan", train_bruna__dropout=float("nan")),
    _setting("a negative seed", "split.seed: found -1; Input should be greater than or equal to 0", split__seed=-1),
    _setting("a seed of 2^70", "split.seed: found 1180591620717411303424", split__seed=2**70),
    _setting("an image of 100,000 pixels", "less than or equal to 4096", train_bruna__image_size=[100_000, 64]),
    _setting("an image too small", "greater than or equal to 16", train_bruna__image_size=[8, 8]),
    _setting(
        "a side that the U-Net cannot halve", "each side must be a multiple of 16", train_unet__image_size=[100, 64]
    ),
    _setting("a U-Net down to one pixel", "is a single pixel, which batch", train_unet__image_size=[16, 16]),
    _setting("a U-Net of 16,000 channels", "makes 16,000 channels", train_unet__width=1000),
    _setting(
        "steps of one image at one-pixel maps",
        "batch_size 2 makes steps of a single image, and with resnet18 at image_size [32, 32]",
        train_attributes__image_size=[32, 32],
        train_attributes__batch_size=2,
    ),
    _setting(
        "steps of one image with an identity loss",
        "with identity_weight above 0 batch normalisation needs two at least: set batch_size to 3 or more",
        train_attributes__identity_weight=0.2,
        train_attributes__batch_size=1,
    ),
    _setting("padding as wide as the image", "augment.pad 64 is too much", train_bruna__augment__pad=64),
    _setting("a warm-up of all epochs", "warmup_epochs 10 leaves nothing of 10", train_bruna__warmup_epochs=10),
    _setting("a halving that never comes", "halve_every 30 halves nothing", train_bruna__halve_every=30),
    _setting("a margin above its largest", "margin_max 5 is below margin 20", train_bruna__margin_max=5.0),
    _setting(
        "a loss of nothing",
        "are all 0: nothing would be learned",
        train_bruna__attribute_weight=0,
        train_bruna__triplet_weight=0,
        train_bruna__identity_weight=0,
        train_bruna__batch_hard_weight=0,
    ),
    _setting(
        "too few tuples for their negatives",
        "in_batch needs at least 3 tuples a batch; batch_tuples is 2",
        train_bruna__negatives="in_batch",
        train_bruna__batch_tuples=2,
    ),
    _setting("more averaged than neighbors", "rerank_k2 21 is more than rerank_k1 20", evaluate__rerank_k2=21),
    _setting("a filter of everything", "junk_threshold 0 leaves out every", evaluate__junk_threshold=0),
    _setting(
        "a network without such weights",
        "has no weights for network lenet5",
        train_attributes__network="lenet5",
        train_attributes__pretrained="imagenet",
    ),
    _setting("weights that are not there", "there is no file no.pt", train_bruna__pretrained="no.pt"),
    _setting("a GPU that is not there", "found 'cuda:99', but torch", runtime__device="cuda:99"),
    _preset(
        "a preset of an unknown setting",
        "train_unet.wdith: found 64; this setting is unknown",
        b"train_unet: {wdith: 64}",
    ),
    _preset("a preset that is empty", "holds no settings", b""),
    _preset("a preset in UTF-16", "is not UTF-8 text", "split: {}".encode("utf-16")),
    _preset("params.yaml that a preset cannot be read into", "holds no settings", b"[]", "params.yaml"),
]
