"""What a picture is worth."""

from __future__ import annotations

import numpy as np
import pytest

from countermark.core.errors import TrainingError
from countermark.generators.reward import Rewards


def test_reward_terms_prefer_real_pictures():
    class Judge:
        def features(self, images):
            return images.reshape(len(images), -1).astype(np.float64) / 255

        def probabilities(self, images):
            return np.tile([0.25, 0.75], (len(images), 1))

    draws = np.random.default_rng(0)
    real = draws.integers(100, 140, (40, 8, 8, 3)).astype(np.uint8)
    rewards = Rewards(Judge(), real, np.ones(40, int))
    good = rewards(draws.integers(100, 140, (10, 8, 8, 3)).astype(np.uint8), np.ones(10, int))
    odd = rewards(np.full((10, 8, 8, 3), 255, np.uint8), np.ones(10, int))
    assert good.realism.mean() > odd.realism.mean() and good.variety.mean() > odd.variety.mean() == 0
    assert np.allclose(good.confidence, 0.75) and np.allclose(odd.total, 0.75 + odd.realism)
    with pytest.raises(TrainingError, match="one real image"):
        Rewards(Judge(), real[:1], np.ones(1, int))
