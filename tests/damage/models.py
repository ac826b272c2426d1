"""Models, weights and checkpoints.

`bruna attributes`, `bruna evaluate`, `bruna.load` and the stages read saved models in the same way.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from damage import Damage, bruna, refusal
from tiny_models import save_tiny_models

_ATTRIBUTES, _TRAIN, _SUMMARY = "bruna attributes", "dvc repro train_attributes", "bruna summary --all"
State = dict[str, Any]


@cache
def _saved() -> Path:
    return save_tiny_models(Path(tempfile.mkdtemp(prefix="bruna_models_")))


def _model(kind: str, says: str, damage: Callable[[Path], object], name: str = "unet") -> Damage:
    """What loading a folder of a model says; `damage` gets the folder."""

    def run(folder: Path) -> str:
        from bruna.inference.attributes import AttributePredictor
        from bruna.inference.unet import UNetSegmenter

        shutil.copytree(_saved() / name, folder / name)
        damage(folder / name)
        load = {"unet": UNetSegmenter.load, "attributes": AttributePredictor.load}[name]
        return refusal(lambda: load(folder / name, torch.device("cpu")))

    return Damage(kind, _ATTRIBUTES, says, run)


def _content(file: str, content: bytes | str) -> Callable[[Path], object]:
    raw = content.encode("utf-8") if isinstance(content, str) else content
    return lambda folder: (folder / file).write_bytes(raw)


def _settings(**changes: Any) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        file = folder / "settings.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    return change


def _without(name: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        file = folder / "settings.json"
        settings = json.loads(file.read_text())
        del settings[name]
        file.write_text(json.dumps(settings))

    return change


def _two_schemas(folder: Path) -> str:
    """Bruna tells glasses, Task 1 the twelve attributes."""
    from bruna.dataset.schema import Task
    from bruna.inference.describer import load

    other = save_tiny_models(folder / "other", schema=(Task("glasses", ("none", "clear", "dark")),))
    shutil.copytree(_saved(), folder / "artifacts")
    shutil.rmtree(folder / "artifacts" / "bruna")
    (other / "bruna").rename(folder / "artifacts" / "bruna")
    return refusal(lambda: load(folder / "artifacts", "cpu"))


def _weights(change: Callable[[State], object]) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        state = load_file(folder / "model.safetensors")
        change(state)
        save_file({key: value.contiguous() for key, value in state.items()}, folder / "model.safetensors")

    return damage


def _replaced(make: Callable[[Path], object], file: str) -> Callable[[Path], object]:
    def replace(folder: Path) -> None:
        (folder / file).unlink()
        make(folder / file)

    return replace


def _cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def _pretrained(kind: str, says: str, make: Callable[[Path], object]) -> Damage:
    """What `pretrained: FILE` says; `make` writes the file."""

    def run(folder: Path) -> str:
        from bruna.models.backbones import Backbone
        from bruna.training.pretrained import load_pretrained

        make(folder / "weights.pt")
        said = refusal(lambda: load_pretrained(Backbone("simple_cnn"), "simple_cnn", str(folder / "weights.pt")))
        assert "weights_only" not in said and "add_safe_globals" not in said and not Path("it_ran").exists()
        return said

    return Damage(kind, _TRAIN, says, run)


def _state(change: Callable[[State], object], **options: Any) -> Callable[[Path], object]:
    def write(file: Path) -> None:
        from bruna.models.backbones import Backbone

        state: State = dict(Backbone("simple_cnn").state_dict())
        changed = change(state)
        torch.save(state if changed is None else changed, file, **options)

    return write


FIRST = "features.block1.0.weight"


def _first(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[State], object]:
    def of(state: State) -> None:
        state[FIRST] = change(state[FIRST])

    return of


class _Runs:
    """Unpickled, it makes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("it_ran",)


def _malicious(file: Path) -> None:
    torch.save({"weight": _Runs()}, file)


def _negative(tensor: torch.Tensor) -> None:
    tensor.neg_()


def _nan(state: State) -> None:
    state["encoder.down.0.0.weight"][0, 0, 0, 0] = float("nan")


def _cast(state: State) -> None:
    state["encoder.down.0.0.weight"] = state["encoder.down.0.0.weight"].to(torch.int8)


def _flipped(file: Path) -> None:
    _state(lambda state: None)(file)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))


def _part(file: Path, share: float = 0.5, **options: Any) -> None:
    _state(lambda state: None, **options)(file)
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])


def _checkpoint(kind: str, says: str, damage: Callable[[bytes], bytes]) -> Damage:
    def run(folder: Path) -> str:
        import logging

        from bruna.training.checkpoint import Checkpoints

        said: list[str] = []
        checkpoints, handler = Checkpoints(folder), logging.Handler()
        handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
        for epoch in (1, 2):
            checkpoints.save({"weights": torch.ones(99)}, epoch, 0)
        newest = folder / "00002-0000000.pt"
        newest.write_bytes(damage(newest.read_bytes()))
        logging.getLogger("bruna").addHandler(handler)
        try:
            assert (checkpoints.newest() or ({}, 0, 0))[1] == 1
        finally:
            logging.getLogger("bruna").removeHandler(handler)
        return said[0]

    return Damage(kind, _TRAIN, says, run)


def _foreign_checkpoint(folder: Path) -> str:
    from bruna.training.checkpoint import Checkpoints

    checkpoints, network = Checkpoints(folder), torch.nn.Linear(2, 2)
    checkpoints.save({"weight": torch.ones(3, 3)}, 1, 0)
    found = checkpoints.newest()
    assert found is not None

    def take_back() -> None:
        with checkpoints.taken_back():
            network.load_state_dict(found[0])

    return refusal(take_back)


def _figures(folder: Path) -> str:
    (folder / "artifacts" / "evaluate").mkdir(parents=True)
    (folder / "metrics").mkdir()
    (folder / "metrics" / "evaluate.json").write_text("{}")
    (folder / "artifacts" / "evaluate" / "figures.json").write_text("[1]")
    return bruna(folder, _SUMMARY)


ROWS = [
    _model("settings.json in Latin-1", "settings.json is not valid JSON", _content("settings.json", b'{"caf\xe9": 1}')),
    _model("settings.json nested 3,000 deep", "is not valid JSON", _content("settings.json", "[" * 3000)),
    _model(
        "settings.json is a folder",
        "settings.json cannot be read: it is a folder, not a file",
        _replaced(Path.mkdir, "settings.json"),
    ),
    _model("settings.json that is a list", "holds no names with values, but list", _content("settings.json", "[1]")),
    _model("settings.json of a later version", "was written by a later version of bruna", _settings(version=99)),
    _model("a setting of a wrong type", "does not rebuild its network: width is 'two'", _settings(width="two")),
    _model("a setting that is no number", "dropout is nan", _settings(dropout=float("nan")), "attributes"),
    _model("a network larger than memory", "width is 1000000000000", _settings(width=10**12)),
    _model("a U-Net of a billion levels", "depth is 1000000000", _settings(depth=10**9)),
    _model("settings without attributes", "attributes is missing", _without("attributes"), "attributes"),
    _model(
        "an attribute of one value",
        "attributes.0.values is ['yes']: Tuple should have at least 2 items",
        _settings(attributes=[{"name": "hat", "values": ["yes"]}]),
        "attributes",
    ),
    _model("cameras that are no numbers", "camera_classes.0 is '4'", _settings(camera_classes=["4"]), "attributes"),
    _model(
        "attributes of another network",
        "of another shape (first: ['head.weight', 'head.bias']",
        _settings(attributes=[{"name": "hat", "values": ["no", "yes"]}]),
        "attributes",
    ),
    Damage(
        "networks of two data sets",
        _ATTRIBUTES,
        "tell different attributes: age (young/teenager/adult/old; none), backpack (no/yes; none)",
        _two_schemas,
    ),
    _model("no weights", "model.safetensors is missing", lambda folder: (folder / "model.safetensors").unlink()),
    _model("a folder in the place of the weights", "(it is no file)", _replaced(Path.mkdir, "model.safetensors")),
    _model("weights that are cut short", "does not hold the network that", _cut),
    _model(
        "weights with a header of 2^62 bytes",
        "does not hold the network",
        _content("model.safetensors", b"\0" * 7 + b"\x40"),
    ),
    _model("weights of another shape", "of another shape (first: ['encoder.down.0.0.weight'", _settings(width=3)),
    _model(
        "weights of another network",
        "1 are unknown (first: ['more'])",
        _weights(lambda state: state.update(more=torch.ones(1))),
    ),
    _model("a weight that is no number", "encoder.down.0.0.weight holds NaN or infinite numbers", _weights(_nan)),
    _model("weights as 8-bit integers", "holds whole numbers (int8) where floats belong", _weights(_cast)),
    _pretrained("no file", "is no file that can be read", lambda file: None),
    _pretrained("a folder", "is no file that can be read", Path.mkdir),
    _pretrained("an empty file", "is not a torch state dict: it is empty", Path.touch),
    _pretrained("a text", "or torch.save did not write it", lambda file: file.write_text("no weights")),
    _pretrained("a file that is cut short", "it is cut short or damaged", _part),
    _pretrained(
        "an old file that is cut short",
        "it is cut short or damaged",
        lambda file: _part(file, _use_new_zipfile_serialization=False),
    ),
    _pretrained("one flipped bit", "is not a torch state dict: it is damaged", _flipped),
    _pretrained(
        "a whole model",
        "it holds Python objects besides tensors (",
        lambda file: torch.save(torch.nn.Linear(1, 1), file),
    ),
    _pretrained("a file that would run code", "they could run code and are not loaded", _malicious),
    _pretrained(
        "a state dict inside a dict",
        "If its state dict is under 'state_dict', save that alone",
        _state(lambda state: {"state_dict": state, "epoch": 3}),
    ),
    _pretrained("numbers beside tensors", "holds int under 'epoch'", _state(lambda state: state.update(epoch=3))),
    _pretrained("names that are numbers", "holds names that are no texts", _state(lambda state: {1: torch.ones(1)})),
    _pretrained("a list of tensors", "holds list, where a dict", _state(lambda state: list(state.values()))),
    _pretrained(
        "a single number for weights",
        "of another shape (first: ['features.block1.0.weight'])",
        _state(_first(lambda tensor: tensor.sum())),
    ),
    _pretrained(
        "a sparse tensor", f"holds a sparse_coo tensor under '{FIRST}'", _state(_first(torch.Tensor.to_sparse))
    ),
    _pretrained(
        "a quantized tensor",
        "holds a quantized tensor",
        _state(_first(lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8))),
    ),
    _pretrained("a tensor without numbers", "holds a meta tensor", _state(_first(lambda tensor: tensor.to("meta")))),
    _pretrained(
        "NaN weights", f"1 tensor cannot be weights: {FIRST} holds NaN", _state(_first(lambda tensor: tensor / 0 * 0))
    ),
    _pretrained(
        "infinite weights", "holds NaN or infinite numbers", _state(_first(lambda tensor: tensor.double() * 1e300))
    ),
    _pretrained("8-bit integers", "holds whole numbers (int8) where floats belong", _state(_first(torch.Tensor.char))),
    _pretrained("complex numbers", "holds complex numbers (complex64)", _state(_first(lambda tensor: tensor + 0j))),
    _pretrained("truth values", "holds truth values (bool) where floats belong", _state(_first(torch.Tensor.bool))),
    _pretrained(
        "negative variances",
        "holds negative variances",
        _state(lambda state: _negative(state["features.block1.1.running_var"])),
    ),
    _pretrained(
        "the weights of another network",
        "does not fit simple_cnn",
        lambda file: torch.save({"conv1.weight": torch.ones(1)}, file),
    ),
    _checkpoint(
        "a checkpoint that is cut short",
        "cannot be read (File is not a zip file): the one before it is used",
        lambda raw: raw[:-50],
    ),
    _checkpoint(
        "a checkpoint with a flipped bit",
        "cannot be read (it is damaged): the one before it is used",
        lambda raw: raw.replace(b"\0\0\x80\x3f", b"\0\0\x80\x3e"),
    ),
    _checkpoint("an empty checkpoint", "the one before it is used", lambda _: b""),
    Damage("a checkpoint of another training", _TRAIN, "does not fit this training", _foreign_checkpoint),
    Damage("figures that are a list", _SUMMARY, "holds no names with values, but list", _figures),
]
