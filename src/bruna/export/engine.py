"""Which engine runs the networks of a command: torch, or ONNX Runtime by graphs that agreed with torch."""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from bruna import models as network_code
from bruna.dataset.filenames import printable
from bruna.dataset.tables import read_table
from bruna.errors import BrunaError, counted
from bruna.export.agreement import Agreement, torch_outputs
from bruna.export.networks import networks_of
from bruna.export.onnx_file import NEEDED, Session, missing, write_graph
from bruna.export.running import run_by_sessions
from bruna.files import fingerprint, read_object, restore, whole_folder, write_json
from bruna.inference.describer import Describer, load
from bruna.progress import track

Name = Literal["torch", "onnxruntime"]
GRAPHS = "onnxruntime"
"""The folder of the graphs beside the models."""
RECORD = "engine.json"
MANY = 5000
"""Images from which on building graphs pays in one command: it takes about as long as torch takes longer for these."""
_WORTH_SAYING = 500
_COMPARED = 256
"""Images that graphs and torch are compared on."""


class Engine:
    """Hands networks to the engine that is to run them; of `Engine` in `bruna.inference.engine`."""

    def __init__(self, models: Path, wanted: Name | None = None) -> None:
        """Take note of a wish.

        Args:
            models: where the networks lie.
            wanted: by name; None takes ONNX Runtime where it is installed and graphs are there, or pay.

        Raises:
            BrunaError: ONNX Runtime is wanted, and is not installed.
        """
        if wanted == "onnxruntime" and (lacking := missing()):
            raise BrunaError(
                f"--engine onnxruntime needs {', '.join(lacking)}: `pip install 'bruna[export]'` brings what it needs; "
                "--engine torch needs nothing more."
            )
        self._models, self._wanted = models, wanted
        self._made: tuple[Describer, Describer] | None = None

    def __call__(self, people: Describer, images: int) -> Describer:
        """The networks as the chosen engine runs them; says which that is on stderr, once."""
        if self._made is None or self._made[0] is not people:
            made, says = self._chosen(people, images)
            print(f"networks run by {says}", file=sys.stderr)
            self._made = people, made
        return self._made[1]

    def _chosen(self, people: Describer, images: int) -> tuple[Describer, str]:
        networks = (people.unet, people.attribute_network, people.bruna)
        on = {network.device.type for network in networks if network is not None}
        if on - {"cpu"}:
            return people, "torch, on the GPU"
        if self._wanted == "torch":
            return people, "torch"
        if lacking := missing():
            return people, f"torch ({', '.join(lacking)} not installed: `pip install 'bruna[export]'`)"
        try:
            found = self._opened(people)
            if found is None and self._wanted is None and images < MANY:
                hint = (
                    " (`--engine onnxruntime` is faster, once it has made its graphs)"
                    if images >= _WORTH_SAYING
                    else ""
                )
                return people, f"torch{hint}"
            return found or self._built(people), "onnxruntime"
        except BrunaError as error:
            return people, f"torch: {error}"

    @property
    def _folder(self) -> Path:
        return self._models / GRAPHS

    def _opened(self, people: Describer) -> Describer | None:
        """The networks by the graphs that are there; None where there are none, or of others, or damaged.

        Raises:
            BrunaError: graphs of these networks were refused, and nobody wants ONNX Runtime by name.
        """
        try:
            restore(self._folder)
            record = read_object(self._folder / RECORD)
            if any(record.get(name) != value for name, value in _versions().items()):
                return None
            if not self._models_of(people).items() <= dict(record.get("models", {})).items():
                return None
            if "refused" in record:
                if self._wanted is None:
                    raise _RefusedError(record["refused"])
                return None
            names = [graph.file for graph in networks_of(people)]
            if any(fingerprint(self._folder / name) != record["graphs"].get(name) for name in names):
                return None
            return _by_graphs(people, self._folder, names)
        except _RefusedError:
            raise
        except (BrunaError, OSError, LookupError, TypeError, ValueError, AttributeError):  # whatever stands in the file
            return None

    def _built(self, people: Describer) -> Describer:
        """Make the graphs, compare them with torch, and keep them.

        Raises:
            BrunaError: they cannot be made or written, or do not agree; which is kept too.
        """
        print(
            f"making graphs of the networks for ONNX Runtime in {printable(self._folder)}, once for these models",
            file=sys.stderr,
        )
        everyone = load(self._models, "cpu", settings=people.settings)  # a command may need Task 1's network alone
        with whole_folder(self._folder) as beside:
            record: dict[str, Any] = {**_versions(), "models": self._models_of(everyone)}
            try:
                files = [write_graph(graph, beside) for graph in track(networks_of(everyone), "graphs", unit="graphs")]
                by_graphs = _by_graphs(everyone, beside, [file.name for file in files])
                compared = _compare(everyone, by_graphs, self._models)
                record |= {"graphs": {file.name: fingerprint(file) for file in files}}
                record |= {"images": compared.images, "differences": compared.differences}
            except BrunaError as error:
                record["refused"] = str(error)
            write_json(record, beside / RECORD)
        if "refused" in record:
            raise _RefusedError(record["refused"])
        return _by_graphs(people, self._folder, [graph.file for graph in networks_of(people)])

    def _models_of(self, people: Describer) -> dict[str, str]:
        """Fingerprints of the networks' folders."""
        networks = {"unet": people.unet, "attributes": people.attribute_network, "bruna": people.bruna}
        return {name: fingerprint(self._models / name) for name, network in networks.items() if network is not None}


def _versions() -> dict[str, Any]:
    """What graphs are made by: other code or versions may make others."""
    code = fingerprint(Path(str(network_code.__file__)).parent)
    return {"code": code, "versions": {"torch": str(torch.__version__), **{name: version(name) for name in NEEDED}}}


class _RefusedError(BrunaError):
    """Graphs of these networks do not give torch's numbers."""


def _by_graphs(people: Describer, folder: Path, names: Sequence[str]) -> Describer:
    return run_by_sessions(people, {name: Session(folder / name, threads=1) for name in names})


def _compare(people: Describer, by_graphs: Describer, models: Path) -> Agreement:
    """Run both over some images.

    Raises:
        BrunaError: an output differs by more than it may, or an attribute's most probable value.
    """
    images = _some_images(models)
    agreement = Agreement(len(images))
    wanted, found = (torch_outputs(each.describe(images)) for each in (people, by_graphs))
    agreement.add(wanted, found, people.schema)
    if agreement.different_attribute_values:
        raise BrunaError(
            f"by its graphs {counted(agreement.different_attribute_values, 'attribute values')} of "
            f"{agreement.attribute_values:,} are others than by torch."
        )
    return agreement


def _some_images(models: Path) -> list[Any]:
    """Validation images of the models; where they are not beside them, pictures of coloured patches."""
    file = models / "split" / "validation.parquet"
    if file.exists() and len(found := list(read_table(file)["image"])):
        return found[:: max(1, len(found) // _COMPARED)][:_COMPARED]
    draw = np.random.default_rng(0)
    patches = draw.integers(0, 256, (_COMPARED, 3, 16, 8), dtype=np.uint8)
    return list(patches.repeat(8, axis=2).repeat(8, axis=3))
