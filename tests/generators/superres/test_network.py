"""The super-resolution network before training."""

from __future__ import annotations

import numpy as np
import torch
from enlarging_measure import bicubic_pixels

from countermark.generators.superres.enlarge import enlarge
from countermark.generators.superres.network import SuperresConfig, SuperResolver, bicubic

TINY = SuperresConfig(width=8, blocks=2, critic_width=4)


def scene(side: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[0:side, 0:side]
    disc = (rows - side / 2) ** 2 + (columns - side / 2) ** 2 < (side / 3) ** 2
    wave = 40 * np.sin(columns / 3)
    return np.clip(
        np.stack([disc * 150 + 50 + wave, 200 - disc * 90, columns * 0.0 + 90], -1), 0, 255
    ).astype(np.uint8)


def test_an_untrained_network_is_bicubic() -> None:
    network = SuperResolver(TINY).eval()
    pixels = scene(32)
    large = enlarge(network, pixels, 2)
    x = torch.rand(1, 3, 9, 7)
    assert torch.allclose(network(x), bicubic(x, 2))
    assert np.abs(large.astype(int) - bicubic_pixels(pixels, 2).astype(int)).max() <= 2
