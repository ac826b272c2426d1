"""The trainings with the settings of a preset, bfloat16 against float32, and one step profiled."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch.profiler import ProfilerActivity, profile

from bruna.batches.persons import PersonStore
from bruna.batches.store import ImageStore
from bruna.errors import counted
from bruna.inference.embedding import embed
from bruna.inference.unet import UNetSegmenter, segment_images
from bruna.models.bruna import Bruna, Embedding
from bruna.processes import ALONE
from bruna.training import attributes, bruna, bruna_data, unet
from bruna.training.attribute_data import load_part
from bruna.training.bruna_data import LabelledPersons
from gpu_parts.bench import Bench, NotHereError, Result, Row
from gpu_parts.timing import Trained, finish, take_step, train

_MAP = "market1501/map"
_COURSE_MAP = "course/map"
_POINTS = 0.5
"""By how much mAP may differ between the precisions, in points of a hundred."""
_SEEDS = 3
"""Seeds at most, each trained in both precisions."""
_WARM_UP, _OPERATORS = 3, 15
"""Of the profile: steps before it, and operators that are told."""
Precision = Callable[[torch.device], AbstractContextManager[object]]
PRECISIONS: dict[str, Precision] = {
    "float32": lambda _: nullcontext(),
    "bfloat16": lambda device: torch.autocast(device.type, torch.bfloat16),
}


def of_preset(bench: Bench, seconds: float, preset: str) -> Result:
    """The U-Net, Task 1 and Bruna with the settings of a preset, one after another."""
    result, rows, until = Result(), [], time.perf_counter() + seconds
    trainings: dict[str, tuple[Callable[[Bench, str, float, list[str]], Row], float]] = {
        "U-Net": (_unet, 0.15),
        "Task 1": (_attributes, 0.35),
        "Bruna": (_bruna, 1.0),
    }
    failed = None
    for name, (training, share) in trainings.items():
        try:
            rows.append(training(bench, preset, (until - time.perf_counter()) * share, result.notes))
        except NotHereError as error:
            result.notes.append(str(error))
        except Exception as error:  # the others go on
            result.notes.append(f"{name} has failed: {type(error).__name__}: {error}")
            failed = failed or error
    if failed is not None and not rows:
        raise failed
    result.tables["Trainings"] = rows
    return result


def _unet(bench: Bench, preset: str, seconds: float, _: list[str]) -> Row:
    params, pairs = bench.params(preset).train_unet, bench.tables.pairs
    if pairs.empty:
        raise NotHereError("The data have no mask pairs (--masks): no U-Net is trained.")

    def stored(part: str) -> unet.Pairs:
        rows = pairs[pairs["part"] == part]
        paths = list(rows["path"])
        images = ImageStore.decode(list(rows["image"]), paths, params.image_size)
        masks = ImageStore.decode(list(rows["mask"]), paths, params.image_size, kind="binary")
        return unet.Pairs(images.to(bench.device), masks.to(bench.device), paths)

    sides = stored("train"), stored("held_out")

    def make(epochs: int) -> Any:
        return unet._Recipe(*sides, params.model_copy(update={"epochs": epochs}), bench.device, ALONE)

    found = train(bench, "U-Net", make, params.epochs, seconds)
    segmenter = UNetSegmenter(found.recipe.model.eval(), params.image_size, bench.device)
    size = bench.params(preset).segment.batch_size
    first, second = (segment_images(table, segmenter, size) for table in (bench.tables.train, bench.tables.validation))
    bench.segments[preset] = first, second
    bench.networks.setdefault(preset, {})["unet"] = found.recipe.model, params.image_size
    return found.row | {"figure": f"IoU {found.last['validation/iou']:.3f}"}


def _attributes(bench: Bench, preset: str, seconds: float, notes: list[str]) -> Row:
    params = bench.params(preset).train_attributes
    params = params.model_copy(update={"pretrained": bench.weights(params.network, params.pretrained, notes)})
    tables = bench.tables
    sides = load_part(tables.train, params, bench.device), load_part(tables.validation, params, bench.device)

    def make(epochs: int) -> Any:
        warm_up = params.warmup_epochs * epochs / params.epochs
        changed = params.model_copy(update={"epochs": epochs, "warmup_epochs": warm_up})
        return attributes._Recipe(*sides, changed, bench.device, ALONE)

    found = train(bench, "Task 1", make, params.epochs, seconds)
    bench.networks.setdefault(preset, {})["attributes"] = found.recipe.averaged, params.image_size
    accuracy = found.last["validation/balanced_accuracy"]
    return found.row | {"figure": f"balanced accuracy {accuracy:.3f}"}


def _bruna(bench: Bench, preset: str, seconds: float, notes: list[str]) -> Row:
    train_side, validation, params = bench.persons(preset, notes)
    found = _train_bruna(bench, "Bruna", (train_side, validation), params, seconds)
    bench.networks.setdefault(preset, {})["bruna"] = found.recipe.bruna, params.image_size
    return found.row | {"figure": f"mAP {mean_average_precision(found):.3f}"}


def bruna_recipe(bench: Bench, sides: tuple[LabelledPersons, LabelledPersons], params: Any, epochs: int) -> Any:
    """The recipe of Bruna for another number of epochs; the learning rates warm up in the same share of them."""
    shorter = {"epochs": epochs, "warmup_epochs": params.warmup_epochs * epochs / params.epochs}
    return bruna._Recipe(*sides, params.model_copy(update=shorter), bench.device, ALONE)


def _train_bruna(
    bench: Bench,
    name: str,
    sides: tuple[LabelledPersons, LabelledPersons],
    params: Any,
    seconds: float,
    epochs: int | None = None,
) -> Trained:
    def make(count: int) -> Any:
        return bruna_recipe(bench, sides, params, count)

    return train(bench, name, make, params.epochs, seconds, epochs=epochs)


def mean_average_precision(found: Trained) -> float:
    """On the validation identities, of features alone; under the course protocol where no other camera has a match."""
    measured = found.recipe.measure()
    return float(measured.get(_MAP, measured[_COURSE_MAP]))


def precisions(bench: Bench, seconds: float) -> Result:
    """Bruna trained in float32 and in bfloat16, of the same seeds, for as many epochs; more seeds where they fit."""
    result, until = Result(), time.perf_counter() + seconds
    train_side, validation, params = bench.persons("market1501", result.notes)
    rows: list[Row] = []
    differences: list[float] = []
    epochs, pair, seeds = None, 0.0, 1 if bench.toy else _SEEDS
    while not differences or (len(differences) < seeds and time.perf_counter() + 1.1 * pair < until):
        start, found = time.perf_counter(), {}
        for name, context in PRECISIONS.items():
            seeded = params.model_copy(update={"seed": params.seed + len(differences)})
            with mock.patch.object(bruna, "mixed_precision", context):
                trained = _train_bruna(bench, name, (train_side, validation), seeded, seconds / (2 * seeds), epochs)
            epochs, found[name] = trained.epochs, 100 * mean_average_precision(trained)
            rows.append({"seed": seeded.seed, **trained.row, "mAP, %": found[name]})
            if len(found) == 1 and not differences:
                bare = trained
        differences.append(found["bfloat16"] - found["float32"])
        pair = time.perf_counter() - start
    mean = sum(differences) / len(differences)
    with mock.patch.object(bruna_data, "embed", _embed_in_bfloat16):
        described = 100 * mean_average_precision(bare) - rows[0]["mAP, %"]
    finite = all(row["all losses finite"] for row in rows)
    bare_maps = [row["mAP, %"] for row in rows if row["training"] == "float32"]
    result.tables["Trained in both precisions"] = rows
    result.tables["bfloat16 against float32"] = [
        {"what": "all losses finite", "found": finite, "wanted": "yes", "met": finite},
        _points(f"mAP trained in bfloat16, points above float32 (mean of {counted(len(differences), 'seeds')})", mean),
        _points("mAP of the same network described in bfloat16, points above float32", described),
        {
            "what": "mAP in float32, points between best and worst seed",
            "found": max(bare_maps) - min(bare_maps),
        },
    ]
    supported = bench.device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    result.notes.append(f"The trainings themselves choose {'bfloat16' if supported else 'float32'} on this device.")
    result.notes.append("Two trainings also differ by chance, as two seeds do: the less, the more epochs they had.")
    return result


def _points(what: str, found: float) -> Row:
    return {"what": what, "found": found, "wanted": f"within {_POINTS}", "met": abs(found) <= _POINTS}


def _embed_in_bfloat16(network: Bruna, store: PersonStore, *arguments: Any, **named: Any) -> Embedding:
    with PRECISIONS["bfloat16"](store.images.device):
        found = embed(network, store, *arguments, **named)
    return Embedding(found.features.float(), found.logits.float(), found.metric.float(), found.schema)


def profiled(bench: Bench, _: float) -> Result:
    """The operators of one step of Bruna, those that take most of the device's time first."""
    result = Result()
    train_side, validation, params = bench.persons("market1501", result.notes)
    recipe = bruna_recipe(bench, (train_side, validation), params, params.epochs)
    for number in range(1 if bench.toy else _WARM_UP):
        take_step(recipe, number)
    finish(bench.device)
    on_gpu = bench.device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as found:
        start = time.perf_counter()
        take_step(recipe, _WARM_UP)
        finish(bench.device)
        took = 1e3 * (time.perf_counter() - start)
    events = found.key_averages()
    kernels = [event for event in events if event.device_type.name == "CUDA" and not event.is_user_annotation]
    # An operator bears the time of the kernels that it starts, and the kernels are events too: each counts once.
    operators = [event for event in events if event.device_type.name == "CPU"]

    def cost(event: Any) -> float:  # microseconds, to milliseconds
        return float(event.self_device_time_total if on_gpu else event.self_cpu_time_total) / 1e3

    busy = sum(cost(event) for event in (kernels if on_gpu else operators))
    if on_gpu and busy == 0:
        raise RuntimeError("the profiler saw nothing of the GPU (is CUPTI missing, or not allowed here?)")
    where = "GPU" if on_gpu else "CPU"
    images = len(recipe.batch_paths(0, _WARM_UP % recipe.steps(0)))
    result.tables["The step"] = [{"images": images, "ms under the profiler": took, f"{where} busy, ms": busy}]
    result.tables["Operators of the step"] = [
        {"operator": event.key[:90], "calls": event.count, f"{where}, ms": cost(event), "share": cost(event) / busy}
        for event in sorted(operators, key=cost, reverse=True)[:_OPERATORS]
    ]
    return result
