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
        near_duplicates: Share of generated images closer to a training image than 99 % of the
            held-out reals are.
        excess: ``near_duplicates`` beyond the 1 % of held-out reals, in standard errors.
        copies: True when ``c_t`` < -3, or when near-duplicates are in excess by more than 4
            standard errors.
        nearest: Index of the nearest training image of each generated one, int64 [N].
        distances: Their distances, float64 [N].
    """

    c_t: float
    authentic: float
    authentic_heldout: float
    near_duplicates: float
    excess: float
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
    index = NearestNeighbors(n_neighbors=1).fit(both)
    distance_g, nearest = (a[:, 0] for a in index.kneighbors(generated))
    distance_h, nearest_h = (a[:, 0] for a in index.kneighbors(heldout))
    nearest, nearest_h = nearest % len(train), nearest_h % len(train)
    own = NearestNeighbors(n_neighbors=2).fit(train).kneighbors(train)[0][:, 1]
    cells = cells or int(np.clip(len(heldout) // 50, 1, 10))
    groups = KMeans(cells, n_init=2, random_state=seed).fit(train)
    c_t = _c_t(distance_h, distance_g, groups.predict(heldout), groups.predict(generated), cells)
    limit = np.quantile(distance_h, 0.01)
    share, share_h = float(np.mean(distance_g < limit)), float(np.mean(distance_h < limit))
    pooled = max((share * len(generated) + share_h * len(heldout)) / (len(generated) + len(heldout)), 1e-9)
    error = np.sqrt(pooled * (1 - pooled) * (1 / len(generated) + 1 / len(heldout)))
    excess = float((share - share_h) / max(error, 1e-12))
    return CopyingReport(
        c_t=c_t,
        authentic=float(np.mean(distance_g > own[nearest])),
        authentic_heldout=float(np.mean(distance_h > own[nearest_h])),
        near_duplicates=share,
        excess=excess,
        copies=bool(c_t < -3 or excess > 4),
        count=len(generated),
        nearest=nearest,
        distances=distance_g,
    )


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
