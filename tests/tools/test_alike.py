"""What both sides of a comparison go through."""

from __future__ import annotations

import numpy as np
from alike import enlarged, resaved, saved_pictures

from countermark.generators.data.pictures import Pictures


def _noise(count: int, side: int = 32) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


def test_a_lower_quality_is_further_from_the_picture():
    images = _noise(3)
    far, near = (np.abs(resaved(images, q).astype(int) - images).mean() for q in (40, 95))
    assert far > near > 0
    assert resaved(images, 0) is images
    red = np.zeros((1, 32, 32, 3), np.uint8)
    red[..., 0] = 200
    assert resaved(red, 90)[0, 16, 16, 0] > 150  # the order of colours stays


def test_training_and_held_out_pictures_are_saved_alike():
    images = _noise(4)
    both = saved_pictures(Pictures("x", images[:3], None, (), images[3:], None), 60)
    assert np.array_equal(both.images, resaved(images[:3], 60))
    assert np.array_equal(both.heldout, resaved(images[3:], 60))


def test_small_pictures_are_enlarged_and_others_left():
    images = _noise(2)
    assert enlarged(images, 64).shape == (2, 64, 64, 3)
    assert enlarged(images, 32) is images
