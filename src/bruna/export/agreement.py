"""Whether exported graphs give the numbers that torch gives: on the validation images, one and all."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bruna.dataset.schema import Tasks
from bruna.errors import BrunaError
from bruna.evaluation.retrieval import figures_of
from bruna.export.graphs import ATTRIBUTE_FEATURES, ATTRIBUTES, FEATURES, JUNK, MASK, Graph
from bruna.export.onnx_file import Array, Session
from bruna.inference.batching import block_starts
from bruna.inference.described import Described
from bruna.inference.describer import Describer
from bruna.inference.images import Size, decode, sources
from bruna.models.attribute_logits import most_probable
from bruna.progress import track
from bruna.retrieval.distances import ProductDistance
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.ranking import evaluate_protocols

TOLERANCE = 1e-4
"""Of features: by so much of its length an embedding may differ. Of probabilities: so much."""
_LEVELS = 1
"""Of masks, which are 8 bits: where a probability lies between two levels a last bit decides."""
Outputs = Mapping[str, Array]


@dataclass
class Agreement:
    """What a comparison found.

    Attributes:
        images: that were compared.
        differences: the largest of each output, of all images: of `features` relative to the length of torch's, of
            probabilities as they are, of `mask` in levels of 255.
        attribute_values, different_attribute_values: that were compared, and that differ; where probabilities agree,
            only one that is as probable as another can.
        images_per_second: by graph, `torch` and `onnxruntime`; networks alone, of the first images.
        validation: retrieval by `torch` and by `onnxruntime`, by protocol.
    """

    images: int
    differences: dict[str, float] = field(default_factory=dict)
    attribute_values: int = 0
    different_attribute_values: int = 0
    images_per_second: dict[str, dict[str, float]] = field(default_factory=dict)
    validation: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)

    def add(self, torchs: Outputs, graphs: Outputs, schema: Tasks) -> None:
        """Compare the outputs of some images.

        Raises:
            BrunaError: one differs by more than it may.
        """
        for name, wanted in torchs.items():
            found = largest_difference(name, wanted, graphs[name])
            self.differences[name] = max(found, self.differences.get(name, 0.0))
            if not found <= (_LEVELS if name == MASK else TOLERANCE):  # NaN is refused too
                raise BrunaError(
                    f"the exported graph does not give torch's numbers: {name} differs by {found:.2g}, more than "
                    f"{_LEVELS if name == MASK else TOLERANCE:g}. Nothing was written. Other versions of torch, "
                    "onnxscript or onnxruntime may do; if not, please report it."
                )
            if name in (ATTRIBUTES, ATTRIBUTE_FEATURES):
                codes = [most_probable(torch.from_numpy(each), schema) for each in (wanted, graphs[name])]
                self.attribute_values += codes[0].numel()
                self.different_attribute_values += int((codes[0] != codes[1]).sum())


def largest_difference(name: str, wanted: Array, found: Array) -> float:
    """How far an output is off, as `Agreement.differences` has it; NaN where a number is none, infinity where the
    shapes differ."""
    if wanted.shape != found.shape:
        return float("inf")
    apart = np.abs(wanted.astype(np.float64) - found.astype(np.float64))
    if name == FEATURES:
        apart = np.linalg.norm(apart, axis=1) / np.linalg.norm(wanted.astype(np.float64), axis=1)
    return float(apart.max())


def compare(
    people: Describer, graphs: Sequence[tuple[Graph, Session]], table: pd.DataFrame, *, filter_junk: bool
) -> Agreement:
    """Run the package and the graphs over an image table, and rank it by both.

    Args:
        people: the networks, on the CPU.
        graphs: each with its session.
        table: the validation images (`bruna.dataset.tables`).
        filter_junk: rank without what Task 1 takes for junk, as `evaluate` does.

    Raises:
        BrunaError: an output differs by more than it may, or an image cannot be read.
    """
    agreement, kept = Agreement(len(table)), {"torch": list[Outputs](), "onnxruntime": list[Outputs]()}
    batch_size = people.settings.batch_size
    for block, pixels in track(_blocks(table, graphs, batch_size), "check", total=len(table), count=_rows):
        described = people.describe(list(block["image"]), names=list(block["path"]), masks=people.unet is not None)
        torchs, found = torch_outputs(described), dict[str, Array]()
        for graph, session in graphs:
            given = [pixels[port.shape[1], port.shape[2]] for port in graph.inputs]
            found |= session.run([each.numpy() for each in given], batch_size)
            if graph.file not in agreement.images_per_second:
                agreement.images_per_second[graph.file] = _speed(graph, session, given, batch_size)
        agreement.add(torchs, found, people.schema)
        for name, outputs in (("torch", torchs), ("onnxruntime", found)):
            kept[name].append({key: value for key, value in outputs.items() if key != MASK})
    if people.bruna is not None:
        for name, parts in kept.items():
            joined = {key: torch.from_numpy(np.concatenate([part[key] for part in parts])) for key in parts[0]}
            agreement.validation[name] = _ranked(joined, table, people, filter_junk=filter_junk)
    return agreement


def torch_outputs(described: Described) -> dict[str, Array]:
    """What the package makes of images, under the names that the graphs give it."""
    found: dict[str, Array] = {}
    if described.masks is not None:
        found[MASK] = described.masks
    if described.task1_logits is not None:
        found[JUNK] = described.junk
        if described.schema:
            found[ATTRIBUTES] = described.attribute_probabilities("task1", 1).numpy()
    if described.gallery is not None:
        found[FEATURES] = described.features
        if described.schema and described.gallery.attributes is not None:
            found[ATTRIBUTE_FEATURES] = described.gallery.attributes.numpy()
    return found


_Block = tuple[pd.DataFrame, Mapping[Size, Tensor]]


def _blocks(table: pd.DataFrame, graphs: Sequence[tuple[Graph, Session]], batch_size: int) -> Iterator[_Block]:
    """Rows, and their pixels at the size of every input."""
    sizes = {(port.shape[1], port.shape[2]) for graph, _ in graphs for port in graph.inputs}
    starts = block_starts(len(table), batch_size)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in starts:
            block = table.iloc[start : start + starts.step]
            yield block, decode(sources(list(block["image"]), list(block["path"])), sizes, pool).pixels


def _rows(block: _Block) -> int:
    return len(block[0])


@torch.inference_mode()
def _speed(graph: Graph, session: Session, given: Sequence[Tensor], batch_size: int) -> dict[str, float]:
    """Images a second of the network in torch and of its graph, a batch of each in turn after one to warm up."""
    seconds = {"torch": 0.0, "onnxruntime": 0.0}
    batches = [[each[i : i + batch_size] for each in given] for i in range(0, len(given[0]), batch_size)]
    for batch in [batches[0], *batches]:
        if batch is batches[0]:
            seconds = dict.fromkeys(seconds, 0.0)
        start = time.perf_counter()
        graph.network(*batch)
        between = time.perf_counter()
        session.run([each.numpy() for each in batch], batch_size)
        seconds["torch"] += between - start
        seconds["onnxruntime"] += time.perf_counter() - between
    return {name: len(given[0]) / spent for name, spent in seconds.items()}


def _ranked(
    found: Mapping[str, Tensor], table: pd.DataFrame, people: Describer, *, filter_junk: bool
) -> dict[str, dict[str, float]]:
    """The figures of a ranking of all images among each other, by protocol (docs/reference/metrics.md)."""
    identities, cameras = (torch.tensor(table[column].to_numpy(np.int64)) for column in ("identity", "camera"))
    features = found[FEATURES]
    gallery = Gallery(features, found.get(ATTRIBUTE_FEATURES, features[:, :0]), identities, cameras)
    kept = found[JUNK] < people.settings.junk_threshold if filter_junk and JUNK in found else None
    distance = ProductDistance(people.settings.attribute_offset)
    itself = torch.arange(len(gallery))
    return figures_of(evaluate_protocols(gallery, gallery, distance, kept=kept, self_index=itself))
