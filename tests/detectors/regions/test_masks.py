"""Masks follow edges, hold no specks, and their parts have places in the picture."""

from __future__ import annotations

import numpy as np
import pytest

from countermark.detectors.regions.masks import LONGEST, MOST, mask_of, parts_of, refined


def square(side: int = 240, first: int = 83, last: int = 165) -> tuple[np.ndarray, np.ndarray]:
    """A bright square on grey, and where it is."""
    picture = np.full((side, side, 3), 90, np.uint8)
    inside = np.zeros((side, side), bool)
    inside[first:last, first:last] = True
    picture[inside] = 210
    return picture, inside


def chances_of(inside: np.ndarray) -> np.ndarray:
    rows, columns = (n // 8 for n in inside.shape)
    blocks = inside[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8).mean(axis=(1, 3))
    return np.clip(blocks, 0.02, 0.95).astype(np.float32)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_a_refined_map_follows_the_edge_better_than_blocks() -> None:
    picture, inside = square()
    blocks = np.kron(chances_of(inside) >= 0.5, np.ones((8, 8), bool))
    assert iou(mask_of(refined(chances_of(inside), picture), 0.5), inside) > iou(blocks, inside)


def test_a_refined_map_has_the_size_of_the_picture_up_to_a_bound() -> None:
    for high, wide in ((131, 257), (8, 8), (300, 2 * LONGEST)):
        chances = np.full((max(1, high // 8), max(1, wide // 8)), 0.3, np.float32)
        field = refined(chances, np.zeros((high, wide, 3), np.uint8))
        factor = min(1, LONGEST / max(high, wide))
        assert field.shape == (round(high * factor), round(wide * factor))
        assert np.allclose(field, 0.3, atol=1e-3)


def test_specks_are_no_parts() -> None:
    field = np.zeros((400, 400), np.float32)
    field[10:14, 10:14] = 1
    field[200:300, 100:180] = 1
    mask = mask_of(field, 0.5)
    assert not mask[:100].any() and mask[220:280, 120:160].all()


def test_nothing_gives_an_empty_mask_and_no_parts() -> None:
    mask = mask_of(np.full((64, 64), 0.2, np.float32), 0.5)
    assert not mask.any()
    assert parts_of(mask, np.full((8, 8), 0.2, np.float32)) == []


def test_parts_stand_in_pixels_of_the_picture_the_largest_first() -> None:
    mask = np.zeros((100, 200), bool)
    mask[10:20, 10:30] = True
    mask[50:90, 100:180] = True
    found = parts_of(mask, np.full((25, 50), 0.8, np.float32), (200, 400))
    assert [part.box for part in found] == [(200, 100, 160, 80), (20, 20, 40, 20)]
    assert found[0].area == pytest.approx(0.16) and found[0].strength == pytest.approx(0.8)


def test_parts_are_bounded() -> None:
    mask = np.zeros((400, 400), bool)
    mask[::20, ::20] = True
    assert len(parts_of(mask, np.full((50, 50), 0.8, np.float32))) == MOST
