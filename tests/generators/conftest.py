"""Small data and recipes that train in a second or two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from countermark.core.images import write_image
from countermark.generators.recipes.schema import Recipe, parse_recipe

torch.set_num_threads(1)
NETWORK = {"width": 4, "max_width": 8}


def make_recipe(**changes: object) -> Recipe:
    values: dict[str, object] = {
        "name": "tiny",
        "network": {
            "size": 16,
            "latent": 8,
            "width": 4,
            "max_width": 8,
            "critic_width": 4,
            "critic_max_width": 8,
        },
        "optimiser": {"batch": 8},
        "images": 64,
        "precision": "fp32",
        "preview_images": 1000,
        **changes,
    }
    return parse_recipe(values)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve colour images of mixed sizes in two class folders."""
    rng = np.random.default_rng(0)
    root = tmp_path / "photos"
    for index in range(12):
        size = (20 + index, 30 - index, 3)
        write_image(root / "ab"[index % 2] / f"{index}.png", rng.integers(0, 256, size, np.uint8))
    return root


@pytest.fixture
def tiny_recipe() -> Callable[..., Recipe]:
    """Makes recipes for networks of a few thousand weights at 16 px."""
    return make_recipe
