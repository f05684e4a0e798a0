"""The one home of confidence intervals: which one a figure gets, and why.

- **A share of images** (flagged, found, marked, copied): ``proportion``, or ``rate`` where only counts
  are known. Exact (Clopper & Pearson 1934), so that it holds for 0 of 300 as well as for 150, and never
  has no width: the bootstrap says [0, 0] for 0 of 300, and Wilson's interval covers less than it says
  for rates such as .01. Images of one source are not independent: the count is first divided by the
  design effect (Korn & Graubard 1998).
- **Everything else that is computed from images** (AUROC, TPR at an FPR, calibration, differences):
  ``bootstrap``, by percentiles. Whole clusters are drawn, separately for clusters that hold only real,
  only synthetic, or both kinds of image, so that no draw loses a class (Davison & Hinkley 1997, §3.2 and
  §3.8). Where every draw gives the same value (perfect separation) the bootstrap knows no spread, and the
  exact bound for as many successes as there are independent images takes its place.
- **A few repeated runs**: ``student``, Student's interval of their mean.

Distances between two sets of features (KID, FID) have their own, by half-sampling, in
``generators.measuring.quality``.

>>> found = rate(0, 300)
>>> round(found.low, 4), round(found.high, 4)
(0.0, 0.0122)
>>> from countermark.core.stats import weighted_auroc
>>> labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.3, 0.9])
>>> bootstrap(lambda w: weighted_auroc(labels, scores, w), labels, resamples=200, bounds=(0, 1)).value
0.75
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, stdtrit

from countermark.core.results import Interval
from countermark.core.seeds import rng

#: A statistic: a matrix of weights, [draws, images], to one value a draw.
Weighted = Callable[[np.ndarray], np.ndarray]

#: Assumed correlation of images within a cluster where the sample itself cannot show one (no event).
INTRACLUSTER = 0.1
#: Weights that are made at a time, in numbers.
_BLOCK = 4_000_000


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


@dataclass(frozen=True)
class Resamples:
    """Draws of a stratified cluster bootstrap: how often each cluster, and so each image, is taken.

    Attributes:
        counts: float32 [draws, clusters].
        groups: int [images], the cluster of each.
    """

    counts: np.ndarray
    groups: np.ndarray

    @classmethod
    def draw(cls, labels: np.ndarray, clusters: np.ndarray | None, resamples: int, seed: int) -> Resamples:
        """Draws whole clusters, or single images without ``clusters``; labels are 0 or 1, [images]."""
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
        return cls(drawn, groups)

    def blocks(self) -> Iterator[np.ndarray]:
        """The weights, float32 [some draws, images], a bounded number at a time."""
        step = max(1, _BLOCK // max(len(self.groups), 1))
        for start in range(0, len(self.counts), step):
            yield self.counts[start : start + step][:, self.groups]

    def values(self, statistic: Weighted) -> np.ndarray:
        """The statistic of every draw, float64 [draws]."""
        return np.concatenate([statistic(block) for block in self.blocks()])


def estimate(
    statistic: Weighted,
    resamples: Resamples,
    *,
    confidence: float = 0.95,
    effective: float | None,
    clusters: int | None = None,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Estimate:
    """Percentile bootstrap interval of a weighted statistic over draws that were made before.

    Args:
        statistic: Matrix of weights to one value a row.
        effective: Independent images of the class that has fewer, for ``widened``. None: there is no
            spread to know, as when two equal sets of scores are compared.
        clusters: For the record only.
        bounds: Range that the statistic can take.
    """
    count = len(resamples.groups)
    value = float(statistic(np.ones((1, count), np.float32))[0]) if count else float("nan")
    draws = resamples.values(statistic) if count else np.array([])
    draws = draws[np.isfinite(draws)]
    if not len(draws) or not np.isfinite(value):
        nothing = Interval(value, float("nan"), float("nan"), count, clusters, confidence)
        return Estimate(nothing, draws)
    low, high = _percentiles(draws, confidence)
    if effective is not None:
        low, high = widened(low, high, effective, confidence=confidence, bounds=bounds)
    low, high = max(low, bounds[0]), min(high, bounds[1])
    return Estimate(Interval(value, low, high, count, clusters, confidence), draws)


def bootstrap(
    statistic: Weighted,
    labels: np.ndarray,
    clusters: Sequence[object] | np.ndarray | None = None,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Interval:
    """Percentile bootstrap interval of a statistic of labelled images.

    Args:
        statistic: Matrix of weights [draws, images] to one value a draw; see ``core.stats``.
        labels: 0 or 1, [images]; draws keep the classes. All alike where there are none.
        clusters: One value an image; whole clusters are then drawn.
        bounds: Range that the statistic can take. With finite bounds, draws without spread are widened.

    Returns:
        The interval; ``low`` and ``high`` are NaN if no draw could be evaluated.
    """
    labels = np.asarray(labels)
    groups = None if clusters is None else np.asarray(clusters, dtype=str)
    return estimate(
        statistic,
        Resamples.draw(labels, groups, resamples, seed),
        confidence=confidence,
        effective=smaller_class(labels, groups) if np.isfinite(bounds).all() else None,
        clusters=None if groups is None else len(np.unique(groups)),
        bounds=bounds,
    ).interval


def smaller_class(labels: np.ndarray, clusters: np.ndarray | None) -> float:
    """Independent images (see ``effective_size``) of the class that has fewer."""
    sizes = []
    for label in np.unique(labels):
        mine = labels == label
        sizes.append(float(mine.sum()) if clusters is None else effective_size(clusters[mine]))
    return min(sizes, default=1.0)


def widened(
    low: float,
    high: float,
    effective: float,
    *,
    confidence: float = 0.95,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[float, float]:
    """The bounds of draws, or, where these have no spread, wider by the exact binomial bound.

    That is the bound for ``effective`` successes out of as many (Clopper & Pearson 1934): what so many
    images can say when all of them agree.
    """
    if high - low >= 1e-12:
        return low, high
    slack = 1 - ((1 - confidence) / 2) ** (1 / max(effective, 1))
    return max(low - slack, bounds[0]), min(high + slack, bounds[1])


def proportion(
    events: np.ndarray, clusters: np.ndarray | Sequence[object] | None = None, *, confidence: float = 0.95
) -> Estimate:
    """Exact interval for a share of images, with the design effect of clusters.

    Clopper & Pearson (1934) on the effective sample size of Korn & Graubard (1998): the number of
    images divided by how much larger the variance between clusters makes the variance. Where no or
    every image shows the event, the sample has no design effect to offer and a correlation of
    ``INTRACLUSTER`` within clusters is assumed.

    Args:
        events: bool ``[images]``.
        clusters: One value an image, or None: images are independent.
    """
    events = np.asarray(events, dtype=np.float64)
    count = len(events)
    if not count:
        return Estimate(Interval(float("nan"), float("nan"), float("nan"), 0, 0, confidence), np.array([]))
    share = float(events.mean())
    groups = None
    if clusters is not None:
        groups = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)[1]
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
    hits = share * effective
    low, high = _clopper_pearson(hits, effective, confidence)
    known = None if groups is None else number
    interval = Interval(share, low, high, count, known, confidence)
    return Estimate(interval, np.array([]), (hits, effective))


def rate(hits: int, count: int, *, confidence: float = 0.95) -> Interval:
    """Exact interval for ``hits`` of ``count`` independent images; NaN value, [0, 1] for none."""
    if not count:
        return Interval(float("nan"), 0.0, 1.0, 0, None, confidence)
    return Interval(hits / count, *_clopper_pearson(hits, count, confidence), count, None, confidence)


def student(values: Sequence[float], count: int, *, confidence: float = 0.95) -> Interval:
    """Mean of repeated runs with Student's interval; ``count`` images in each, two runs or more."""
    centre, error = float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values)))
    half = float(stdtrit(len(values) - 1, (1 + confidence) / 2)) * error
    return Interval(centre, centre - half, centre + half, count * len(values), len(values), confidence)


def quantile(
    values: np.ndarray, share: float, *, resamples: int, confidence: float = 0.95, seed: int = 0
) -> Estimate:
    """A quantile of measured values (times, sizes) with its percentile bootstrap interval."""
    generator = rng(seed, "quantile", len(values))
    draws = np.quantile(generator.choice(values, size=(resamples, len(values))), share, axis=1)
    low, high = _percentiles(draws, confidence)
    value = float(np.quantile(values, share))
    return Estimate(Interval(value, low, high, len(values), None, confidence), draws)


def effective_size(clusters: np.ndarray) -> float:
    """Independent images that clustered ones are worth at a correlation of ``INTRACLUSTER`` (Kish 1965)."""
    sizes = np.unique(clusters, return_counts=True)[1]
    mean_size = float((sizes**2).sum() / sizes.sum())
    return float(sizes.sum()) / (1 + (mean_size - 1) * INTRACLUSTER)


def _clopper_pearson(hits: float, count: float, confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low = 0.0 if hits <= 0 else float(betaincinv(hits, count - hits + 1, tail))
    high = 1.0 if hits >= count else float(betaincinv(hits + 1, count - hits, 1 - tail))
    return low, high


def _percentiles(draws: np.ndarray, confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def _t_ratio(count: int, clusters: int, confidence: float) -> float:
    """Korn & Graubard's factor for few clusters: squared ratio of Student quantiles."""
    if clusters < 2:
        return 1.0
    tail = (1 + confidence) / 2
    return float((stdtrit(clusters - 1, tail) / stdtrit(max(count - 1, 1), tail)) ** 2)
