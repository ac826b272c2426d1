"""Untrained small networks as the pipeline saves trained ones: for tests of what uses them."""

from pathlib import Path

import torch

from bruna.inference.saving import save_models
from bruna.models.attributes import AttributeNetwork
from bruna.models.bruna import Bruna
from bruna.models.unet import UNet

UNET_SIZE, ATTRIBUTES_SIZE, BRUNA_SIZE = (32, 16), (48, 24), (64, 32)


def save_tiny_models(artifacts: Path, seed: int = 0) -> Path:
    """Write `unet`, `attributes` and `bruna` into a folder, which is returned; each sees another image size."""
    torch.manual_seed(seed)
    width, depth = 2, 1
    unet = UNet(width, depth)
    save_models(
        artifacts / "unet",
        {"model": unet},
        {"trained": True, "width": width, "depth": depth, "image_size": list(UNET_SIZE)},
    )
    rebuild = {"network": "simple_cnn", "last_stride": 2, "pool": "whole", "dropout": 0.0, "flip_test": True}
    settings = {**rebuild, "image_size": list(ATTRIBUTES_SIZE), "params": {"logit_adjustment": 0.3}}
    attributes = AttributeNetwork("simple_cnn", flip_test=True)
    save_models(artifacts / "attributes", {"model": attributes}, settings)
    network = {
        "backbone": "mobilenet_v3_small",
        "features": 16,
        "mask": "channel",
        "bottleneck": unet.bottleneck_channels,
        "dropout": 0.0,
        "last_stride": 2,
        "neck": "batch_norm",
    }
    bruna = Bruna(
        "mobilenet_v3_small", 16, "channel", unet.bottleneck_channels, dropout=0.0, last_stride=2, neck="batch_norm"
    )
    save_models(
        artifacts / "bruna", {"bruna": bruna}, {"network": network, "image_size": list(BRUNA_SIZE), "params": {}}
    )
    return artifacts
