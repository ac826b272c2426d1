"""Untrained small networks as the pipeline saves trained ones: for tests of what uses them."""

from pathlib import Path
from typing import Any

import torch

from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.schema import Tasks, as_json, task1_tasks
from bruna.inference.saving import save_models
from bruna.models.attributes import AttributeNetwork
from bruna.models.bruna import Bruna
from bruna.models.unet import UNet
from course_schema import CAMERA_CLASSES

UNET_SIZE, ATTRIBUTES_SIZE, BRUNA_SIZE = (32, 16), (48, 24), (64, 32)


def save_tiny_models(
    artifacts: Path, seed: int = 0, schema: Tasks = ATTRIBUTES, camera_classes: tuple[int, ...] = CAMERA_CLASSES
) -> Path:
    """Write `unet`, `attributes` and `bruna` into a folder, which is returned; each sees another image size.

    Args:
        artifacts: the folder.
        seed: of the weights.
        schema: the attributes that the networks tell.
        camera_classes: the cameras that Task 1 tells.
    """
    torch.manual_seed(seed)
    width, depth = 2, 1
    unet = UNet(width, depth)
    save_models(
        artifacts / "unet",
        {"model": unet},
        {"trained": True, "width": width, "depth": depth, "image_size": list(UNET_SIZE)},
    )
    rebuild = {"network": "simple_cnn", "last_stride": 2, "pool": "whole", "dropout": 0.0, "flip_test": True}
    told = {"attributes": as_json(schema), "camera_classes": list(camera_classes)}
    settings = {**rebuild, **told, "image_size": list(ATTRIBUTES_SIZE), "params": {"logit_adjustment": 0.3}}
    attributes = AttributeNetwork("simple_cnn", task1_tasks(schema, camera_classes), flip_test=True)
    save_models(artifacts / "attributes", {"model": attributes}, settings)
    network: dict[str, Any] = {
        "backbone": "mobilenet_v3_small",
        "features": 16,
        "mask": "channel",
        "bottleneck": unet.bottleneck_channels,
        "dropout": 0.0,
        "last_stride": 2,
        "neck": "batch_norm",
    }
    bruna = Bruna(**network, attributes=schema)
    settings = {"network": network, "attributes": as_json(schema), "image_size": list(BRUNA_SIZE), "params": {}}
    save_models(artifacts / "bruna", {"bruna": bruna}, settings)
    return artifacts
