"""The examples in the docstrings run."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest
import torch

MODULES = [
    "config", "copying", "data", "diffaugment", "families.dcgan", "families.fastgan", "families.residual",
    "augmentation.plan", "classifier", "families.stylegan", "families.tuned", "families.upsampling",
    "gallery", "grids", "losses", "medmnist", "models", "presets", "quality", "reconstruction",
    "selflabels", "textures", "zoo",
]  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = import_module(f"countermark.generators.{name}")
    found = doctest.testmod(module, extraglobs={"torch": torch})
    assert found.attempted and not found.failed
