"""Seeded, local randomness: no function here touches a global generator.

>>> int(rng(7, "crop", "a.jpg").integers(100)) == int(rng(7, "crop", "a.jpg").integers(100))
True
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive(seed: int, *labels: object) -> int:
    """A 63-bit seed that depends on ``seed`` and on every label, in order."""
    text = "\x1f".join([str(int(seed)), *map(str, labels)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def rng(seed: int, *labels: object) -> np.random.Generator:
    """A NumPy generator of its own for ``seed`` and ``labels``."""
    return np.random.default_rng(derive(seed, *labels))


def torch_rng(seed: int, *labels: object) -> torch.Generator:
    """A CPU torch generator of its own for ``seed`` and ``labels``."""
    import torch

    return torch.Generator().manual_seed(derive(seed, *labels))


@contextmanager
def torch_seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Torch's global generators start from ``seed`` inside, and are as if nothing had been drawn after.

    For what draws from nothing else: the weights of a new network, dropout. ``device`` names a CUDA
    device whose generator is meant too.
    """
    import torch

    with torch.random.fork_rng(devices=[device] if device is not None and device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
