"""Trained networks whose passes ONNX Runtime computes, on the CPU; all around them stays as it is."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from bruna.export.networks import BRUNA, TASK1, UNET
from bruna.export.onnx_file import Session
from bruna.inference.describer import Describer
from bruna.models.attributes import AttributeNetwork
from bruna.models.bruna import Bruna, Embedding
from bruna.models.unet import Segmentation, UNet

_TOGETHER = 8
"""Images that a thread computes at a time. Of more the feature maps leave the processor's cache: 128 took a quarter
more time (docs/how-to/engines.md)."""


def run_by_sessions(people: Describer, sessions: Mapping[str, Session]) -> Describer:
    """The same networks, computed by sessions of one thread each (`networks_of` names their files).

    As many threads as torch uses share a batch.
    """
    pool = ThreadPoolExecutor(torch.get_num_threads(), "networks")
    unet, task1, bruna = people.unet, people.attribute_network, people.bruna
    if unet is not None:
        unet = replace(unet, network=cast(UNet, _UNet(unet.network, sessions[UNET], pool)))
    if task1 is not None:
        task1 = replace(task1, network=cast(AttributeNetwork, _Task1(task1.network, sessions[TASK1], pool)))
    if bruna is not None:
        bruna = replace(bruna, network=cast(Bruna, _Bruna(bruna.network, sessions[BRUNA], pool)))
    return replace(people, unet=unet, attribute_network=task1, bruna=bruna)


class _Network:
    """Stands in for a network: what it does not have itself, such as settings, is the network's."""

    def __init__(self, network: torch.nn.Module, session: Session, pool: ThreadPoolExecutor) -> None:
        self._network, self._session, self._pool = network, session, pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def _run(self, *given: Tensor | None) -> list[Tensor]:
        """The outputs for a batch. The graph has an input for each tensor."""
        arrays = [each.numpy() for each in given if each is not None]

        def run(start: int) -> list[np.ndarray[Any, Any]]:  # NumPy's copies let the other threads go on, as runs do
            some = [np.ascontiguousarray(each[start : start + _TOGETHER]) for each in arrays]
            return list(self._session.run(some, _TOGETHER).values())

        parts = list(self._pool.map(run, range(0, len(arrays[0]), _TOGETHER)))
        return [torch.from_numpy(np.concatenate(each)) for each in zip(*parts, strict=True)]


class _UNet(_Network):
    def __call__(self, images: Tensor) -> Segmentation:
        return Segmentation(*self._run(images))


class _Task1(_Network):
    def predict(self, images: Tensor) -> Tensor:
        return self._run(images)[0]


class _Bruna(_Network):
    def __call__(self, images: Tensor, masks: Tensor | None = None, bottleneck: Tensor | None = None) -> Embedding:
        features, *others = self._run(images, masks, bottleneck)
        logits = others[0] if others else features[:, :0]
        return Embedding(features, logits, features, self.attributes)
