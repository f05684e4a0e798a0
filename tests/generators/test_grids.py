"""Sample grids."""

from __future__ import annotations

from countermark.core.images import read_image
from countermark.generators import load_generator, sample_grid


def test_grid(tmp_path):
    path = sample_grid(load_generator("digits-32"), tmp_path / "grid.png", count=20, scale=2)
    assert read_image(path).pixels.shape == ((10 * 34 - 2) * 2, (2 * 34 - 2) * 2, 3)
