"""The examples in the docstrings run."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest
import torch

MODULES = [
    "recipes.schema",
    "measuring.copying",
    "data.pictures",
    "gan.diffaugment",
    "families.detail",
    "families.guided",
    "families.layout",
    "families.dcgan",
    "families.fastgan",
    "families.latent",
    "families.residual",
    "augmentation.plan",
    "measuring.classifier",
    "families.stylegan",
    "families.tuned",
    "families.upsampling",
    "grids",
    "gan.losses",
    "data.medmnist",
    "data.published",
    "families",
    "latents.autoencoder",
    "latents.space",
    "library",
    "presets",
    "measuring.quality",
    "data.selflabels",
    "sketch.latent",
    "data.textures",
    "gan.zoo",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = import_module(f"countermark.generators.{name}")
    found = doctest.testmod(module, extraglobs={"torch": torch})
    assert found.attempted and not found.failed
