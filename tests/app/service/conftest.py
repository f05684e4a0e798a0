"""What the tests of the service share: drawn pictures, and a detector that costs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from countermark.core.seeds import rng


class Paper:
    """A detector whose score is the picture's mean brightness; the real ones have their own tests."""

    name = "paper"
    card = SimpleNamespace(sha256="0" * 64)

    def score(self, images: Sequence[np.ndarray]) -> np.ndarray:
        return np.array([float(image.mean()) / 255 for image in images])

    def heatmap(self, image: np.ndarray) -> np.ndarray:
        return image.mean(axis=2).astype(np.float32) / 255

    def thresholds(self, max_fpr: float = 0.01) -> SimpleNamespace:
        return SimpleNamespace(likely=0.9 - max_fpr, unsure=0.4, note="")


def draw(seed: int = 1, height: int = 192, width: int = 256, mean: float = 128.0) -> np.ndarray:
    """A picture with structure at several scales and the given mean brightness, about."""
    chance = rng(seed, "picture")
    layers = chance.normal(0, 4, (height, width, 3)).astype(np.float32)
    for cells in (3, 6, 12, 24):
        grid = chance.normal(0, 1, (cells, cells + 1, 3)).astype(np.float32)
        layers += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * (50 / cells**0.5)
    layers *= min(1.0, (255 - mean) / 60, mean / 60)
    return np.clip(mean + layers - layers.mean(), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def paper() -> Paper:
    return Paper()


@pytest.fixture(scope="session")
def drawing() -> object:
    """``draw``, for test modules that cannot import this one."""
    return draw
