"""A region network of random numbers, and noise to look at."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from countermark.detectors.regions.cells import SHAPES as CELL_SHAPES
from countermark.detectors.regions.engine import SHAPES


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """Arrays of a network that nothing was trained on."""
    generator = np.random.default_rng(0)
    return {
        name: (generator.normal(size=shape) / np.sqrt(np.prod(shape[1:]) or 1)).astype(np.float32)
        for name, shape in SHAPES.items()
    }


@pytest.fixture
def head() -> dict[str, np.ndarray]:
    """Arrays of a head over cells that nothing was trained on."""
    generator = np.random.default_rng(1)
    found = {
        name: (generator.normal(size=shape) / np.sqrt(np.prod(shape[1:]) or 1)).astype(np.float32)
        for name, shape in CELL_SHAPES.items()
    }
    return found | {name: np.ones(CELL_SHAPES[name], np.float32) for name in found if name.endswith("spread")}


@pytest.fixture
def noise() -> Callable[..., np.ndarray]:
    """Makes uint8 RGB noise of a height and a width."""

    def make(high: int, wide: int, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, (high, wide, 3)).astype(np.uint8)

    return make
