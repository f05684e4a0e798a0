"""Fitting heads with squares: logistic regression with the kernel (1 + u·u')², cut to its main directions.

The dual has one coefficient a row. Written out, the kernel machine is a bias, a linear term and a
quadratic form Σ_i a_i u_i u_iᵀ, whose leading eigenvectors (by size) are kept as the head's directions.

>>> generator = np.random.default_rng(0)
>>> x = generator.normal(size=(300, 20)).astype(np.float32); y = (x[:, 0] ** 2 > 0.5).astype(float)
>>> head = fit_quadratic(x, y, np.ones(300), C=3.0, rank=5)
>>> bool(((head.logits(x) > 0) == y).mean() > 0.9)
True
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh

from countermark.core.errors import TrainingError
from countermark.detectors.fitting.gram import MOST_ROWS, GramHeads, minimise
from countermark.detectors.scoring.heads import Head


class QuadraticHeads(GramHeads):
    """Heads with squares on rows of ``features`` float32 [N, D]; ``features`` end up on the unit sphere.

    ``mean`` and ``scale`` float32 [D] are what they were standardised by, over all rows.
    """

    def __init__(self, features: np.ndarray) -> None:
        if len(features) > MOST_ROWS:
            raise TrainingError(
                f"{len(features)} rows are too many for a matrix of products.", code="training.too-large"
            )
        self.mean = features.mean(axis=0)
        features -= self.mean
        self.scale = features.std(axis=0) + np.float32(1e-6)
        features /= self.scale
        features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-6)
        self.rows = features
        tensor = torch.from_numpy(features)
        products = tensor @ tensor.T
        self.products = products.add_(1).div_(2).square_().mul_(features.shape[1])

    def head(
        self,
        fitted: np.ndarray,
        aims: np.ndarray,
        weights: np.ndarray,
        *,
        C: float,
        iterations: int,
        rank: int,
    ) -> Head:
        """The head fitted on the rows ``fitted`` (mask), with ``rank`` directions in 8 bits."""
        rows = torch.from_numpy(np.flatnonzero(fitted))
        y = torch.from_numpy(np.asarray(aims)[fitted].astype(np.float32))
        w = torch.from_numpy(np.asarray(weights)[fitted].astype(np.float32)) * C
        a = minimise(self.products[rows][:, rows], y, w, iterations).numpy().astype(np.float32)
        return _written_out(a, self.rows[fitted], self.mean, self.scale, rank)


def fit_quadratic(
    features: np.ndarray,
    aims: np.ndarray,
    weights: np.ndarray,
    *,
    C: float = 1e-2,
    iterations: int = 60,
    rank: int = 128,
) -> Head:
    """A head on ``features`` float32 [N, D] for ``aims`` [N] in [0, 1] with ``weights`` [N].

    Args:
        C: Inverse strength of the penalty.
        rank: Directions that are kept.
    """
    heads = QuadraticHeads(np.array(features, np.float32))
    every = np.ones(len(features), bool)
    return heads.head(every, aims, weights, C=C, iterations=iterations, rank=rank)


def _written_out(a: np.ndarray, u: np.ndarray, mean: np.ndarray, scale: np.ndarray, rank: int) -> Head:
    """The kernel machine Σ a_i D ((1 + u_i·u) / 2)² as a head; see the module."""
    share = np.float32(u.shape[1] / 4)
    linear: np.ndarray = 2 * share * (a @ u)
    dimensions = u.shape[1]
    form = LinearOperator(
        (dimensions, dimensions),
        matvec=lambda v: share * ((u @ v.astype(np.float32)) * a @ u),
        dtype=np.float32,
    )
    count = min(rank, dimensions - 1)
    start = np.random.default_rng(0).normal(size=(dimensions,)).astype(np.float32)
    strength, vectors = eigsh(form, k=count, which="LM", v0=start, tol=1e-3)
    steps: np.ndarray = np.abs(vectors).max(axis=0) / 127
    codes: np.ndarray = np.round(vectors / steps).astype(np.int8).T
    # What the directions leave out is, on average over the rows, a constant.
    kept = ((u @ (codes.T * steps)) ** 2) @ strength
    some = np.random.default_rng(0).permutation(len(u))[:1000]
    whole = share * ((u[some] @ u.T) ** 2) @ a
    rest = float(np.mean(whole - kept[some]))
    return Head(
        mean.astype(np.float32),
        scale.astype(np.float32),
        linear.astype(np.float32),
        np.array(share * a.sum() + rest, np.float32),
        np.ascontiguousarray(codes),
        steps.astype(np.float32),
        strength.astype(np.float32),
    )
