"""`bruna.load`: the networks of a folder, or of a model in MLflow's registry."""

import os
import re
import tempfile
from pathlib import Path

import torch

from bruna.errors import BrunaError
from bruna.inference import describer
from bruna.inference.describer import Describer
from bruna.inference.settings import Settings

_ADDRESS = re.compile(r"(models|runs):/")
MODELS = Path("artifacts", "models")
"""Where a registered model has the networks: laid out as the pipeline's artifacts folder."""


def load(
    models: str | Path,
    device: str | torch.device = "auto",
    *,
    settings: Settings | None = None,
    bruna: bool = True,
) -> Describer:
    """Load the networks that the pipeline has trained.

    Args:
        models: the pipeline's artifacts folder, with `unet`, `attributes` and `bruna`; or the address of what
            `bruna register` made: `models:/bruna@champion` (an alias), `models:/bruna/3` (a version) or
            `runs:/RUN/bruna`. It is looked for on the server that MLFLOW_TRACKING_URI names, else in `mlflow.db` in
            the working folder.
        device: `auto` (a GPU if there is one), `cpu`, `cuda` or `cuda:N`.
        settings: how the networks are used; by default as the stage `evaluate` has used them
            (`evaluate/settings.json`), and as the paper does where that file is missing.
        bruna: False loads Task 1's network alone.

    Raises:
        BrunaError: the folder or a model is missing, damaged or of another version, the networks tell different
            attributes, or there is no such device; or the registry does not have the model.
    """
    if not (isinstance(models, str) and _ADDRESS.match(models)):
        return describer.load(models, device, settings=settings, bruna=bruna)
    with tempfile.TemporaryDirectory(prefix="bruna-") as folder:  # what is loaded is in memory
        found = _downloaded(models, Path(folder))
        return describer.load(found, device, settings=settings, bruna=bruna)


def _downloaded(models: str, to: Path) -> Path:
    """A folder that is laid out as the artifacts folder."""
    root = Path.cwd()
    if not os.environ.get("MLFLOW_TRACKING_URI") and not (root / "mlflow.db").exists():
        raise BrunaError(
            f"{models}: there is no registry here ({root / 'mlflow.db'} is missing). Run this in the top folder of the "
            "project, or name a server in MLFLOW_TRACKING_URI."
        )
    try:  # the extra `pipeline`, without which a folder loads
        from bruna.registry.store import address, quiet  # noqa: PLC0415
        from bruna.tracking.sending import without_password  # noqa: PLC0415

        quiet()
        import mlflow  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise BrunaError(f"{models} is loaded by {error.name}: `pip install 'bruna[pipeline]'` brings it.") from None
    uri = address(root)
    try:
        place = mlflow.artifacts.download_artifacts(artifact_uri=models, dst_path=str(to), tracking_uri=uri)
    except Exception as error:  # of MLflow, of its transport, of the disk
        reason = without_password(str(error).partition("\n")[0]).rstrip(".")
        raise BrunaError(
            f"{models} cannot be loaded: {reason}. `bruna ui` shows what is registered; `bruna register` registers."
        ) from None
    found = Path(place) / MODELS
    if not found.is_dir():
        raise BrunaError(
            f"{models} has no {MODELS}: `bruna register` did not make it, or the project was moved since and its store "
            "still names the old place, which `bruna ui` corrects."
        )
    return found
