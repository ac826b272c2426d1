"""Describing, evaluating and searching on the device, and on the CPU beside it."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from bruna.evaluation.labelled import LabelledImages, describe_table
from bruna.inference.attributes import AttributePredictor
from bruna.inference.bruna import BrunaEmbedder
from bruna.inference.describer import Describer
from bruna.inference.settings import Settings
from bruna.inference.unet import UNetSegmenter
from bruna.retrieval.distances import Euclidean, ProductDistance
from bruna.retrieval.gallery import Gallery
from bruna.retrieval.protocols import COURSE
from bruna.retrieval.ranking import evaluate_protocols, top_k
from gpu_parts.bench import Bench, NotHereError, Result, Row
from gpu_parts.timing import finish, peak_memory, reset_memory

_ON_CPU = 512
"""Images that the CPU describes too."""
_QUERIES, _NEAREST = 256, 50
_GALLERIES, _TOY_GALLERIES = (100_000, 1_000_000), (2_000,)
_CPU_GALLERY = 100_000
"""The largest gallery that the CPU searches too."""
_ROOM = 4
"""Times a gallery's bytes that searching it may take."""


def evaluating(bench: Bench, _: float) -> Result:
    """The networks of `market1501` over the validation images, their ranking, and a search of drawn embeddings."""
    result, cpu = Result(), torch.device("cpu")
    networks = bench.networks.get("market1501", {})
    if "bruna" not in networks:
        raise NotHereError("No part before this one has trained Bruna with the preset market1501.")
    settings = Settings.of(bench.params("market1501").evaluate.model_dump())
    table = bench.tables.validation
    described, took = _timed(
        bench.device, lambda: describe_table(_describer(bench, bench.device, settings), table, None, "validation")
    )
    some = table.head(_ON_CPU)
    there, took_there = _timed(cpu, lambda: describe_table(_describer(bench, cpu, settings), some, None, "on the CPU"))
    _describer(bench, bench.device, settings)  # back to where they were
    rows = [_row("described, three networks, mirrored too", bench.device, len(table), took)]
    rows.append(_row("the same", cpu, len(some), took_there))
    result.tables["Images described"] = rows
    result.tables["The device against the CPU"] = [_agreement(described, there)]
    result.tables["Ranking: every validation image asks all the others"] = [
        _ranked(described, device, settings) for device in dict.fromkeys((bench.device, cpu))
    ]
    result.tables[f"Search: {_QUERIES} queries, the nearest {_NEAREST}, drawn embeddings"] = _searches(
        bench, described.gallery.features.shape[1], result.notes
    )
    return result


def _describer(bench: Bench, device: torch.device, settings: Settings) -> Describer:
    """The trained networks on a device, where they stay."""
    networks = bench.networks["market1501"]

    def network(name: str) -> Any:
        return networks[name][0].eval().to(device)

    unet = UNetSegmenter(network("unet"), networks["unet"][1], device) if "unet" in networks else None
    task1 = None
    if "attributes" in networks:
        task1 = AttributePredictor(network("attributes"), networks["attributes"][1], device)
    features = bench.params("market1501").train_bruna.features
    embedder = BrunaEmbedder(network("bruna"), networks["bruna"][1], features, device)
    return Describer(unet, task1, embedder, settings)


def _timed(device: torch.device, work: Callable[[], Any]) -> tuple[Any, float]:
    finish(device)
    start = time.perf_counter()
    found = work()
    finish(device)
    return found, time.perf_counter() - start


def _row(what: str, device: torch.device, count: int, seconds: float) -> Row:
    return {"what": what, "on": str(device), "images": count, "seconds": seconds, "images a second": count / seconds}


def _agreement(here: LabelledImages, there: LabelledImages) -> Row:
    ours, theirs = here.gallery.features[: len(there.gallery)].double(), there.gallery.features.double()
    relative = (ours - theirs).norm(dim=1) / theirs.norm(dim=1)
    return {"images": len(theirs), "features, largest relative difference": float(relative.max())}


def _on(gallery: Gallery, device: torch.device) -> Gallery:
    attributes = None if gallery.attributes is None else gallery.attributes.to(device)
    return replace(gallery, features=gallery.features.to(device), attributes=attributes)


def _ranked(images: LabelledImages, device: torch.device, settings: Settings) -> Row:
    gallery, itself = _on(images.gallery, device), torch.arange(len(images.gallery))
    distance = ProductDistance(settings.attribute_offset)
    found, took = _timed(device, lambda: evaluate_protocols(gallery, gallery, distance, self_index=itself))
    maps = {name: result.mean_average_precision for name, result in found.items() if bool(result.scored.any())}
    return {
        "on": str(device),
        "images": len(gallery),
        "seconds": took,
        **{f"mAP {name}": x for name, x in maps.items()},
    }


def _searches(bench: Bench, features: int, notes: list[str]) -> list[Row]:
    rows = []
    for size in _TOY_GALLERIES if bench.toy else _GALLERIES:
        for device in dict.fromkeys((bench.device, torch.device("cpu"))):
            if device.type == "cpu" and size > _CPU_GALLERY:
                continue
            if device.type == "cuda" and _ROOM * 4 * size * features > torch.cuda.mem_get_info(device)[0]:
                notes.append(f"A gallery of {size:,} does not fit into this GPU's free memory.")
                continue
            rows.append(_search(device, size, features))
    return rows


def _search(device: torch.device, size: int, features: int) -> Row:
    reset_memory(device)
    make = torch.Generator(device).manual_seed(0)
    gallery = Gallery.unlabelled(torch.randn(size, features, generator=make, device=device))
    queries = Gallery.unlabelled(torch.randn(_QUERIES, features, generator=make, device=device))

    def search() -> object:
        return top_k(queries, gallery, Euclidean(), COURSE, _NEAREST)

    search()
    _, took = _timed(device, search)
    return {
        "on": str(device),
        "embeddings": size,
        "numbers each": features,
        "ms a query": 1e3 * took / _QUERIES,
        "peak memory, MiB": peak_memory(device),
    }
