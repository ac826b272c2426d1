"""params.yaml, presets, saved models, weights to start from, checkpoints and figures, damaged in any way."""

import random
from pathlib import Path

import torch

from bruna import runtime
from bruna.files import read_json, write_json
from bruna.inference.attributes import AttributePredictor
from bruna.inference.bruna import BrunaEmbedder
from bruna.inference.settings import recorded_settings
from bruna.inference.unet import UNetSegmenter
from bruna.models.backbones import Backbone
from bruna.params import read_groups, read_params, read_runtime
from bruna.pipeline.check import check
from bruna.presets import apply_preset
from bruna.summary import all_rows
from bruna.training.checkpoint import Checkpoints
from bruna.training.pretrained import load_pretrained
from fuzz import ROOT, mutated, outcome
from tiny_models import save_tiny_models

CPU = torch.device("cpu")


def fuzz_params(folder: Path, draw: random.Random) -> str:
    file = folder / "params.yaml"
    file.write_bytes(mutated((ROOT / "params.yaml").read_bytes(), draw))
    outcome(lambda: read_groups(file))
    outcome(lambda: read_runtime(file))
    runtime.prepare_process(file)
    found = outcome(lambda: read_params(file))
    checked = outcome(lambda: check(file, None))
    assert found == "works" or checked == "refused"
    return found


def fuzz_presets(folder: Path, draw: random.Random) -> str:
    """Also: what is written is what the preset says, and a refusal leaves the file as it was."""
    names, file = ("sample", "paper", "market1501"), folder / "params.yaml"
    for name in names:
        (folder / f"{name}.yaml").write_bytes((ROOT / "presets" / f"{name}.yaml").read_bytes())
    file.write_bytes((ROOT / "params.yaml").read_bytes())
    name = draw.choice(names)
    for changed in draw.choice(((file,), (folder / f"{name}.yaml",), (file, folder / f"{name}.yaml"))):
        changed.write_bytes(mutated(changed.read_bytes(), draw))
    before = file.read_bytes()
    found = outcome(lambda: apply_preset(name, folder, file))
    if found == "works":
        read_params(file)
        assert apply_preset(name, folder, file) == []
    else:
        assert file.read_bytes() == before
    return found


def fuzz_models(folder: Path, draw: random.Random) -> str:
    artifacts = folder / "artifacts"
    if not artifacts.exists():
        save_tiny_models(artifacts)
        write_json({"flip": True, "batch_size": 8}, artifacts / "evaluate" / "settings.json")
    name = draw.choice(("unet", "unet", "attributes", "attributes", "evaluate", "bruna"))
    file = draw.choice(sorted((artifacts / name).iterdir()))
    load = {
        "unet": UNetSegmenter.load,
        "attributes": AttributePredictor.load,
        "bruna": BrunaEmbedder.load,
        "evaluate": lambda folder, _: recorded_settings(folder.parent),
    }[name]
    whole = file.read_bytes()
    head = 8 + int.from_bytes(whole[:8], "little") if file.suffix == ".safetensors" else len(whole)
    if draw.random() < 0.7:  # most of a file of weights are numbers, of which any will do
        file.write_bytes(mutated(whole[:head], draw) + whole[head:])
    else:
        file.write_bytes(mutated(whole, draw))
    try:
        return outcome(lambda: load(artifacts / name, CPU))
    finally:
        file.write_bytes(whole)


def fuzz_pretrained(folder: Path, draw: random.Random) -> str:
    file = folder / "state.pt"
    torch.manual_seed(0)
    state = Backbone("simple_cnn").state_dict()
    torch.save(state, file, _use_new_zipfile_serialization=draw.random() < 0.5)
    whole = file.read_bytes()
    at = draw.choice((0, len(whole) - 4000, draw.randrange(len(whole))))  # what is not numbers stands at the ends
    file.write_bytes(whole[:at] + mutated(whole[at : at + 4000], draw) + whole[at + 4000 :])
    return outcome(lambda: load_pretrained(Backbone("simple_cnn"), "simple_cnn", str(file)))


def fuzz_checkpoints(folder: Path, draw: random.Random) -> str:
    """A damaged one is passed over: what is taken back was once saved."""
    checkpoints = Checkpoints(folder / "checkpoints")
    for epoch in range(2):
        checkpoints.save({"weights": torch.full((50,), float(epoch)), "losses": [epoch]}, epoch, 7)
    newest = sorted((folder / "checkpoints").iterdir())[-1]
    newest.write_bytes(mutated(newest.read_bytes(), draw))
    found = checkpoints.newest()
    assert found is not None
    state, epoch, step = found
    assert state["weights"].tolist() == [float(epoch)] * 50 and (state["losses"], step) == ([epoch], 7)
    return "works" if epoch else "passed over"


def fuzz_figures(folder: Path, draw: random.Random) -> str:
    file = folder / "evaluate" / "figures.json"
    write_json({"test": {"market1501": {"map": 0.5, "rank1": 1}, "note": "x"}, "gallery": 3}, file)
    file.write_bytes(mutated(file.read_bytes(), draw))
    outcome(lambda: read_json(file))
    return outcome(lambda: all_rows(folder))
