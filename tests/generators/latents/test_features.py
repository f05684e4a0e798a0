"""Features of latents: near those that the network finds in the picture, and differentiable."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_sample_images

from countermark.core.lite0 import load_lite0
from countermark.generators.base import to_tensor
from countermark.generators.latents.autoencoder import encode
from countermark.generators.latents.features import WIDTHS, features


def _crops() -> torch.Tensor:
    images = load_sample_images().images
    crops = [im[y : y + 128, x : x + 128] for im in images for y in (20, 200) for x in (60, 300)]
    return to_tensor(np.stack(crops))


def test_they_are_near_those_of_the_picture():
    pictures = _crops()
    with torch.no_grad():
        found = features(encode(pictures))
        network = load_lite0()
        x = network.bn1(network.conv_stem(((pictures + 1) * 127.5 - 127) / 128))
        wanted = []
        for number, stage in enumerate(network.blocks):
            x = stage(x)
            if number in (2, 4, 6):
                wanted.append(x)
    for near, exact, width in zip(found, wanted, WIDTHS, strict=True):
        assert near.shape == exact.shape
        assert near.shape[1] == width
        flat = torch.stack([near.flatten(), exact.flatten()])
        assert float(torch.corrcoef(flat)[0, 1]) > 0.7


def test_gradients_reach_the_latents():
    latents = torch.randn(1, 32, 8, 8, requires_grad=True)
    sum(part.sum() for part in features(latents)).backward()
    assert latents.grad is not None
    assert bool((latents.grad != 0).any())
