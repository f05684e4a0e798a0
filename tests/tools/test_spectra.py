"""Power of pictures against that of photographs, ring by ring."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from spectra import spectrum_gap


def _noise(count: int, side: int = 64) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, side, side, 3), np.uint8)


def test_alike_pictures_have_no_gap_and_bands_follow_each_other():
    images = _noise(3)
    bands = spectrum_gap(images, images[::-1], bands=5)
    assert [band.decibels for band in bands] == pytest.approx([0] * 5)
    assert (bands[0].low, bands[-1].high) == (0, 0.25)
    assert all(a.high == b.low for a, b in itertools.pairwise(bands))


def test_more_photographs_than_pictures_have_no_more_power():
    images = _noise(40)
    bands = spectrum_gap(images[:20], images, bands=4)
    assert [band.decibels for band in bands] == pytest.approx([0] * 4, abs=0.5)


def test_a_blur_lacks_power_where_its_filter_says():
    """A Gaussian of standard deviation s leaves exp(-4 pi^2 s^2 f^2) of the power at frequency f."""
    images = _noise(40)
    blurred = np.stack([cv2.GaussianBlur(image, (0, 0), 1.0) for image in images])
    bands = spectrum_gap(blurred, images, highest=0.2, bands=8)
    for band in bands[2:]:
        middle = (band.low + band.high) / 2
        assert band.decibels == pytest.approx(-4 * np.pi**2 * middle**2 * 10 / np.log(10), abs=0.5)


def test_a_lattice_shows_at_its_frequency_and_nowhere_else():
    images = _noise(40) // 4 + 96
    marked = images.copy()
    marked[:, :, ::8] += 20
    bands = spectrum_gap(marked, images, bands=10)
    peak = max(bands, key=lambda band: band.decibels)
    assert peak.low <= 1 / 8 <= peak.high and peak.decibels > 3
    assert abs(bands[2].decibels) < 1
