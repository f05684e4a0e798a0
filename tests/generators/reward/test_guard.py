"""The guard: its verdicts and what it measures."""

from __future__ import annotations

import numpy as np
import pytest

from countermark.core.features import load_extractor
from countermark.generators.reward.guard import Guard, GuardLimits, GuardReading


def reading(**changes):
    values = dict.fromkeys(
        ("reward", "confidence", "realism", "variety", "guard_confidence", "guard_accuracy"), 0.5
    )
    return GuardReading(**{"step": 0, **values, "recall": 0.5, "precision": 0.5, "kl": 0.0, **changes})


@pytest.mark.parametrize(
    ("now", "why"),
    [
        ({}, ""),
        ({"reward": 0.9}, ""),
        ({"reward": 0.9, "guard_confidence": 0.45}, "exploits"),
        ({"reward": 0.4, "guard_confidence": 0.45}, ""),
        ({"recall": 0.3}, "alike"),
        ({"recall": 0.4}, ""),
    ],
)
def test_the_guards_verdicts(now, why):
    guard = Guard.__new__(Guard)
    guard.limits = GuardLimits()
    found = guard.verdict(reading(), reading(), reading(**now))
    assert why in found and bool(found) == bool(why)


def test_guard_measures_recall_against_the_wanted_class():
    class Judge:
        def probabilities(self, images):
            return np.tile([0.2, 0.8], (len(images), 1))

    draws = np.random.default_rng(1)
    real = draws.integers(0, 255, (40, 16, 16, 3)).astype(np.uint8)
    guard = Guard(Judge(), real, np.repeat([0, 1], 20), load_extractor("dct"), GuardLimits())
    same = guard.measure(real[20:], np.ones(20, int))
    assert same["recall"] == same["precision"] == 1 and same["guard_accuracy"] == 1
    alike = guard.measure(np.repeat(real[20:21], 20, axis=0), np.ones(20, int))
    assert alike["recall"] < 0.2
