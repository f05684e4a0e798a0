"""Circular padding: doubling, convolutions and whole families without seams."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from countermark.generators.families import FAMILIES
from countermark.generators.families.upsampling import convolution, double, double_transposed

SMALL = {"size": 32, "latent": 16, "width": 8, "critic_width": 8, "critic_max_width": 16}


@pytest.mark.parametrize("change", ["nearest", "bilinear", "transposed"])
def test_circular_doubling_commutes_with_rolling(change):
    torch.manual_seed(0)
    conv = nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1)
    x = torch.randn(2, 3, 8, 8)

    def run(value, padding):
        if change == "transposed":
            return double_transposed(conv, value, padding)
        return double(value, change, padding)

    moved = run(x.roll((3, 5), (2, 3)), "circular")
    assert torch.allclose(moved, run(x, "circular").roll((6, 10), (2, 3)), atol=1e-5)
    if change != "nearest":
        assert not torch.allclose(run(x.roll(3, 2), "zeros"), run(x, "zeros").roll(6, 2), atol=1e-3)
    assert torch.allclose(run(x, "circular")[..., 2:-2, 2:-2], run(x, "zeros")[..., 2:-2, 2:-2], atol=1e-5)


@pytest.mark.parametrize(
    ("family", "more"),
    [("dcgan", {"upsample": u}) for u in ("nearest", "bilinear", "transposed")]
    + [("stylegan-lite", {}), ("r3gan", {}), ("wgan-gp", {}), ("fastgan", {})],
)
def test_circular_families_make_pictures_without_seams(family, more):
    """Even untrained: the border to the next tile is like those between the 4 x 4 cells inside.

    Doubling gives every cell the same pattern of strong and weak steps, so a border is compared with
    borders at the same place in their cells; over many networks, as some start from one learnt map.
    """
    entry, borders = FAMILIES.get(family), {"circular": [], "zeros": []}
    for seed, padding in itertools.product(range(16), borders):
        torch.manual_seed(seed)
        network = entry.build_generator(entry.parse({**SMALL, "padding": padding, **more})).train()
        with torch.no_grad():
            pictures = network(torch.randn(4, 16), None)
        steps = (pictures.roll(-1, 2) - pictures).abs().mean(dim=(0, 1, 3))[7::8]
        borders[padding].append(float(steps[-1] / steps[:-1].mean()))
    assert np.median(borders["circular"]) == pytest.approx(1, abs=0.25)
    if more != {"upsample": "transposed"}:  # its own checkerboard is stronger than the seam
        assert np.median(borders["zeros"]) > 1.3


def test_wrapped_convolution_is_circular_padding():
    torch.manual_seed(0)
    ours = convolution(3, 4, 5, "circular")
    theirs = nn.Conv2d(3, 4, 5, padding=2, padding_mode="circular")
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 9, 7)
    assert torch.allclose(ours(x), theirs(x), atol=1e-6)
