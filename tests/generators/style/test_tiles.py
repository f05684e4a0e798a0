"""Tiles and windows cover every pixel and blend."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from countermark.generators.style.tiles import blend_tiles, fit_within, spans, windows


def content(height: int = 48, width: int = 64) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 4 % 256, columns * 3 % 256, np.full_like(rows, 120)], -1).astype(np.uint8)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(8, 64))
def test_tiles_cover_everything_and_blend_to_the_same(height: int, width: int, side: int) -> None:
    image = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    assert np.array_equal(blend_tiles((image,), side, lambda part: part), image)
    covered = np.zeros(height, bool)
    for start, end in spans(height, side, side // 4):
        assert end - start == min(side, height)
        covered[start:end] = True
    assert covered.all()


def test_fit_within_never_enlarges() -> None:
    assert fit_within(content(), 100).shape == (48, 64, 3)
    assert max(fit_within(content(100, 400), 64).shape) == 64


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(8, 64), st.integers(0, 40))
def test_windows_fill_every_pixel_once(height: int, width: int, tile: int, margin: int) -> None:
    filled = np.zeros((height, width), int)
    numbers = np.arange(height * width).reshape(height, width)
    for window in windows(height, width, tile, margin):
        filled[window.core] += 1
        assert np.array_equal(numbers[window.region][window.inside()], numbers[window.core])
    assert (filled == 1).all()
