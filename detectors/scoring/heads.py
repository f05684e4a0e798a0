"""The head that turns a tower's features into one logit: linear and a few squares of directions.

A head that is only linear in unbounded features lets a few large values (sharpening, strong grain)
decide. This one standardises the features, puts them on the unit sphere and adds squares:

    u = (x - mean) / scale, divided by its length
    logit = bias + linear · u + Σ_r strength_r (direction_r · u)²

It is what logistic regression with the kernel (1 + u·u')² gives, cut down to the directions that
matter. Features that come in *pieces* (one view, block and pool of a tower) are normalised piece by piece,
before they are standardised (to mean 0 and deviation 1, as a layer norm does) and after (to length 1
each), and every piece has squares of its own: no piece counts more because its numbers are larger, and a
direction is only as long as a piece. NumPy only, so that a scan needs nothing else.

>>> head = Head.plain(np.array([1.0, 0.0]), 0.5)
>>> head.logits(np.array([[2.0, 7.0]], np.float32)).tolist()
[2.5]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from countermark.core.errors import WeightsError

NAMES = ("mean", "scale", "linear", "bias", "directions", "steps", "strength")
#: Neither lengths nor deviations are taken for smaller than this.
LEAST = np.float32(1e-6)


@dataclass(frozen=True)
class Head:
    """A head on D features: P pieces of S, or one piece of all.

    Attributes:
        mean: float32 [D], or empty: features are taken as they are, neither standardised nor normalised.
        scale: float32 [D], likewise.
        linear: float32 [D].
        bias: float32 [].
        directions: int8 [P, R, S]; a direction is this times its step.
        steps: float32 [P, R].
        strength: float32 [P, R].
        piece: S; 0: all features are one piece, and no layer norm comes first.
    """

    mean: np.ndarray
    scale: np.ndarray
    linear: np.ndarray
    bias: np.ndarray
    directions: np.ndarray
    steps: np.ndarray
    strength: np.ndarray
    piece: int = 0

    @classmethod
    def zero(cls, dimensions: int) -> Head:
        """Gives 0 for everything."""
        return cls.plain(np.zeros(dimensions), 0.0)

    @classmethod
    def plain(cls, weight: np.ndarray, bias: float) -> Head:
        """weight · x + bias, without standardising."""
        none, dimensions = np.zeros(0, np.float32), len(weight)
        return cls(
            none,
            none,
            weight.astype(np.float32),
            np.array(bias, np.float32),
            np.zeros((1, 0, dimensions), np.int8),
            none.reshape(1, 0),
            none.reshape(1, 0),
        )

    @property
    def dimensions(self) -> int:
        return len(self.linear)

    def logits(self, features: np.ndarray) -> np.ndarray:
        """float64 [N] of float32 [N, D]."""
        u = self._steps(features)[2]
        found = u.reshape(len(u), -1) @ self.linear + self.bias
        if self.strength.size:
            squares = np.einsum("nps,prs->npr", u, self._vectors(), optimize=True) ** 2
            found = found + np.einsum("npr,pr->n", squares, self.strength)
        return np.asarray(found, np.float64)

    def slopes(self, features: np.ndarray) -> np.ndarray:
        """float32 [N, D]: the gradient of every logit by its features."""
        even, deviation, u, length = self._steps(features)
        slope = np.broadcast_to(self.linear.reshape(1, *u.shape[1:]), u.shape).astype(np.float32)
        if self.strength.size:
            vectors = self._vectors()
            along = 2 * np.einsum("nps,prs->npr", u, vectors, optimize=True) * self.strength
            slope = slope + np.einsum("npr,prs->nps", along, vectors, optimize=True)
        if len(self.mean):
            radial = (slope * u).sum(axis=2, keepdims=True)
            slope = (slope - radial * u) / length / self.scale.reshape(1, *u.shape[1:])
        if self.piece:
            level, share = slope.mean(axis=2, keepdims=True), (slope * even).mean(axis=2, keepdims=True)
            slope = (slope - level - share * even) / deviation
        return np.asarray(slope.reshape(len(u), -1), np.float32)

    def on_sphere(self, features: np.ndarray) -> np.ndarray:
        """float32 [N, P, S]: what the linear term and the squares read."""
        return self._steps(features)[2]

    def state(self) -> dict[str, np.ndarray]:
        """Arrays by name, for a weights file."""
        arrays = {f"head.{name}": np.asarray(getattr(self, name)) for name in NAMES}
        return arrays | ({"head.piece": np.array([self.piece], np.int32)} if self.piece else {})

    @classmethod
    def restore(cls, arrays: Mapping[str, Any], dimensions: int) -> Head:
        """What ``state`` gave.

        Raises:
            WeightsError: arrays are missing, or their shapes do not fit.
        """
        try:
            parts = {name: np.asarray(arrays[f"head.{name}"]) for name in NAMES}
        except KeyError as error:
            raise WeightsError(f"The head lacks {error}.") from error
        if parts["bias"].size == 1:  # arrays made contiguous gain an axis
            parts["bias"] = parts["bias"].reshape(())
        if parts["directions"].ndim == 2:  # of the one piece of files before there were pieces
            parts |= {name: parts[name][None] for name in ("directions", "steps", "strength")}
        sizes = np.asarray(arrays.get("head.piece", 0)).reshape(-1)
        piece = int(sizes[0]) if sizes.size == 1 else -1
        fits = piece == 0 or (piece > 1 and dimensions % piece == 0 and len(parts["mean"]) > 0)
        if fits and parts["directions"].ndim == 3:
            count, rank = dimensions // (piece or dimensions), parts["directions"].shape[1]
            shapes = {
                "linear": (dimensions,),
                "bias": (),
                "directions": (count, rank, piece or dimensions),
                "steps": (count, rank),
                "strength": (count, rank),
            }
            fits = all(parts[name].shape == shape for name, shape in shapes.items())
            fits = fits and parts["mean"].shape == parts["scale"].shape in ((dimensions,), (0,))
            if fits:
                return cls(**parts, piece=piece)
        raise WeightsError(f"The head does not fit {dimensions} features.")

    def _steps(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """[N, P, S] even and on the sphere; beside each the deviations and lengths [N, P, 1]."""
        x = np.asarray(features, np.float32)
        x = x.reshape(len(x), -1, self.piece or self.dimensions)
        one = np.ones((*x.shape[:2], 1), np.float32)
        if not len(self.mean):
            return x, one, x, one
        even, deviation = evened(x) if self.piece else (x, one)
        standard = (even - self.mean.reshape(x.shape[1:])) / self.scale.reshape(x.shape[1:])
        u, length = unit(standard)
        return even, deviation, u, length

    def _vectors(self) -> np.ndarray:
        found: np.ndarray = self.directions.astype(np.float32) * self.steps[..., None]
        return found


def evened(pieces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every piece of float32 [N, P, S] with mean 0 and deviation 1; and the deviations [N, P, 1].

    >>> evened(np.array([[[1, 3], [10, 30]]], np.float32))[0].tolist()
    [[[-1.0, 1.0], [-1.0, 1.0]]]
    """
    pieces = pieces - pieces.mean(axis=2, keepdims=True)
    deviation: np.ndarray = np.maximum(pieces.std(axis=2, keepdims=True), LEAST)
    return pieces / deviation, deviation


def unit(pieces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every piece of float32 [N, P, S] with length 1; and the lengths [N, P, 1].

    >>> unit(np.array([[[3, 4], [0, 9]]], np.float32))[0].round(2).tolist()
    [[[0.6, 0.8], [0.0, 1.0]]]
    """
    length: np.ndarray = np.maximum(np.linalg.norm(pieces, axis=2, keepdims=True), LEAST)
    return pieces / length, length
