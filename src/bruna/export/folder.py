"""The exported folder: the graphs, `model.json` for the program that runs them, `export.json` with what was checked."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from bruna.dataset.schema import Tasks, logit_slices
from bruna.dataset.tables import read_table
from bruna.errors import BrunaError
from bruna.export.agreement import TOLERANCE, Agreement, compare
from bruna.export.graphs import ATTRIBUTE_FEATURES, ATTRIBUTES, BATCH, FEATURES, Graph, Port, graphs_of
from bruna.export.onnx_file import NEEDED, OPSET, Session, write_graph
from bruna.files import read_object, refuse_unwritable, restore, whole_folder, write_json
from bruna.index.header import fingerprint_of
from bruna.inference.calibration import read_calibration
from bruna.inference.describer import Describer
from bruna.progress import track
from bruna.retrieval.calibration import Calibration, smallest_rate
from bruna.runtime import instruction_set

FORMAT = 1
"""Of model.json; raise it when names or their meaning change."""
MODEL, REPORT, EXAMPLE = "model.json", "export.json", "example.py"
_GRAPHS = ("unet.onnx", "task1.onnx", "bruna.onnx")
_OURS = {*_GRAPHS, *(f"{name}.data" for name in _GRAPHS), MODEL, REPORT, EXAMPLE, "__pycache__"}
_IMAGES = {
    "color": "RGB; transparency is dropped, the color beneath it counts; grey becomes three equal channels",
    "bits": "8 a channel; 16-bit grey is divided by 257 and rounded up",
    "orientation": "EXIF orientation is obeyed before anything else",
    "resize": "an image of another size is resized from the original, straight to the size of each input, by Pillow's "
    "Image.resize((width, height), Image.Resampling.BILINEAR), which is antialiased; sides may stretch unequally; an "
    "image of that size stays as it is",
    "normalization": "inside the graphs: give bytes from 0 to 255, and neither divide nor normalise them",
}


def refuse_place(to: Path, inputs: Sequence[Path]) -> None:
    """Refuse a place that an export cannot go to, before any work is done.

    Args:
        to: the folder.
        inputs: folders that are read.

    Raises:
        BrunaError: it is no folder or holds something else than an earlier export, it lies in an input, or cannot be
            written.
    """
    if not to.name:
        raise BrunaError(f"--to: {to} is the working folder or the top of the disk. Give a folder in it.")
    if to.is_symlink():
        raise BrunaError(f"--to: {to} is a link. Give the place that it leads to: {os.path.realpath(to)}")
    real = Path(os.path.realpath(to))
    for folder in inputs:
        if Path(os.path.realpath(folder)) in (real, *real.parents):
            raise BrunaError(f"--to: {to} lies in {folder}, which DVC keeps. Give another place.")
    restore(to)
    refuse_unwritable(to)
    if not to.exists():
        return
    if not to.is_dir():
        raise BrunaError(f"--to: {to} is no folder. Give another place.")
    names = sorted(path.name for path in to.iterdir())
    if other := next((name for name in names if name not in _OURS), names[0] if names and MODEL not in names else None):
        raise BrunaError(f"--to: {to} is no earlier export: it holds {other}, which would be lost. Give another place.")


def export(people: Describer, models: Path, to: Path) -> dict[str, Any]:
    """Write the networks as graphs and check them on the validation images; an earlier export is replaced.

    Args:
        people: the networks of `models`, on the CPU.
        models: the pipeline's artifacts folder; of it are read `split/validation.parquet`, and what `evaluate` left.
        to: the folder.

    Returns:
        What stands in `export.json`.

    Raises:
        BrunaError: there is nothing to export or to check it on, a network cannot be exported, or a graph does not
            give torch's numbers. Nothing is written then.
    """
    graphs = graphs_of(people)
    table = read_table(models / "split" / "validation.parquet")
    if table.empty:
        raise BrunaError(f"{models / 'split' / 'validation.parquet'} has no image to check the graphs on.")
    with whole_folder(to) as beside:
        files = [write_graph(graph, beside) for graph in track(graphs, "export", unit="graphs")]
        checked = list(zip(graphs, map(Session, files), strict=True))
        filter_junk = _filters_junk(models)
        agreement = compare(people, checked, table, filter_junk=filter_junk)
        report = _report(agreement, files, filter_junk=filter_junk)
        write_json(report, beside / REPORT, sort_keys=False)
        write_json(_model(people, models, graphs, agreement), beside / MODEL, sort_keys=False)
        (beside / EXAMPLE).write_bytes(Path(__file__).with_name(EXAMPLE).read_bytes())
    return report


def _filters_junk(models: Path) -> bool:
    file = models / "evaluate" / "settings.json"
    return file.exists() and read_object(file).get("filter_junk") is True


def _versions() -> dict[str, str]:
    return {"bruna": version("bruna"), "torch": str(torch.__version__), **{name: version(name) for name in NEEDED}}


def _report(agreement: Agreement, files: Sequence[Path], *, filter_junk: bool) -> dict[str, Any]:
    found = asdict(agreement)
    return {
        "tolerance": TOLERANCE,
        **found,
        "junk_filter": filter_junk,
        "bytes": {file.name: file.stat().st_size for file in files},
        "threads": torch.get_num_threads(),
        "torch_instructions": instruction_set(),
        "versions": _versions(),
    }


def _model(people: Describer, models: Path, graphs: Sequence[Graph], agreement: Agreement) -> dict[str, Any]:
    """What a program has to know of the graphs."""
    outputs = {port.name for graph in graphs for port in graph.outputs}
    calibration = read_calibration(models / "evaluate")
    asked = {"task1": [ATTRIBUTES], "bruna": [ATTRIBUTE_FEATURES], "both": [ATTRIBUTES, ATTRIBUTE_FEATURES]}
    mean_of = [name for name in asked[people.settings.attributes_from] if name in outputs]
    return {
        "format": FORMAT,
        "models": fingerprint_of(models, people.settings),
        "versions": _versions(),
        "opset": OPSET,
        "images": _IMAGES,
        "graphs": {
            graph.file: {"inputs": list(map(_port, graph.inputs)), "outputs": list(map(_port, graph.outputs))}
            for graph in graphs
        },
        "mirror_images": "inside the graphs, where the settings average over them: give an image once",
        "attributes_from": mean_of or sorted(outputs & {ATTRIBUTES, ATTRIBUTE_FEATURES}),
        "attributes": _attributes(people.schema),
        "junk_threshold": people.settings.junk_threshold,
        "distance": _distance(outputs, people.settings.attribute_offset),
        "calibration": _calibration(calibration) if calibration and FEATURES in outputs else None,
        "validation": agreement.validation.get("onnxruntime"),
    }


def _calibration(found: Calibration) -> dict[str, Any]:
    """With the smallest of its rates that is one: below it a rate, 0 too, is only that of too few people."""
    return {**found.to_json(), "smallest_false_match_rate": smallest_rate(found.fitted_on.identity_pairs)}


def _port(port: Port) -> dict[str, Any]:
    return {"name": port.name, "shape": [BATCH, *port.shape], "dtype": port.dtype, "meaning": port.meaning}


def _attributes(schema: Tasks) -> list[dict[str, Any]]:
    """Where the probabilities of each attribute lie; one column is the probability of the second value."""
    return [
        {"name": task.name, "values": list(task.values), "columns": [where.start, where.stop]}
        for task, where in zip(schema, logit_slices(schema).values(), strict=True)
    ]


def _distance(outputs: set[str], offset: float) -> dict[str, Any] | None:
    """The distance of two images; without attributes it is that of the features."""
    if FEATURES not in outputs:
        return None
    if ATTRIBUTE_FEATURES not in outputs:
        return {"formula": "|features_a - features_b|, Euclidean"}
    formula = "|features_a - features_b| * (offset + |attribute_features_a - attribute_features_b|), both Euclidean"
    return {"formula": formula, "offset": offset}
