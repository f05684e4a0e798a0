"""Statistics of labelled scores, plain and weighted; ``core.intervals`` gives them their intervals.

A weighted statistic takes a matrix of weights, [draws, images], and gives one value a draw: one sorting
then serves every draw of a bootstrap. The plain one is the same with all weights 1.

>>> import numpy as np
>>> labels = np.array([0, 0, 0, 1, 1, 1] * 20)
>>> scores = labels + np.linspace(0, 1.2, 120)
>>> round(auroc(labels, scores), 3)
0.99
"""

from __future__ import annotations

import numpy as np


def auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve in [0, 1]; NaN if only one class is there. Positive: label 1."""
    labels = np.asarray(labels)
    return float(weighted_auroc(labels, np.asarray(scores), _once(labels))[0]) if len(labels) else np.nan


def tpr_at_fpr(labels: np.ndarray, scores: np.ndarray, max_fpr: float) -> float:
    """Share of positives above the lowest threshold that at most ``max_fpr`` of the negatives reach."""
    labels = np.asarray(labels)
    if not len(labels):
        return np.nan
    return float(weighted_tpr_at_fpr(labels, np.asarray(scores), _once(labels), max_fpr)[0])


def threshold_at_fpr(negatives: np.ndarray, max_fpr: float) -> float:
    """The smallest observed score such that at most ``max_fpr`` of ``negatives`` lie above it."""
    ordered = np.sort(np.asarray(negatives, dtype=np.float64))
    allowed = int(_allowed(max_fpr, np.array(len(ordered))))
    return float(ordered[len(ordered) - 1 - allowed]) if allowed < len(ordered) else -np.inf


def expected_calibration_error(labels: np.ndarray, scores: np.ndarray, bins: int = 10) -> float:
    """ECE in [0, 1] with bins of equal width (Naeini et al. 2015); scores are probabilities."""
    labels = np.asarray(labels)
    found = weighted_calibration_error(labels, np.asarray(scores, dtype=np.float64), _once(labels), bins)
    return float(found[0])


def weighted_auroc(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted area under the ROC curve, ties counted half, float64 [draws]; NaN without a class."""
    order, starts = _ties(scores)
    positive, negative = _by_class(labels, weights, order, starts)
    below = np.cumsum(negative, axis=1) - negative
    wins = (positive * (below + 0.5 * negative)).sum(axis=1)
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return _ratio(wins, pairs)


def weighted_tpr_at_fpr(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray, max_fpr: float
) -> np.ndarray:
    """Share of positives above the lowest real score that at most ``max_fpr`` of the reals exceed."""
    order, starts = _ties(scores)
    positive, negative = _by_class(labels, weights, order, starts)
    negative_above = negative.sum(axis=1, keepdims=True) - np.cumsum(negative, axis=1)
    positive_above = positive.sum(axis=1, keepdims=True) - np.cumsum(positive, axis=1)
    allowed = _allowed(max_fpr, negative.sum(axis=1, keepdims=True))
    fits = (negative_above <= allowed) & (negative > 0)
    first = fits.argmax(axis=1)
    hits = positive_above[np.arange(len(weights)), first]
    total = positive.sum(axis=1)
    return _ratio(np.where(fits.any(axis=1), hits, np.nan), total)


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean of ``values``, float64 [draws]; NaN where a draw is empty."""
    return _ratio(weights @ values, weights.sum(axis=1))


def weighted_calibration_error(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray, bins: int = 10
) -> np.ndarray:
    """Expected calibration error in bins of equal width (Naeini et al. 2015), float64 [draws]."""
    which = np.minimum((scores * bins).astype(int), bins - 1)
    member = np.eye(bins)[which]
    gap = (weights * (labels - scores)) @ member
    return _ratio(np.abs(gap).sum(axis=1), weights.sum(axis=1))


def _once(labels: np.ndarray) -> np.ndarray:
    return np.ones((1, len(labels)))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``part / whole``, NaN where there is nothing to divide by."""
    found: np.ndarray = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return found


def _allowed(max_fpr: float, count: np.ndarray) -> np.ndarray:
    """How many of ``count`` may lie above; 0.29 of 100 is 29, though the product is a little less."""
    allowed: np.ndarray = np.floor(max_fpr * count + 1e-9)
    return allowed


def _by_class(
    labels: np.ndarray, weights: np.ndarray, order: np.ndarray, starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the positives and the negatives at each distinct score, float64 [draws, scores]."""
    if not len(order):
        return np.zeros((len(weights), 0)), np.zeros((len(weights), 0))
    ranked, is_positive = weights[:, order], np.asarray(labels, dtype=np.float64)[order]
    positive = np.add.reduceat(ranked * is_positive, starts, axis=1)
    return positive, np.add.reduceat(ranked * (1 - is_positive), starts, axis=1)


def _ties(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order by score and the place where each distinct score starts."""
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    return order, np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]][: len(ranked)])
