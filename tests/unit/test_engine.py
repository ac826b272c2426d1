"""`--engine`: graphs agree with torch or are refused; what is there is used, and only the speed changes."""

import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.schema import as_json
from bruna.errors import BrunaError
from bruna.export import engine as engines
from bruna.export.engine import GRAPHS, MANY, RECORD, Engine
from bruna.export.graphs import Graph
from bruna.files import read_json
from bruna.inference.describer import Describer, load
from bruna.inference.engine import by_torch
from bruna.inference.saving import save_models
from bruna.models.bruna import Bruna
from bruna.serve.live_index import LiveIndex
from conftest import Run
from tiny_dataset import write_dataset
from tiny_models import BRUNA_SIZE, save_tiny_models

IMAGES = np.random.default_rng(1).integers(0, 256, (19, 3, 40, 20), dtype=np.uint8)
"""More than a thread takes at a time, and no multiple of it."""
Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models with the graphs of their networks; Bruna has the backbone of which torch makes a graph soonest."""
    models = save_tiny_models(tmp_path_factory.mktemp("made") / "artifacts")
    network: dict[str, Any] = {"backbone": "resnet18", "features": 16, "mask": "channel", "bottleneck": 4}
    network |= {"dropout": 0.0, "last_stride": 2, "neck": "batch_norm"}
    torch.manual_seed(1)
    told = {"network": network, "attributes": as_json(ATTRIBUTES), "image_size": list(BRUNA_SIZE), "params": {}}
    save_models(models / "bruna", {"bruna": Bruna(**network, attributes=ATTRIBUTES)}, told)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "_COMPARED", 16)
        Engine(models, "onnxruntime")(load(models, "cpu"), 1)
    return models


@pytest.fixture
def models(top_folder: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of them. Whoever makes graphs gets those that are there: torch's exporter is slow."""
    shutil.copytree(made, top_folder / "artifacts")
    monkeypatch.setattr(engines, "_COMPARED", 16)
    monkeypatch.setattr(
        engines,
        "write_graph",
        lambda graph, folder: Path(shutil.copy(made / GRAPHS / graph.file, folder / graph.file)),
    )
    return top_folder / "artifacts"


def chosen(
    models: Path, capsys: pytest.CaptureFixture[str], wanted: engines.Name | None = None, images: int = 1
) -> str:
    """What runs the networks, in words; its numbers are torch's."""
    people = load(models, "cpu")
    by = Engine(models, wanted)(people, images)
    says = capsys.readouterr().err
    assert (by is people) == ("networks run by torch" in says), says
    agree(people, by)
    return says


def agree(people: Describer, by: Describer) -> None:
    one, other = (each.describe(IMAGES) for each in (people, by))
    apart = np.linalg.norm(one.features - other.features, axis=1) / np.linalg.norm(one.features, axis=1)
    assert apart.max() < 1e-4
    assert (one.attribute_codes() == other.attribute_codes()).all()
    assert np.abs(one.junk - other.junk).max() < 1e-4
    assert one.masks is not None and other.masks is not None
    assert np.abs(one.masks.astype(int) - other.masks).max() <= 1


def test_graphs_that_are_there_give_torchs_numbers(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert chosen(models, capsys) == "networks run by onnxruntime\n"
    assert chosen(models, capsys, "torch", MANY) == "networks run by torch\n"
    record = read_json(models / GRAPHS / RECORD)
    assert record["images"] > 0 and record["differences"]["features"] < 1e-4
    people = load(models, "cpu", bruna=False)  # what `bruna attributes` needs
    by = Engine(models)(people, 1)
    assert (
        by is not people and (by.describe(IMAGES).attribute_codes() == people.describe(IMAGES).attribute_codes()).all()
    )


def _damage(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1  # a bit of a weight
    file.write_bytes(bytes(data))


UNUSABLE: dict[str, Change] = {
    "a damaged graph": lambda graphs: _damage(graphs / "bruna.onnx"),
    "a graph is missing": lambda graphs: (graphs / "unet.onnx").unlink(),
    "a record that is no record": lambda graphs: (graphs / RECORD).write_text("[]"),
    "graphs of no type": lambda graphs: (graphs / RECORD).write_text(
        (graphs / RECORD).read_text().replace('"graphs": {', '"graphs": 1, "others": {')
    ),
    "graphs by another torch": lambda graphs: (graphs / RECORD).write_text(
        (graphs / RECORD).read_text().replace(torch.__version__, "1.0")
    ),
    "graphs of other networks": lambda graphs: save_tiny_models(graphs.parent, seed=3),
}


@pytest.mark.parametrize("change", UNUSABLE)
def test_graphs_that_cannot_be_used_are_left_aside(change: str, models: Path) -> None:
    """As they were copied they are used: the test above."""
    UNUSABLE[change](models / GRAPHS)
    people = load(models, "cpu")
    assert Engine(models)(people, MANY - 1) is people


def test_graphs_are_made_once_and_where_that_pays(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _damage(models / GRAPHS / "bruna.onnx")
    assert "`--engine onnxruntime` is faster" in chosen(models, capsys, images=MANY - 1)
    says = chosen(models, capsys, images=MANY)
    assert says.startswith("making graphs") and says.endswith("networks run by onnxruntime\n")
    assert chosen(models, capsys) == "networks run by onnxruntime\n"


def test_graphs_that_disagree_are_refused_once(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(models / GRAPHS)
    others = load(save_tiny_models(tmp_path / "others", seed=2), "cpu")
    monkeypatch.setattr(engines, "_by_graphs", lambda *_: others)
    says = chosen(models, capsys, images=MANY)
    assert "making graphs" in says and "networks run by torch: " in says and "does not give torch's numbers" in says
    again = chosen(models, capsys, images=MANY)
    assert "making graphs" not in again and "does not give torch's numbers" in again
    assert "making graphs" in chosen(models, capsys, "onnxruntime")


def test_a_graph_that_cannot_be_made_leaves_the_work_to_torch(
    models: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(graph: Graph, folder: Path) -> Path:
        raise BrunaError(f"torch cannot make {graph.file}")

    monkeypatch.setattr(engines, "write_graph", refuse)
    shutil.rmtree(models / GRAPHS)
    assert "networks run by torch: torch cannot make unet.onnx" in chosen(models, capsys, "onnxruntime")
    assert sorted(path.name for path in (models / GRAPHS).iterdir()) == [RECORD]


def test_without_the_extra_torch_runs_and_a_wish_is_an_error(
    models: Path, bruna: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "bruna.export.onnx_file.find_spec", lambda name: None if name == "onnxruntime" else find_spec(name)
    )
    assert "networks run by torch (onnxruntime not installed" in chosen(models, capsys, images=MANY)
    write_dataset(models.parent / "data")
    status, out, err = bruna("attributes", "data/train", "--engine", "onnxruntime", "--keep-junk")
    assert status == 1 and not out and "pip install 'bruna[export]'" in err
    assert not Path("attributes.csv").exists()


def test_an_index_by_one_engine_is_searched_with_the_other(models: Path, bruna: Run) -> None:
    write_dataset(models.parent / "data")
    photo = "data/train/0002_c1_000020001.jpg"
    for index, search in (("torch", "onnxruntime"), ("onnxruntime", "torch")):
        status, _, err = bruna("index", "data", "--to", f"{index}.index", "--engine", index)
        assert status == 0 and f"networks run by {index}\n" in err, err
        asked = (
            "search",
            photo,
            "--index",
            f"{index}.index",
            "--engine",
            search,
            "--keep-junk",
            "--json",
            "found.json",
        )
        status, _, err = bruna(*asked)
        assert status == 0 and f"networks run by {search}\n" in err, err
        first = read_json(Path("found.json"))["results"][0]
        assert first["key"] == photo and first["distance"] < 1e-3
    status, _, err = bruna("index", "data", "--to", "torch.index", "--engine", "onnxruntime")
    assert status == 0 and "0 described" in err


def test_what_is_explained_is_found_by_torch(models: Path, bruna: Run) -> None:
    """It listens to a layer, which a graph does not have."""
    write_dataset(models.parent / "data")
    assert bruna("index", "data", "--engine", "torch")[0] == 0
    device, photo = torch.device("cpu"), Path("data/train/0002_c1_000020001.jpg").read_bytes()
    by_graphs, plain = (LiveIndex(Path("people.index"), models, device, by) for by in (Engine(models), by_torch))
    for one, other in zip(by_graphs.explained([photo]).halves, plain.explained([photo]).halves, strict=True):
        assert (one == other).all()
    assert by_graphs.now().index.describer(1) is not by_graphs.now().index.load()
