"""Intervals from weights: one matrix of bootstrap weights serves every statistic of an audit.

A resample is a vector of counts, one an image; a statistic takes a matrix of such vectors
(``[draws, images]``) and gives one value a draw. Whole clusters are drawn, separately for clusters
that hold only real, only synthetic, or both kinds of image, so that no draw loses a class
(Davison & Hinkley 1997, §3.2 and §3.8).

>>> labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.3, 0.9])
>>> auroc(labels, scores, np.ones((1, 4)))
array([0.75])
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats as distributions

from countermark.core.results import Interval
from countermark.core.seeds import rng

Weighted = Callable[[np.ndarray], np.ndarray]

#: Assumed correlation of images within a cluster where the sample itself cannot show one (no event).
INTRACLUSTER = 0.1


@dataclass(frozen=True)
class Estimate:
    """An interval and what it came from.

    Attributes:
        draws: float64 [draws] of the bootstrap; empty for exact intervals.
        binomial: Of an exact share: events and images on the effective sample size.
    """

    interval: Interval
    draws: np.ndarray
    binomial: tuple[float, float] | None = None


def bootstrap_weights(
    labels: np.ndarray, clusters: np.ndarray | None, resamples: int, seed: int
) -> np.ndarray:
    """Counts, float32 ``[resamples, images]``, of a stratified cluster bootstrap."""
    count = len(labels)
    groups = np.arange(count) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    total = int(groups.max()) + 1 if count else 0
    positives = np.bincount(groups, weights=labels, minlength=total)
    sizes = np.bincount(groups, minlength=total)
    stratum = np.where(positives == 0, 0, np.where(positives == sizes, 1, 2))
    generator = rng(seed, "bootstrap", count)
    drawn = np.zeros((resamples, total), np.float32)
    for kind in range(3):
        members = np.flatnonzero(stratum == kind)
        if len(members):
            picks = generator.integers(len(members), size=(resamples, len(members)))
            flat = (picks + np.arange(resamples)[:, None] * len(members)).ravel()
            counts = np.bincount(flat, minlength=resamples * len(members))
            drawn[:, members] = counts.reshape(resamples, len(members))
    return drawn[:, groups]


def estimate(
    statistic: Weighted,
    weights: np.ndarray,
    *,
    confidence: float,
    effective: float | None,
    clusters: int | None = None,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Estimate:
    """Percentile bootstrap interval of a weighted statistic.

    Args:
        statistic: Matrix of weights to one value a row.
        effective: Independent images of the class that has fewer. Where every draw gives the same value
            (perfect separation) the bootstrap knows no spread; the interval is then widened by the
            exact binomial bound for ``effective`` successes out of as many. None: there is no spread
            to know, as when two equal sets of scores are compared.
        bounds: Range that the statistic can take.
    """
    value = float(statistic(np.ones((1, weights.shape[1]), np.float32))[0])
    draws = np.concatenate([statistic(weights[i : i + 200]) for i in range(0, len(weights), 200)])
    draws = draws[np.isfinite(draws)]
    if not len(draws) or not np.isfinite(value):
        nothing = Interval(value, float("nan"), float("nan"), weights.shape[1], clusters, confidence)
        return Estimate(nothing, draws)
    tail = (1 - confidence) / 2
    low, high = (float(q) for q in np.quantile(draws, [tail, 1 - tail]))
    if effective is not None and np.ptp(draws) < 1e-12:
        slack = 1 - tail ** (1 / max(effective, 1))
        low, high = low - slack, high + slack
    low, high = max(low, bounds[0]), min(high, bounds[1])
    return Estimate(Interval(value, low, high, weights.shape[1], clusters, confidence), draws)


def proportion(events: np.ndarray, clusters: np.ndarray | None, *, confidence: float) -> Estimate:
    """Exact interval for a share of images, with the design effect of clusters.

    Clopper & Pearson (1934) on the effective sample size of Korn & Graubard (1998): the number of
    images divided by how much larger the variance between clusters makes the variance. Where no or
    every image shows the event, the sample has no design effect to offer and a correlation of
    ``INTRACLUSTER`` within clusters is assumed.

    Args:
        events: bool ``[images]``.
    """
    events = np.asarray(events, dtype=np.float64)
    count = len(events)
    if not count:
        return Estimate(Interval(float("nan"), float("nan"), float("nan"), 0, 0, confidence), np.array([]))
    share = float(events.mean())
    groups = None if clusters is None else np.unique(clusters, return_inverse=True)[1]
    number = count if groups is None else int(groups.max()) + 1
    effective = float(count)
    if groups is not None and number < count:
        sizes = np.bincount(groups)
        if share in (0.0, 1.0):
            effect = count / effective_size(groups)
        else:
            residual = np.bincount(groups, weights=events) - share * sizes
            variance = number / max(number - 1, 1) * float((residual**2).sum()) / count**2
            effect = max(1.0, variance / (share * (1 - share) / count))
            effect *= _t_ratio(count, number, confidence)
        effective = max(1.0, count / effect)
    tail = (1 - confidence) / 2
    hits = share * effective
    low = 0.0 if hits <= 0 else float(distributions.beta.ppf(tail, hits, effective - hits + 1))
    high = 1.0 if hits >= effective else float(distributions.beta.ppf(1 - tail, hits + 1, effective - hits))
    known = None if groups is None else number
    interval = Interval(share, low, high, count, known, confidence)
    return Estimate(interval, np.array([]), (hits, effective))


def effective_size(clusters: np.ndarray) -> float:
    """Independent images that clustered ones are worth at a correlation of ``INTRACLUSTER`` (Kish 1965)."""
    sizes = np.unique(clusters, return_counts=True)[1]
    mean_size = float((sizes**2).sum() / sizes.sum())
    return float(sizes.sum()) / (1 + (mean_size - 1) * INTRACLUSTER)


def _t_ratio(count: int, clusters: int, confidence: float) -> float:
    """Korn & Graubard's factor for few clusters: squared ratio of Student quantiles."""
    if clusters < 2:
        return 1.0
    tail = (1 + confidence) / 2
    wide = distributions.t.ppf(tail, clusters - 1)
    return float((wide / distributions.t.ppf(tail, max(count - 1, 1))) ** 2)


def auroc(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted area under the ROC curve, ties counted half, one value a row of ``weights``."""
    order, starts = _ties(scores)
    positive = np.add.reduceat(weights[:, order] * labels[order], starts, axis=1).astype(np.float64)
    negative = np.add.reduceat(weights[:, order] * (1 - labels[order]), starts, axis=1).astype(np.float64)
    below = np.cumsum(negative, axis=1) - negative
    wins = (positive * (below + 0.5 * negative)).sum(axis=1)
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return np.divide(wins, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def tpr_at_fpr(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray, max_fpr: float) -> np.ndarray:
    """Share of positives above the lowest real score that at most ``max_fpr`` of the reals exceed."""
    order, starts = _ties(scores)
    positive = np.add.reduceat(weights[:, order] * labels[order], starts, axis=1).astype(np.float64)
    negative = np.add.reduceat(weights[:, order] * (1 - labels[order]), starts, axis=1).astype(np.float64)
    negative_above = negative.sum(axis=1, keepdims=True) - np.cumsum(negative, axis=1)
    positive_above = positive.sum(axis=1, keepdims=True) - np.cumsum(positive, axis=1)
    allowed = np.floor(max_fpr * negative.sum(axis=1, keepdims=True) + 1e-9)
    fits = (negative_above <= allowed) & (negative > 0)
    first = fits.argmax(axis=1)
    hits = positive_above[np.arange(len(weights)), first]
    total = positive.sum(axis=1)
    known = (total > 0) & fits.any(axis=1)
    return np.divide(hits, total, out=np.full(len(weights), np.nan), where=known)


def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean of ``values``, one a row of ``weights``; NaN where the row is empty."""
    total = weights.sum(axis=1)
    return np.divide(weights @ values, total, out=np.full(len(weights), np.nan), where=total > 0)


def calibration_error(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray, bins: int = 10
) -> np.ndarray:
    """Expected calibration error in bins of equal width (Naeini et al. 2015)."""
    which = np.minimum((scores * bins).astype(int), bins - 1)
    member = np.eye(bins, dtype=np.float32)[which]
    gap = (weights * (labels - scores).astype(np.float32)) @ member
    total = weights.sum(axis=1)
    value = np.abs(gap).sum(axis=1)
    return np.divide(value, total, out=np.full(len(weights), np.nan), where=total > 0).astype(np.float64)


def _ties(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order by score and the place where each distinct score starts."""
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    return order, np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
