"""Weights for a backbone: torchvision's own, a state dict of the user's, or none."""

import logging
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn

from bruna.errors import BrunaError
from bruna.models.backbones import IMAGE_CHANNELS, OWN_NETWORKS, Backbone, first_convolution

_LOG = logging.getLogger("bruna")
_HEADS = ("classifier.", "fc.")


def load_pretrained(backbone: Backbone, name: str, source: str) -> None:
    """Load published weights into a backbone.

    Args:
        backbone: built by `Backbone(name)`; a fourth input channel keeps its zeros.
        name: a name in `bruna.models.backbones.NETWORKS`.
        source: `none`, `imagenet`, or the path of a state dict, with or without the prefix `features.` and with or
            without a classifier, which is left out.

    Raises:
        BrunaError: nobody publishes ImageNet weights of this network, there is no network and no cached file, no
            such file, or its tensors are not this network's.
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
    if not path.is_file():
        raise BrunaError(
            f"pretrained: {path} is no file (looked in {Path.cwd()}). Give the path of a state dict, or "
            "`imagenet`, or `none`."
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise BrunaError(f"pretrained: {path} is not a torch state dict ({str(error).splitlines()[0]}).") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise BrunaError(f"pretrained: {path} holds {type(state).__name__}, not a dict of tensors (a state dict).")
    return state


def _load(backbone: Backbone, name: str, state: dict[str, Tensor], source: str) -> None:
    own = backbone.state_dict()
    kept = {
        key if key in own or key.startswith("features.") else f"features.{key}": value
        for key, value in state.items()
        if key in own or not key.startswith(_HEADS)  # AlexNet keeps the hidden layers of its classifier
    }
    _extend_first_convolution(kept, backbone)
    wrong = [key for key in own if key not in kept or kept[key].shape != own[key].shape]
    if wrong or len(kept) != len(own):
        extra = sorted(set(kept) - set(own))
        raise BrunaError(
            f"pretrained: {source} does not fit {name}: {len(wrong)} of its {len(own)} tensors are missing or of "
            f"another shape (first: {wrong[:3]}), {len(extra)} are unknown (first: {extra[:3]}). Choose the network "
            "that the file was made for, or `pretrained: none`."
        )
    backbone.load_state_dict(kept)
    _LOG.info("%s: %d tensors from %s", name, len(kept), source)


def _extend_first_convolution(state: dict[str, Tensor], backbone: nn.Module) -> None:
    """Give a published first convolution the mask channel that this backbone has, with zeros: it starts unseen."""
    where, convolution = first_convolution(backbone)
    key = f"{where}.weight"
    published = state.get(key)
    if published is not None and published.shape[1] == IMAGE_CHANNELS < convolution.in_channels:
        widened = published.new_zeros(convolution.weight.shape)
        widened[:, :IMAGE_CHANNELS] = published
        state[key] = widened
