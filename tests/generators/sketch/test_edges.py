"""Outlines and the doodles that are made of them."""

from __future__ import annotations

import numpy as np
import pytest

from countermark.generators.sketch import edges


def square(side: int = 96) -> np.ndarray:
    pixels = np.full((side, side, 3), 230, np.uint8)
    pixels[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = (180, 30, 40)
    return pixels


@pytest.mark.parametrize("make", [edges.soft_edges, edges.canny_edges])
def test_edges_lie_on_the_outline_and_nowhere_else(make) -> None:
    found = make(square())
    assert found.dtype == np.float32 and found.min() >= 0 and found.max() <= 1
    assert found[22:27, 40:60].max() > 0.8  # the upper side
    assert found[40:56, 40:56].max() < 0.05 and found[:12].max() < 0.05
    assert make(np.full((32, 32, 3), 128, np.uint8)).max() < 0.05


def test_outlines_of_a_network_take_the_place_of_soft_edges() -> None:
    outline = np.zeros((96, 96), np.float32)
    outline[30:34, 10:80] = 0.9
    made = [edges.drawn(outline, np.random.default_rng(seed)) for seed in range(8)]
    for strokes in made:
        assert strokes.dtype == np.float32 and strokes.max() == 1 and not strokes[:29].any()
    assert not np.array_equal(made[0], edges.drawn(outline * 0.6, np.random.default_rng(0)))
    plain, guided = (
        [edges.doodle(square(), np.random.default_rng(s), outline=o) for s in range(12)]
        for o in (None, outline)
    )
    changed = [not np.array_equal(a, b) for a, b in zip(plain, guided, strict=True)]
    assert any(changed) and not all(changed)  # Canny's share stays


def test_doodles_differ_by_draw_and_repeat_by_seed() -> None:
    draws = [edges.doodle(square(), np.random.default_rng(seed)) for seed in range(20)]
    again = edges.doodle(square(), np.random.default_rng(3))
    assert np.array_equal(draws[3], again)
    assert any(d[..., 4].any() for d in draws) and any(not d[..., 4].any() for d in draws)
    for one in draws:
        assert one.shape == (96, 96, 5) and np.isfinite(one).all()
        assert not one[..., 1:4][one[..., 4] == 0].any()
