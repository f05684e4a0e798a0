"""Fitting heads with squares: logistic regression with the kernel (1 + u·u')², cut to its main directions.

Features in pieces have a kernel each, and the sum of them is the whole: squares are taken within a piece.
The dual has one coefficient a row. Written out, the kernel machine is a bias, a linear term and, of every
piece, a quadratic form Σ_i a_i u_i u_iᵀ, whose leading eigenvectors (by size) are kept as directions.

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
from countermark.detectors.scoring.heads import Head, evened, unit


class QuadraticHeads(GramHeads):
    """Heads with squares on rows of ``features`` float32 [N, D], which may be overwritten.

    Args:
        features: Put on the unit sphere as ``Head`` says, standardised over all rows.
        piece: How many features make a piece; 0: all are one.
    """

    def __init__(self, features: np.ndarray, *, piece: int = 0) -> None:
        if len(features) > MOST_ROWS:
            raise TrainingError(
                f"{len(features)} rows are too many for a matrix of products.", code="training.too-large"
            )
        self.piece = piece
        # A view of ``flat``: what is done to one is done to the other.
        flat = np.ascontiguousarray(features, np.float32)
        rows = flat.reshape(len(flat), -1, piece or flat.shape[1])
        if piece:
            rows[:] = evened(rows)[0]
        self.mean = flat.mean(axis=0)
        flat -= self.mean
        self.scale = flat.std(axis=0) + np.float32(1e-6)
        flat /= self.scale
        rows[:] = unit(rows)[0]
        self.rows = rows
        self.products = torch.zeros(len(rows), len(rows))
        for part in rows.transpose(1, 0, 2):
            tensor = torch.from_numpy(np.ascontiguousarray(part))
            self.products += (tensor @ tensor.T).add_(1).div_(2).square_()
        self.products.mul_(rows.shape[2])

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
        """The head fitted on the rows ``fitted`` (mask), with ``rank`` directions a piece in 8 bits."""
        rows = torch.from_numpy(np.flatnonzero(fitted))
        y = torch.from_numpy(np.asarray(aims)[fitted].astype(np.float32))
        w = torch.from_numpy(np.asarray(weights)[fitted].astype(np.float32)) * C
        a = minimise(self.products[rows][:, rows], y, w, iterations).numpy().astype(np.float32)
        return self._written_out(a, self.rows[fitted], rank)

    def _written_out(self, a: np.ndarray, u: np.ndarray, rank: int) -> Head:
        """The kernel machine Σ a_i S Σ_p ((1 + u_ip·u_p) / 2)² as a head; see the module."""
        share = np.float32(u.shape[2] / 4)
        parts = [_form(a * share, np.ascontiguousarray(part), rank) for part in u.transpose(1, 0, 2)]
        codes, steps, strength, rest = (list(column) for column in zip(*parts, strict=True))
        return Head(
            self.mean.astype(np.float32),
            self.scale.astype(np.float32),
            (2 * share * np.tensordot(a, u, 1)).ravel().astype(np.float32),
            np.array(share * u.shape[1] * a.sum() + sum(rest), np.float32),
            np.stack(codes),
            np.stack(steps),
            np.stack(strength),
            self.piece,
        )


def _form(a: np.ndarray, u: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Σ a_i (u_i·u)² of one piece: directions int8 [R, S], steps, strengths, and the mean of what is left."""
    dimensions = u.shape[1]
    form = LinearOperator(
        (dimensions, dimensions),
        matvec=lambda v: (u @ v.astype(np.float32)) * a @ u,
        dtype=np.float32,
    )
    count = min(rank, dimensions - 1)
    start = np.random.default_rng(0).normal(size=(dimensions,)).astype(np.float32)
    strength, vectors = eigsh(form, k=count, which="LM", v0=start, tol=1e-3)
    steps: np.ndarray = np.maximum(np.abs(vectors).max(axis=0), 1e-9) / 127
    codes: np.ndarray = np.round(vectors / steps).astype(np.int8).T
    # What the directions leave out is, on average over the rows, a constant.
    some = np.random.default_rng(0).permutation(len(u))[:1000]
    kept = ((u[some] @ (codes.T * steps)) ** 2) @ strength
    whole = ((u[some] @ u.T) ** 2) @ a
    return (
        np.ascontiguousarray(codes),
        steps.astype(np.float32),
        strength.astype(np.float32),
        float(np.mean(whole - kept)),
    )


def fit_quadratic(
    features: np.ndarray,
    aims: np.ndarray,
    weights: np.ndarray,
    *,
    C: float = 1e-2,
    iterations: int = 60,
    rank: int = 128,
    piece: int = 0,
) -> Head:
    """A head on ``features`` float32 [N, D] for ``aims`` [N] in [0, 1] with ``weights`` [N].

    Args:
        C: Inverse strength of the penalty.
        rank: Directions of every piece that are kept.
        piece: See ``QuadraticHeads``.
    """
    heads = QuadraticHeads(np.array(features, np.float32), piece=piece)
    every = np.ones(len(features), bool)
    return heads.head(every, aims, weights, C=C, iterations=iterations, rank=rank)
