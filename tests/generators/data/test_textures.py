"""Procedural textures: they tile, repeat, and their seams can be told."""

from __future__ import annotations

import numpy as np
import pytest

from countermark.core.errors import UnknownNameError
from countermark.generators.data.textures import MATERIALS, noise, seam_rank, seam_ratio, texture, tiled


@pytest.mark.parametrize("material", MATERIALS)
def test_materials_tile_and_follow_their_seed(material):
    images = np.stack([texture(material, seed, 32) for seed in range(6)])
    assert images.dtype == np.uint8 and images.shape == (6, 32, 32, 3)
    assert np.array_equal(images[0], texture(material, 0, 32))
    assert not np.array_equal(images[0], images[1])
    # A single seam varies with what happens to lie on it; six seeds bring the mean close to one.
    assert 0.4 < seam_ratio(images).mean() < 1.7


def test_a_crop_that_does_not_tile_is_told_from_one_that_does():
    whole = np.stack([texture("water", seed, 64) for seed in range(12)])
    cropped = whole[:, 5:45, 5:45]
    assert seam_ratio(whole).mean() < 1.3 < seam_ratio(cropped).mean()
    assert seam_rank(whole).mean() < 0.7 < 0.9 < seam_rank(cropped).mean()


def test_seam_ratio_of_known_images():
    slope = np.tile(np.arange(16, dtype=np.uint8)[:, None, None], (1, 16, 3))[None]
    assert seam_ratio(slope)[0] == pytest.approx(15.0)  # edges differ by 15, neighbours by 1
    assert seam_ratio(np.zeros((1, 8, 8, 3), np.uint8))[0] == 0


def test_unknown_material_is_named():
    with pytest.raises(UnknownNameError, match="Did you mean 'marble'"):
        texture("marbel", 0)


def test_noise_is_standardised_and_stretched():
    field = noise(64, np.random.default_rng(0), slope=1.5, stretch=(6, 1))
    assert abs(field.mean()) < 1e-6 and field.std() == pytest.approx(1)
    assert np.abs(np.diff(field, axis=0)).mean() < np.abs(np.diff(field, axis=1)).mean()


def test_tiled_lays_images_side_by_side():
    image = texture("brick", 1, 16)
    assert tiled(image).shape == (48, 48, 3)
    assert np.array_equal(tiled(image)[16:32, 32:], image)
