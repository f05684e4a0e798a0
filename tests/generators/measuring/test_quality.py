"""Closeness and variety against reference implementations and known sets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from countermark.core.errors import ConfigError
from countermark.generators.measuring.quality import frechet, half_sampled, kid, neighbourhood


@pytest.fixture(scope="module")
def sets():
    rng = np.random.default_rng(0)
    train, held, other = rng.normal(size=(3, 400, 6))
    return {"train": train, "held": held, "other": other, "far": other + 1.5}


def test_kid_equals_torchmetrics(sets):
    metrics = pytest.importorskip("torchmetrics.image.kid")
    expected = metrics.poly_mmd(torch.tensor(sets["train"]), torch.tensor(sets["far"]))
    found = kid(sets["train"], sets["far"])
    assert found.value == pytest.approx(float(expected), rel=1e-6)
    assert found.low < found.value < found.high


def test_kid_interval_holds_zero_for_equal_sets_and_not_for_others(sets):
    same, far = kid(sets["train"], sets["held"]), kid(sets["train"], sets["far"])
    assert same.low < 0 < same.high
    assert far.low > 0


def test_kid_interval_covers_the_value_of_fresh_draws():
    rng = np.random.default_rng(1)
    inside = 0
    reference = kid(rng.normal(size=(4000, 4)), rng.normal(0.4, 1, size=(4000, 4)), resamples=2).value
    for _ in range(40):
        found = kid(rng.normal(size=(120, 4)), rng.normal(0.4, 1, size=(120, 4)), resamples=60)
        inside += found.low <= reference <= found.high
    assert 32 <= inside <= 40


def test_frechet_of_known_gaussians():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(20_000, 3)), rng.normal(2, 2, size=(20_000, 3))
    assert frechet(a, b) == pytest.approx(3 * 4 + 3 * (2 - 1) ** 2, rel=0.03)
    assert frechet(a, a) == pytest.approx(0, abs=1e-8)


def test_both_forms_of_frechet_agree():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(60, 20)), rng.normal(0.5, 2, size=(50, 20))
    wide = np.zeros((60, 41))  # more features than images, of which half say nothing
    tall = frechet(a, b)
    assert frechet(np.hstack([a, wide]), np.hstack([b, wide[:50]])) == pytest.approx(tall, rel=1e-9)
    from scipy import linalg

    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(cov_a @ cov_b).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root)
    assert tall == pytest.approx(expected, rel=1e-6)


def test_neighbourhood_equals_prdc(sets):
    prdc = pytest.importorskip("prdc")
    expected = prdc.compute_prdc(sets["train"], sets["far"], nearest_k=5)
    found = neighbourhood(sets["train"], sets["far"], k=5)
    for key in ("precision", "recall", "density", "coverage"):
        assert found[key] == pytest.approx(expected[key], abs=1e-9)


def test_neighbourhood_of_copies_and_of_a_collapsed_model(sets):
    copies = neighbourhood(sets["train"], sets["train"])
    assert copies["precision"] == copies["recall"] == copies["coverage"] == 1
    collapsed = neighbourhood(sets["train"], np.repeat(sets["train"][:1], 50, axis=0))
    assert collapsed["precision"] == 1 and collapsed["recall"] < 0.05


def test_half_sampling_is_centred(sets):
    found = half_sampled(lambda a, b: neighbourhood(a, b)["precision"], sets["train"], sets["held"])
    assert found.low <= found.value <= found.high
    copies = half_sampled(
        lambda a, b: neighbourhood(a, b)["recall"], sets["train"], sets["train"], limits=(0.0, 1.0)
    )
    assert copies.value == 1 and copies.high == 1


@pytest.mark.parametrize("function", [kid, frechet, neighbourhood])
def test_too_few_or_unlike_features(function):
    with pytest.raises(ConfigError, match="few"):
        function(np.zeros((3, 2)), np.zeros((9, 2)))
    with pytest.raises(ConfigError, match="extractor"):
        function(np.zeros((9, 2)), np.zeros((9, 3)))
