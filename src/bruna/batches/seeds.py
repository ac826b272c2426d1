"""Random generators that depend on what they are for, never on what was drawn before.

A step's draws come from a generator derived from (seed, name, epoch, step), so that a training resumed in the
middle of an epoch draws exactly what an uninterrupted one would have drawn.
"""

import hashlib
import json

import numpy as np
import torch


def derived_seed(seed: int, *path: str | int) -> int:
    """A number from 0 to 2^63 - 1 that stands for `seed` and `path`, the same on every machine and version.

    Different arguments give independent numbers (BLAKE2b): `("a", 1)`, `("a1",)` and `("a", "1")` differ.
    """
    digest = hashlib.blake2b(json.dumps([seed, *path]).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def step_generator(seed: int, *path: str | int) -> torch.Generator:
    """A fresh CPU generator for one purpose, for example `step_generator(0, "augment", epoch, step)`."""
    return torch.Generator().manual_seed(derived_seed(seed, *path))


def numpy_generator(seed: int, *path: str | int) -> np.random.Generator:
    """The same for numpy; the stream is that of PCG64, which numpy keeps stable."""
    return np.random.Generator(np.random.PCG64(derived_seed(seed, *path)))
