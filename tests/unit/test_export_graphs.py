"""Exported graphs of every kind of network give the package's numbers, for any number of images of any size."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from PIL import Image
from torch import nn

from bruna.batches.store import resized
from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.schema import Tasks, task1_tasks
from bruna.errors import BrunaError
from bruna.export import onnx_file
from bruna.export.agreement import largest_difference, torch_outputs
from bruna.export.graphs import Graph, graphs_of
from bruna.export.onnx_file import Session, write_graph
from bruna.export.pillow import BilinearResize
from bruna.inference.attributes import AttributePredictor
from bruna.inference.bruna import BrunaEmbedder
from bruna.inference.describer import Describer
from bruna.inference.settings import Settings
from bruna.inference.unet import UNetSegmenter
from bruna.models.attributes import AttributeNetwork
from bruna.models.bruna import Bruna
from bruna.models.unet import UNet
from conftest import ROOT

CPU = torch.device("cpu")
SIZE, OTHER_SIZE = (32, 16), (48, 20)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The graph of "features alone"."""
    return write_graph(graphs_of(KINDS["features alone"].people())[0], tmp_path_factory.mktemp("alone"))


@dataclass(frozen=True)
class Kind:
    """Networks: Bruna's settings, and at what size the U-Net sees images (None: there is none)."""

    mask: str = "none"
    bottleneck: bool = False
    neck: str = "none"
    flip: bool = False
    schema: Tasks = ATTRIBUTES
    unet: tuple[int, int] | None = SIZE

    def people(self) -> Describer:
        """Untrained networks with a backbone of four convolutions; torch's exporter takes long over larger ones."""
        torch.manual_seed(3)
        unet = UNet(2, 1)
        network = Bruna(
            "simple_cnn",
            12,
            self.schema,
            self.mask,
            unet.bottleneck_channels if self.bottleneck else 0,
            0.2,
            2,
            self.neck,
        )
        for part in network.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):  # statistics that are not those of the start
                part.running_mean = torch.randn_like(part.running_mean) / 4  # type: ignore[arg-type]
                part.running_var = torch.rand_like(part.running_var) + 0.5  # type: ignore[arg-type]
        segmenter = UNetSegmenter(unet.eval(), self.unet, CPU) if self.unet else None
        embedder = BrunaEmbedder(network.eval(), SIZE, 12, CPU)
        return Describer(segmenter, None, embedder, Settings(flip=self.flip, batch_size=4))


# A fourth channel, bottlenecks, a neck, mirror images and two sizes are in the graph of tests/unit/test_export.py.
KINDS = {
    "features alone": Kind(schema=(), unet=None),
    "segmented": Kind(mask="segmented"),
}


def images(count: int) -> list[Image.Image]:
    """Noise of sizes that no network sees, but for the first."""
    random = np.random.default_rng(5)
    sizes = [SIZE, *((40 + 7 * i, 30 - i) for i in range(count - 1))]
    return [Image.fromarray(random.integers(0, 256, (*size, 3), np.uint8)) for size in sizes]


def given(graph: Graph, some: list[Image.Image]) -> list[npt.NDArray[Any]]:
    """What goes into a graph."""
    sizes = [(port.shape[1], port.shape[2]) for port in graph.inputs]
    return [np.stack([resized(image, size).transpose(2, 0, 1) for image in some]) for size in sizes]


def agrees(people: Describer, graph: Graph, session: Session, count: int) -> None:
    """The graph's outputs are torch's, and shaped and typed as it says."""
    some = images(count)
    wanted, found = torch_outputs(people.describe(some)), session.run(given(graph, some), count)
    assert session.inputs == [port.name for port in graph.inputs]
    assert list(found) == [port.name for port in graph.outputs]
    for port in graph.outputs:
        assert found[port.name].shape == (count, *port.shape) and found[port.name].dtype == port.dtype
        assert largest_difference(port.name, wanted[port.name], found[port.name]) <= (
            1 if port.name == "mask" else 1e-4
        )


@pytest.mark.parametrize("name", KINDS)
def test_a_graph_gives_the_numbers_of_its_networks(name: str, alone: Path, tmp_path: Path) -> None:
    kind = KINDS[name]
    people = kind.people()
    graph = graphs_of(people)[-1]
    assert graph.file == "bruna.onnx"
    assert [port.name for port in graph.inputs] == ["images"]
    assert [port.name for port in graph.outputs] == ["features", *(["attribute_features"] if kind.schema else [])]
    session = Session(alone if name == "features alone" else write_graph(graph, tmp_path))
    for count in (1, 7):
        agrees(people, graph, session, count)


@pytest.mark.parametrize("mask", ["none", "segmented", "channel"])
@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("unet", [SIZE, OTHER_SIZE])
def test_every_combination_gives_the_numbers_in_torch(mask: str, bottleneck: bool, unet: tuple[int, int]) -> None:
    """What is exported, before it is: making ONNX of each would take minutes."""
    some = images(3)
    for neck, flip, schema in product(("none", "batch_norm"), (False, True), (ATTRIBUTES, ())):
        people = Kind(mask, bottleneck, neck, flip, schema, unet).people()
        graph = graphs_of(people)[-1]
        with torch.inference_mode():
            found = graph.network(*(torch.from_numpy(each) for each in given(graph, some)))
        wanted = torch_outputs(people.describe(some))
        assert len(found) == len(graph.outputs)
        for port, output in zip(graph.outputs, found, strict=True):
            assert largest_difference(port.name, wanted[port.name], output.numpy()) < 1e-5


def task1(schema: Tasks, pool: str, *, flip: bool) -> Describer:
    torch.manual_seed(4)
    network = AttributeNetwork("simple_cnn", task1_tasks(schema, (2, 3)), pool=pool, flip_test=flip).eval()
    return Describer(None, AttributePredictor(network, OTHER_SIZE, CPU), None, Settings(batch_size=4))


def test_a_graph_of_task1_tells_attributes_and_junk(tmp_path: Path) -> None:
    people = task1(ATTRIBUTES, "halves", flip=True)
    (graph,) = graphs_of(people)
    assert [port.name for port in graph.outputs] == ["attribute_probabilities", "junk"]
    session = Session(write_graph(graph, tmp_path))
    for count in (1, 7):
        agrees(people, graph, session, count)


def test_without_attributes_task1_tells_junk() -> None:
    people = task1((), "whole", flip=False)
    (graph,) = graphs_of(people)
    assert [port.name for port in graph.outputs] == ["junk"]
    with torch.inference_mode():
        (junk,) = graph.network(torch.from_numpy(given(graph, images(3))[0]))
    np.testing.assert_allclose(junk, people.describe(images(3)).junk, atol=1e-6)


def test_pixels_are_normalised_once_and_inside(alone: Path) -> None:
    """By hand: bytes to 0..1, ImageNet's mean and deviation, and the network without its own normalisation."""
    people = KINDS["features alone"].people()
    (graph,) = graphs_of(people)
    pixels = given(graph, images(3))[0]
    found = Session(alone).run([pixels], 3)["features"]
    assert people.bruna is not None
    people.bruna.network.normalize = nn.Identity()  # type: ignore[assignment]
    mean, deviation = (torch.tensor(x).view(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    once = (torch.from_numpy(pixels) / 255 - mean) / deviation
    with torch.inference_mode():
        wanted, never, twice = (
            people.bruna.network(x).features.numpy()
            for x in (once, torch.from_numpy(pixels) / 255, (once - mean) / deviation)
        )
    assert largest_difference("features", wanted, found) < 1e-4
    assert largest_difference("features", never, found) > 0.05
    assert largest_difference("features", twice, found) > 0.05


def test_masks_are_resized_as_pillow_does_to_the_last_bit() -> None:
    random = np.random.default_rng(0)
    orders = set()
    for _ in range(200):
        before, after = ((int(h), int(w)) for h, w in random.integers(1, 70, (2, 2)))
        mask = random.integers(0, 256, before, np.uint8)
        resize = BilinearResize(before, after)
        orders.add(resize.rows_first)
        found = resize(torch.from_numpy(mask).float()[None, None])[0, 0].numpy()
        np.testing.assert_array_equal(found, resized(Image.fromarray(mask), after))
    assert orders  # of one axis or of either, as the version of Pillow goes


def test_a_graph_holds_no_names_of_files_and_is_the_same_again(alone: Path, tmp_path: Path) -> None:
    again = write_graph(graphs_of(KINDS["features alone"].people())[0], tmp_path)
    assert again.read_bytes() == alone.read_bytes()
    for name in (b"graphs.py", b"site-packages", str(ROOT).encode()):  # of the code that torch has followed
        assert name not in alone.read_bytes()


def test_large_weights_lie_in_a_second_file(alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "_LARGEST", 1000)
    onnx_file._save(onnx.load(alone), tmp_path / "bruna.onnx")
    assert (tmp_path / "bruna.onnx").stat().st_size < (tmp_path / "bruna.onnx.data").stat().st_size
    people = KINDS["features alone"].people()
    agrees(people, graphs_of(people)[0], Session(tmp_path / "bruna.onnx"), 2)


def test_what_cannot_be_exported_is_said(tmp_path: Path) -> None:
    with pytest.raises(BrunaError, match="no network was trained: there is nothing to export"):
        graphs_of(Describer(None, None, None, Settings()))
    with pytest.raises(BrunaError, match="Bruna needs the U-Net, and there is none"):
        graphs_of(Kind(mask="channel", unet=None).people())
    (tmp_path / "bruna.onnx").write_bytes(b"no graph")
    with pytest.raises(BrunaError, match=r"ONNX Runtime \S+ cannot run bruna\.onnx: "):
        Session(tmp_path / "bruna.onnx")


class _Sorted(nn.Module):
    """What ONNX has no word for."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        return (torch.special.bessel_j0(x.float()),)


def test_a_network_that_torch_cannot_export_is_a_message(tmp_path: Path) -> None:
    (graph,) = graphs_of(KINDS["features alone"].people())
    with pytest.raises(BrunaError, match=r"cannot make bruna\.onnx of this network: .* version of torch or onnxscript"):
        write_graph(Graph("bruna.onnx", _Sorted(), graph.inputs, graph.outputs), tmp_path)
