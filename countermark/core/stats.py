"""Intervals for figures: bootstrap over images or over whole clusters (sources), seeded.

>>> import numpy as np
>>> labels = np.array([0, 0, 0, 1, 1, 1] * 20)
>>> scores = labels + np.linspace(0, 1.2, 120)
>>> round(auroc(labels, scores), 3)
0.992
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.metrics import roc_auc_score

from countermark.core.results import Interval

Statistic = Callable[..., float]


def auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve in [0, 1]; NaN if only one class is there. Positive: label 1."""
    labels = np.asarray(labels)
    if len(np.unique(labels)) < 2:
        return float("nan")
    return float(roc_auc_score(labels, scores))


def tpr_at_fpr(labels: np.ndarray, scores: np.ndarray, max_fpr: float) -> float:
    """Share of positives above the lowest threshold that at most ``max_fpr`` of the negatives reach."""
    labels, scores = np.asarray(labels), np.asarray(scores)
    negatives, positives = scores[labels == 0], scores[labels == 1]
    if not len(negatives) or not len(positives):
        return float("nan")
    return float(np.mean(positives > threshold_at_fpr(negatives, max_fpr)))


def threshold_at_fpr(negatives: np.ndarray, max_fpr: float) -> float:
    """The smallest observed score such that at most ``max_fpr`` of ``negatives`` lie above it."""
    ordered = np.sort(np.asarray(negatives, dtype=np.float64))
    allowed = int(np.floor(max_fpr * len(ordered)))
    return float(ordered[len(ordered) - 1 - allowed]) if allowed < len(ordered) else -np.inf


def expected_calibration_error(labels: np.ndarray, scores: np.ndarray, bins: int = 10) -> float:
    """ECE in [0, 1] with bins of equal width (Naeini et al. 2015); scores are probabilities."""
    labels, scores = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    which = np.minimum((scores * bins).astype(int), bins - 1)
    gaps = [
        abs(labels[which == b].mean() - scores[which == b].mean()) * np.mean(which == b)
        for b in range(bins)
        if np.any(which == b)
    ]
    return float(np.sum(gaps))


def bootstrap(
    statistic: Statistic,
    *arrays: np.ndarray,
    clusters: Sequence[object] | np.ndarray | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of ``statistic(*arrays)``.

    Args:
        arrays: Arrays with one entry an image, resampled together.
        clusters: One value an image; whole clusters are then drawn (images of one source are not
            independent).
        resamples: Number of draws; draws whose statistic is NaN (one class only) are left out.

    Returns:
        The interval; ``low`` and ``high`` are NaN if no draw could be evaluated.
    """
    arrays = tuple(np.asarray(a) for a in arrays)
    count = len(arrays[0])
    generator = np.random.default_rng(seed)
    groups = None
    if clusters is not None:
        _, inverse = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
        groups = [np.flatnonzero(inverse == g) for g in range(inverse.max() + 1)] if count else []
    draws = []
    for _ in range(resamples if count else 0):
        if groups is None:
            index = generator.integers(count, size=count)
        else:
            chosen = generator.integers(len(groups), size=len(groups))
            index = np.concatenate([groups[g] for g in chosen])
        value = statistic(*(a[index] for a in arrays))
        if np.isfinite(value):
            draws.append(value)
    value = statistic(*arrays) if count else float("nan")
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail]) if draws else (float("nan"), float("nan"))
    return Interval(
        float(value),
        float(low),
        float(high),
        count,
        None if groups is None else len(groups),
        confidence,
    )
