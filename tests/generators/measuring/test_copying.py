"""Copies are caught, and what is none passes."""

from __future__ import annotations

import numpy as np
import pytest

from countermark.core.errors import ConfigError
from countermark.generators.measuring.copying import copying


@pytest.fixture(scope="module")
def sets():
    rng = np.random.default_rng(0)
    train, held, other = rng.normal(size=(3, 400, 6))
    return {"train": train, "held": held, "other": other, "far": other + 1.5}


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_copies_are_caught(sets, share):
    count = int(400 * share)
    made = np.concatenate([sets["train"][:count] + 1e-3, sets["other"][count:]])
    report = copying(sets["train"], sets["held"], made)
    assert report.copies
    assert report.near_duplicates >= share - 0.02
    assert report.authentic < report.authentic_heldout
    assert np.array_equal(report.nearest[:count], np.arange(count))
    assert "near-duplicates" in report.sentence


def test_held_out_images_pass(sets):
    for seed in range(5):
        fresh = np.random.default_rng(seed + 10).normal(size=(400, 6))
        report = copying(sets["train"], sets["held"], fresh, seed=seed)
        assert not report.copies and abs(report.c_t) < 3


@pytest.mark.parametrize("spread", [0.3, 0.5, 0.8])
def test_too_little_variety_is_not_called_copying(sets, spread):
    narrow = np.random.default_rng(3).normal(0, spread, size=(400, 6))
    report = copying(sets["train"], sets["held"], narrow)
    assert report.c_t < -3 and not report.copies
    assert "variety" in report.sentence


def test_mirrored_copies_are_caught_with_mirrored_features(sets):
    mirrored = -sets["train"]
    made = mirrored[:300] + 1e-3
    assert copying(sets["train"], sets["held"], made, mirrored=mirrored).copies


def test_too_few_to_tell_copies():
    with pytest.raises(ConfigError, match="few"):
        copying(np.zeros((9, 2)), np.zeros((90, 2)), np.zeros((90, 2)))
