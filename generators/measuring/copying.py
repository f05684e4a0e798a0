"""Does a generator copy its training images? Distances to the nearest of them, against held-out reals.

>>> import numpy as np
>>> draws = np.random.default_rng(0)
>>> train, held = draws.normal(size=(400, 8)), draws.normal(size=(200, 8))
>>> copying(train, held, train[:200] + 0.01).copies, copying(train, held, draws.normal(size=(200, 8))).copies
(True, False)

KID and precision reward copying, so they cannot show it. Features come from one extractor; pass
the features of mirrored training images too, so that mirrored copies are found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, rankdata
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors

from countermark.core.errors import ConfigError


@dataclass(frozen=True)
class CopyingReport:
    """What the distances say.

    Attributes:
        c_t: Data-copying score (Meehan et al. 2020), a z-value: below -3 generated images lie closer
            to training images than held-out reals do; above 3 further away (underfitting).
        authentic: Share of generated images further from their nearest training image than that one
            is from its own nearest neighbour (Alaa et al. 2022); ``authentic_heldout`` is the same
            for held-out reals, what an honest model gets.
        near_duplicates: Share of generated images that lie much closer to one training image than
            to the next ones: the nearest distance over that to the tenth training image (Carlini
            et al. 2023 use such a ratio) is below that of 99 % of the held-out reals.
        excess: ``near_duplicates`` beyond the 1 % of held-out reals, in standard errors.
        deficit: How far ``authentic`` lies below ``authentic_heldout``, in standard errors.
        copies: True when near-duplicates are in excess by more than 4 standard errors, or by more
            than 2 while ``c_t`` < -3 and ``deficit`` > 2. ``c_t`` alone does not decide: blurred
            images with little variety lie near the middle of the training set and copy none of it.
        nearest: Index of the nearest training image of each generated one, int64 [N].
        distances: Their distances, float64 [N].
    """

    c_t: float
    authentic: float
    authentic_heldout: float
    near_duplicates: float
    excess: float
    deficit: float
    copies: bool
    count: int
    nearest: np.ndarray
    distances: np.ndarray

    @property
    def sentence(self) -> str:
        """One sentence for people."""
        if self.copies:
            return (
                f"Copies training images: C_T {self.c_t:.1f}, "
                f"{self.near_duplicates:.0%} of {self.count} images are near-duplicates."
            )
        if self.c_t < -3:
            return (
                f"Closer to training images than held-out ones are (C_T {self.c_t:.1f}), but to none of "
                f"them in particular ({self.authentic:.0%} authentic): too little variety."
            )
        return f"No sign of copying: C_T {self.c_t:.1f}, {self.authentic:.0%} authentic."


def copying(
    train: np.ndarray,
    heldout: np.ndarray,
    generated: np.ndarray,
    *,
    mirrored: np.ndarray | None = None,
    cells: int | None = None,
    seed: int = 0,
) -> CopyingReport:
    """Compares generated and held-out images by their distance to the training set.

    Args:
        train, heldout, generated: Features float [*, D].
        mirrored: Features of the training images mirrored left to right, in the same order.
        cells: Number of k-means cells for C_T; by default one per 50 held-out images, at most 10.

    Raises:
        ConfigError: ``quality.too-few`` with fewer than 10 images in a set.
    """
    if min(len(train), len(heldout), len(generated)) < 10:
        raise ConfigError(
            f"{len(train)} training, {len(heldout)} held-out and {len(generated)} generated images "
            "are too few to tell copies.",
            code="quality.too-few",
            hint="Use at least 10 of each.",
        )
    both = train if mirrored is None else np.concatenate([train, mirrored])
    index = NearestNeighbors().fit(both)
    distance_g, nearest, ratio_g = _neighbours(index, generated, len(train))
    distance_h, nearest_h, ratio_h = _neighbours(index, heldout, len(train))
    own = NearestNeighbors(n_neighbors=2).fit(train).kneighbors(train)[0][:, 1]
    cells = cells or int(np.clip(len(heldout) // 50, 1, 10))
    groups = KMeans(cells, n_init=2, random_state=seed).fit(train)
    c_t = _c_t(distance_h, distance_g, groups.predict(heldout), groups.predict(generated), cells)
    limit = np.quantile(ratio_h, 0.01)
    share, share_h = float(np.mean(ratio_g < limit)), float(np.mean(ratio_h < limit))
    excess = _z(share, share_h, len(generated), len(heldout))
    authentic = float(np.mean(distance_g > own[nearest]))
    authentic_h = float(np.mean(distance_h > own[nearest_h]))
    deficit = _z(authentic_h, authentic, len(heldout), len(generated))
    return CopyingReport(
        c_t=c_t,
        authentic=authentic,
        authentic_heldout=authentic_h,
        near_duplicates=share,
        excess=excess,
        deficit=deficit,
        copies=bool(excess > 4 or (excess > 2 and c_t < -3 and deficit > 2)),
        count=len(generated),
        nearest=nearest,
        distances=distance_g,
    )


def _neighbours(
    index: NearestNeighbors, points: np.ndarray, count: int, k: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance and number of the nearest training image, and that distance over the k-th image's.

    ``index`` holds ``count`` images, or those and their mirrored twins; a twin is the same image.
    """
    reach = min(2 * k, index.n_samples_fit_)
    distances, found = index.kneighbors(points, n_neighbors=reach)
    found = found % count
    later = np.empty(len(points))
    for row, (numbers, values) in enumerate(zip(found, distances, strict=True)):
        _, first = np.unique(numbers, return_index=True)
        later[row] = values[np.sort(first)[: min(k, len(first))][-1]]
    return distances[:, 0], found[:, 0], distances[:, 0] / np.maximum(later, 1e-12)


def _z(a: float, b: float, count_a: int, count_b: int) -> float:
    """Difference of two shares in pooled standard errors."""
    pooled = (a * count_a + b * count_b) / (count_a + count_b)
    error = np.sqrt(max(pooled * (1 - pooled), 1e-9) * (1 / count_a + 1 / count_b))
    return float((a - b) / error)


def _c_t(
    heldout: np.ndarray, generated: np.ndarray, cell_h: np.ndarray, cell_g: np.ndarray, cells: int
) -> float:
    """Mann-Whitney z of the two samples of distances, averaged over cells weighted by held-out images."""
    scores, weights = [], []
    for cell in range(cells):
        a, b = heldout[cell_h == cell], generated[cell_g == cell]
        if len(a) < 5 or len(b) < 5:
            continue
        ranks = rankdata(np.concatenate([a, b]))[len(a) :]
        u = ranks.sum() - len(b) * (len(b) + 1) / 2
        mean = len(a) * len(b) / 2
        spread = np.sqrt(len(a) * len(b) * (len(a) + len(b) + 1) / 12)
        scores.append((u - mean) / spread)
        weights.append(len(a))
    if not scores:
        return float("nan")
    share = np.asarray(weights) / np.sum(weights)
    # Cells are independent, so the weighted sum is brought back to unit variance.
    return float(np.dot(share, scores) / np.sqrt(np.square(share).sum()))


def p_value(c_t: float) -> float:
    """Probability of a C_T this low or lower when nothing is copied."""
    return float(norm.cdf(c_t))
