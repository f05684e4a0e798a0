"""How close generated images are to real ones, from features of either: KID, FID, precision, recall.

>>> import numpy as np
>>> draws = np.random.default_rng(0)
>>> real, same = draws.normal(size=(2, 300, 8))
>>> kid(real, same).low < 0 < kid(real, same).high
True

All functions take features float [N, D] of one extractor (``countermark.core.features``); figures
of two extractors, or of very different N, are not comparable.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import linalg
from sklearn.metrics import pairwise_distances

from countermark.core.errors import ConfigError
from countermark.core.intervals import widened
from countermark.core.results import Interval


def kid(real: np.ndarray, fake: np.ndarray, *, resamples: int = 200, seed: int = 0) -> Interval:
    """Kernel Inception Distance (Binkowski et al. 2018): unbiased MMD^2 with (x.y / D + 1)^3.

    0 means that the kernel sees no difference; small sets may give values below 0. The interval
    holds the middle 95 % of the value over random halves of both sets, whose spread is that of the
    full value (half-sampling; Shao & Wu 1989).
    """
    _check(real, fake)
    width = real.shape[1]
    real, fake = real.astype(np.float64), fake.astype(np.float64)
    rr, ff, rf = (((a @ b.T) / width + 1) ** 3 for a, b in ((real, real), (fake, fake), (real, fake)))
    value = _mmd(rr, ff, rf)
    generator = np.random.default_rng(seed)
    draws = []
    for _ in range(resamples):
        i = generator.permutation(len(real))[: max(len(real) // 2, 2)]
        j = generator.permutation(len(fake))[: max(len(fake) // 2, 2)]
        draws.append(_mmd(rr[np.ix_(i, i)], ff[np.ix_(j, j)], rf[np.ix_(i, j)]))
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(value, float(low), float(high), len(fake))


def _mmd(rr: np.ndarray, ff: np.ndarray, rf: np.ndarray) -> float:
    m, n = len(rr), len(ff)
    within = (rr.sum() - np.trace(rr)) / (m * (m - 1)) + (ff.sum() - np.trace(ff)) / (n * (n - 1))
    return float(within - 2 * rf.mean())


def frechet(real: np.ndarray, fake: np.ndarray) -> float:
    """Frechet distance of two Gaussians fitted to the features (Heusel et al. 2017).

    Biased upwards for few images: with fewer images than feature dimensions it says little.
    """
    _check(real, fake)
    real, fake = real.astype(np.float64), fake.astype(np.float64)
    mean_r, mean_f = real.mean(axis=0), fake.mean(axis=0)
    a, b = (real - mean_r) / np.sqrt(len(real) - 1), (fake - mean_f) / np.sqrt(len(fake) - 1)
    # With covariances A'A and B'B, the trace of the root of their product is the sum of the singular
    # values of AB'. Of the two forms the one with the smaller matrix is taken.
    if min(len(a), len(b)) < real.shape[1]:
        root = linalg.svdvals(a @ b.T).sum()
    else:
        root = np.sqrt(np.maximum(linalg.eigvals((a.T @ a) @ (b.T @ b)).real, 0)).sum()
    return float(((mean_r - mean_f) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2 * root)


def neighbourhood(real: np.ndarray, fake: np.ndarray, *, k: int = 5) -> dict[str, float]:
    """Precision, recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020).

    Balls reach to the k-th neighbour of the same set and include their border. Precision, recall
    and coverage lie in [0, 1]; density may exceed 1.
    """
    _check(real, fake)
    k = min(k, len(real) - 1, len(fake) - 1)
    radius_r, radius_f = _radii(real, k), _radii(fake, k)
    distance = pairwise_distances(real, fake)
    inside_r = distance <= radius_r[:, None]
    inside_f = distance <= radius_f[None, :]
    return {
        "precision": float(inside_r.any(axis=0).mean()),
        "recall": float(inside_f.any(axis=1).mean()),
        "density": float(inside_r.sum(axis=0).mean() / k),
        "coverage": float(inside_r.any(axis=1).mean()),
    }


def half_sampled(
    statistic: Callable[[np.ndarray, np.ndarray], float],
    real: np.ndarray,
    fake: np.ndarray,
    *,
    resamples: int = 20,
    seed: int = 0,
    limits: tuple[float, float] = (0.0, np.inf),
) -> Interval:
    """A statistic of two sets with the spread over random halves, centred on the full value.

    For statistics that depend on the number of images, such as precision and recall: only the
    spread of the halves is used. ``limits`` are the lowest and highest values that it can have.
    """
    value = statistic(real, fake)
    generator = np.random.default_rng(seed)
    draws = []
    for _ in range(resamples):
        i = generator.permutation(len(real))[: max(len(real) // 2, 2)]
        j = generator.permutation(len(fake))[: max(len(fake) // 2, 2)]
        draws.append(statistic(real[i], fake[j]))
    spread = np.asarray(draws) - np.mean(draws)
    low, high = np.clip(value + np.quantile(spread, [0.025, 0.975]), *limits)
    if np.isfinite(limits).all():  # a share, which is never certain
        low, high = widened(low, high, min(len(real), len(fake)), bounds=limits)
    return Interval(value, float(low), float(high), len(fake))


def _radii(points: np.ndarray, k: int) -> np.ndarray:
    """Distance of each point to its k-th neighbour among the others."""
    return np.partition(pairwise_distances(points), k, axis=1)[:, k]


def _check(real: np.ndarray, fake: np.ndarray) -> None:
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise ConfigError("Both sets must be features of the same extractor.", code="quality.features")
    if len(real) < 4 or len(fake) < 4:
        raise ConfigError(
            f"{len(real)} real and {len(fake)} generated images are too few to compare.",
            code="quality.too-few",
            hint="Use at least 4 of each; some hundreds for a narrow interval.",
        )
