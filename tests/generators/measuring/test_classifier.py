"""The small classifier: it learns, repeats, and sees varied pictures."""

from __future__ import annotations

import numpy as np
import pytest

from countermark.core.errors import ConfigError, TrainingError
from countermark.generators.data.pictures import Pictures
from countermark.generators.measuring.classifier import classical, train_classifier


def tones(counts=(12, 12), side=16, spread=20) -> Pictures:
    """Classes that differ in brightness."""
    draws = np.random.default_rng(0)
    levels = np.linspace(60, 200, len(counts))
    images = [
        np.clip(draws.normal(m, spread, (n, side, side, 3)), 0, 255)
        for m, n in zip(levels, counts, strict=True)
    ]
    labels = np.repeat(np.arange(len(counts)), counts)
    empty = np.zeros((0, side, side, 3), np.uint8)
    names = tuple("abcdefgh"[: len(counts)])
    return Pictures("tones", np.concatenate(images).astype(np.uint8), labels, names, empty, None)


def test_classifier_learns_and_repeats():
    pictures = tones((20, 20), spread=10)
    first, second = (
        train_classifier(pictures.images, pictures.labels, 2, steps=30, seed=1, augment=True, mirror=True)
        for _ in range(2)
    )
    assert first.accuracy(pictures.images, pictures.labels) > 0.95
    assert np.array_equal(first.features(pictures.images), second.features(pictures.images))
    with pytest.raises(TrainingError, match="two classes"):
        train_classifier(pictures.images[:20], pictures.labels[:20], 2)
    with pytest.raises(ConfigError, match="outside"):
        train_classifier(pictures.images, pictures.labels + 1, 2)


def test_classical_augmentation_keeps_shape_and_changes_pixels():
    import torch

    x = torch.rand(4, 3, 16, 16)
    moved = classical(x, torch.Generator().manual_seed(0), mirror=True)
    assert moved.shape == x.shape and not torch.allclose(moved, x)
