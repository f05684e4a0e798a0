"""Enlarging: seams, scales, sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from enlarging_measure import psnr
from hypothesis import given, settings
from hypothesis import strategies as st

from countermark.core.errors import ConfigError
from countermark.generators.superres.enlarge import enlarge
from countermark.generators.superres.network import SuperresConfig, SuperResolver, enlarge_once

TINY = SuperresConfig(width=8, blocks=2, critic_width=4)


def noisy_network() -> SuperResolver:
    torch.manual_seed(0)
    network = SuperResolver(TINY).eval().requires_grad_(False)
    torch.nn.init.normal_(network.tail.weight, std=0.3)
    return network


def scene(side: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[0:side, 0:side]
    disc = (rows - side / 2) ** 2 + (columns - side / 2) ** 2 < (side / 3) ** 2
    wave = 40 * np.sin(columns / 3)
    return np.clip(
        np.stack([disc * 150 + 50 + wave, 200 - disc * 90, columns * 0.0 + 90], -1), 0, 255
    ).astype(np.uint8)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(5, 33))
def test_tiles_leave_no_seams(height: int, width: int, tile: int) -> None:
    network = noisy_network()
    x = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height)) * 2 - 1
    assert (enlarge_once(network, x, tile=tile) - network(x)).abs().max() < 1e-5


def test_a_margin_that_is_too_small_would_be_seen() -> None:
    network = noisy_network()
    network.margin = 1
    x = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert (enlarge_once(network, x, tile=16) - network(x)).abs().max() > 1e-3


@pytest.mark.parametrize("scale", [0, 1, 3, 8, -2])
def test_scales_that_are_not_known_are_refused(scale: int) -> None:
    with pytest.raises(ConfigError) as error:
        enlarge(noisy_network(), scene(16), scale)
    assert error.value.code == "superres.scale"


def test_huge_images_are_refused_before_they_are_enlarged() -> None:
    huge = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (40_000, 1000, 3))
    with pytest.raises(ConfigError) as error:
        enlarge(noisy_network(), huge, 2)
    assert error.value.code == "superres.too-large"


def test_psnr_of_known_errors() -> None:
    black = np.zeros((4, 4, 3), np.uint8)
    assert psnr(black, black) == float("inf")
    assert psnr(black, black + 255) == pytest.approx(0)
    assert psnr(black, black + 1) == pytest.approx(48.13, abs=0.01)
