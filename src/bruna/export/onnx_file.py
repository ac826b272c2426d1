"""ONNX files: written by torch's exporter, run by ONNX Runtime. Nothing else imports onnx or onnxruntime."""

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bruna.errors import BrunaError
from bruna.export.graphs import BATCH, Graph

OPSET = 20
NEEDED = ("onnx", "onnxruntime", "onnxscript")
"""What the extra `export` brings, by the names that are imported."""
_LARGEST = 2_000_000_000
"""Bytes of weights within one file; protocol buffers end at 2 GiB."""
Array = npt.NDArray[Any]


def missing() -> list[str]:
    """What of it is not installed."""
    return [name for name in NEEDED if find_spec(name) is None]


def refuse_missing() -> None:
    """Say so where the extra `export` is not installed.

    Raises:
        BrunaError: see there.
    """
    if lacking := missing():
        what = f"{', '.join(lacking)}, which {'is' if len(lacking) == 1 else 'are'} not installed"
        it = "it" if len(lacking) == 1 else "them"
        raise BrunaError(f"an export needs {what}: `pip install 'bruna[export]'` brings {it}.")


def write_graph(graph: Graph, folder: Path) -> Path:
    """Write a graph into a folder, for any number of images.

    What torch notes down beside each node, such as the paths of source files, is left out: equal networks give equal
    bytes, and nobody's folders leave the house. Weights of more than 2 GB lie in a second file beside it.

    Raises:
        BrunaError: torch cannot make a graph of the network.
    """
    given = tuple(torch.zeros(2, *port.shape, dtype=getattr(torch, port.dtype)) for port in graph.inputs)
    batch = torch.export.Dim(BATCH)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                graph.network,
                given,
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=[port.name for port in graph.inputs],
                output_names=[port.name for port in graph.outputs],
                dynamic_shapes=tuple({0: batch} for _ in graph.inputs),
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise BrunaError(
            f"torch {torch.__version__} cannot make {graph.file} of this network: {str(error).splitlines()[0]}. "
            "Another version of torch or onnxscript may do."
        ) from error
    assert program is not None  # of the exporter with `dynamo`
    model = program.model_proto
    _leave_out_notes(model)
    file = folder / graph.file
    _save(model, file)
    return file


def _save(model: Any, file: Path) -> None:
    import onnx  # noqa: PLC0415

    data = f"{file.name}.data" if model.ByteSize() > _LARGEST else None
    onnx.save_model(model, str(file), save_as_external_data=data is not None, location=data)


def _leave_out_notes(model: Any) -> None:
    """Clear what no program needs of an ONNX model, in place."""
    model.doc_string = ""
    functions = list(model.functions)
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input):
        del part.metadata_props[:]
    for part in (*model.graph.output, *model.graph.initializer, *functions):
        del part.metadata_props[:]
    for node in (node for function in functions for node in function.node):
        del node.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""


class Session:
    """A graph in ONNX Runtime, on the CPU.

    Args:
        file: the graph.
        threads: that compute a pass; by default as many as torch uses. With one, several threads may `run` it at once.

    Raises:
        BrunaError: it cannot run the file.
    """

    def __init__(self, file: Path, threads: int | None = None) -> None:
        import onnxruntime  # noqa: PLC0415

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads() if threads is None else threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # torch takes turns with it
        options.add_session_config_entry("session.set_denormal_as_zero", "1")  # as torch does (runtime.py)
        options.log_severity_level = 3  # errors
        try:
            self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its own types, which come from C++
            raise BrunaError(
                f"ONNX Runtime {onnxruntime.__version__} cannot run {file.name}: {str(error).splitlines()[0]}. Another "
                "version of onnxruntime may do."
            ) from error
        self.inputs = [each.name for each in self._session.get_inputs()]
        self.outputs = [each.name for each in self._session.get_outputs()]

    def run(self, given: Sequence[Array], batch_size: int) -> dict[str, Array]:
        """The outputs by name, of N images (an array an input), `batch_size` of them a pass."""
        every = dict(zip(self.inputs, given, strict=True))
        parts = [
            self._session.run(self.outputs, {name: images[i : i + batch_size] for name, images in every.items()})
            for i in range(0, len(given[0]), batch_size)
        ]
        return {name: np.concatenate(found) for name, found in zip(self.outputs, zip(*parts, strict=True), strict=True)}
