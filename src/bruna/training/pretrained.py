"""Weights for a backbone: torchvision's own, a state dict of the user's, or none."""

import logging
import warnings
import zipfile
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor, nn

from bruna.errors import BrunaError
from bruna.models.backbones import IMAGE_CHANNELS, OWN_NETWORKS, Backbone, first_convolution
from bruna.models.state_dicts import misfit
from bruna.training.checkpoint import is_whole

_LOG = logging.getLogger("bruna")
_HEADS = ("classifier.", "fc.")
_CURE = "Give a file that torch.save(model.state_dict(), FILE) wrote, or `imagenet`, or `none`."


def load_pretrained(backbone: Backbone, name: str, source: str) -> None:
    """Load published weights into a backbone.

    Args:
        backbone: built by `Backbone(name)`; a fourth input channel keeps its zeros.
        name: a name in `bruna.models.backbones.NETWORKS`.
        source: `none`, `imagenet`, or the path of a state dict, with or without the prefix `features.` and with or
            without a classifier, which is left out.

    Raises:
        BrunaError: nobody publishes ImageNet weights of this network, there is no network and no cached file, no
            such file, it is damaged or holds anything but tensors, or its tensors are not this network's, of another
            type, NaN or infinite.
    """
    if source == "none":
        return
    state = _imagenet(name) if source == "imagenet" else _from_file(Path(source))
    _load(backbone, name, state, source)


def _imagenet(name: str) -> dict[str, Tensor]:
    if name in OWN_NETWORKS:
        raise BrunaError(
            f"pretrained: imagenet has no weights for {name}, which is this project's own small network. Set "
            "`pretrained: none`, give the path of a state dict of it, or choose a network of torchvision."
        )
    from torchvision.models import get_model_weights  # noqa: PLC0415 - two seconds

    weights = get_model_weights(name)["DEFAULT"]
    file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    try:
        return dict(weights.get_state_dict(progress=True, check_hash=True))
    except (URLError, OSError, RuntimeError) as error:
        raise BrunaError(
            f"pretrained: imagenet needs {weights.url}, which could not be fetched ({error}). On a machine that "
            f"reaches it, download that file and put it at {file} here; or give the path of a state dict as "
            "`pretrained: PATH`; or set `pretrained: none` to start from random weights."
        ) from None


def _from_file(path: Path) -> dict[str, Tensor]:
    state = _loaded(path)
    if isinstance(state, dict) and all(isinstance(key, str) for key in state):
        wrong = [key for key, value in state.items() if not isinstance(value, Tensor) or not _dense(value)]
        if not wrong:
            return state
        inner = next((key for key in wrong if isinstance(state[key], dict)), None)
        if inner is not None:
            cure = (
                f"If its state dict is under {inner!r}, save that alone: torch.save(torch.load(FILE)[{inner!r}], NEW)."
            )
            raise BrunaError(f"pretrained: {path} is a dict of {sorted(state)[:5]}, not a dict of tensors. {cure}")
        value = state[wrong[0]]
        found = f"{_described(value) if isinstance(value, Tensor) else type(value).__name__} under {wrong[0]!r}"
    else:
        found = "names that are no texts" if isinstance(state, dict) else type(state).__name__
    raise BrunaError(f"pretrained: {path} holds {found}, where a dict of names and dense tensors belongs. {_CURE}")


def _loaded(path: Path) -> Any:
    """What torch.save wrote; never anything that could run code."""
    try:
        if not path.is_file():
            raise FileNotFoundError
        if not zipfile.is_zipfile(path) or is_whole(path):
            with warnings.catch_warnings(action="ignore"):  # of old and of sparse tensors
                return torch.load(path, map_location="cpu", weights_only=True)
        reason = "it is damaged"
    except OSError:
        raise BrunaError(
            f"pretrained: {path} is no file that can be read (looked in {Path.cwd()}). Give the path of a state dict, "
            "or `imagenet`, or `none`."
        ) from None
    except Exception:  # whatever its readers stumble over; their own advice is to load it unsafely
        reason = _why(path)
    raise BrunaError(f"pretrained: {path} is not a torch state dict: {reason}. {_CURE}")


def _why(path: Path) -> str:
    """Why torch does not load a file."""
    if path.stat().st_size == 0:
        return "it is empty"
    try:
        objects = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
    except Exception:  # no zip, or not one of torch's
        return "it is cut short or damaged, or torch.save did not write it, or it holds Python objects besides tensors"
    what = f" ({', '.join(objects[:3])})" if objects else ""
    return (
        f"it holds Python objects besides tensors{what}, as a whole model does; they could run code and are not loaded"
    )


def _dense(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not (tensor.is_quantized or tensor.is_meta or tensor.is_nested)


def _described(tensor: Tensor) -> str:
    what = (
        "quantized" if tensor.is_quantized else "meta" if tensor.is_meta else str(tensor.layout).removeprefix("torch.")
    )
    return f"a {what} tensor"


def _load(backbone: Backbone, name: str, state: dict[str, Tensor], source: str) -> None:
    own = backbone.state_dict()
    kept = {
        key if key in own or key.startswith("features.") else f"features.{key}": value
        for key, value in state.items()
        if key in own or not key.startswith(_HEADS)  # AlexNet keeps the hidden layers of its classifier
    }
    _extend_first_convolution(kept, backbone)
    if reason := misfit(own, kept):
        raise BrunaError(
            f"pretrained: {source} does not fit {name}: {reason}. Choose the network that the file was made for, "
            "another file, or `pretrained: none`."
        )
    backbone.load_state_dict(kept)
    _LOG.info("%s: %d tensors from %s", name, len(kept), source)


def _extend_first_convolution(state: dict[str, Tensor], backbone: nn.Module) -> None:
    """Give a published first convolution the mask channel that this backbone has, with zeros: it starts unseen."""
    where, convolution = first_convolution(backbone)
    key = f"{where}.weight"
    published = state.get(key)
    if (
        published is not None
        and published.ndim == convolution.weight.ndim
        and published.shape[1] == IMAGE_CHANNELS < convolution.in_channels
    ):
        widened = published.new_zeros(convolution.weight.shape)
        widened[:, :IMAGE_CHANNELS] = published
        state[key] = widened
