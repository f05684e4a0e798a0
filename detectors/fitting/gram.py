"""Many linear heads on the same features: logistic regressions on parts of one matrix of products.

Leaving out every source of a corpus asks for dozens of heads on 13,824 dimensions. Products of all
pairs of rows are computed once; after that a head on any rows costs seconds, because L-BFGS walks the
same path in terms of the rows (the representer theorem: weights are sums of rows) as in the weights.

>>> generator = np.random.default_rng(0)
>>> x = generator.normal(size=(60, 200)).astype(np.float32); y = (x[:, 0] > 0).astype(float)
>>> heads = GramHeads(x)
>>> rows, others = np.arange(60) < 50, np.arange(60) >= 50
>>> heads.fit_and_score(rows, y, np.ones(60), others, C=0.1).shape
(10,)
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from countermark.core.errors import TrainingError

#: Of rows: the matrix of products takes four bytes a pair, and a part of it is copied: some 14 GB in all.
MOST_ROWS = 34_000
MEMORY = 10


class GramHeads:
    """Heads on rows of ``features`` float32 [N, D], which are standardised in place over all rows.

    Raises:
        TrainingError: more rows than 34,000.
    """

    def __init__(self, features: np.ndarray) -> None:
        if len(features) > MOST_ROWS:
            raise TrainingError(
                f"{len(features)} rows are too many for a matrix of products.", code="training.too-large"
            )
        x = features
        x -= x.mean(axis=0)
        x /= x.std(axis=0) + 1e-6
        tensor = torch.from_numpy(x)
        self.products = tensor @ tensor.T + 1.0  # the one is the constant feature of the bias

    def fit_and_score(
        self,
        fitted: np.ndarray,
        aims: np.ndarray,
        weights: np.ndarray,
        scored: np.ndarray,
        *,
        C: float = 1e-2,
        iterations: int = 45,
    ) -> np.ndarray:
        """Logits float64 of the rows ``scored`` by a head fitted on the rows ``fitted`` (masks [N]).

        Args:
            aims: Labels or targets in [0, 1], [N]; of the rows not fitted they count nothing.
            weights: [N], likewise.
            C: As for ``fit_logistic``, whose objective this is but for a small penalty on the bias.
            iterations: L-BFGS iterations at most.
        """
        rows = torch.from_numpy(np.flatnonzero(fitted))
        inner = self.products[rows][:, rows]
        y = torch.from_numpy(np.asarray(aims)[fitted].astype(np.float32))
        w = torch.from_numpy(np.asarray(weights)[fitted].astype(np.float32)) * C
        found = minimise(inner, y, w, iterations)
        outer = self.products[torch.from_numpy(np.flatnonzero(scored))][:, rows]
        return (outer @ found).double().numpy()


def minimise(inner: Tensor, y: Tensor, w: Tensor, iterations: int) -> Tensor:
    """Coefficients a of the rows that minimise sum w bce(K a, y) + a'Ka / 2; L-BFGS (Nocedal 1980).

    Every vector is kept with its product with K, so that an iteration costs two products.
    """
    a, f = torch.zeros_like(y), torch.zeros_like(y)

    def value(a: Tensor, f: Tensor) -> float:
        loss = (w * binary_cross_entropy_with_logits(f, y, reduction="none")).sum()
        return float(loss + 0.5 * (a * f).sum())

    gradient = w * (torch.sigmoid(f) - y) + a
    product = inner @ gradient
    loss = value(a, f)
    steps: list[tuple[Tensor, Tensor, Tensor, Tensor, float]] = []
    for _ in range(iterations):
        q, shares = gradient.clone(), []
        for _s, ks, d, _kd, r in reversed(steps):
            share = r * float(ks @ q)
            shares.append(share)
            q = q - share * d
        if steps:
            _, ks, d, kd, _ = steps[-1]
            q = q * float((ks @ d) / (kd @ d))
        for (s, _ks, _d, kd, r), share in zip(steps, reversed(shares), strict=True):
            q = q + s * (share - r * float(kd @ q))
        direction, towards = -q, inner @ -q
        slope = float(product @ direction)
        size = 1.0 if steps else min(1.0, 1 / (float(direction @ towards) ** 0.5 + 1e-9))
        for _ in range(12):
            trial = value(a + size * direction, f + size * towards)
            if trial <= loss + 1e-4 * size * slope:
                break
            size /= 2
        a, f = a + size * direction, f + size * towards
        new = w * (torch.sigmoid(f) - y) + a
        change = new - gradient
        change_product = inner @ change
        curvature = float(size * (towards @ change))
        if curvature > 1e-10:
            steps = [
                *steps[1 - MEMORY :],
                (size * direction, size * towards, change, change_product, 1 / curvature),
            ]
        gradient, product = new, product + change_product
        if abs(loss - trial) < 1e-7 * abs(loss):
            break
        loss = trial
    return a
