"""The networks of doodle to image."""

from __future__ import annotations

import torch

from countermark.generators.sketch.network import PatchCritic, SketchConfig, build_generator

TINY = SketchConfig(size=32, width=8, max_width=16, critic_width=4)


def test_noise_and_strokes_both_reach_the_image() -> None:
    torch.manual_seed(0)
    network, critic = build_generator(TINY), PatchCritic(TINY)
    z, condition = torch.randn(2, 32), torch.rand(1, 5, 32, 32).expand(2, -1, -1, -1)
    images = network(z, condition)
    assert images.shape == (2, 3, 32, 32) and images.abs().max() <= 1
    assert (images[0] - images[1]).abs().max() > 1e-4
    assert (network(z, torch.zeros_like(condition)) - images).abs().max() > 1e-4
    assert critic(images, condition).shape[:2] == (2, 1)
