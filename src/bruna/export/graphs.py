"""The trained networks as graphs: each takes the pixels of images, and holds all that the package does with them."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from bruna.batches.persons import NO_UNET
from bruna.dataset.schema import Tasks, logit_count
from bruna.errors import BrunaError
from bruna.export.pillow import BilinearResize
from bruna.inference.attributes import AttributePredictor
from bruna.inference.bruna import BrunaEmbedder
from bruna.inference.described import mean_direction
from bruna.inference.describer import Describer
from bruna.inference.unet import UNetSegmenter
from bruna.models.attribute_logits import probabilities
from bruna.models.normalize import as_floats

BATCH = "N"
"""The first size of every input and output: any number of images."""
IMAGES, UNET_IMAGES = "images", "unet_images"
FEATURES, ATTRIBUTE_FEATURES = "features", "attribute_features"
ATTRIBUTES, JUNK = "attribute_probabilities", "junk"
MASK = "mask"


@dataclass(frozen=True)
class Port:
    """An input or an output of a graph.

    Attributes:
        name: of the tensor.
        shape: its sizes behind the first, which is the number of images.
        dtype: `uint8` or `float32`.
        meaning: a sentence for the person who writes the program that uses it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: Literal["uint8", "float32"]
    meaning: str


@dataclass(frozen=True)
class Graph:
    """A network, or several of them, ready to be written.

    Attributes:
        file: its name in the folder.
        network: takes the inputs in their order, in evaluation mode; returns a tuple of the outputs.
        inputs, outputs: in their order.
    """

    file: str
    network: nn.Module
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def graphs_of(people: Describer) -> list[Graph]:
    """The graphs of the networks that were trained.

    Raises:
        BrunaError: none was, or Bruna needs a U-Net and there is none.
    """
    found = []
    if people.unet is not None:
        found.append(_unet_graph(people.unet))
    if people.attribute_network is not None:
        found.append(_task1_graph(people.attribute_network))
    if people.bruna is not None:
        found.append(_bruna_graph(people.bruna, people.unet, flip=people.settings.flip))
    if not found:
        raise BrunaError("no network was trained: there is nothing to export. `dvc repro` trains them.")
    return found


class _UNetGraph(nn.Module):
    def __init__(self, segmenter: UNetSegmenter) -> None:
        super().__init__()
        self.unet = segmenter.network

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return (_levels(self.unet(as_floats(images)).logits)[:, 0].to(torch.uint8),)


class _Task1Graph(nn.Module):
    def __init__(self, predictor: AttributePredictor) -> None:
        super().__init__()
        self.network = predictor.network
        self.schema = predictor.attributes

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        logits = self.network.predict(as_floats(images))
        junk = logits[:, -1].sigmoid()
        return (probabilities(logits, self.schema), junk) if self.schema else (junk,)


class _BrunaGraph(nn.Module):
    """Bruna with the U-Net that it needs; `unet_images` are given where the two see different sizes."""

    def __init__(self, embedder: BrunaEmbedder, unet: UNetSegmenter | None, *, flip: bool) -> None:
        super().__init__()
        self.bruna = embedder.network
        self.takes_masks, self.takes_bottlenecks = embedder.takes_masks, embedder.takes_bottlenecks
        self.unet = unet.network if unet is not None else None
        resizes = unet is not None and unet.size != embedder.size
        self.resize = BilinearResize(unet.size, embedder.size) if unet is not None and resizes else nn.Identity()
        self.flip = flip

    def forward(self, images: Tensor, unet_images: Tensor | None = None) -> tuple[Tensor, ...]:
        pixels = as_floats(images)
        masks = bottlenecks = None
        if self.unet is not None:
            found = self.unet(pixels if unet_images is None else as_floats(unet_images))
            masks = self.resize(_levels(found.logits)) / 255 if self.takes_masks else None
            bottlenecks = found.bottleneck if self.takes_bottlenecks else None
        if self.flip:  # the mirror images in the same batch: a graph of half the size
            pixels = torch.cat([pixels, pixels.flip(-1)])
            masks = None if masks is None else torch.cat([masks, masks.flip(-1)])
            bottlenecks = None if bottlenecks is None else torch.cat([bottlenecks, bottlenecks])
        embedded = self.bruna(pixels, masks, bottlenecks)
        features, attributes = embedded.features, embedded.attributes
        if self.flip:
            count = images.shape[0]
            features = mean_direction(features[:count], features[count:])
            attributes = (attributes[:count] + attributes[count:]) / 2
        return (features, attributes) if self.bruna.attributes else (features,)


def _levels(logits: Tensor) -> Tensor:
    """The mask as it is kept, in 8 bits: B x 1 x H x W floats, whole numbers from 0 to 255."""
    return (logits.sigmoid() * 255).round()


def _unet_graph(segmenter: UNetSegmenter) -> Graph:
    mask = Port(MASK, segmenter.size, "uint8", "255 times the probability that a pixel is the person's")
    return Graph("unet.onnx", _UNetGraph(segmenter).eval(), (_images(IMAGES, segmenter.size),), (mask,))


def _task1_graph(predictor: AttributePredictor) -> Graph:
    junk = Port(JUNK, (), "float32", "the probability that an image shows no person")
    outputs = (*_attributes(ATTRIBUTES, predictor.attributes, "by Task 1's network"), junk)
    return Graph("task1.onnx", _Task1Graph(predictor).eval(), (_images(IMAGES, predictor.size),), outputs)


def _bruna_graph(embedder: BrunaEmbedder, unet: UNetSegmenter | None, *, flip: bool) -> Graph:
    if not (embedder.takes_masks or embedder.takes_bottlenecks):
        unet = None
    elif unet is None:
        raise BrunaError(NO_UNET)
    inputs = [_images(IMAGES, embedder.size)]
    if unet is not None and unet.size != embedder.size:
        inputs.append(_images(UNET_IMAGES, unet.size))
    outputs = (
        Port(FEATURES, (embedder.features,), "float32", "the embedding, which images are ranked by"),
        *_attributes(ATTRIBUTE_FEATURES, embedder.attributes, "by Bruna, for the distance"),
    )
    return Graph("bruna.onnx", _BrunaGraph(embedder, unet, flip=flip).eval(), tuple(inputs), outputs)


def _images(name: str, size: tuple[int, int]) -> Port:
    of = "the same images at the size of the U-Net" if name == UNET_IMAGES else "images"
    return Port(name, (3, *size), "uint8", f"{of}: RGB, 0 to 255, height {size[0]}, width {size[1]}; not normalised")


def _attributes(name: str, schema: Tasks, by: str) -> tuple[Port, ...]:
    """The probabilities of the attributes' values; none where there are no attributes."""
    meaning = f"the probabilities of the attributes' values {by}"
    return (Port(name, (logit_count(schema),), "float32", meaning),) if schema else ()
