"""Intervals against scipy, by simulation, and never without width for a share."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binomtest, sem, t

from countermark.core.intervals import (
    Resamples,
    bootstrap,
    effective_size,
    estimate,
    proportion,
    quantile,
    rate,
    student,
    widened,
)
from countermark.core.stats import auroc, weighted_auroc, weighted_mean

SIMULATIONS = 300


def matrix(resamples: Resamples) -> np.ndarray:
    return np.concatenate(list(resamples.blocks()))


def sample(count: int, seed: int = 0, shift: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(2, size=count)
    return labels, generator.normal(labels * shift)


@given(st.integers(0, 500), st.integers(1, 500), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_a_rate_is_scipys_exact_one(hits: int, count: int, confidence: float) -> None:
    hits = min(hits, count)
    exact = binomtest(hits, count).proportion_ci(confidence, "exact")
    found = rate(hits, count, confidence=confidence)
    assert (found.value, found.low, found.high) == pytest.approx((hits / count, exact.low, exact.high))
    same = proportion(np.arange(count) < hits, confidence=confidence).interval
    assert (same.low, same.high) == pytest.approx((found.low, found.high))
    assert found.high - found.low > 0


def test_nothing_counted_says_nothing() -> None:
    none = rate(0, 0)
    assert np.isnan(none.value) and (none.low, none.high) == (0, 1)
    assert np.isnan(proportion(np.zeros(0, bool)).interval.low)


def test_a_clustered_share_is_that_of_korn_and_graubard() -> None:
    """The formula written out anew, for 3 of 6 clusters of 20 with 10, 4 and 1 events."""
    clusters = np.repeat(np.arange(6), 20)
    events = np.zeros(120, bool)
    events[:10] = events[20:24] = events[40:41] = True
    share, k, n = 15 / 120, 6, 120
    residual = np.array([10, 4, 1, 0, 0, 0]) - share * 20
    variance = k / (k - 1) * (residual**2).sum() / n**2
    effect = variance / (share * (1 - share) / n) * (t.ppf(0.975, k - 1) / t.ppf(0.975, n - 1)) ** 2
    size = n / effect
    found = proportion(events, clusters).interval
    assert found.low == pytest.approx(beta.ppf(0.025, share * size, size - share * size + 1))
    assert found.high == pytest.approx(beta.ppf(0.975, share * size + 1, size - share * size))
    assert found.clusters == 6 and found.n == 120


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 60), st.integers(1, 12), st.booleans())
def test_a_share_of_none_or_all_has_width_and_more_with_clusters(count: int, groups: int, all_: bool) -> None:
    events = np.full(count, all_)
    clusters = np.arange(count) % groups
    alone, together = proportion(events).interval, proportion(events, clusters).interval
    assert 0 < alone.high - alone.low <= together.high - together.low + 1e-12


def test_proportion_is_clopper_pearson_without_clusters() -> None:
    for hits, count in ((0, 50), (3, 50), (25, 50), (50, 50)):
        events = np.arange(count) < hits
        interval = proportion(events, None, confidence=0.95).interval
        exact = binomtest(hits, count).proportion_ci(0.95, "exact")
        assert (interval.low, interval.high) == pytest.approx((exact.low, exact.high))


def test_clusters_widen_a_proportion() -> None:
    events = np.repeat([True, False, False, False, False], 20)
    alone = proportion(events, None, confidence=0.95).interval
    together = proportion(events, np.repeat(np.arange(5), 20), confidence=0.95).interval
    assert together.high - together.low > 2 * (alone.high - alone.low)
    none = proportion(np.zeros(100, bool), np.repeat(np.arange(5), 20), confidence=0.95).interval
    assert none.high > proportion(np.zeros(100, bool), None, confidence=0.95).interval.high


def test_clustered_proportion_covers_the_truth() -> None:
    generator = np.random.default_rng(4)
    clusters = np.repeat(np.arange(30), 10)
    inside = 0
    for _ in range(SIMULATIONS):
        rates = generator.beta(0.1 * 9, 0.9 * 9, 30)  # mean 0.1, correlated within clusters
        events = generator.random(300) < rates[clusters]
        interval = proportion(events, clusters, confidence=0.95).interval
        inside += interval.low <= 0.1 <= interval.high
    assert inside / SIMULATIONS >= 0.94


def test_bootstrap_draws_whole_clusters_and_keeps_classes() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1, 0, 1])
    clusters = np.array(["a", "a", "b", "c", "d", "d", "e", "e"])
    weights = matrix(Resamples.draw(labels, clusters, 500, 3))
    assert (weights[:, 0] == weights[:, 1]).all() and (weights[:, 4] == weights[:, 5]).all()
    assert (weights[:, 6] == weights[:, 7]).all() and (weights[:, 6] == 1).all()
    assert (weights @ labels > 0).all() and (weights @ (1 - labels) > 0).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(8), abs=0.15)
    assert (weights == matrix(Resamples.draw(labels, clusters, 500, 3))).all()
    assert (weights != matrix(Resamples.draw(labels, clusters, 500, 4))).any()


def test_perfect_separation_is_not_certainty() -> None:
    labels = np.repeat([0, 1], 10)
    weights = Resamples.draw(labels, None, 300, 0)
    statistic = partial(weighted_auroc, labels, labels * 1.0)
    interval = estimate(statistic, weights, confidence=0.95, effective=10, bounds=(0.0, 1.0)).interval
    assert interval.value == interval.high == 1
    assert interval.low == pytest.approx(0.025 ** (1 / 10))


def test_draws_without_spread_are_widened_only_where_there_is_a_range() -> None:
    assert widened(0.2, 0.4, 10) == (0.2, 0.4)
    assert widened(1.0, 1.0, 10, bounds=(0, 1)) == (pytest.approx(0.025**0.1), 1)
    same = np.full(30, 0.7)
    bounded = bootstrap(partial(weighted_mean, same), np.ones(30), resamples=100, bounds=(0, 1))
    free = bootstrap(partial(weighted_mean, same), np.ones(30), resamples=100)
    assert bounded.low < 0.7 < bounded.high and free.high - free.low < 1e-6


def test_intervals_cover_the_truth() -> None:
    truth, hits = 0.7602, 0  # AUROC of two unit normals one apart
    for seed in range(40):
        labels, scores = sample(200, seed)
        interval = bootstrap(partial(weighted_auroc, labels, scores), labels, resamples=100, seed=seed)
        hits += interval.low <= truth <= interval.high
    assert hits >= 33


def test_clusters_widen_the_interval() -> None:
    generator = np.random.default_rng(1)
    clusters = np.repeat(np.arange(10), 40)
    values = generator.normal(size=10)[clusters] + generator.normal(size=400) * 0.1
    plain = bootstrap(partial(weighted_mean, values), np.ones(400))
    clustered = bootstrap(partial(weighted_mean, values), np.ones(400), clusters)
    assert clustered.high - clustered.low > 3 * (plain.high - plain.low)
    assert clustered.clusters == 10 and plain.clusters is None


def test_the_same_seed_gives_the_same_interval() -> None:
    labels, scores = sample(100)
    statistic = partial(weighted_auroc, labels, scores)
    assert bootstrap(statistic, labels, seed=4) == bootstrap(statistic, labels, seed=4)
    one = bootstrap(partial(weighted_auroc, np.zeros(3), np.zeros(3)), np.zeros(3), bounds=(0, 1))
    assert np.isnan(one.value) and np.isnan(one.low)


def test_weights_come_in_blocks_that_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, scores = sample(60)
    draws = Resamples.draw(labels, None, 90, 1)
    whole = draws.values(partial(weighted_auroc, labels, scores))
    monkeypatch.setattr("countermark.core.intervals._BLOCK", 100)
    assert max(map(len, draws.blocks())) == 1
    assert (draws.values(partial(weighted_auroc, labels, scores)) == whole).all()
    repeated = np.repeat(np.arange(60), matrix(draws)[7].astype(int))
    assert whole[7] == pytest.approx(auroc(labels[repeated], scores[repeated]))


def test_repeated_runs_and_quantiles() -> None:
    values = [1.0, 1.2, 0.9, 1.4]
    low, high = t.interval(0.95, 3, np.mean(values), sem(values))
    found = student(values, 50)
    assert (found.low, found.high, found.n, found.clusters) == (
        pytest.approx(low),
        pytest.approx(high),
        200,
        4,
    )
    times = np.random.default_rng(0).exponential(size=200)
    p95 = quantile(times, 0.95, resamples=500).interval
    assert p95.low < p95.value == np.quantile(times, 0.95) < p95.high


def test_effective_size_is_kishs() -> None:
    assert effective_size(np.repeat(np.arange(10), 11)) == pytest.approx(110 / (1 + 10 * 0.1))
    assert effective_size(np.arange(50)) == 50
