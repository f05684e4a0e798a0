"""Tuning: rewards rise, the guard stops what exploits them, bad requests are named."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_digits

from countermark.core.errors import ConfigError, CorpusError, TrainingError
from countermark.core.images import write_image
from countermark.generators.families.tuned import TunedConfig
from countermark.generators.reward import TuningSettings, tune_generator
from countermark.generators.reward.guard import GuardLimits
from countermark.generators.reward.tuning import leave_one_out

QUICK = TuningSettings(
    steps=10, every=5, readings=60, classifier_steps=40, extractor="dct", batch=32, rate=5e-3
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Sixteen of each digit, in class folders."""
    root, seen = tmp_path_factory.mktemp("digits"), dict.fromkeys(range(10), 0)
    data = load_digits()
    for image, target in zip(data.images, data.target, strict=True):
        if seen[target] < 16:
            large = cv2.resize((image * 15.9).astype(np.uint8), (32, 32), interpolation=cv2.INTER_CUBIC)
            write_image(root / str(target) / f"{seen[target]}.png", np.repeat(large[..., None], 3, axis=2))
            seen[target] += 1
    return root


def brightness(images, classes):
    return images.reshape(len(images), -1).mean(axis=1) / 255


@pytest.mark.parametrize("method", ["reinforce", "ppo"])
def test_a_reward_that_can_be_raised_is_raised(method, digits):
    limits = GuardLimits(confidence_drop=1, recall_loss=1)
    settings = replace(QUICK, method=method, steps=20, every=20, kl=1e-4, rate=2e-2, limits=limits)
    result = tune_generator("digits-32", digits, settings=settings, reward=brightness)
    assert result.history[-1].reward > result.history[0].reward + 0.01
    assert result.history[-1].kl > 0


def test_the_price_of_divergence_holds_the_policy_back(digits):
    limits = GuardLimits(confidence_drop=1, recall_loss=1)
    far, near = (
        tune_generator(
            "digits-32", digits, class_name="8", reward=brightness,
            settings=replace(QUICK, every=10, kl=kl, rate=2e-2, limits=limits),
        ).history[-1].kl
        for kl in (1e-4, 1.0)
    )  # fmt: skip
    assert near < far


def test_an_exploited_reward_stops_the_tuning(digits):
    """Brightness has nothing to do with being an eight: the guard sees what the reward does not."""
    settings = replace(QUICK, steps=200, every=10, kl=0.0, rate=3e-3)
    result = tune_generator("digits-32", digits, class_name="8", settings=settings, reward=brightness)
    assert result.stopped and result.history[-1].step < 200
    assert result.history[-1].reward > result.history[0].reward
    # What is kept is not what was stopped.
    assert result.after.step < result.history[-1].step


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_reward_that_is_not_a_number_is_an_error(bad, digits):
    def reward(images, classes):
        return np.where(np.arange(len(images)) == 3, bad, 1.0)

    with pytest.raises(TrainingError, match="finite") as caught:
        tune_generator("digits-32", digits, settings=QUICK, reward=reward)
    assert caught.value.code == "training.reward"
    with pytest.raises(TrainingError, match="one finite number"):
        tune_generator("digits-32", digits, settings=QUICK, reward=lambda images, classes: np.ones(2))


def test_leave_one_out_is_the_mean_of_the_others():
    value = leave_one_out(np.array([1.0, 2.0, 3.0, 10.0]), np.array([0, 0, 0, 1]))
    assert np.allclose(value, [1 - 2.5, 0, 3 - 1.5, 0])


def test_bad_requests_are_named(tmp_path, digits):
    with pytest.raises(ConfigError, match="no class 'x'"):
        tune_generator("digits-32", digits, class_name="x", settings=QUICK)
    for index in range(8):
        image = np.random.default_rng(index).integers(0, 255, (32, 32, 3)).astype(np.uint8)
        write_image(tmp_path / "one" / "only" / f"{index}.png", image)
        write_image(tmp_path / "two" / "ab"[index % 2] / f"{index}.png", image)
    with pytest.raises(CorpusError, match="one class only"):
        tune_generator("digits-32", tmp_path / "one", settings=QUICK)
    with pytest.raises(CorpusError) as caught:
        tune_generator("digits-32", tmp_path / "two", settings=QUICK)
    assert caught.value.code in ("corpus.classes", "corpus.too-small")
    with pytest.raises(ConfigError, match="cannot be tuned again"):
        TunedConfig(base_family="tuned", latent=8).base_config()
