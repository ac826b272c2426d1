"""A version of the model `bruna` in MLflow's registry: its files first, the version last."""

import base64
import io
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from bruna.errors import BrunaError
from bruna.index.header import fingerprint_of
from bruna.inference.describer import Describer
from bruna.inference.describer import load as load_folder
from bruna.registry.card import CARD, description, headline_figures
from bruna.registry.loading import load
from bruna.registry.state import refuse_stale, state_tags
from bruna.registry.store import address, quiet
from bruna.tracking.execution import process_identity
from bruna.tracking.sending import experiment_name, trouble_with_server, without_password

NAME = "bruna"
_NAMED = re.compile(r"[\w.-]+")
_ABOUT = (
    "Person re-identification and pedestrian attributes: U-Net, Task 1's network and Bruna in one model. "
    "`bruna register` makes a version of it."
)
_NOT_SERVED = {
    "__pycache__",
    "assets",
    "cli",
    "export",
    "evaluation",
    "pipeline",
    "report",
    "sample",
    "serve",
    "training",
}
"""Parts of the package that describing images does not need."""
_NETWORKS = ("unet", "attributes", "bruna")
_OF_EVALUATE = ("settings.json", "calibration.json", "halves.safetensors")
_SIZE = (64, 128)
"""Width and height of the example, pixels."""


@dataclass(frozen=True)
class Registered:
    """A registered version.

    Attributes:
        version: its number.
        store: the address of the store that it is in.
        same_as: the number of the latest earlier version with the same tags, all of them; None where there is none.
    """

    version: int
    store: str
    same_as: int | None


def register(root: Path, artifacts: Path) -> Registered:
    """Register the trained networks as the next version of `bruna`.

    Everything that may fail comes before the version is made: a killed or failed call leaves no version, but perhaps
    a run and files, which no version names.

    Args:
        root: the top folder of the project.
        artifacts: the pipeline's artifacts folder.

    Raises:
        BrunaError: `dvc status` tells of a change, something is missing or damaged, or the store refuses.
    """
    card = _card(artifacts)
    refuse_stale(root)
    people = load_folder(artifacts, "cpu")
    tags = {**state_tags(root), "models": fingerprint_of(artifacts, people.settings)}
    quiet()
    where = address(root)
    try:
        return _register(root, artifacts, people, card, tags, where)
    except BrunaError:
        raise
    except Exception as error:  # of MLflow, of its transport, of its database
        raise BrunaError(
            f"MLflow ({without_password(where)}) did not register the model: {trouble_with_server(error)}.\nNo version "
            "was made. Run the same command again when that is mended."
        ) from error


def _register(
    root: Path, artifacts: Path, people: Describer, card: str, tags: Mapping[str, str], where: str
) -> Registered:
    import mlflow  # noqa: PLC0415

    mlflow.set_tracking_uri(where)
    mlflow.set_registry_uri(where)
    metrics = headline_figures(root / "metrics", artifacts / "evaluate")
    experiment = mlflow.set_experiment(experiment_name())
    named = {f"bruna.{name}": value for name, value in tags.items()}
    started = {**named, "bruna.process": process_identity(), "mlflow.source.name": "bruna register"}
    name = f"register · {tags['models'][:8]}"
    _make_model(mlflow.MlflowClient())
    with (
        tempfile.TemporaryDirectory(prefix="bruna-") as folder,
        mlflow.start_run(experiment_id=experiment.experiment_id, run_name=name, tags=started) as run,
    ):
        staged = _staged(artifacts, card, Path(folder))
        info = mlflow.pyfunc.log_model(
            name=NAME,
            python_model=str(Path(__file__).with_name("served.py")),
            artifacts={"models": str(staged)},
            code_paths=[str(_code(Path(folder)))],
            signature=_signature(people),
            input_example=_example(),
            pip_requirements=requirements(),
            metadata=dict(tags),
            tags=named,
        )
        _refuse_different(people, info.model_uri)
        mlflow.log_metrics(metrics, model_id=info.model_id)
        same_as = _same_as(mlflow.MlflowClient(), named)
        made = mlflow.MlflowClient().create_model_version(
            NAME,
            source=info.model_uri,
            run_id=run.info.run_id,
            model_id=info.model_id,
            tags=named,
            description=description(card, metrics),
        )
    return Registered(int(made.version), without_password(where), same_as)


def _same_as(client: Any, tags: Mapping[str, str]) -> int | None:
    """The latest version that has all of some tags."""
    found = client.search_model_versions(f"name = '{NAME}'")
    return max((int(each.version) for each in found if tags.items() <= each.tags.items()), default=None)


def _card(artifacts: Path) -> str:
    file = artifacts / "report" / CARD
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BrunaError(
            f"{file} is missing: there is nothing trained to register. `dvc repro` trains the networks, measures them "
            "and writes it; run this in the top folder of the project."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BrunaError(f"{file} cannot be read: {error}. `dvc checkout` brings it back.") from None


def _staged(artifacts: Path, card: str, beside: Path) -> Path:
    """What is registered, laid out as the artifacts folder. The networks are whole, so that their fingerprint stays."""
    to = beside / "models"
    for name in _NETWORKS:
        shutil.copytree(artifacts / name, to / name)
    (to / "evaluate").mkdir()
    for name in _OF_EVALUATE:
        if (file := artifacts / "evaluate" / name).exists():
            shutil.copyfile(file, to / "evaluate" / name)
    (to / CARD).write_text(card, encoding="utf-8")
    return to


def _code(beside: Path) -> Path:
    """The package without what describing images does not need."""
    package = Path(__file__).parents[1]
    to = beside / package.name
    shutil.copytree(package, to, ignore=lambda _, names: {name for name in names if name in _NOT_SERVED})
    return to


def _make_model(client: Any) -> None:
    """Make the registered model, if this is its first version; somebody else may do so at the same time."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        client.create_registered_model(NAME, description=_ABOUT)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _signature(people: Describer) -> Any:
    from mlflow.models import ModelSignature  # noqa: PLC0415
    from mlflow.types.schema import Array, ColSpec, DataType, Map, Schema  # noqa: PLC0415

    outputs: list[Any] = []
    if people.schema:
        outputs.append(ColSpec(Map(DataType.string), "attributes"))
        outputs.append(ColSpec(Map(Map(DataType.double)), "probabilities"))
    if people.attribute_network is not None:
        outputs.append(ColSpec(DataType.double, "junk"))
    if people.bruna is not None:
        outputs.append(ColSpec(Array(DataType.double), "embedding"))
    return ModelSignature(Schema([ColSpec(DataType.string, "image")]), Schema(outputs))


def _example() -> pd.DataFrame:
    """A drawn figure as a client sends it: no image of a data set, whose terms may forbid to pass it on."""
    return pd.DataFrame({"image": [base64.b64encode(drawn_figure()).decode()]})


def drawn_figure() -> bytes:
    """A PNG file of a figure before a wall."""
    image = Image.new("RGB", _SIZE, (176, 172, 164))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 108, 63, 127), fill=(120, 118, 112))
    draw.ellipse((25, 10, 39, 28), fill=(196, 160, 132))
    draw.rounded_rectangle((18, 29, 46, 70), 6, fill=(150, 40, 44))
    draw.rectangle((21, 70, 30, 114), fill=(40, 48, 80))
    draw.rectangle((34, 70, 43, 114), fill=(40, 48, 80))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _refuse_different(people: Describer, model: str) -> None:
    """Read the model back from the store, and see that it gives the same numbers.

    Raises:
        BrunaError: it does not.
    """
    here, there = (each.describe(drawn_figure(), masks=False) for each in (people, load(model, "cpu")))
    same = here.gallery is None or np.array_equal(here.features, there.features)
    if not same or not all(np.array_equal(values, there.attributes[name]) for name, values in here.attributes.items()):
        raise BrunaError(
            f"the store gave back other models than it got ({model}). No version was made. See whether its disk is "
            "full or damaged, then run the same command again."
        )


def requirements() -> list[str]:
    """What serving needs, at the versions that are installed here."""
    ours = {found[0] for line in requires("bruna") or () if "extra ==" not in line and (found := _NAMED.match(line))}
    # What follows a plus sign tells for which GPU a torch was built: no index has it under that name.
    return [f"{name}=={version(name).partition('+')[0]}" for name in sorted({*ours, "mlflow"})]
