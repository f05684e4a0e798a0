"""The gate's statistics against references, and its false-failure rate and power by simulation."""

from __future__ import annotations

from functools import partial

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from countermark.app.audit.judging import decide, holm, needed, p_misses
from countermark.app.audit.regression import paired
from countermark.core import intervals
from countermark.core import stats as core
from countermark.core.intervals import Resamples
from countermark.core.results import Interval, Outcome

SIMULATIONS = 300
CONFIDENCE = 0.95


def sample(generator: np.random.Generator, auroc: float, count: int, noise: float = 1.0):
    """Labels and scores of two normal classes whose true AUROC is ``auroc``."""
    labels = np.repeat([0, 1], count)
    shift = norm.ppf(auroc) * np.sqrt(2)
    return labels, generator.normal(size=2 * count) * noise + shift * labels


def gate(labels, scores, threshold: float, seed: int, clusters=None, resamples: int = 400) -> Outcome:
    weights = Resamples.draw(labels, clusters, resamples, seed)
    found = intervals.estimate(
        partial(core.weighted_auroc, labels, scores), weights, confidence=CONFIDENCE, effective=100
    )
    return decide(found.interval, threshold, "at-least")


def test_false_failures_stay_below_two_per_cent() -> None:
    """300 audits of a detector whose true AUROC lies 0.01 above the threshold."""
    generator = np.random.default_rng(11)
    failed = sum(
        gate(*sample(generator, 0.95, 300), threshold=0.94, seed=seed) == Outcome.FAIL
        for seed in range(SIMULATIONS)
    )
    assert failed / SIMULATIONS <= 0.02


def test_false_failures_with_clusters_stay_below_two_per_cent() -> None:
    """The same with images in correlated clusters of eight."""
    generator = np.random.default_rng(12)
    failed = 0
    for seed in range(SIMULATIONS):
        labels = np.repeat([0, 1], 240)
        clusters = np.arange(480) // 8
        shared = generator.normal(size=60)[clusters] * 0.6 + generator.normal(size=480) * 0.8
        scores = shared + norm.ppf(0.95) * np.sqrt(2) * labels
        failed += gate(labels, scores, 0.94, seed, clusters=clusters) == Outcome.FAIL
    assert failed / SIMULATIONS <= 0.02


def test_power_grows_with_images() -> None:
    """A true AUROC 0.03 below the threshold is caught, and one 0.03 above passes, with 600 images a class."""
    generator = np.random.default_rng(13)
    shares = {}
    for true in (0.92, 0.95, 0.98):
        outcomes = [gate(*sample(generator, true, 600), threshold=0.95, seed=s) for s in range(60)]
        shares[true] = {o: outcomes.count(o) / 60 for o in Outcome}
    assert shares[0.92][Outcome.FAIL] >= 0.8 and shares[0.98][Outcome.PASS] >= 0.95
    assert shares[0.95][Outcome.INCONCLUSIVE] >= 0.9


def test_regression_gate_false_failures_and_power() -> None:
    """Paired: equal detectors fail in at most 2 % of runs at a margin of 0.005, 0.03 worse is caught."""
    generator = np.random.default_rng(14)
    failed = caught = 0
    for seed in range(SIMULATIONS):
        labels, common = sample(generator, 0.95, 250)
        old, same, worse = (common + generator.normal(size=500) * s for s in (0.1, 0.1, 0.1))
        worse = worse - 0.35 * labels
        weights = Resamples.draw(labels, None, 300, seed)
        for scores, kind in ((same, "same"), (worse, "worse")):
            statistic = paired(
                partial(core.weighted_auroc, labels, old),
                partial(core.weighted_auroc, labels, scores),
                "at-least",
            )
            found = intervals.estimate(statistic, weights, confidence=CONFIDENCE, effective=250)
            fails = decide(found.interval, 0.005, "at-most") == Outcome.FAIL
            failed += fails and kind == "same"
            caught += fails and kind == "worse"
    assert failed / SIMULATIONS <= 0.02 and caught / SIMULATIONS >= 0.9


def test_holm_keeps_false_failures_of_many_slices_low() -> None:
    """Ten slices, all 0.01 above the threshold: without correction some slice fails far more often."""
    generator = np.random.default_rng(15)
    plain = corrected = 0
    for seed in range(SIMULATIONS):
        p_values = []
        for _ in range(10):
            labels, scores = sample(generator, 0.95, 100)
            weights = Resamples.draw(labels, None, 200, seed)
            draws = weights.values(partial(core.weighted_auroc, labels, scores))
            p_values.append(p_misses(draws, 0.94, "at-least"))
        plain += min(p_values) <= 0.025
        corrected += any(holm(p_values, 0.025))
    assert corrected / SIMULATIONS <= 0.02 and corrected < plain


def test_holm_against_its_definition() -> None:
    assert holm([0.01, 0.02, 0.03, 0.04], 0.05) == [True, False, False, False]
    assert holm([0.001, 0.012, 0.02, 0.04], 0.05) == [True, True, True, True]
    assert holm([], 0.05) == []


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 1))
def test_decisions_are_consistent(value: float, below: float, above: float, threshold: float) -> None:
    interval = Interval(value, value - below, value + above, 100)
    forward = decide(interval, threshold, "at-least")
    mirrored = decide(Interval(-value, -value - above, -value + below, 100), -threshold, "at-most")
    assert forward == mirrored
    if forward == Outcome.PASS:
        assert value >= threshold
    if forward == Outcome.FAIL:
        assert value < threshold
    count = needed(interval, threshold)
    assert count is None or count >= 100


def test_a_gap_next_to_nothing_needs_more_than_there_is() -> None:
    assert needed(Interval(0.0, 0.0, 0.5, 100), 1e-300) is None


def test_missing_bounds_decide_nothing() -> None:
    nan = float("nan")
    assert decide(Interval(0.9, nan, nan, 3), 0.1, "at-least") == Outcome.INCONCLUSIVE
    assert needed(Interval(0.9, 0.8, 1.0, 3), 0.9) is None
