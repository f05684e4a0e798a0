"""Statistics against scikit-learn and torchmetrics, and their intervals by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from countermark.core.stats import (
    auroc,
    bootstrap,
    expected_calibration_error,
    threshold_at_fpr,
    tpr_at_fpr,
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
def test_tpr_agrees_with_the_roc_curve(seed: int, rate: float) -> None:
    labels, scores = sample(200, seed)
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert tpr_at_fpr(labels, scores, rate) == pytest.approx(tpr[fpr <= rate].max(), abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.floats(0, 1))
def test_a_threshold_keeps_its_promise(scores: list[float], rate: float) -> None:
    assert np.mean(np.array(scores) > threshold_at_fpr(np.array(scores), rate)) <= rate + 1e-12


def test_ece_is_torchmetrics() -> None:
    torch = pytest.importorskip("torch")
    from torchmetrics.functional.classification import binary_calibration_error

    generator = np.random.default_rng(3)
    scores = generator.random(1000)
    labels = (generator.random(1000) < scores**2).astype(int)
    confidence, correct = scores, labels
    expected = binary_calibration_error(torch.tensor(confidence), torch.tensor(correct), n_bins=10, norm="l1")
    assert expected_calibration_error(labels, scores) == pytest.approx(float(expected), abs=1e-6)


def test_intervals_cover_the_truth() -> None:
    truth, hits = 0.7602, 0  # AUROC of two unit normals one apart
    for seed in range(40):
        labels, scores = sample(200, seed)
        interval = bootstrap(auroc, labels, scores, resamples=100, seed=seed)
        hits += interval.low <= truth <= interval.high
    assert hits >= 33


def test_clusters_widen_the_interval() -> None:
    generator = np.random.default_rng(1)
    clusters = np.repeat(np.arange(10), 40)
    values = generator.normal(size=10)[clusters] + generator.normal(size=400) * 0.1
    plain = bootstrap(lambda x: float(x.mean()), values)
    clustered = bootstrap(lambda x: float(x.mean()), values, clusters=clusters)
    assert clustered.high - clustered.low > 3 * (plain.high - plain.low)
    assert clustered.clusters == 10 and plain.clusters is None


def test_the_same_seed_gives_the_same_interval() -> None:
    labels, scores = sample(100)
    assert bootstrap(auroc, labels, scores, seed=4) == bootstrap(auroc, labels, scores, seed=4)
    assert np.isnan(bootstrap(auroc, np.zeros(3), np.zeros(3)).low)
