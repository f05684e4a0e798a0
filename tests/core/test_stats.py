"""Statistics against scikit-learn and torchmetrics, plain and weighted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from countermark.core.stats import (
    auroc,
    expected_calibration_error,
    threshold_at_fpr,
    tpr_at_fpr,
    weighted_auroc,
    weighted_calibration_error,
    weighted_tpr_at_fpr,
)


def sample(count: int, seed: int = 0, shift: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(2, size=count)
    return labels, generator.normal(labels * shift)


def test_auroc_is_scikit_learns() -> None:
    labels, scores = sample(500)
    assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert np.isnan(auroc(np.ones(4), np.arange(4)))
    assert np.isnan(auroc(np.zeros(0), np.zeros(0)))


@settings(deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 0.5))
@example(140, 0.49999999999999994)
def test_tpr_agrees_with_the_roc_curve(seed: int, rate: float) -> None:
    labels, scores = sample(200, seed)
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    # A rate is rounded to whole negatives: the last number below one half allows half of them.
    allowed = fpr * (labels == 0).sum() <= rate * (labels == 0).sum() + 1e-9
    assert tpr_at_fpr(labels, scores, rate) == pytest.approx(tpr[allowed].max(), abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.floats(0, 1))
def test_a_threshold_keeps_its_promise(scores: list[float], rate: float) -> None:
    assert np.mean(np.array(scores) > threshold_at_fpr(np.array(scores), rate)) <= rate + 1e-8


def test_ece_is_torchmetrics() -> None:
    torch = pytest.importorskip("torch")
    from torchmetrics.functional.classification import binary_calibration_error

    generator = np.random.default_rng(3)
    scores = generator.random(1000)
    labels = (generator.random(1000) < scores**2).astype(int)
    confidence, correct = scores, labels
    expected = binary_calibration_error(torch.tensor(confidence), torch.tensor(correct), n_bins=10, norm="l1")
    assert expected_calibration_error(labels, scores) == pytest.approx(float(expected), abs=1e-6)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(1, 5))
def test_weighted_statistics_equal_their_references(seed: int, count: int, levels: int) -> None:
    generator = np.random.default_rng(seed)
    labels = np.r_[0, 1, generator.integers(0, 2, count)]
    scores = np.round(generator.random(count + 2) * levels) / levels  # with ties
    counts = generator.integers(0, 3, count + 2)
    counts[:2] = 1
    repeated = np.repeat(np.arange(count + 2), counts)
    weights = counts[None, :].astype(np.float32)
    assert weighted_auroc(labels, scores, weights)[0] == pytest.approx(
        roc_auc_score(labels[repeated], scores[repeated])
    )
    for rate in (0.0, 0.1, 0.3):
        assert weighted_tpr_at_fpr(labels, scores, weights, rate)[0] == pytest.approx(
            tpr_at_fpr(labels[repeated], scores[repeated], rate)
        )
    assert weighted_calibration_error(labels, scores, weights)[0] == pytest.approx(
        expected_calibration_error(labels[repeated], scores[repeated]), abs=1e-5
    )


def test_a_rate_that_is_not_a_binary_fraction_allows_what_it_says() -> None:
    negatives = np.arange(100.0)
    assert np.sum(negatives > threshold_at_fpr(negatives, 0.29)) == 29  # 0.29 * 100 is 28.999…
    labels = np.r_[np.zeros(100), 1]
    assert tpr_at_fpr(labels, np.r_[negatives, 70.5], 0.29) == 1.0
    assert tpr_at_fpr(labels, np.r_[negatives, 69.5], 0.29) == 0.0
