"""Measures of style transfer and of enlarging."""

from __future__ import annotations

import doctest
from importlib import import_module

import cv2
import numpy as np
import pytest
import torch
from enlarging_measure import bicubic_pixels, compare_with_bicubic, perceptual_distance
from style_measure import at_content, content_distance, moments_distance

from countermark.generators.style.encoder import load_encoder

FILTERS = load_encoder("filters")


def picture(seed: int, side: int = 64) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (side // 8, side // 8, 3), np.uint8)
    return cv2.resize(noise, (side, side), interpolation=cv2.INTER_NEAREST)


def test_distances_are_nought_for_equal_images_and_grow_with_the_change() -> None:
    one, two = picture(0), picture(1)
    between = cv2.addWeighted(one, 0.5, two, 0.5, 0)
    for measure in (content_distance, moments_distance, perceptual_distance):
        assert measure(one, one, FILTERS) == pytest.approx(0, abs=1e-6)
        assert measure(between, one, FILTERS) > 0
    for measure in (content_distance, perceptual_distance):
        assert measure(between, one, FILTERS) < measure(two, one, FILTERS)
    rolled = np.roll(one, (8, 16), (0, 1))
    assert moments_distance(rolled, one, FILTERS) < 0.1 * content_distance(rolled, one, FILTERS)


def test_a_blurred_image_is_further_in_features_than_a_slightly_brighter_one() -> None:
    one = picture(2)
    blurred, brighter = cv2.GaussianBlur(one, (0, 0), 2), cv2.add(one, (4, 4, 4, 0))
    assert perceptual_distance(blurred, one, FILTERS) > 2 * perceptual_distance(brighter, one, FILTERS)


def test_a_style_distance_is_read_between_settings_and_never_beyond_them() -> None:
    curve = [(0.4, 0.1), (0.0, 0.5), (0.2, 0.2)]
    assert at_content(curve, 0.1) == pytest.approx(0.35)
    assert at_content(curve, 0.3) == pytest.approx(0.15)
    assert at_content(curve, 0.5) is None and at_content([], 0.1) is None


def test_enlargers_are_compared_on_the_same_small_images() -> None:
    originals = [picture(seed) for seed in range(4)]

    def oracle(small: np.ndarray, number: int) -> np.ndarray:
        assert small.shape == (32, 32, 3)
        nearly = originals[number].copy()
        nearly[0, 0] ^= 1
        return nearly

    same = compare_with_bicubic(originals, lambda small, _: bicubic_pixels(small, 2), 2, FILTERS)
    assert same.gain.value == same.nearer.value == 0 and same.better == 0
    best = compare_with_bicubic(originals, oracle, 2, FILTERS, quality=60, resamples=50)
    assert best.psnr[1] > 70 > best.psnr[0] and best.better == 1 and best.count == 4
    assert best.distance[1] < 1e-4 < best.distance[0] and best.nearer.high < 0 < best.gain.low


@pytest.mark.parametrize(
    "name",
    [
        "style_measure",
        "enlarging_measure",
        *(f"countermark.generators.{name}" for name in ("style.adain", "style.tiles", "families.grown")),
    ],
)
def test_examples(name: str) -> None:
    found = doctest.testmod(import_module(name), extraglobs={"torch": torch})
    assert found.attempted and not found.failed
