"""Tuning raises a reward that can be raised, and the guard stops a policy that exploits it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from countermark.core.errors import ConfigError, CorpusError, TrainingError
from countermark.core.features import load_extractor
from countermark.core.images import write_image
from countermark.generators.families import FAMILIES
from countermark.generators.families.tuned import LatentPolicy, TunedConfig, TunedGenerator
from countermark.generators.library import load_generator
from countermark.generators.reward import Rewards, TuningSettings, tune_generator
from countermark.generators.reward.guard import Guard, GuardLimits, GuardReading
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


def test_an_untrained_policy_samples_the_prior():
    torch.manual_seed(0)
    policy = LatentPolicy(6, sigma=0.5)
    sampled = policy(torch.randn(20000, 6), torch.randn(20000, 6))
    assert sampled.mean(dim=0).abs().max() < 0.05 and (sampled.std(dim=0) - 1).abs().max() < 0.05
    assert policy.kl(policy.shift(torch.randn(5, 6))).max().item() == 0


def test_log_density_and_kl_agree_with_torch():
    from torch.distributions import Independent, Normal, kl_divergence

    torch.manual_seed(0)
    policy = LatentPolicy(4, sigma=0.3)
    torch.nn.init.normal_(policy.leave.weight)
    z, action = torch.randn(2, 7, 4)
    shift = policy.shift(z)
    chosen, prior = (
        Independent(Normal(policy.keep * z + s, 0.3), 1) for s in (shift, torch.zeros_like(shift))
    )
    ours = policy.log_density(action, z, shift)
    assert torch.allclose(ours - ours[0], chosen.log_prob(action) - chosen.log_prob(action)[0], atol=1e-3)
    assert torch.allclose(policy.kl(shift), kl_divergence(chosen, prior), rtol=1e-4)


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


def test_a_tuned_network_is_a_family_of_its_own():
    entry = FAMILIES.get("tuned")
    values = {"size": 32, "channels": 1, "latent": 128, "classes": 10, "base": {"width": 16, "max_width": 64}}
    network = entry.build_generator(entry.parse(values)).eval()
    base = load_generator("digits-32")
    network.generator.load_state_dict(base.network.state_dict())
    assert isinstance(network, TunedGenerator)
    z, labels = torch.randn(3, 128), torch.tensor([1, 2, 3])
    mixed = network.policy.keep * z[:, :64] + 0.5 * z[:, 64:]
    with torch.no_grad():
        assert torch.allclose(network(z, labels), base.network(mixed, labels), atol=1e-5)
    with pytest.raises(ConfigError, match="labels"):
        network(z)
